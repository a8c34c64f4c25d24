"""Faults of units, normal ranges and grades: what no range can answer, and where two ranges answer differently."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator

from . import ctcae
from .errors import Fault, Place
from .labs import candidates, known_terms, overlap, specificity
from .model import NUMERIC, Item, Lab, NormalRange, StudyDefinition

Trouble = tuple[str, str, str, str, str]


def item_troubles(study: StudyDefinition, item: Item) -> Iterator[Trouble]:
    """Of one item: key, message and remedy in both languages."""
    kind = item.value_kind
    if item.file and kind != "file":
        yield (
            "file",
            "只有 file 条目有 file",
            "only a file item has `file`",
            "改 type 或删除",
            "change type or remove it",
        )
    if item.complete_date and kind != "date":
        yield "complete_date", "只有日期条目有 complete_date", "only a date has complete_date", "删除", "remove it"
    if item.units:
        yield from _units(item)
    for key in ("lab", "ctcae"):
        if getattr(item, key) and kind not in NUMERIC:
            yield key, f"{kind} 类型不能有 {key}", f"{kind} has no {key}", "改为数字类型", "make it a number"
            return
    if item.lab:
        yield from _lab(study, item)
    if item.ctcae:
        yield from _ctcae(item)


def _units(item: Item) -> Iterator[Trouble]:
    if item.value_kind not in NUMERIC or item.type == "derived":
        yield "units", "只有填写的数字有 units", "only a number that is entered has units", "删除 units", "remove units"
    if not item.unit:
        yield (
            "units",
            "有 units 时须写 unit(存储单位)",
            "with `units` write `unit`, as it is stored",
            "加 unit",
            "add unit",
        )
    seen = {item.unit}
    for one in item.units:
        if one.unit in seen:
            zh, en = f"单位“{one.unit}”重复", f"unit {one.unit!r} appears twice"
            yield "units", zh, en, "删除一个", "remove one of them"
        seen.add(one.unit)


def _lab(study: StudyDefinition, item: Item) -> Iterator[Trouble]:
    lab = study.labs.get(item.lab or "")
    if lab is None:
        known = ", ".join(sorted(study.labs)) or "-"
        yield "lab", f"labs 中没有“{item.lab}”", f"`labs` has no {item.lab!r}", f"可用:{known}", f"there are: {known}"
    elif not candidates(item, lab):
        units = ", ".join(dict.fromkeys(one.unit for one in lab.ranges))
        yield (
            "lab",
            f"{item.lab} 的参考范围单位是 {units},而本条是 {item.unit or '无单位'}",
            f"the ranges of {item.lab} are in {units}, the item is in {item.unit or 'no unit'}",
            "改单位,或在 units 中声明换算",
            "change the unit, or declare the conversion in `units`",
        )


def _ctcae(item: Item) -> Iterator[Trouble]:
    for name in (item.ctcae or "").split(";"):
        key = name.strip().lower()
        term = ctcae.table().get(key)
        if term is None:
            reason = ctcae.not_graded().get(key)
            close = (
                ", ".join(difflib.get_close_matches(name.strip(), known_terms(), n=3, cutoff=0.4)) or known_terms()[0]
            )
            zh, en = reason or (f"没有 CTCAE 术语“{name.strip()}”", f"there is no CTCAE term {name.strip()!r} here")
            yield "ctcae", zh, en, f"是否为:{close}?" if not reason else "删除 ctcae", f"there are: {close}"
            continue
        if ctcae.unit_of(term, item.unit) is None:
            units = ", ".join(term.units)
            zh, en = f"{term.name} 按 {units} 分级", f"{term.name} is graded in {units}"
            yield (
                "ctcae",
                f"{zh},而本条是 {item.unit}",
                f"{en}, the item is in {item.unit}",
                "改单位",
                "change the unit",
            )
        if term.needs_limit and not item.lab:
            zh, en = f"{term.name} 的 1 级取决于参考范围", f"grade 1 of {term.name} depends on the normal range"
            yield "ctcae", zh, en, "加 lab", "add lab"


def lab_faults(study: StudyDefinition) -> Iterator[Fault]:
    """Of the study: whom ranges are for, and ranges that contradict each other."""
    yield from _capture(study)
    for name, lab in study.labs.items():
        for index, one in enumerate(lab.ranges):
            place = ("labs", name, "ranges", index)
            for trouble in _range(study, one):
                yield Fault((*place, trouble[0]) if trouble[0] else place, name, *trouble[1:])
        yield from _conflicts(name, lab)


def _capture(study: StudyDefinition) -> Iterator[Fault]:
    for key, types in (("sex", ("choice",)), ("age", NUMERIC)):
        name = getattr(study.capture, key)
        item = _item(study, name) if name else None
        if name and (item is None or item.value_kind not in types):
            yield _fault(
                ("capture", key), study.code, f"“{name}”不是{'选择' if key == 'sex' else '数字'}条目",
                f"{name!r} is no {'choice' if key == 'sex' else 'number'} item",
                "写 表单.条目,如 DM.sex", "write FORM.item, such as DM.sex",
            )  # fmt: skip
    if study.capture.baseline and study.capture.baseline not in (event.oid for event in study.events):
        known = ", ".join(event.oid for event in study.events)
        name = study.capture.baseline
        yield _fault(
            ("capture", "baseline"), study.code, f"没有访视“{name}”", f"there is no event {name!r}",
            f"可用:{known}", f"there are: {known}",
        )  # fmt: skip


def _fault(place: Place, item: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> Fault:
    return Fault(place, item, zh, en, remedy_zh, remedy_en)


def _item(study: StudyDefinition, name: str) -> Item | None:
    oid, _, item = name.partition(".")
    return next((form.items.get(item) for form in study.forms if form.oid == oid), None)


def _range(study: StudyDefinition, one: NormalRange) -> Iterator[Trouble]:
    if (one.low is None and one.high is None) or (None not in (one.low, one.high) and _above(one.low, one.high)):
        yield (
            "",
            "参考范围应有下限或上限,且下限不大于上限",
            "a range has a low or a high, low first",
            "改正",
            "correct it",
        )
    if one.site is not None and one.site not in (site.code for site in study.sites):
        known = ", ".join(site.code for site in study.sites)
        yield "site", f"没有中心“{one.site}”", f"there is no site {one.site!r}", f"可用:{known}", f"there are: {known}"
    if one.sex is not None:
        yield from _sex(study, one.sex)
    if one.age is not None:
        if study.capture.age is None:
            yield (
                "age",
                "按年龄的范围需要 capture.age",
                "a range by age needs capture.age",
                "写 表单.条目",
                "write FORM.item",
            )
        if None not in one.age and (one.age[1] or 0) <= (one.age[0] or 0):
            yield "age", "年龄应为[起, 止)", "age runs [from, below)", "交换两个数", "swap the two numbers"


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


def _sex(study: StudyDefinition, sex: str) -> Iterator[Trouble]:
    if study.capture.sex is None:
        yield (
            "sex",
            "按性别的范围需要 capture.sex",
            "a range by sex needs capture.sex",
            "写 表单.条目",
            "write FORM.item",
        )
        return
    item = _item(study, study.capture.sex)
    codelist = study.codelist(item) if item else None
    if codelist and sex not in codelist.codes():
        known = ", ".join(codelist.codes())
        yield "sex", f"没有代码“{sex}”", f"there is no code {sex!r}", f"可用:{known}", f"there are: {known}"


def _conflicts(name: str, lab: Lab) -> Iterator[Fault]:
    """Two ranges of one unit that ask as much of a person, could both fit somebody, and differ."""
    for (i, one), (j, other) in itertools.combinations(enumerate(lab.ranges), 2):
        is_tie = one.unit == other.unit and specificity(one) == specificity(other)
        if is_tie and overlap(one, other):
            yield _fault(
                ("labs", name, "ranges", j), name,
                f"第{i + 1}和第{j + 1}个范围可适用于同一人,且同样具体",
                f"ranges {i + 1} and {j + 1} could both be somebody's, and neither is more specific",
                "删除一个,或加上性别、年龄或中心以区分", "remove one, or tell them apart by sex, age or site",
            )  # fmt: skip
