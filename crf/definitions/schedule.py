"""The calendar of visits as a value: planned days and windows from the dates that are known so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from .expressions import PARTIAL_DATE
from .model import Event, StudyDefinition

State = Literal["unplanned", "upcoming", "due", "overdue", "done"]


@dataclass(frozen=True)
class PlannedVisit:
    """One planned occurrence; without a known anchor its dates are None."""

    event: str
    repeat: int
    target_on: date | None
    window_from: date | None
    window_to: date | None


def planned_visits(
    study: StudyDefinition, dates: Mapping[str, str | date | None], group: str | None = None
) -> list[PlannedVisit]:
    """The scheduled visits and the first of each repeating event or log, in the study's order.

    `dates` gives the anchors: `enrolment` and `FORM.item`, as dates or stored values; partial ones count as unknown.
    """
    return [
        planned(event, dates, repeat=1)
        for event in study.events
        if not event.groups or group is None or group in event.groups
    ]


def planned(event: Event, dates: Mapping[str, str | date | None], *, repeat: int = 1) -> PlannedVisit:
    """One occurrence; a repeating event with `every` is planned each so many days after its first."""
    anchor = as_date(dates.get(event.anchor)) if event.anchor else None
    if anchor is None or event.day is None or (repeat > 1 and not event.every):
        return PlannedVisit(event.oid, repeat, None, None, None)
    target = anchor + timedelta(days=event.day + (event.every or 0) * (repeat - 1))
    before, after = event.window or (0, 0)
    return PlannedVisit(event.oid, repeat, target, target + timedelta(days=before), target + timedelta(days=after))


def anchors(study: StudyDefinition) -> set[str]:
    """The names of the dates that the calendar hangs on."""
    return {event.anchor for event in study.events if event.anchor}


def state(visit: PlannedVisit, *, today: date, occurred_on: date | None = None) -> State:
    """Upcoming before the window, due in it, overdue after it; done once it took place."""
    if occurred_on is not None:
        return "done"
    if visit.window_from is None or visit.window_to is None:
        return "unplanned"
    if today < visit.window_from:
        return "upcoming"
    return "due" if today <= visit.window_to else "overdue"


def days_outside(visit: PlannedVisit, occurred_on: date) -> int:
    """How many days a visit took place before (negative) or after its window; 0 inside it or without one."""
    if visit.window_from is None or visit.window_to is None:
        return 0
    if occurred_on < visit.window_from:
        return (occurred_on - visit.window_from).days
    return max((occurred_on - visit.window_to).days, 0)


def as_date(value: str | date | None) -> date | None:
    """A stored date as a date; None for partial, missing or unreadable ones."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or PARTIAL_DATE.match(value):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None
