"""Laboratory results against normal ranges: whose range applies, L or H, and the CTCAE grade."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import ctcae
from .model import NUMERIC, Form, Item, Lab, NormalRange, StudyDefinition, Text
from .units import limit_in
from .values import plain_number


@dataclass(frozen=True)
class Grade:
    """A CTCAE grade, 0 to 4, by the number alone."""

    term: ctcae.Term
    grade: int


@dataclass(frozen=True)
class LabResult:
    """What a result means: `flag` is L, H, N (inside), or empty where no range applies; limits in the item's unit."""

    flag: str
    low: float | None
    high: float | None
    unit: str
    grades: tuple[Grade, ...] = ()

    @property
    def grade(self) -> int | None:
        """The highest grade; None where none could be given."""
        return max((one.grade for one in self.grades), default=None)

    @property
    def is_notable(self) -> bool:
        return self.flag in ("L", "H") or bool(self.grade)

    @property
    def message(self) -> Text:
        """For people: flag, normal range, grade."""
        zh, en = [], []
        if self.flag:
            shown = _shown(self.low, self.high) + (f" {self.unit}" if self.unit else "")
            words = {"L": ("L 偏低", "L low"), "H": ("H 偏高", "H high"), "N": ("正常", "normal")}[self.flag]
            zh.append(f"{words[0]}(参考范围 {shown})")
            en.append(f"{words[1]} (normal range {shown})")
        for one in self.grades:
            if one.grade:
                more = one.term.clinical
                zh.append(f"CTCAE 5.0 {one.term.zh} {one.grade} 级" + (f"({more.zh})" if more else ""))
                en.append(f"CTCAE 5.0 {one.term.name} grade {one.grade}" + (f" ({more.en})" if more else ""))
        return Text(zh=" · ".join(zh) or "-", en=" · ".join(en) or "-")


def _shown(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{plain_number(low)}–{plain_number(high)}"
    return f"≥{plain_number(low)}" if low is not None else f"≤{plain_number(high or 0)}"


@dataclass(frozen=True)
class Person:
    """Whom a normal range is for, as far as it is known."""

    sex: str | None = None
    age: float | None = None
    site: str | None = None


def fits(one: NormalRange, person: Person) -> bool:
    """Whether a range is for this person; what is unknown of the person fits only ranges that do not ask."""
    if one.sex is not None and one.sex != person.sex:
        return False
    if one.site is not None and one.site != person.site:
        return False
    if one.age is None:
        return True
    low, below = one.age
    return person.age is not None and (low is None or person.age >= low) and (below is None or person.age < below)


def specificity(one: NormalRange) -> int:
    """How much a range asks of a person: the more, the more specific."""
    return (one.sex is not None) + (one.age is not None) + (one.site is not None)


def overlap(one: NormalRange, other: NormalRange) -> bool:
    """Whether somebody could fit both."""
    for key in ("sex", "site"):
        first, second = getattr(one, key), getattr(other, key)
        if first is not None and second is not None and first != second:
            return False
    if one.age is None or other.age is None:
        return True
    floor = max(_or(one.age[0], float("-inf")), _or(other.age[0], float("-inf")))
    return floor < min(_or(one.age[1], float("inf")), _or(other.age[1], float("inf")))


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


@dataclass(frozen=True)
class Candidate:
    """A range with its limits in the item's own unit."""

    range: NormalRange
    low: float | None
    high: float | None


def candidates(item: Item, lab: Lab) -> list[Candidate]:
    """The ranges that say something of the item, the most specific first, of equals those in its own unit."""
    found = []
    for one in lab.ranges:
        try:
            found.append(Candidate(one, limit_in(one.unit, item, one.low), limit_in(one.unit, item, one.high)))
        except KeyError:
            continue
    return sorted(found, key=lambda one: (-specificity(one.range), one.range.unit != item.unit))


def terms_of(item: Item) -> list[ctcae.Term]:
    """The CTCAE terms that grade an item; `ctcae` names one, or several between semicolons."""
    names = [name.strip().lower() for name in (item.ctcae or "").split(";")]
    return [ctcae.table()[name] for name in names if name in ctcae.table()]


@dataclass(frozen=True)
class LabItem:
    """An item with what weighs its results, made once for each study."""

    item: Item
    candidates: list[Candidate]
    terms: list[tuple[ctcae.Term, str]]
    baselines: tuple[tuple[str, str], ...]  # forms and items that hold its value at the baseline event

    def result(self, value: float, person: Person, baseline: float | None) -> LabResult | None:
        """What `value` means for a person; None where neither a range nor a grade says anything."""
        found = next((one for one in self.candidates if fits(one.range, person)), None)
        low, high = (found.low, found.high) if found else (None, None)
        grades = []
        for term, unit in self.terms:
            limit = high if term.is_high else low
            number = ctcae.grade(term, value, unit=unit, limit=limit, baseline=baseline)
            if number is not None:
                grades.append(Grade(term, number))
        if found is None and not grades:
            return None
        flag = "" if found is None else "L" if _under(low, value) else "H" if _over(high, value) else "N"
        return LabResult(flag, low, high, self.item.unit or "", tuple(grades))


def _under(low: float | None, value: float) -> bool:
    return low is not None and value < low


def _over(high: float | None, value: float) -> bool:
    return high is not None and value > high


class FormLabs:
    """The laboratory items of a form, and where the study keeps sex, age and baseline."""

    def __init__(self, study: StudyDefinition, form: Form) -> None:
        self.form = form
        self.capture = study.capture
        self.items = {
            name: _lab_item(study, form, item)
            for name, item in form.questions.items()
            if (item.lab or item.ctcae) and item.value_kind in NUMERIC
        }

    def person(self, own: Mapping[str, Any], known: Callable[[str], Any]) -> Person:
        """Whom the form is about: `own` are its answers, `known` reads dotted names of the others."""
        sex, age = self._read(self.capture.sex, own, known), self._read(self.capture.age, own, known)
        site = known("subject.site")
        return Person(
            sex=sex if isinstance(sex, str) else None,
            age=float(age) if isinstance(age, int | float) else None,
            site=site if isinstance(site, str) else None,
        )

    def _read(self, name: str | None, own: Mapping[str, Any], known: Callable[[str], Any]) -> Any:
        oid, _, item = (name or "").partition(".")
        return own.get(item) if oid == self.form.oid else known(f"forms.{name}") if name else None

    def baseline(self, item: str, known: Callable[[str], Any]) -> float | None:
        """The item's value at the study's baseline event; None at that event itself."""
        event = self.capture.baseline
        if event is None or known("visit.event") == event:
            return None
        for oid, name in self.items[item].baselines:
            value = known(f"events.{event}.{oid}.{name}")
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None


def labs_of(form: Form) -> FormLabs | None:
    """What weighs the form's laboratory results; None where it has none, or stands in no study."""
    study = form.study
    return None if study is None else _form_labs(study, form)


def _form_labs(study: StudyDefinition, form: Form) -> FormLabs | None:
    kept: dict[str, FormLabs | None] = study.__dict__.setdefault("_labs", {})
    if form.oid not in kept:
        labs = FormLabs(study, form)
        kept[form.oid] = labs if labs.items else None
    return kept[form.oid]


def _lab_item(study: StudyDefinition, form: Form, item: Item) -> LabItem:
    lab = study.labs.get(item.lab or "")
    terms = [(term, unit) for term in terms_of(item) if (unit := ctcae.unit_of(term, item.unit)) is not None]
    return LabItem(item, candidates(item, lab) if lab else [], terms, tuple(_baselines(study, form, item)))


def _baselines(study: StudyDefinition, form: Form, item: Item) -> Iterable[tuple[str, str]]:
    """The same question of the same form first, then items of other forms with the same analyte and unit."""
    event = next((one for one in study.events if one.oid == study.capture.baseline), None)
    oids = event.forms if event else ()
    if form.oid in oids and item.name in form.items:
        yield form.oid, item.name
    for other in study.forms:
        for name, one in other.items.items():
            is_same = item.lab is not None and (one.lab, one.unit) == (item.lab, item.unit)
            if other.oid in oids and is_same and (other.oid, name) != (form.oid, item.name):
                yield other.oid, name


@functools.lru_cache(maxsize=1)
def known_terms() -> tuple[str, ...]:
    """The names that `ctcae` of an item may have."""
    return tuple(sorted({term.name for term in ctcae.table().values()}))
