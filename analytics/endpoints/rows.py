"""Plain rows that endpoint rules read: a subject's records, and the result with how it came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from analytics.endpoints.dates import Moment, read
from analytics.endpoints.model import Completion, Condition, Scalar, Source, Test


@dataclass(frozen=True)
class Row:
    """One form of one subject at one event; `record` and `revision` lead back to where it is kept."""

    record: int
    revision: int
    form: str
    values: Mapping[str, Any]
    event: str = ""
    repeat: int = 1
    occurred_on: date | None = None


@dataclass(frozen=True)
class SubjectRows:
    subject: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Evidence:
    """One value that decided: which record and revision, which item, what stood there, what it was completed to."""

    role: str
    record: int
    revision: int
    form: str
    event: str
    repeat: int
    item: str
    raw: Any
    used: Any = None
    completion: str = ""


@dataclass(frozen=True)
class Result:
    """`value` holds numbers and codes; `status` says whether it may be analysed, `reason` why not (a code)."""

    endpoint: str
    version: str
    status: str  # evaluable | not_evaluable | competing | not_in_population
    value: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Dated:
    """A date found in a record, with its evidence."""

    on: date
    code: str
    evidence: Evidence


def is_missing(value: Any) -> bool:
    return value is None or value == "" or value == [] or (isinstance(value, Mapping) and "missing" in value)


def number(value: Any) -> float | None:
    """A recorded number, or None where it is missing or no number."""
    if is_missing(value) or isinstance(value, bool | Mapping):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _equal(value: Any, wanted: Scalar) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(str(one) == str(wanted) or (number(one) is not None and number(one) == number(wanted)) for one in values)


def passes(test: Test, value: Any) -> bool:
    """Whether a recorded value passes one test; a missing value passes only `given: false`."""
    if test.given is not None and test.given == is_missing(value):
        return False
    comparisons: dict[str, Any] = test.model_dump(exclude={"given"}, exclude_none=True)
    if not comparisons:
        return True
    if is_missing(value):
        return False
    measured = number(value)
    holds: dict[str, Callable[[Any], bool]] = {
        "eq": lambda limit: _equal(value, limit),
        "ne": lambda limit: not _equal(value, limit),
        "is_in": lambda limits: any(_equal(value, one) for one in limits),
        "lt": lambda limit: measured is not None and measured < limit,
        "le": lambda limit: measured is not None and measured <= limit,
        "gt": lambda limit: measured is not None and measured > limit,
        "ge": lambda limit: measured is not None and measured >= limit,
    }
    return all(holds[name](limit) for name, limit in comparisons.items())


def matching(condition: Condition, subject: SubjectRows) -> Iterator[Row]:
    for row in subject.rows:
        if row.form != condition.form or (condition.events and row.event not in condition.events):
            continue
        if all(passes(test, row.values.get(item)) for item, test in condition.where.items()):
            yield row


def evidence(role: str, row: Row, item: str, used: Any = None, completion: str = "") -> Evidence:
    return Evidence(
        role, row.record, row.revision, row.form, row.event, row.repeat, item, row.values.get(item), used, completion
    )


def decided_by(condition: Condition, row: Row, role: str) -> tuple[Evidence, ...]:
    return tuple(evidence(role, row, item) for item in condition.where) or (evidence(role, row, ""),)


def found(source: Source, subject: SubjectRows) -> Iterator[tuple[Row, Any]]:
    """Each record's value of the source's item, missing ones left out."""
    for row in matching(source, subject):
        value = row.values.get(source.item)
        if not is_missing(value):
            yield row, value


def dated(
    sources: tuple[Source, ...],
    subject: SubjectRows,
    role: str,
    completion: Completion,
    code: str = "",
    start: date | None = None,
) -> list[Dated]:
    """All dates of the sources, earliest first, partial ones completed by the rule."""
    dates = []
    for source in sources:
        for row, value in found(source, subject):
            moment: Moment = read(value, completion, start)
            note = evidence(role, row, source.item, moment.on.isoformat(), moment.completion)
            dates.append(Dated(moment.on, code or role, note))
    return sorted(dates, key=lambda one: (one.on, one.evidence.record, one.evidence.item))
