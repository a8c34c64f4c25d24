"""Dates as recorded: whole, or partial (`2026-04-UK`), completed by a stated rule."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics.endpoints.model import Completion

DAYS_PER_MONTH = 30.4375  # statistics.md §4.1: months = days / 30.4375
_PARTIAL = re.compile(r"^(\d{4})(?:-(\d{2}|UK|UNK))?(?:-(\d{2}|UK|UNK))?(?:T.*)?$")


class NotADate(ValueError):
    """The recorded text is neither a date nor a partial one."""


@dataclass(frozen=True)
class Moment:
    on: date
    completion: str = ""  # empty where the date was whole


def months(days: float) -> float:
    return days / DAYS_PER_MONTH


def read(value: Any, rule: Completion, start: date | None = None) -> Moment:
    """The date of a recorded value. Unknown day: `rule.day`; unknown month: `rule.month`-`rule.month_day`.

    A completed date before `start` moves up to it where the known year (and month) contain it.
    """
    if isinstance(value, date):
        return Moment(date(value.year, value.month, value.day))
    match = _PARTIAL.match(str(value).strip())
    if not match:
        raise NotADate(f"{value!r} is not a date; write YYYY-MM-DD, YYYY-MM-UK or YYYY-UK-UK")
    year, month, day = match.groups()
    if month and month.isdigit() and day and day.isdigit():
        return Moment(_date(value, int(year), int(month), int(day)))
    return _completed(value, int(year), int(month) if month and month.isdigit() else None, rule, start)


def _date(value: Any, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise NotADate(f"{value!r} is not a date of the calendar: {error}") from None


def _completed(value: Any, year: int, month: int | None, rule: Completion, start: date | None) -> Moment:
    on = _date(value, year, month or rule.month, rule.day if month else rule.month_day)
    told = "day unknown" if month else "month and day unknown"
    last = date(year, month or 12, calendar.monthrange(year, month or 12)[1])
    if rule.not_before_start and start and on < start <= last:
        return Moment(
            start, f"{told}: {value} completed to {on.isoformat()}, moved up to time zero {start.isoformat()}"
        )
    return Moment(on, f"{told}: {value} completed to {on.isoformat()}")
