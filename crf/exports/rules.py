"""What happens to each item when records leave the system: one rule an item, worked out before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crf.definitions.model import NUMERIC, Item, StudyDefinition, Text

OLDEST = 89  # ages above it are one group, as 45 CFR 164.514(b)(2)(i)(C) asks
YEARS = frozenset(["a", "y", "yr", "yrs", "year", "years", "岁", "年"])
BIRTH = frozenset(["birth_date", "birthdate", "date_of_birth", "dob", "birthday", "brthdat", "brthdtc"])


class Rule(StrEnum):
    """What is done with an item. The order is that of the decision: the first that applies."""

    BLINDED = "left_out_blinded"
    KEEP = "kept"
    IDENTIFIER = "left_out_identifier"
    BIRTH = "left_out_birth_date"
    FILE = "left_out_file"
    FREE_TEXT = "left_out_free_text"
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
    """The rule of one item of a form; `study` says which item is the subject's age."""
    if item.blinded and not wanted.blinded:
        return Rule.BLINDED
    if wanted.identified:
        return Rule.KEEP
    if item.role == "identifier":
        return Rule.IDENTIFIER
    return _by_kind(study, form, item, wanted)


def _by_kind(study: StudyDefinition, form: str, item: Item, wanted: Wanted) -> Rule:
    kind = item.value_kind
    if kind in ("date", "datetime"):
        return Rule.BIRTH if is_birth_date(item) else Rule.SHIFT
    if kind == "file":
        return Rule.FILE
    if kind == "text":
        return Rule.KEEP if f"{form}.{item.name}" in wanted.keep_text else Rule.FREE_TEXT
    return Rule.AGE if is_age(study, form, item) else Rule.KEEP


def is_age(study: StudyDefinition, form: str, item: Item) -> bool:
    """Whether a number is an age in years: the study's own age item, CDISC's AGE, or `age…` counted in years."""
    if item.value_kind not in NUMERIC:
        return False
    if study.capture.age == f"{form}.{item.name}" or (item.cdisc or "").upper().rpartition(".")[2] == "AGE":
        return True
    words = item.name.split("_")
    return "age" in words and (item.unit or "a").casefold() in YEARS


def is_birth_date(item: Item) -> bool:
    """A date of birth tells a person apart and, moved, still tells an age over 89."""
    return item.name in BIRTH or (item.cdisc or "").upper().rpartition(".")[2] in ("BRTHDTC", "BRTHDAT")
