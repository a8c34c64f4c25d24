"""A state in a window after time zero, with interventions and competing events before it (statistics.md §4.2)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from analytics.endpoints.dates import read
from analytics.endpoints.model import Change, Condition, Criterion, Landmark, Measure
from analytics.endpoints.rows import (
    Dated,
    Evidence,
    Result,
    Row,
    SubjectRows,
    dated,
    decided_by,
    evidence,
    found,
    is_missing,
    matching,
    number,
)
from analytics.endpoints.survival import events_of

Window = tuple[date, date]
Counted = tuple[date, bool, Evidence]  # when, abnormal, proof


def landmark(rule: Landmark, subject: SubjectRows, cutoff: date | None = None) -> Result:
    """1, 0, a competing event's code, or not evaluable.

    An intervention for the condition before the window's end counts as the endpoint; a competing event before the
    window's start (or before a state in it is known) is coded apart and is never 0; of both, the earlier decides.
    What was measured after a competing event says nothing: the state is that of the days up to it.
    """
    starts = dated(rule.start, subject, "start", rule.completion)
    if not starts:
        return Result(rule.code, rule.version, "not_evaluable", {}, "no_start")
    start = starts[0]
    window = (start.on + timedelta(days=rule.window[0]), start.on + timedelta(days=rule.window[1]))
    window = (window[0], min(window[1], cutoff or window[1]))
    event = _within(events_of(rule.events, subject, "event", rule.completion, start.on), start.on, window[1])
    competing = _within(events_of(rule.competing, subject, "competing", rule.completion, start.on), start.on, window[1])
    if event and not (competing and competing.on < event.on):
        return _coded(rule, "evaluable", 1, event.code, (start.evidence, event.evidence))
    state = _state(rule, subject, (window[0], competing.on if competing else window[1]), start.evidence)
    # Somebody who died inside the window after the state was measured is known; before that, not.
    if competing and state.status != "evaluable":
        return _coded(rule, "competing", None, competing.code, (start.evidence, competing.evidence))
    return state


def _within(found: list[Dated], first: date, last: date) -> Dated | None:
    """The earliest of these days; what came before time zero is history."""
    return next((one for one in found if first <= one.on <= last), None)


def _coded(rule: Landmark, status: str, label: int | None, code: str, proof: tuple[Evidence, ...]) -> Result:
    value: dict[str, Any] = {"code": code} if label is None else {"label": label, "code": code}
    return Result(rule.code, rule.version, status, value, "competing_event" if label is None else "", proof)


def _state(rule: Landmark, subject: SubjectRows, window: Window, start: Evidence) -> Result:
    for condition in rule.excluded:
        for row in matching(condition, subject):
            proof = (start, *decided_by(condition, row, "excluded"))
            return Result(rule.code, rule.version, "not_evaluable", {}, "other_cause", proof)
    verdicts = [(criterion.code, *_criterion(rule, criterion, subject, window)) for criterion in rule.criteria]
    proof = (start, *(one for _, _, notes in verdicts for one in notes))
    failed = [code for code, holds, _ in verdicts if holds is False]
    unknown = [code for code, holds, _ in verdicts if holds is None]
    criteria = {code: holds for code, holds, _ in verdicts}
    if unknown and not failed:
        return Result(rule.code, rule.version, "not_evaluable", {"criteria": criteria}, "not_measured", proof)
    label = int(not failed)
    value = {"label": label, "code": "state" if label else "none", "criteria": criteria}
    return Result(rule.code, rule.version, "evaluable", value, "", proof)


def _criterion(
    rule: Landmark, criterion: Criterion, subject: SubjectRows, window: Window
) -> tuple[bool | None, tuple[Evidence, ...]]:
    """True, False or unknown. True: abnormal on `count` dates far enough apart. Unknown: not so, and no measured
    date was normal (or none was measured), since one more count could settle it. Else false."""
    by_date: dict[date, list[Counted]] = {}
    for measure in criterion.any:
        for counted in _measured(rule, measure, subject, window):
            by_date.setdefault(counted[0], []).append(counted)
    abnormal = sorted(on for on, counted in by_date.items() if any(one[1] for one in counted))
    proof = tuple(one[2] for on in sorted(by_date) for one in by_date[on])
    if _apart(abnormal, criterion.apart_days) >= criterion.count:
        return True, proof
    return (None if len(by_date) == len(abnormal) else False), proof


def _apart(dates: list[date], days: int) -> int:
    """How many of the sorted dates can be kept at least `days` from each other."""
    kept: list[date] = []
    for on in dates:
        if not kept or (on - kept[-1]).days >= days:
            kept.append(on)
    return len(kept)


def _measured(rule: Landmark, measure: Measure, subject: SubjectRows, window: Window) -> list[Counted]:
    counted = []
    for form in measure.forms:
        for row in matching(Condition(form=form, where=measure.where), subject):
            value = number(row.values.get(measure.item))
            on = _on(rule, row, measure.date)
            if value is None or on is None or not window[0] <= on <= window[1]:
                continue
            abnormal = value < measure.below if measure.below is not None else value > (measure.above or 0)
            counted.append((on, abnormal, evidence("measure", row, measure.item, value)))
    return counted


def _on(rule: Landmark | Change, row: Row, item: str | None) -> date | None:
    """The measurement's own date where there is one, else its visit's."""
    value = row.values.get(item) if item else None
    return row.occurred_on if is_missing(value) else read(value, rule.completion).on


def change(rule: Change, subject: SubjectRows, cutoff: date | None = None) -> Result:
    """The measurement nearest to `target_day` in the window, minus the first baseline value; per cent of baseline."""
    starts = dated(rule.start, subject, "start", rule.completion)
    if not starts:
        return Result(rule.code, rule.version, "not_evaluable", {}, "no_start")
    start = starts[0].on
    baselines = [(row, source.item, number(value)) for source in rule.baseline for row, value in found(source, subject)]
    baselines = [one for one in baselines if one[2] is not None]
    later = []
    for row, value in found(rule.measure, subject):
        on, measured = _on(rule, row, rule.date), number(value)
        if on is None or measured is None or (cutoff and on > cutoff):
            continue
        if rule.window[0] <= (on - start).days <= rule.window[1]:
            later.append((abs((on - start).days - rule.target_day), row.record, row, measured, on))
    if not baselines or not later:
        return Result(rule.code, rule.version, "not_evaluable", {}, "no_follow_up" if baselines else "no_baseline")
    return _changed(rule, baselines[0], min(later, key=lambda one: one[:2]), starts[0].evidence)


def _changed(rule: Change, baseline: Any, later: Any, start: Evidence) -> Result:
    row, item, before = baseline
    _, _, later_row, after, on = later
    value = {
        "baseline": before,
        "value": after,
        "on": on.isoformat(),
        "change": after - before,
        "percent": 100 * (after - before) / before if before else None,
    }
    proof = (start, evidence("baseline", row, item, before), evidence("measure", later_row, rule.measure.item, after))
    return Result(rule.code, rule.version, "evaluable", value, "", proof)
