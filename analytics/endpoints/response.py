"""Best overall response from sums of target diameters, mRECIST (viable) and RECIST 1.1 (statistics.md §4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics.endpoints.dates import read
from analytics.endpoints.model import BestResponse, Condition
from analytics.endpoints.rows import (
    Evidence,
    Result,
    Row,
    SubjectRows,
    dated,
    evidence,
    found,
    is_missing,
    matching,
    number,
)
from crf.definitions.response import mrecist, mrecist_target

ORDER = ("CR", "PR", "SD", "PD")


@dataclass(frozen=True)
class Assessment:
    on: date
    row: Row
    target_sum: float | None
    recorded: str | None


def best_response(rule: BestResponse, subject: SubjectRows, cutoff: date | None = None) -> Result:
    """Best overall response up to the first progression, `until` or `cutoff`; later responses do not count."""
    starts = dated(rule.start, subject, "start", rule.completion)
    if not starts:
        return Result(rule.code, rule.version, "not_evaluable", {}, "no_start")
    start = starts[0]
    ends = dated(rule.until, subject, "until", rule.completion, start=start.on)
    last = min([*(one.on for one in ends if one.on >= start.on), *([cutoff] if cutoff else [])], default=None)
    assessed = [one for one in _assessments(rule, subject, start.on) if last is None or one.on <= last]
    baseline, notes = _baseline(rule, subject)
    graded = _graded(rule, assessed, baseline)
    notes = (start.evidence, *notes)
    if rule.window:
        first, final = rule.window
        graded = [(one, code) for one, code in graded if first <= (one.on - start.on).days <= final]
    if not graded:
        return _unassessed(rule, baseline, bool(assessed), notes)
    return _best(rule, graded, baseline, notes)


def _assessments(rule: BestResponse, subject: SubjectRows, start: date) -> list[Assessment]:
    read_from = rule.assessments
    condition = Condition(form=read_from.form, events=read_from.events, where=read_from.where)
    found_here = []
    for row in matching(condition, subject):
        on = row.values.get(read_from.date)
        if is_missing(on):
            continue
        recorded = row.values.get(read_from.response) if read_from.response else None
        target = number(row.values.get(read_from.target_sum)) if read_from.target_sum else None
        target = target if target is None or target >= 0 else None
        moment = read(on, rule.completion, start)
        found_here.append(Assessment(moment.on, row, target, None if is_missing(recorded) else str(recorded)))
    return sorted((one for one in found_here if one.on >= start), key=lambda one: (one.on, one.row.record))


def _baseline(rule: BestResponse, subject: SubjectRows) -> tuple[float | None, tuple[Evidence, ...]]:
    for source in rule.baseline_sum or ():
        for row, value in found(source, subject):
            if (total := number(value)) is not None and total > 0:
                return total, (evidence("baseline", row, source.item, total),)
    return None, ()


def _graded(rule: BestResponse, assessed: list[Assessment], baseline: float | None) -> list[tuple[Assessment, str]]:
    """Each assessment's overall response, up to and including the first progression."""
    graded, nadir = [], baseline
    for one in assessed:
        code = _grade(rule, one, baseline, nadir)
        if one.target_sum is not None:
            nadir = one.target_sum if nadir is None else min(nadir, one.target_sum)
        if code:
            graded.append((one, code))
        if code == "PD":
            break
    return graded


def _grade(rule: BestResponse, one: Assessment, baseline: float | None, nadir: float | None) -> str | None:
    """The overall response by the rule; as recorded where the target lesions can't be judged and nothing else grew."""
    target = "NE"
    if one.target_sum is not None and baseline is not None and nadir is not None:
        target = mrecist_target(baseline, nadir, one.target_sum, rule.progression_minimum_mm)
    new_lesion = _value(one.row, rule.assessments.new_lesion) in _texts(rule.codes.new_lesion)
    graded = mrecist(target, _non_target(rule, one.row), "Y" if new_lesion else "N")
    return next((code for code in (graded, one.recorded) if code in ORDER), None)


def _non_target(rule: BestResponse, row: Row) -> str:
    found = _value(row, rule.assessments.non_target)
    if found in _texts(rule.codes.non_target_progression):
        return "PD"
    return "CR" if found is None or found in _texts(rule.codes.non_target_complete) else "SD"


def _value(row: Row, item: str | None) -> str | None:
    value = row.values.get(item) if item else None
    return None if is_missing(value) else str(value)


def _texts(codes: tuple[Any, ...]) -> set[str]:
    return {str(code) for code in codes}


def _best(
    rule: BestResponse, graded: list[tuple[Assessment, str]], baseline: float | None, notes: tuple[Evidence, ...]
) -> Result:
    best, code = min(graded, key=lambda pair: ORDER.index(pair[1]))
    items = [name for name in (rule.assessments.target_sum, rule.assessments.response) if name]
    proof = tuple(evidence("best", best.row, name, code) for name in items if not is_missing(best.row.values.get(name)))
    value = {
        "response": code,
        "label": int(code in rule.responders),
        "on": best.on.isoformat(),
        "assessments": [{"on": one.on.isoformat(), "response": each, "sum": one.target_sum} for one, each in graded],
        "baseline_sum": baseline,
    }
    return Result(rule.code, rule.version, "evaluable", value, "", (*notes, *proof))


def _unassessed(rule: BestResponse, baseline: float | None, assessed: bool, notes: tuple[Evidence, ...]) -> Result:
    reason = "no_baseline_sum" if assessed and baseline is None else "no_assessment"
    if rule.unassessed == "non_responder":
        return Result(rule.code, rule.version, "evaluable", {"response": "NE", "label": 0}, reason, notes)
    return Result(rule.code, rule.version, "not_evaluable", {}, reason, notes)
