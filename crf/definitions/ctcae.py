"""CTCAE v5.0 grades of laboratory results: the published table as data (ctcae_v5.yaml), one function that reads it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from .yaml_lines import read

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


class Words(NamedTuple):
    """A remark in both languages."""

    zh: str
    en: str


@dataclass(frozen=True)
class Limit:
    """Where a grade begins: a number, a factor or LLN/ULN itself; `includes` the number itself."""

    number: Decimal | None
    includes: bool = False


Limits = tuple[Limit | None, ...]  # of grades 1, 2, 3, 4; None: no number reaches that grade


@dataclass(frozen=True)
class Term:
    """One row of the table; the numbers are explained at the head of ctcae_v5.yaml."""

    name: str
    zh: str
    is_high: bool
    published: Mapping[int, str]
    short: str = ""
    cut: Mapping[str, Limits] = field(default_factory=dict)
    over_uln: Mapping[str, Limits] = field(default_factory=dict)
    uln: Limits = ()
    baseline: Limits = ()
    or_baseline: Limits = ()
    on_request: Limits = ()
    clinical: Words | None = None

    @property
    def units(self) -> tuple[str, ...]:
        """The units its limits are published in, the one that `ctcae()` expects first; empty: any, or none."""
        return tuple(unit for unit in (*self.cut, *self.over_uln) if unit not in ("", "*"))

    @property
    def needs_limit(self) -> bool:
        """Whether grade 1 depends on the normal range."""
        first = [limits[0] for limits in self.cut.values()]
        return bool(self.uln or self.over_uln) or any(one is not None and one.number is None for one in first)


@functools.cache
def table() -> dict[str, Term]:
    """Every graded term by its name in lower case, and by its short name where it has one."""
    content, _ = read(Path(__file__).with_name("ctcae_v5.yaml"))
    terms = [_term(one) for one in content["terms"]]
    return {name.lower(): term for term in terms for name in (term.name, term.short) if name}


@functools.cache
def not_graded() -> dict[str, Words]:
    """Terms that CTCAE v5.0 grades by treatment, each with the reason, by name in lower case."""
    content, _ = read(Path(__file__).with_name("ctcae_v5.yaml"))
    return {name.lower(): Words(**reason) for name, reason in content["not_graded"].items()}


def _term(raw: Mapping[str, Any]) -> Term:
    return Term(
        name=raw["term"],
        zh=raw["zh"],
        is_high=raw["side"] == "high",
        published={int(grade): text for grade, text in raw["published"].items()},
        short=raw.get("short", ""),
        cut={unit: _limits(numbers) for unit, numbers in raw.get("cut", {}).items()},
        over_uln={unit: _limits(numbers) for unit, numbers in raw.get("over_uln", {}).items()},
        clinical=Words(**raw["clinical"]) if "clinical" in raw else None,
        **{key: _limits(raw.get(key, [])) for key in ("uln", "baseline", "or_baseline", "on_request")},
    )


def _limits(numbers: list[Any]) -> Limits:
    return tuple(_limit(str(number)) for number in numbers)


def _limit(text: str) -> Limit | None:
    if text == "-":
        return None
    if text in ("LLN", "ULN"):
        return Limit(None)
    return Limit(Decimal(text.removeprefix(">=")), text.startswith(">="))


def plain_unit(unit: str | None) -> str:
    """One spelling of a unit: 10⁹/L, ×10^9/L and 10*9/L are the same."""
    text = (unit or "").translate(SUPERSCRIPTS).replace(" ", "").replace("³", "3").lstrip("×xX*")
    text = re.sub(r"^10(?:\^|\*{1,2}|[eE])?(\d)", r"10^\1", text)
    return text.replace("µ", "u").replace("\u03bc", "u")


def unit_of(term: Term, unit: str | None) -> str | None:
    """The published unit that `unit` spells; "" where the limits have none; None where they have no such unit."""
    if not term.units:
        return ""
    return next((known for known in term.units if plain_unit(known) == plain_unit(unit)), None)


def grade(
    term: Term,
    value: float,
    *,
    unit: str = "",
    limit: float | None = None,
    baseline: float | None = None,
    multiples_of_baseline: bool = False,
) -> int | None:
    """Grade 0 to 4 of a result by its number alone; None where the normal range that decides is not known.

    `unit` is one of the term's, `limit` LLN of a low term and ULN of a high one. `baseline` counts where the table
    uses it: for ALT, AST, ALP, GGT and bilirubin if it was above ULN, for creatinine always, and for terms whose
    multiples of baseline depend on treatment (INR) if `multiples_of_baseline`.
    """
    number = Decimal(repr(float(value)))
    normal = None if limit is None else Decimal(repr(float(limit)))
    before = None if baseline is None else Decimal(repr(float(baseline)))
    if term.on_request and multiples_of_baseline and before is not None:
        return _reached(term, number, _times(term.on_request, before))
    if term.baseline and before is not None and normal is not None and before > normal:
        return _reached(term, number, _times(term.baseline, before))
    first = _reached(term, number, _own_limits(term, unit, normal))
    if term.or_baseline and before is not None:
        second = _reached(term, number, _times(term.or_baseline, before))
        return second if first is None else max(first, second or 0)
    return first


Thresholds = list[tuple[int, Limit]]  # grade and its limit; a limit without a number is not known


def _own_limits(term: Term, unit: str, normal: Decimal | None) -> Thresholds:
    """Where the grades begin for somebody with this normal limit."""
    if term.uln:
        return _times(term.uln, normal)
    limits = term.over_uln.get(unit) or term.cut.get(unit) or term.cut.get("*") or term.cut.get("")
    if limits is None:
        raise KeyError(unit)
    found = []
    for number, limit in _numbered(limits):
        if limit.number is None:
            limit = Limit(normal)
        elif term.over_uln:
            limit = Limit(None if normal is None else normal + limit.number)
        found.append((number, limit))
    return found


def _times(factors: Limits, by: Decimal | None) -> Thresholds:
    return [
        (number, Limit(None if by is None or one.number is None else one.number * by, one.includes))
        for number, one in _numbered(factors)
    ]


def _numbered(limits: Limits) -> Iterator[tuple[int, Limit]]:
    return ((number, limit) for number, limit in enumerate(limits, start=1) if limit is not None)


def _reached(term: Term, value: Decimal, thresholds: Thresholds) -> int | None:
    """The highest grade whose limit is passed; None where only an unknown limit could tell."""
    for number, limit in reversed(thresholds):
        if limit.number is None:
            return None
        beyond = value > limit.number if term.is_high else value < limit.number
        if beyond or (limit.includes and value == limit.number):
            return number
    return 0


def ctcae(term: str, value: float, limit: float | None = None, baseline: float | None = None) -> float | None:
    """For expressions: `ctcae('ALT increased', alt, 40, baseline_alt)`, in the first unit of the term (SI).

    `limit` is LLN or ULN. A term whose multiples of baseline depend on treatment (INR) uses a `baseline` that is given.
    """
    found = table().get(str(term).strip().lower())
    if found is None:
        raise TypeError(f"no CTCAE term {str(term)[:60]!r}; see definitions/ctcae_v5.yaml")
    unit = found.units[0] if found.units else ""
    result = grade(found, value, unit=unit, limit=limit, baseline=baseline, multiples_of_baseline=True)
    return None if result is None else float(result)
