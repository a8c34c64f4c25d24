"""Dates that may be partial: the span of days they can be, and the same date moved by whole days."""

from __future__ import annotations

import calendar
import datetime as dt

UNKNOWN = "UK"


def span(text: str) -> tuple[dt.date, dt.date]:
    """The earliest and the latest day that `2026-04-03`, `2026-04-UK` or `2026-UK-UK` can be."""
    year, month, day = text.split("-")
    if month == UNKNOWN:
        return dt.date(int(year), 1, 1), dt.date(int(year), 12, 31)
    if day == UNKNOWN:
        last = calendar.monthrange(int(year), int(month))[1]
        return dt.date(int(year), int(month), 1), dt.date(int(year), int(month), last)
    whole = dt.date.fromisoformat(text)
    return whole, whole


def moved(text: str, days: int) -> str:
    """The date `days` earlier, as precise as it was.

    A partial date is taken at its middle (the 15th, 1 July), moved, and cut to its parts again: neither the day of
    the month nor the edges of its span can tell by how much it was moved.
    """
    year, month, day = text.split("-")
    if month == UNKNOWN:
        return f"{dt.date(int(year), 7, 1) - dt.timedelta(days):%Y}-{UNKNOWN}-{UNKNOWN}"
    if day == UNKNOWN:
        return f"{dt.date(int(year), int(month), 15) - dt.timedelta(days):%Y-%m}-{UNKNOWN}"
    return (dt.date.fromisoformat(text) - dt.timedelta(days)).isoformat()
