"""Binary endpoints by conditions on records: pathological complete response and its like."""

from __future__ import annotations

from analytics.endpoints.model import Binary, Condition
from analytics.endpoints.rows import Evidence, Result, SubjectRows, dated, decided_by, matching


def binary(rule: Binary, subject: SubjectRows) -> Result:
    """1 if any positive condition holds, 0 if any negative one does, else what `otherwise` says."""
    starts = dated(rule.start, subject, "start", rule.completion)
    population: tuple[Evidence, ...] = tuple(one.evidence for one in starts[:1])
    for condition in rule.population:
        held = _holds((condition,), subject, "population")
        if not held:
            return Result(rule.code, rule.version, "not_in_population", {}, "not_in_population")
        population += held
    for label, conditions in ((1, rule.positive), (0, rule.negative)):
        held = _holds(conditions, subject, "positive" if label else "negative")
        if held:
            return Result(rule.code, rule.version, "evaluable", {"label": label}, "", population + held)
    if rule.otherwise == "negative":
        return Result(rule.code, rule.version, "evaluable", {"label": 0}, "assumed_negative", population)
    return Result(rule.code, rule.version, "not_evaluable", {}, "not_assessed", population)


def _holds(conditions: tuple[Condition, ...], subject: SubjectRows, role: str) -> tuple[Evidence, ...]:
    for condition in conditions:
        for row in matching(condition, subject):
            return decided_by(condition, row, role)
    return ()
