"""The calendar: what is expected when, and what happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from registry import audit
from registry.models import Subject, User, Visit
from registry.permissions import Permission, authorise


@dataclass(frozen=True)
class PlannedVisit:
    """One expected event, as the study's schedule computes it; dates are empty for events without a date."""

    event: str
    repeat: int = 1
    target_on: dt.date | None = None
    window_from: dt.date | None = None
    window_to: dt.date | None = None


def plan(*, subject: Subject, planned: Iterable[PlannedVisit], by: User) -> list[Visit]:
    """Bring the subject's calendar up to date with `planned`; visits already there keep when they happened."""
    authorise(by, Permission.RECORD_ENTER, subject=subject)
    present = {(visit.event, visit.repeat): visit for visit in subject.visits.all()}
    with audit.change(by=by):
        return [_planned(subject, present.get((one.event, one.repeat)), one) for one in planned]


def _planned(subject: Subject, visit: Visit | None, planned: PlannedVisit) -> Visit:
    dates = (planned.target_on, planned.window_from, planned.window_to)
    if visit and (visit.target_on, visit.window_from, visit.window_to) == dates:
        return visit
    visit = visit or Visit(subject=subject, event=planned.event, repeat=planned.repeat)
    visit.target_on, visit.window_from, visit.window_to = dates
    visit.save()
    return visit


def occurred(*, visit: Visit, on: dt.date, by: User) -> Visit:
    """Write down when a visit took place."""
    authorise(by, Permission.RECORD_ENTER, subject=visit.subject)
    with audit.change(by=by):
        # As it is now: the caller's visit may be older than the plan.
        visit = Visit.objects.select_for_update().get(pk=visit.pk)
        if visit.occurred_on != on:
            visit.occurred_on = on
            visit.save()
    return visit
