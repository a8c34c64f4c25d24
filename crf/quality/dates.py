"""Dates that can't all be right: in the future, out of the order of the visits, outside a visit's window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DateRule = Literal["future_date", "visit_order", "outside_window", "far_from_visit"]


@dataclass(frozen=True)
class VisitDates:
    """One visit of a subject: its key, when it was planned, its window, when it happened."""

    key: int
    target: dt.date | None
    window: tuple[dt.date | None, dt.date | None]
    occurred: dt.date | None


@dataclass(frozen=True)
class DateFinding:
    """What is wrong with the date of one visit; `date` as recorded, `other` the date it disagrees with."""

    rule: DateRule
    visit: int
    date: dt.date
    other: dt.date


def earliest(text: str) -> dt.date:
    """The first day that a stored date, possibly partial (`2026-04-UK`), can mean."""
    year, month, day = (int(part) if part.isdigit() else 1 for part in text[:10].split("-"))
    return dt.date(year, month, day)


def visit_findings(visits: Sequence[VisitDates], today: dt.date) -> list[DateFinding]:
    """Visits dated after today, before a visit that was planned earlier, or outside their window."""
    found = []
    happened = [(visit, visit.occurred) for visit in visits if visit.occurred]
    for visit, on in happened:
        low, high = visit.window
        limit = low if low and on < low else high if high and on > high else None
        if on > today:
            found.append(DateFinding("future_date", visit.key, on, today))
        elif limit:
            found.append(DateFinding("outside_window", visit.key, on, limit))
    planned = sorted(
        ((visit.target, on, visit.key) for visit, on in happened if visit.target), key=lambda one: (one[0], one[1])
    )
    latest: dt.date | None = None
    for _target, on, key in planned:
        if latest and on < latest:
            found.append(DateFinding("visit_order", key, on, latest))
        latest = max(on, latest) if latest else on
    return found


def item_finding(text: str, occurred: dt.date | None, today: dt.date, *, days: int) -> tuple[DateRule, dt.date] | None:
    """Why the date answered in a form at a visit looks wrong, with the date it disagrees with; None if it does not.

    A partial date counts with its first possible day. `days` is how far from its visit a time item may lie.
    """
    on = earliest(text)
    if on > today:
        return "future_date", today
    if occurred and abs((on - occurred).days) > days and "UK" not in text:
        return "far_from_visit", occurred
    return None
