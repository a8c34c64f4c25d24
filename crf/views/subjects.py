"""A subject from enrolment on: the casebook of visits and forms."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crf.definitions.model import StudyDefinition
from crf.definitions.schedule import as_date
from crf.definitions.values import BadValue, parse_date
from crf.models import Record
from crf.selectors import CasebookRow, casebook, definition_of, event_of, visit_timing
from crf.selectors.queries import open_query_counts
from crf.services import calendar, enrolment
from crf.views.board import STATE_NAMES
from crf.views.entry_page import language
from crf.views.places import links, visit_name
from registry.forms import EnrolSubject
from registry.models import Subject, User
from registry.permissions import Permission, rights
from registry.services.subjects import EnrolmentRefused
from registry.web import render_page, study_or_404, subject_or_404, url_or_none


@require_safe
def subject(request: HttpRequest, code: str, number: str) -> HttpResponse:
    subject = subject_or_404(request, code, number, needs=Permission.RECORD_VIEW)
    held = rights(request.user, site=subject.site)
    state = request.GET.get("state", "")
    definition = definition_of(subject.study, subject.site)
    rows = casebook(subject, language(), open_query_counts(subject), definition)
    context = {
        "subject": subject,
        "states": STATE_NAMES.items(),
        "chosen_state": state,
        "rows": [row for row in _all_shown(rows, subject, definition) if not state or _keep(row, state)],
        "may_enter": Permission.RECORD_ENTER in held,
        "may_verify": Permission.RECORD_VERIFY in held,
        "unscheduled": [
            {"oid": event.oid, "name": event.name.of(language())}
            for event in definition.events
            if event.kind == "unscheduled"
        ],
        "may_identify": Permission.IDENTITY_VIEW in held,
        "series_url": url_or_none("imaging:subject-series", code, number) if Permission.IMAGE_VIEW in held else None,
    }
    return render_page(request, "crf/subject.html", context, fragment="crf/_casebook.html")


@require_http_methods(["GET", "POST"])
def enrol_subject(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.SUBJECT_ENROL)
    form = EnrolSubject(request.POST or None, study=study, user=request.user)
    if form.is_valid() and (subject := _enrolled(form, request.user)):
        messages.success(request, _("Subject %(number)s is enrolled.") % {"number": subject.number})
        return redirect("crf:subject", study.code, subject.number)
    return render_page(request, "crf/enrol_subject.html", {"form": form}, status=422 if form.is_bound else 200)


@require_POST
def add_visit(request: HttpRequest, code: str, number: str, event: str) -> HttpResponse:
    subject = subject_or_404(request, code, number, needs=Permission.RECORD_ENTER)
    definition = definition_of(subject.study, subject.site)
    if event not in {one.oid for one in definition.events if one.kind in ("repeating", "unscheduled")}:
        raise Http404(f"{event} is not a visit that may be added")
    try:
        visit = calendar.add_repeat(subject=subject, event=event, on=_day(request.POST.get("on", "")), by=request.user)
    except (calendar.VisitRefused, BadValue) as refusal:
        messages.error(request, refusal.of(language()) if isinstance(refusal, BadValue) else str(refusal))
        return redirect("crf:subject", code, number)
    messages.success(request, _("%(visit)s is added.") % {"visit": visit_name(definition, visit)})
    return redirect("crf:subject", code, number)


def _day(text: str) -> dt.date | None:
    """A day as people type it; None where nothing was typed. Raises BadValue."""
    return as_date(parse_date(text)) if text.strip() else None


def _enrolled(form: EnrolSubject, user: User) -> Subject | None:
    try:
        return enrolment.enrol(**form.cleaned_data, by=user)
    except EnrolmentRefused as refusal:
        form.add_error(None, str(refusal))
        return None


def _all_shown(rows: list[CasebookRow], subject: Subject, study: StudyDefinition) -> list[dict[str, Any]]:
    """The visits of the casebook; the last of a repeating one offers one more."""
    last = {row.visit.event: row.visit.repeat for row in rows}
    return [_shown(row, subject, study, is_last=last[row.visit.event] == row.visit.repeat) for row in rows]


def _shown(row: CasebookRow, subject: Subject, study: StudyDefinition, *, is_last: bool) -> dict[str, Any]:
    """One visit of the casebook: its dates, its forms as seen, and whether one more may follow."""
    event = event_of(study, row.visit.event)
    records = [record for cell in row.cells for record in cell.records]
    return {
        "visit": row.visit,
        "name": visit_name(study, row.visit),
        "state": row.state,
        "is_open_now": visit_timing(row.visit, timezone.localdate()) == "due",
        "forms": links(row, subject),
        "has_complete": any(record.status == Record.Status.COMPLETE for record in records),
        "seen": [(record.pk, record.revision) for record in records],
        "repeats": is_last and event is not None and event.kind == "repeating",
    }


def _keep(row: dict[str, Any], state: str) -> bool:
    """Leave the forms in the state; False where the visit has none."""
    row["forms"] = [form for form in row["forms"] if form["state"] == state or (state == "queried" and form["queries"])]
    row["repeats"] = False
    return bool(row["forms"])
