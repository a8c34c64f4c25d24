"""Time-to-event endpoints: PFS, OS and their like (statistics.md §4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from analytics.endpoints.dates import DAYS_PER_MONTH, months
from analytics.endpoints.model import Completion, Duration, EventRule, TimeToEvent
from analytics.endpoints.rows import (
    Dated,
    Evidence,
    Result,
    Row,
    SubjectRows,
    dated,
    evidence,
    found,
    number,
    passes,
)


def events_of(
    rules: tuple[EventRule, ...], subject: SubjectRows, role: str, completion: Completion, start: date
) -> list[Dated]:
    """All events of the rules, earliest first; of one day, in the order of the rules."""
    found = [one for rule in rules for one in dated(rule.date, subject, role, completion, rule.code, start)]
    return sorted(found, key=lambda one: one.on)


def time_to_event(rule: TimeToEvent, subject: SubjectRows, cutoff: date | None = None) -> Result:
    """Days and months from the start to the first event, competing event (2) or censoring (0).

    Dates after `cutoff` did not happen yet. An event and a competing event of one day count as the event.
    """
    starts = dated(rule.start, subject, "start", rule.completion)
    if not starts:
        return _refused(rule, "no_start")
    start = starts[0]
    event = _first(events_of(rule.events, subject, "event", rule.completion, start.on), cutoff)
    competing = _first(events_of(rule.competing, subject, "competing", rule.completion, start.on), cutoff)
    stop = _first(events_of(rule.censor_at, subject, "censor_at", rule.completion, start.on), cutoff)
    if event and competing and competing.on < event.on:
        event = None
    end, observed = (event, 1) if event else (competing, 2)
    if stop and (end is None or stop.on < end.on):
        end, observed = stop, 0
    if end is None:
        end, observed = _last_assessment(rule, subject, start, cutoff), 0
    if end is None:
        return _refused(rule, "no_follow_up", (start.evidence,))
    return _measured(rule, start, end, observed)


def duration(rule: Duration, subject: SubjectRows) -> Result:
    """Days and months as recorded; the event is what the same record says."""
    for row, value in found(rule.time, subject):
        length = number(value)
        if length is None or length < 0:
            continue
        event, code = _ended(rule, row)
        exact = length if rule.unit == "days" else length * DAYS_PER_MONTH
        in_months = months(length) if rule.unit == "days" else length
        items = [rule.time.item, *(item for one in (*rule.events, *rule.competing) for item in one.where)]
        proof = tuple(evidence("duration", row, item) for item in dict.fromkeys(items))
        measured = {"days": round(exact), "months": in_months, "event": event, "event_code": code}
        return Result(rule.code, rule.version, "evaluable", measured, "", proof)
    return Result(rule.code, rule.version, "not_evaluable", {}, "no_follow_up")


def _ended(rule: Duration, row: Row) -> tuple[int, str]:
    for observed, events in ((1, rule.events), (2, rule.competing)):
        for one in events:
            if all(passes(test, row.values.get(item)) for item, test in one.where.items()):
                return observed, one.code
    return 0, "censored"


def _first(found: list[Dated], cutoff: date | None) -> Dated | None:
    return next((one for one in found if not (cutoff and one.on > cutoff)), None)


def _last_assessment(rule: TimeToEvent, subject: SubjectRows, start: Dated, cutoff: date | None) -> Dated | None:
    assessed = dated(rule.censor, subject, "censor", rule.completion, "censored", start.on)
    known = [one for one in assessed if one.on >= start.on and not (cutoff and one.on > cutoff)]
    return known[-1] if known else None


def _measured(rule: TimeToEvent, start: Dated, end: Dated, observed: int) -> Result:
    days = (end.on - start.on).days
    evidence = (start.evidence, end.evidence)
    if days < 0:
        return _refused(rule, "event_before_start", evidence)
    if days < rule.landmark_day:
        return _refused(rule, "before_landmark", evidence)
    value: Mapping[str, Any] = {
        "days": days,
        "months": months(days),
        "event": observed,
        "event_code": end.code if observed else "censored",
        "start": start.on.isoformat(),
        "end": end.on.isoformat(),
    }
    return Result(rule.code, rule.version, "evaluable", value, "", evidence)


def _refused(rule: TimeToEvent, reason: str, evidence: tuple[Evidence, ...] = ()) -> Result:
    return Result(rule.code, rule.version, "not_evaluable", {}, reason, evidence)
