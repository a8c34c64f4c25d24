"""The calendar of visits as a value: planned days and windows from the dates that are known so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from .expressions import PARTIAL_DATE
from .model import Event, StudyDefinition


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

    Unscheduled visits are not planned: they are there once a person adds them.
    `dates` gives the anchors: `enrolment` and `FORM.item`, as dates or stored values; partial ones count as unknown.
    """
    return [
        planned(event, dates, repeat=1)
        for event in study.events
        if event.kind != "unscheduled" and (not event.groups or group is None or group in event.groups)
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
