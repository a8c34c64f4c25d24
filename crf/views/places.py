"""Where a record is: its subject, visit, form and number; and the way to its neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import RFC3986_SUBDELIMS
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.model import Form, NotInDefinition, StudyDefinition
from crf.models import Record, StudyBuild
from crf.selectors import CasebookRow, Cell, current_build, event_of, subject_records
from crf.services import second_entry
from registry.models import Subject, Visit
from registry.permissions import Permission, rights
from registry.web import subject_or_404

UNQUOTED = RFC3986_SUBDELIMS + "~:@"  # as `reverse` leaves them
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}\Z")  # as `definitions.model.Oid`


@dataclass(frozen=True)
class Place:
    """One form of one subject at one visit; `record` is None until something was saved.

    `purpose` is `second` where the form is entered a second time: the page then knows nothing of the first entry.
    """

    subject: Subject
    visit: Visit
    form: Form
    repeat: int
    build: StudyBuild
    record: Record | None
    records: list[Record]
    held: frozenset[Permission]
    purpose: str = "entry"

    @property
    def may_enter(self) -> bool:
        return Permission.RECORD_ENTER in self.held and not is_locked(self.record)

    @property
    def study(self) -> StudyDefinition:
        return self.build.study_definition

    @property
    def is_repeating(self) -> bool:
        return self.form.repeating

    @property
    def url(self) -> str:
        return record_url("crf:edit-record", self.visit, self.form.oid, self.repeat, self.subject)

    def url_of(self, name: str, *more: Any) -> str:
        return record_url(name, self.visit, self.form.oid, self.repeat, self.subject, *more)

    @property
    def is_second(self) -> bool:
        return self.purpose == "second"

    @property
    def form_url(self) -> str:
        """Where the page's form is sent."""
        return self.url_of("crf:second-entry") if self.is_second else self.url

    @property
    def marker(self) -> dict[str, Any]:
        """What names this page's draft to the services."""
        return {"visit": self.visit, "form": self.form.oid, "repeat": self.repeat, "purpose": self.purpose}

    def for_second_entry(self) -> Place:
        """The same place without what was entered first."""
        others = [one for one in self.records if self.record is None or one.pk != self.record.pk]
        return replace(self, record=None, records=others, purpose="second")

    @property
    def visit_name(self) -> str:
        return visit_name(self.study, self.visit)

    @property
    def repeats(self) -> list[int]:
        """The numbers of this form at this visit that were saved."""
        return sorted(r.repeat for r in self.records if (r.visit_id, r.form) == (self.visit.pk, self.form.oid))

    @property
    def next_repeat_url(self) -> str | None:
        """The address of one more of this form, once this one is saved."""
        if not (self.is_repeating and self.may_enter and self.record):
            return None
        return record_url("crf:edit-record", self.visit, self.form.oid, max(self.repeats) + 1, self.subject)


def place_or_404(
    request: HttpRequest, code: str, number: str, event: str, visit: int, form: str, repeat: int, *, blind: bool = False
) -> Place:
    """The place that the address names; Http404 where the study has no such form.

    PermissionDenied for whoever is to enter the form a second time, unless the view keeps them `blind` itself.
    """
    subject = subject_or_404(request, code, number, needs=Permission.RECORD_VIEW)
    the_visit = get_object_or_404(subject.visits, event=event, repeat=visit)
    the_visit.subject = subject
    records = subject_records(subject)
    record = next((r for r in records if (r.visit_id, r.form, r.repeat) == (the_visit.pk, form, repeat)), None)
    build = record.build if record else current_build(subject.study, subject.site)
    held = rights(request.user, site=subject.site)
    the_form = form_or_404(build.study_definition, event, form)
    place = Place(subject, the_visit, the_form, repeat, build, record, records, held)
    if not the_form.may_be_number(repeat) or (record is None and repeat > max(place.repeats, default=0) + 1):
        raise Http404(f"{form} has no number {repeat}, or it comes after one that does not exist")
    if record and not blind and second_entry.is_blind(record, request.user):
        raise PermissionDenied(_("This form waits for your second entry; its first entry is not shown before."))
    return place


def form_or_404(study: StudyDefinition, event: str, form: str) -> Form:
    try:
        if form not in study.event(event).forms:
            raise Http404(f"{event} has no form {form}")
        return study.form(form)
    except NotInDefinition as problem:
        raise Http404(str(problem)) from problem


def is_locked(record: Record | None) -> bool:
    return record is not None and record.status == Record.Status.LOCKED


def record_url(name: str, visit: Visit, form: str, repeat: int, subject: Subject, *more: Any) -> str:
    """The address of a record's page; `more` are the parts after the record's own."""
    parts = (subject.study.code, subject.number, visit.event, visit.repeat, form, repeat)
    if more:
        return reverse(name, args=[*parts, *more])
    return _shape(name) % tuple(quote(str(part), safe=UNQUOTED) for part in parts)


@cache
def _shape(name: str) -> str:
    """The address with %s for each part: a page names dozens of records, and `reverse` looks through all routes."""
    marks = ("code-0", "number-0", "event-0", 990001, "form-0", 990002)
    shape = reverse(name, args=marks).replace("%", "%%")
    for mark in marks:
        shape = shape.replace(str(mark), "%s")
    return shape


def visit_name(study: StudyDefinition, visit: Visit) -> str:
    """The visit's name in the reader's language; its code where this build no longer has it."""
    event = event_of(study, visit.event)
    name = event.name.of(get_language() or "zh-hans") if event else visit.event
    return f"{name} {visit.repeat}" if visit.repeat > 1 or (event and event.kind == "repeating") else name


def form_name(study: StudyDefinition, form: str, repeat: int | None = None) -> str:
    """The form's name in the reader's language, numbered where it repeats; its code where this build has none."""
    try:
        found = study.form(form)
    except NotInDefinition:
        return form
    name = found.name.of(get_language() or "zh-hans")
    return f"{name} #{repeat}" if repeat and found.repeating else name


def form_choices(study: StudyDefinition, chosen: str = "") -> list[tuple[str, Any]]:
    """The forms that a list is filtered by; `chosen` too where only another build has it, so that it still filters."""
    choices = [("", _("all")), *((form.oid, form.name.of(get_language() or "zh-hans")) for form in study.forms)]
    is_known = any(chosen == oid for oid, _name in choices)
    return choices if is_known or not CODE.match(chosen) else [*choices, (chosen, chosen)]


def links(row: CasebookRow, subject: Subject, here: str = "") -> list[dict[str, Any]]:
    """The forms of one visit as links with their state, each repeat by itself."""
    language = get_language() or "zh-hans"
    found = []
    for cell in row.cells:
        saved: list[Record | None] = [*cell.records] or [None]
        for record in saved:
            repeat = record.repeat if record else 1
            url = record_url("crf:edit-record", cell.visit, cell.form.oid, repeat, subject)
            found.append(
                {
                    "form": cell.form.oid,
                    "name": cell.form.name.of(language),
                    "url": url,
                    "state": record.status if record else cell.state,
                    "repeat": repeat,
                    "is_repeating": cell.form.repeating,
                    "is_here": url == here,
                    "queries": cell.queries.get(repeat, 0),
                    "next_url": _next_url(cell, record, subject),
                }
            )
    return found


def _next_url(cell: Cell, record: Record | None, subject: Subject) -> str | None:
    """Where one more of a repeating form is entered; offered beside the last that was saved."""
    if not cell.form.repeating or record is None or record is not cell.records[-1]:
        return None
    return record_url("crf:edit-record", cell.visit, cell.form.oid, record.repeat + 1, subject)
