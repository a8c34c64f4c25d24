"""What happens to each item when records leave the system: one rule an item, worked out before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from crf.definitions.expressions import ROWS, compile_expression
from crf.definitions.model import NUMERIC, Item, StudyDefinition, Text

OLDEST = 89  # ages above it are one group, as 45 CFR 164.514(b)(2)(i)(C) asks
YEARS = frozenset(["a", "y", "yr", "yrs", "year", "years", "岁", "年"])
OTHER_AGES = frozenset(["day", "days", "week", "weeks", "month", "months"])
BIRTH = frozenset(["birth", "birthdate", "birthday", "dob", "born", "brthdat", "brthdtc"])
DATES = ("date", "datetime")
TYPED_FREELY = ("text", "series")  # a link to images is what somebody typed there
DAY_FACTS = frozenset(["subject.enrolled_on", "visit.occurred_on"])
Above = frozenset[tuple[str, str]]
FIXED_DAY = re.compile(r"""["']\d{4}""", re.ASCII)


class Rule(StrEnum):
    """What is done with an item. The order is that of the decision: the first that applies."""

    BLINDED = "left_out_blinded"
    KEEP = "kept"
    IDENTIFIER = "left_out_identifier"
    BIRTH = "left_out_birth_date"
    FILE = "left_out_file"
    FREE_TEXT = "left_out_free_text"
    TRUE_DATE = "left_out_true_date"
    SHIFT = "shifted"
    AGE = "ages_grouped"

    @property
    def leaves_out(self) -> bool:
        return self.value.startswith("left_out")


WORDS = {
    Rule.KEEP: Text(zh="保留原值", en="Kept as recorded"),
    Rule.BLINDED: Text(zh="不导出:盲法条目", en="Left out: blinded item"),
    Rule.IDENTIFIER: Text(zh="不导出:直接标识", en="Left out: direct identifier"),
    Rule.BIRTH: Text(zh="不导出:出生日期", en="Left out: date of birth"),
    Rule.FILE: Text(zh="不导出:上传的文件", en="Left out: uploaded file"),
    Rule.FREE_TEXT: Text(zh="不导出:自由文本", en="Left out: free text"),
    Rule.TRUE_DATE: Text(
        zh="不导出:由日期与固定日期算得,会透露真实日期",
        en="Left out: computed from a date and a fixed day, tells the date",
    ),
    Rule.SHIFT: Text(
        zh="日期按受试者平移(同一受试者的全部日期平移同样天数,时刻不变)",
        en="Date moved, by the same days for all dates of a subject; times stay",
    ),
    Rule.AGE: Text(zh="89 岁以上记为 90", en="Ages over 89 are given as 90"),
}


@dataclass(frozen=True)
class Wanted:
    """What an export is asked for; empty tuples are: all.

    `subjects` is pseudonym or number; `keep_text` names free-text items (FORM.item) that hold nothing about a person.
    """

    forms: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    language: str = "en"
    identified: bool = False
    subjects: str = "pseudonym"
    keep_text: tuple[str, ...] = ()
    blinded: bool = False

    @property
    def shows_numbers(self) -> bool:
        return self.identified or self.subjects == "number"


def rule_of(study: StudyDefinition, form: str, item: Item, wanted: Wanted) -> Rule:
    """The rule of one item of a form; `study` says which item is the subject's age and what a derivation reads."""
    told = [item, *(one for _, one in _read(study, form, item))]
    if not wanted.blinded and any(one.blinded for one in told):
        return Rule.BLINDED
    if wanted.identified:
        return Rule.KEEP
    if any(one.role == "identifier" for one in told):
        return Rule.IDENTIFIER
    return _by_kind(study, form, item, wanted)


def _by_kind(study: StudyDefinition, form: str, item: Item, wanted: Wanted, above: Above = frozenset()) -> Rule:
    """The rule by what an item is; `above` are the derivations that lead here, since one may read itself elsewhere."""
    kind, above = item.value_kind, above | {(form, item.name)}
    if kind == "file":
        return Rule.FILE
    if kind in TYPED_FREELY:
        return Rule.KEEP if f"{form}.{item.name}" in wanted.keep_text else Rule.FREE_TEXT
    sources = [one for one in _sources(study, form, item) if (one[0], one[1].name) not in above]
    below = {_by_kind(study, *one, wanted, above) for one in sources}
    if kind in DATES:
        return Rule.BIRTH if is_birth_date(item) or Rule.BIRTH in below else Rule.SHIFT
    if Rule.BIRTH in below:
        return Rule.AGE if _counts_years(study, form, item) else Rule.BIRTH
    if Rule.TRUE_DATE in below or ((Rule.SHIFT in below or _reads_visit(item)) and FIXED_DAY.search(item.derive or "")):
        return Rule.TRUE_DATE
    return Rule.AGE if is_age(study, form, item) else Rule.KEEP


def _counts_years(study: StudyDefinition, form: str, item: Item) -> bool:
    """Whether an item is an age: years from a date of birth. Days or months from it would be as good as the date."""
    if item.value_kind not in NUMERIC or "years" not in compile_expression(item.derive or "0").functions:
        return False
    return any(one.value_kind in DATES and is_birth_date(one) for _, one in _sources(study, form, item))


def _reads_visit(item: Item) -> bool:
    return bool(item.derive) and not DAY_FACTS.isdisjoint(compile_expression(item.derive or "").names)


def _read(study: StudyDefinition, form: str, item: Item) -> Iterator[tuple[str, Item]]:
    """All that a derivation reads, with its form, also by way of other derivations.

    An age tells neither of the dates that it is counted between, since the one of birth is always left out.
    """
    waiting, seen = [(form, item)], {(form, item.name)}
    while waiting:
        oid, one = waiting.pop()
        sources = [] if _counts_years(study, oid, one) else list(_sources(study, oid, one))
        for oid, one in sources:
            if (oid, one.name) not in seen:
                seen.add((oid, one.name))
                waiting.append((oid, one))
                yield oid, one


def _sources(study: StudyDefinition, form: str, item: Item) -> Iterator[tuple[str, Item]]:
    """The items that a derivation names: `age`, `forms.DM.age`, `events.M1.LB.albumin`, `meds[].dose`."""
    if not item.derive:
        return
    expression = compile_expression(item.derive)
    forms = {one.oid: one for one in study.forms}
    for name in (*expression.names, *expression.fields):
        place, _, inner = name.partition(ROWS)
        *path, own = place.split(".")
        oid = path[-1] if path else form
        found = forms[oid].questions.get(inner or own) if oid in forms else None
        if found:
            yield oid, found


def is_age(study: StudyDefinition, form: str, item: Item) -> bool:
    """Whether a number is an age in years: the study's own age item, CDISC's AGE, or `age…` counted in years."""
    if item.value_kind not in NUMERIC:
        return False
    if study.capture.age == f"{form}.{item.name}" or (item.cdisc or "").upper().rpartition(".")[2] == "AGE":
        return True
    words = set(item.name.split("_"))
    is_named = "age" in words or "年龄" in item.label.zh
    return is_named and (item.unit or "a").casefold() in YEARS and words.isdisjoint(OTHER_AGES)


def is_birth_date(item: Item) -> bool:
    """A date of birth tells a person apart and, moved, still tells an age over 89."""
    named = not BIRTH.isdisjoint(item.name.split("_")) or "出生" in item.label.zh
    return named or (item.cdisc or "").upper().rpartition(".")[2] in ("BRTHDTC", "BRTHDAT")
