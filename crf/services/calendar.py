"""The subject's calendar, computed from the study's schedule and the dates its forms hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext as _

from crf.definitions import schedule
from crf.definitions.model import StudyDefinition
from crf.models import Record
from crf.selectors import definition_of, event_of, subject_records
from registry import audit
from registry.jobs import Progress
from registry.models import Site, Subject, User, Visit
from registry.permissions import Permission, authorise
from registry.services import subjects, visits


def replan(*, subject: Subject, records: Iterable[Record] | None = None, by: User) -> list[Visit]:
    """Bring the calendar up to date: every event of the study, dated where its anchor is known."""
    authorise(by, Permission.RECORD_ENTER, subject=subject)
    definition = definition_of(subject.study, subject.site)
    records = subject_records(subject) if records is None else records
    planned = planned_visits(subject, definition, records, subject.visits.all())
    return visits.plan(subject=subject, planned=planned, by=by)


def replan_sites(*, sites: Iterable[Site], progress: Progress, by: User) -> int:
    """Bring the calendar of everybody in the study at `sites` up to date, each in a transaction of its own; how many.

    Ended in the middle and started again, it finds the first ones done.
    """
    found = Subject.objects.filter(site__in=list(sites), status=Subject.Status.ENROLLED)
    progress.start(number := found.count())
    for subject in found.select_related("study", "site", "group").order_by("pk").iterator(chunk_size=200):
        with audit.change(by=by):
            subjects.hold(subject)
            replan(subject=subject, by=by)
        progress.step()
    return number


def planned_visits(
    subject: Subject, definition: StudyDefinition, records: Iterable[Record], present: Iterable[Visit]
) -> list[visits.PlannedVisit]:
    """The whole calendar as it should be: the schedule's events, and the repeats that are there."""
    known = anchor_dates(subject, definition, records)
    group = subject.group.code if subject.group_id else None
    wanted = schedule.planned_visits(definition, known, group=group)
    repeats = [
        schedule.planned(event, known, repeat=visit.repeat)
        for visit in present
        # A later build may have dropped the event: its visits stay as they are.
        if visit.repeat > 1 and (event := event_of(definition, visit.event))
    ]
    return [_as_visit(one) for one in [*wanted, *repeats]]


class VisitRefused(ValueError):
    """The visit can't be added as asked."""


def add_repeat(*, subject: Subject, event: str, on: dt.date | None = None, by: User) -> Visit:
    """One more visit: of a repeating event, planned after the one before it; an unscheduled one, on its day.

    Raises VisitRefused where an unscheduled visit has no day, or one that is still to come.
    """
    authorise(by, Permission.RECORD_ENTER, subject=subject)
    definition = definition_of(subject.study, subject.site)
    if definition.event(event).kind == "unscheduled" and (on is None or on > timezone.localdate()):
        raise VisitRefused(_("Say on which day the visit was; it can't be in the future."))
    with audit.change(by=by):
        Subject.objects.select_for_update().only("pk").get(pk=subject.pk)
        last = subject.visits.filter(event=event).order_by("-repeat").first()
        planned = next_repeat(subject, definition, subject_records(subject), event, last.repeat if last else 0)
        visit = visits.plan(subject=subject, planned=[planned], by=by)[0]
        return visits.occurred(visit=visit, on=on, by=by) if on else visit


def next_repeat(
    subject: Subject, definition: StudyDefinition, records: Iterable[Record], event: str, last: int
) -> visits.PlannedVisit:
    """The visit after the `last` one of a repeating event."""
    known = anchor_dates(subject, definition, records)
    return _as_visit(schedule.planned(definition.event(event), known, repeat=last + 1))


def hangs_on(definition: StudyDefinition, form: str) -> bool:
    """Whether the form holds a date that visits are planned from."""
    return any(anchor.startswith(f"{form}.") for anchor in schedule.anchors(definition))


def _as_visit(planned: schedule.PlannedVisit) -> visits.PlannedVisit:
    return visits.PlannedVisit(planned.event, planned.repeat, planned.target_on, planned.window_from, planned.window_to)


def anchor_dates(subject: Subject, definition: StudyDefinition, records: Iterable[Record]) -> dict[str, dt.date]:
    """Dates that anchors name: `enrolment`, and FORM.item of the first record that holds a whole date."""
    known = {"enrolment": subject.enrolled_on}
    anchors = {anchor for anchor in schedule.anchors(definition) if "." in anchor}
    for record in records:
        for anchor in anchors:
            form, item = anchor.split(".")
            if record.form == form and (on := schedule.as_date(record.data.get(item))):
                known.setdefault(anchor, on)
    return known
