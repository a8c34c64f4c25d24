"""What do I do today: the work that waits for the person in this study, each piece a link to where it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.models import Record
from crf.selectors import definition_of
from crf.selectors.worklist import Task, worklist
from crf.views.entry_page import language
from crf.views.places import record_url, visit_name
from registry.models import Study, Subject, Visit
from registry.permissions import Permission
from registry.web import render_page, study_or_404, url_or_none

KINDS = {
    "drafts": (gettext_lazy("Typed and not saved yet"), "device-floppy"),
    "to_answer": (gettext_lazy("Queries to answer"), "alert-circle"),
    "to_close": (gettext_lazy("Answered queries to close"), "check"),
    "entries_differ": (gettext_lazy("Two entries that differ"), "files"),
    "second_entries": (gettext_lazy("Forms to enter a second time"), "files"),
    "changed_after_verification": (gettext_lazy("Changed after verification"), "history"),
    "overdue": (gettext_lazy("Visits whose window has closed without an entry"), "clock-exclamation"),
    "due": (gettext_lazy("Visits that are due now"), "calendar-event"),
    "unfinished": (gettext_lazy("Visits with forms still to enter"), "table"),
    "in_progress": (gettext_lazy("Forms in progress"), "circle-dot"),
    "to_sign": (gettext_lazy("Records to sign"), "signature"),
    "to_verify": (gettext_lazy("Records to verify against the source"), "shield-check"),
    "imports": (gettext_lazy("Files that wait to be imported"), "upload"),
}


QUERIES = {"to_answer": "open", "to_close": "answered"}


@require_safe
def today(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    definition = definition_of(study)
    tasks = [_shown(study, definition, task) for task in worklist(study, request.user)]
    return render_page(request, "crf/worklist.html", {"tasks": tasks}, fragment="crf/_worklist.html")


def _shown(study: Study, definition: StudyDefinition, task: Task) -> dict[str, Any]:
    title, icon = KINDS[task.kind]
    return {
        "kind": task.kind,
        "title": title,
        "icon": icon,
        "count": task.count,
        "more": task.count - len(task.rows),
        "all_url": _all_url(study, task.kind),
        "rows": [ROWS[task.kind](study, definition, row) for row in task.rows],
    }


def _all_url(study: Study, kind: str) -> str | None:
    """The list of all of it."""
    if kind in QUERIES:
        return f"{reverse('crf:queries', args=[study.code])}?mine=on&status={QUERIES[kind]}"
    if kind in ("to_verify", "changed_after_verification"):
        return reverse("crf:sdv", args=[study.code])
    state = {"to_sign": "complete"}.get(kind, kind)
    board = url_or_none("crf:casebooks", study.code)
    return f"{board}?state={state}" if state in ("overdue", "due", "in_progress", "complete") else None


def _line(
    definition: StudyDefinition, subject: Subject, visit: Visit, form: str, repeat: int, study: Study, note: Any = ""
) -> dict[str, Any]:
    subject.study = study
    return {
        "subject": subject.number,
        "visit": _visit_name(definition, visit),
        "form": _form_name(definition, form, repeat),
        "note": note,
        "url": record_url("crf:edit-record", visit, form, repeat, subject),
    }


def _of_draft(study: Study, definition: StudyDefinition, draft: Any) -> dict[str, Any]:
    return _line(definition, draft.visit.subject, draft.visit, draft.form, draft.repeat, study, draft.saved_at)


def _of_record(study: Study, definition: StudyDefinition, record: Record) -> dict[str, Any]:
    return _line(definition, record.subject, record.visit, record.form, record.repeat, study)


def _of_verification(study: Study, definition: StudyDefinition, verification: Any) -> dict[str, Any]:
    return _of_record(study, definition, verification.record)


def _of_import(study: Study, definition: StudyDefinition, one: Any) -> dict[str, Any]:
    url = url_or_none("crf:import", study.code, one.pk)
    return {"subject": one.file_name, "visit": one.get_state_display(), "note": one.created_at, "url": url}


def _of_second_entry(study: Study, definition: StudyDefinition, second: Any) -> dict[str, Any]:
    record = second.record
    line = _of_record(study, definition, record)
    name = "crf:compare-entries" if second.status == "differs" else "crf:second-entry"
    return line | {"url": record_url(name, record.visit, record.form, record.repeat, record.subject)}


def _of_query(study: Study, definition: StudyDefinition, query: Any) -> dict[str, Any]:
    line = _line(definition, query.subject, query.visit, query.form, query.repeat, study)
    text = query.text_en if language().startswith("en") and query.text_en else query.text
    return line | {"text": text, "url": url_or_none("crf:query", study.code, query.pk) or line["url"]}


def _of_visit(study: Study, definition: StudyDefinition, visit: Visit) -> dict[str, Any]:
    """A visit leads to its first form without an entry."""
    visit.subject.study = study
    event = next((one for one in definition.events if one.oid == visit.event), None)
    line = {"subject": visit.subject.number, "visit": _visit_name(definition, visit), "window": visit}
    if event is None:
        return line | {"url": url_or_none("crf:subject", study.code, visit.subject.number)}
    empty = [form for form in event.forms if form not in getattr(visit, "have", ())]
    return line | {"url": record_url("crf:edit-record", visit, empty[0], 1, visit.subject)}


ROWS: dict[str, Callable[[Study, StudyDefinition, Any], dict[str, Any]]] = {
    "drafts": _of_draft,
    "to_answer": _of_query,
    "to_close": _of_query,
    "entries_differ": _of_second_entry,
    "second_entries": _of_second_entry,
    "changed_after_verification": _of_verification,
    "overdue": _of_visit,
    "due": _of_visit,
    "unfinished": _of_visit,
    "in_progress": _of_record,
    "to_sign": _of_record,
    "to_verify": _of_record,
    "imports": _of_import,
}


def _visit_name(definition: StudyDefinition, visit: Visit) -> str:
    try:
        return visit_name(definition, visit)
    except NotInDefinition:
        return visit.event


def _form_name(definition: StudyDefinition, form: str, repeat: int) -> str:
    try:
        name = definition.form(form).name.of(language())
    except NotInDefinition:
        return form
    return _("%(form)s #%(number)s") % {"form": name, "number": repeat} if repeat > 1 else name
