"""What another version of a study changes, item by item, and what each change may do to data entered before it.

Equal definitions have no difference and unequal ones have some: every field of the model is compared, whether it has
a word of its own here or not.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from .model import Codelist, Event, Form, Item, Section, StudyDefinition, StudyFile, Text, canonical
from .units import is_same_unit

# none: data are not touched; look: they mean, show or calculate something else; may_fail: a stored value may not be
# what the item takes now; orphan: a stored value may be asked for no longer.
Effect = Literal["none", "look", "may_fail", "orphan"]
Part = Literal["study", "event", "form", "section", "item", "check", "codelist"]
EFFECTS: dict[Effect, Text] = {
    "none": Text(zh="不影响数据", en="no effect on data"),
    "look": Text(zh="需核对", en="look at it"),
    "may_fail": Text(zh="已有值可能不合规", en="stored values may fail"),
    "orphan": Text(zh="已有值可能不再询问", en="stored values may be orphaned"),
}
PARTS: dict[Part, Text] = {
    "study": Text(zh="研究", en="Study"),
    "event": Text(zh="访视", en="Visit"),
    "form": Text(zh="表单", en="Form"),
    "section": Text(zh="分节", en="Section"),
    "item": Text(zh="条目", en="Item"),
    "check": Text(zh="核查", en="Check"),
    "codelist": Text(zh="代码表", en="Code list"),
}
ASPECTS: dict[str, Text] = {
    "added": Text(zh="新增", en="added"),
    "removed": Text(zh="删除", en="removed"),
    "order": Text(zh="顺序", en="order"),
    "section": Text(zh="移至其他分节", en="moved to another section"),
    "group": Text(zh="重复组", en="repeating group"),
    "codes_added": Text(zh="新增代码", en="codes added"),
    "codes_removed": Text(zh="删除代码", en="codes removed"),
    "codes_relabelled": Text(zh="代码文字", en="codes relabelled"),
    "codes_order": Text(zh="代码顺序", en="order of codes"),
    "choices": Text(zh="代码", en="codes"),
    "type": Text(zh="类型", en="type"),
    "label": Text(zh="文字", en="label"),
    "name": Text(zh="名称", en="name"),
    "title": Text(zh="标题", en="title"),
    "version": Text(zh="版本", en="version"),
    "help": Text(zh="提示", en="help"),
    "definition": Text(zh="定义", en="definition"),
    "guideline": Text(zh="填写说明", en="completion guideline"),
    "unit": Text(zh="单位", en="unit"),
    "units": Text(zh="可换算单位", en="other units"),
    "precision": Text(zh="小数位", en="precision"),
    "codelist": Text(zh="代码表", en="code list"),
    "required": Text(zh="必填", en="required"),
    "show_if": Text(zh="显示条件", en="shown if"),
    "range": Text(zh="范围", en="range"),
    "soft_range": Text(zh="通常范围", en="usual range"),
    "derive": Text(zh="派生", en="derivation"),
    "value_type": Text(zh="派生值类型", en="type of the derived value"),
    "max_length": Text(zh="最大长度", en="longest text"),
    "file": Text(zh="文件规则", en="files taken"),
    "complete_date": Text(zh="完整日期", en="whole dates only"),
    "lab": Text(zh="检验项目", en="laboratory analyte"),
    "ctcae": Text(zh="CTCAE 术语", en="CTCAE term"),
    "critical": Text(zh="关键条目", en="critical item"),
    "blinded": Text(zh="设盲", en="blinded"),
    "role": Text(zh="用途", en="role"),
    "codings": Text(zh="术语编码", en="terminology codes"),
    "alias": Text(zh="外部名称", en="foreign names"),
    "repeating": Text(zh="可重复", en="repeating"),
    "double_entry": Text(zh="双录入", en="double entry"),
    "rows": Text(zh="行", en="rows"),
    "require": Text(zh="规则", en="rule"),
    "severity": Text(zh="级别", en="severity"),
    "query": Text(zh="开质疑", en="opens a query"),
    "message": Text(zh="提示语", en="message"),
    "items": Text(zh="所涉条目", en="items"),
    "forms": Text(zh="表单", en="forms"),
    "kind": Text(zh="类别", en="kind"),
    "anchor": Text(zh="起算日期", en="anchor"),
    "day": Text(zh="计划日", en="day"),
    "window": Text(zh="时间窗", en="window"),
    "every": Text(zh="间隔天数", en="days between repeats"),
    "optional": Text(zh="可选", en="optional"),
    "groups": Text(zh="组别", en="groups"),
    "sites": Text(zh="中心", en="sites"),
    "labs": Text(zh="正常值范围", en="normal ranges"),
    "capture": Text(zh="采集设置", en="capture"),
    "quality": Text(zh="质量规则", en="quality rules"),
    "imaging": Text(zh="影像", en="imaging"),
    "protocol": Text(zh="方案", en="protocol"),
}


@dataclass(frozen=True)
class Change:
    """One thing that differs: whose it is, in what, from what to what; `form` is empty outside forms."""

    part: Part
    form: str
    name: str
    label: Text | None
    aspect: str
    old: Any
    new: Any
    effect: Effect

    def aspect_of(self, language: str) -> str:
        words = ASPECTS.get(self.aspect)
        return words.of(language) if words else self.aspect

    def old_of(self, language: str) -> str:
        return self._said(self.old, language)

    def new_of(self, language: str) -> str:
        return self._said(self.new, language)

    def _said(self, value: Any, language: str) -> str:
        """In one language, or in both where only the other one changed."""
        before, after = said(self.old, language), said(self.new, language)
        if before and before == after:
            return " · ".join(said(value, one) for one in ("zh", "en"))
        return said(value, language)


def said(value: Any, language: str) -> str:
    """A piece of a definition as one line for people."""
    if value is None or value == "" or value == () or value == {}:
        return ""
    if isinstance(value, Text):
        return value.of(language)
    if isinstance(value, bool):
        return ("是" if value else "否") if language.lower().startswith("zh") else ("yes" if value else "no")
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json", exclude_defaults=True))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {said(inner, language)}" for key, inner in value.items())
    if isinstance(value, tuple | list):
        return ", ".join("…" if inner is None else said(inner, language) for inner in value)
    return canonical(value) if isinstance(value, float) else str(value)


def difference(old: StudyDefinition, new: StudyDefinition) -> tuple[Change, ...]:
    """Every change from `old` to `new`, in the order of the study; empty exactly when both are equal."""
    return (*_study(old, new), *_events(old, new), *_codelists(old, new), *_forms(old, new))


def effects(changes: Iterable[Change]) -> dict[Effect, int]:
    """How many changes have which effect."""
    counted = Counter(change.effect for change in changes)
    return {effect: counted[effect] for effect in EFFECTS}


def worst(changes: Iterable[Change]) -> Effect:
    order = list(EFFECTS)
    return max((change.effect for change in changes), key=order.index, default="none")


# -- the study ---------------------------------------------------------------------------------------------------------

LOOKED_AT = frozenset({"sites", "groups", "labs", "capture", "quality", "imaging", "subject_number"})


def _study(old: StudyDefinition, new: StudyDefinition) -> Iterator[Change]:
    for name in StudyFile.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "events" or before == after:
            continue
        parts = _entries(before, after)
        if parts is None:
            yield Change("study", "", name, None, name, before, after, "look" if name in LOOKED_AT else "none")
            continue
        for key, (one, other) in parts.items():
            aspect = "added" if one is None else "removed" if other is None else "order" if one == other else name
            label = getattr(one or other, "name", None)
            shown = (one, other) if one != other else (None, None)
            yield Change("study", "", f"{name} {key}", label, aspect, shown[0], shown[1], "look")


def _entries(before: Any, after: Any) -> dict[str, tuple[Any, Any]] | None:
    """Sites, groups and analytes that differ, by code, as (old, new); None for what is no such list."""
    one, other = _by_code(before), _by_code(after)
    if one is None or other is None:
        return None
    found = {
        key: (one.get(key), other.get(key)) for key in [*one, *(k for k in other if k not in one)]
        if one.get(key) != other.get(key)
    }  # fmt: skip
    return found or {key: (one[key], one[key]) for key in _moved(list(one), list(other))} or None


def _by_code(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return value if all(isinstance(inner, BaseModel) for inner in value.values()) else None
    if not isinstance(value, tuple) or not all(hasattr(part, "code") for part in value):
        return None
    found = {part.code: part for part in value}
    return found if len(found) == len(value) else None


# -- visits ------------------------------------------------------------------------------------------------------------

NO_EFFECT_ON_VISITS = frozenset({"name", "alias", "origin", "optional"})


def _events(old: StudyDefinition, new: StudyDefinition) -> Iterator[Change]:
    before, after = {one.oid: one for one in old.events}, {one.oid: one for one in new.events}
    moved = _moved(list(before), list(after))
    for oid, event in before.items():
        if oid not in after:
            yield Change("event", "", oid, event.name, "removed", event.name, None, "orphan")
            continue
        if oid in moved:
            yield Change("event", "", oid, event.name, "order", None, None, "none")
        yield from _event(event, after[oid])
    for oid, event in after.items():
        if oid not in before:
            yield Change("event", "", oid, event.name, "added", None, event.name, "none")


def _event(old: Event, new: Event) -> Iterator[Change]:
    for name, before, after in _fields(old, new):
        effect: Effect = "none" if name in NO_EFFECT_ON_VISITS else "look"
        if name == "forms":
            effect = "orphan" if set(before) - set(after) else "none"
        yield Change("event", "", new.oid, new.name, name, before, after, effect)


# -- code lists --------------------------------------------------------------------------------------------------------


def _codelists(old: StudyDefinition, new: StudyDefinition) -> Iterator[Change]:
    """The lists themselves; what it means for data is said at the items that use them."""
    for name in [*old.codelists, *(name for name in new.codelists if name not in old.codelists)]:
        before, after = old.codelists.get(name), new.codelists.get(name)
        if before is None or after is None:
            aspect, list_name = ("added", after) if before is None else ("removed", before)
            label = list_name.name if list_name else None
            yield Change("codelist", "", name, label, aspect, _codes(before), _codes(after), "none")
            continue
        for field, one, other in _fields(before, after):
            shown = _choices(before, after) if field == "choices" else (one, other)
            yield Change("codelist", "", name, after.name, field, shown[0], shown[1], "none")


def _choices(old: Codelist, new: Codelist) -> tuple[dict[str, Any], dict[str, Any]]:
    """The codes with their words; where these are the same, the choices that differ in what stands behind them."""
    before, after = _codes(old), _codes(new)
    if list(before.items()) != list(after.items()):
        return before, after
    changed = [code for code in before if old.by_code[code] != new.by_code[code]]
    return {code: old.by_code[code] for code in changed}, {code: new.by_code[code] for code in changed}


def _codes(codelist: Codelist | None) -> dict[str, Text]:
    return {choice.code: choice.label for choice in codelist.choices} if codelist else {}


# -- forms -------------------------------------------------------------------------------------------------------------


def _forms(old: StudyDefinition, new: StudyDefinition) -> Iterator[Change]:
    before, after = {one.oid: one for one in old.forms}, {one.oid: one for one in new.forms}
    moved = _moved(list(before), list(after))
    for oid, form in before.items():
        if oid not in after:
            yield Change("form", oid, oid, form.name, "removed", form.name, None, "orphan")
            for item in form.questions.values():
                yield Change("item", oid, item.name, item.label, "removed", item.label, None, _lost(item))
    for oid, form in after.items():
        if oid not in before:
            yield Change("form", oid, oid, form.name, "added", None, form.name, "none")
            for item in form.questions.values():
                yield Change("item", oid, item.name, item.label, "added", None, item.label, "none")
            continue
        if oid in moved:
            yield Change("form", oid, oid, form.name, "order", None, None, "none")
        yield from _form(old, new, before[oid], form)


def _form(old_study: StudyDefinition, new_study: StudyDefinition, old: Form, new: Form) -> Iterator[Change]:
    for name, before, after in _fields(old, new, without=("sections", "checks")):
        effect: Effect = "orphan" if name == "repeating" and before else "look" if name == "double_entry" else "none"
        yield Change("form", new.oid, new.oid, new.name, name, before, after, effect)
    pairs = _matched(old.sections, new.sections)
    yield from _sections(old, new, pairs)
    yield from _items(old_study, new_study, old, new, pairs)
    yield from _checks(old, new)


def _matched(old: Sequence[Section], new: Sequence[Section]) -> dict[int, int]:
    """Which section became which: of the same group, else of the same name, else the one that holds the same items."""
    pairs: dict[int, int] = {}
    for key in (lambda section: section.rows and section.rows.name, lambda section: (section.name.zh, section.name.en)):
        _pair(pairs, old, new, key)
    home = {item.name: index for index, section in enumerate(new) for item in section.items}
    for name, index in sorted((item.name, index) for index, section in enumerate(old) for item in section.items):
        if name in home and index not in pairs and home[name] not in pairs.values():
            pairs[index] = home[name]
    return pairs


def _pair(
    pairs: dict[int, int], old: Sequence[Section], new: Sequence[Section], key: Callable[[Section], Hashable]
) -> None:
    """Pair what has the same key, the first with the first."""
    waiting: dict[Hashable, list[int]] = {}
    for index, section in enumerate(new):
        if index not in pairs.values():
            waiting.setdefault(key(section), []).append(index)
    for index, section in enumerate(old):
        if index not in pairs and key(section) and waiting.get(key(section)):
            pairs[index] = waiting[key(section)].pop(0)


def _sections(old: Form, new: Form, pairs: Mapping[int, int]) -> Iterator[Change]:
    for index, section in enumerate(old.sections):
        if index not in pairs:
            yield Change("section", new.oid, section.name.en, section.name, "removed", section.name, None, "none")
            continue
        after = new.sections[pairs[index]]
        for name, one, other in _fields(section, after, without=("items",)):
            effect: Effect = "look" if name in ("show_if", "rows") else "none"
            yield Change("section", new.oid, after.name.en, after.name, name, one, other, effect)
    for index, section in enumerate(new.sections):
        if index not in pairs.values():
            yield Change("section", new.oid, section.name.en, section.name, "added", None, section.name, "none")


def _checks(old: Form, new: Form) -> Iterator[Change]:
    before, after = {one.id: one for one in old.checks}, {one.id: one for one in new.checks}
    moved = _moved(list(before), list(after))
    for key, check in before.items():
        if key not in after:
            yield Change("check", new.oid, key, check.message, "removed", check.require, None, "none")
            continue
        if key in moved:
            yield Change("check", new.oid, key, check.message, "order", None, None, "none")
        for name, one, other in _fields(check, after[key]):
            effect: Effect = "may_fail" if name in ("require", "severity") and after[key].severity == "hard" else "none"
            if effect == "none" and name in ("require", "severity", "query"):
                effect = "look"
            yield Change("check", new.oid, key, after[key].message, name, one, other, effect)
    for key, check in after.items():
        if key not in before:
            effect = "may_fail" if check.severity == "hard" else "look"
            yield Change("check", new.oid, key, check.message, "added", None, check.require, effect)


# -- items -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Home:
    item: Item
    section: int
    group: str


def _homes(form: Form) -> dict[str, _Home]:
    return {
        item.name: _Home(item, index, section.rows.name if section.rows else "")
        for index, section in enumerate(form.sections)
        for item in section.items
    }


def _items(
    old_study: StudyDefinition, new_study: StudyDefinition, old: Form, new: Form, pairs: Mapping[int, int]
) -> Iterator[Change]:
    before, after = _homes(old), _homes(new)
    staying = {name for name in before.keys() & after.keys() if pairs.get(before[name].section) == after[name].section}
    moved = _moved([name for name in before if name in staying], [name for name in after if name in staying])
    for name, home in before.items():
        if name not in after:
            label = home.item.label
            yield Change("item", new.oid, name, label, "removed", label, None, _lost(home.item))
    for name, home in after.items():
        label = home.item.label
        if name not in before:
            effect: Effect = "look" if home.item.required is not False else "none"
            yield Change("item", new.oid, name, label, "added", None, label, effect)
            continue
        if name not in staying:
            shown = (old.sections[before[name].section].name, new.sections[home.section].name)
            yield Change("item", new.oid, name, label, "section", shown[0], shown[1], "none")
        if name in moved:
            yield Change("item", new.oid, name, label, "order", None, None, "none")
        if before[name].group != home.group:
            lost = _lost(before[name].item)
            yield Change("item", new.oid, name, label, "group", before[name].group, home.group, lost)
        yield from _item(new.oid, before[name].item, home.item)
        yield from _item_codes(new.oid, old_study, new_study, before[name].item, home.item)


def _lost(item: Item) -> Effect:
    return "none" if item.type == "label" else "orphan"


def _item(form: str, old: Item, new: Item) -> Iterator[Change]:
    for name, before, after in _fields(old, new):
        yield Change("item", form, new.name, new.label, name, before, after, _item_effect(name, old, new))


def _item_effect(name: str, old: Item, new: Item) -> Effect:
    rule = EFFECT_OF.get(name)
    if rule is None:
        return "none"
    return rule if isinstance(rule, str) else rule(old, new)


def _item_codes(
    form: str, old_study: StudyDefinition, new_study: StudyDefinition, old: Item, new: Item
) -> Iterator[Change]:
    """What an item's choices lose and gain, wherever their list is defined."""
    before, after = _codes(old_study.codelist(old)), _codes(new_study.codelist(new))
    if not before or not after:
        return
    gone = {code: label for code, label in before.items() if code not in after}
    come = {code: label for code, label in after.items() if code not in before}
    same = [code for code in before if code in after and before[code] != after[code]]
    if gone:
        yield Change("item", form, new.name, new.label, "codes_removed", gone, None, "orphan")
    if come:
        yield Change("item", form, new.name, new.label, "codes_added", None, come, "none")
    if same:
        shown = ({code: before[code] for code in same}, {code: after[code] for code in same})
        yield Change("item", form, new.name, new.label, "codes_relabelled", shown[0], shown[1], "look")
    if _moved(list(before), list(after)):
        yield Change("item", form, new.name, new.label, "codes_order", None, None, "none")


def _type_effect(old: Item, new: Item) -> Effect:
    if old.type == "label":
        return "none"
    if old.is_entered != new.is_entered:
        return "orphan"
    if (old.type, new.type) == ("integer", "decimal"):
        return "none"
    simple = ("integer", "decimal", "date", "time", "datetime")
    return "look" if new.type == "text" and old.type in simple else "may_fail"


def _narrower(old: tuple[float | None, float | None] | None, new: tuple[float | None, float | None] | None) -> bool:
    """Whether something that `old` took is outside `new`."""
    (low, high), (lowest, highest) = old or (None, None), new or (None, None)
    raised = lowest is not None and (low is None or lowest > low)
    return raised or (highest is not None and (high is None or highest < high))


def _less(old: int | None, new: int | None) -> bool:
    return new is not None and (old is None or new < old)


def _unit_effect(old: Item, new: Item) -> Effect:
    """A stored number in another unit is converted where the new item says how, and else is no answer to it."""
    if not old.unit or not new.unit or not new.is_entered or is_same_unit(old.unit, new.unit):
        return "look"
    return "look" if any(is_same_unit(old.unit, one.unit) for one in new.units) else "may_fail"


EFFECT_OF: dict[str, Effect | Callable[[Item, Item], Effect]] = {
    "type": _type_effect,
    "label": "look",
    "unit": _unit_effect,
    "units": lambda old, new: "look" if set(old.units) - set(new.units) else "none",
    "precision": lambda old, new: "may_fail" if _less(old.precision, new.precision) else "none",
    "max_length": lambda old, new: "may_fail" if _less(old.max_length, new.max_length) else "none",
    "range": lambda old, new: "may_fail" if _narrower(old.range, new.range) else "none",
    "soft_range": lambda old, new: "look" if _narrower(old.soft_range, new.soft_range) else "none",
    "complete_date": lambda old, new: "may_fail" if new.complete_date else "none",
    "required": lambda old, new: "none" if new.required is False else "look",
    "show_if": lambda old, new: "none" if new.show_if is None else "look",
    "derive": "look",
    "value_type": "look",
    "lab": "look",
    "ctcae": "look",
    "blinded": "look",
    "codelist": "none",  # said code by code
    "file": "none",  # a file that was taken stays
}


# -- comparing ---------------------------------------------------------------------------------------------------------


def _fields(old: BaseModel, new: BaseModel, *, without: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name not in without and before != after:
            yield name, before, after


def _moved(old: Sequence[str], new: Sequence[str]) -> frozenset[str]:
    """What stands elsewhere among what both have: all but a longest run that kept its order."""
    place = {name: index for index, name in enumerate(new)}
    common = [name for name in old if name in place]
    return frozenset(common) - frozenset(_longest_run(common, place))


def _longest_run(names: Sequence[str], place: Mapping[str, int]) -> list[str]:
    """A longest increasing subsequence of `names` by `place`, in O(n log n) (patience sorting)."""
    tails: list[int] = []
    ends: list[str] = []
    before: dict[str, str] = {}
    for name in names:
        at = bisect.bisect_left(tails, place[name])
        if at:
            before[name] = ends[at - 1]
        tails[at : at + 1], ends[at : at + 1] = [place[name]], [name]
    run = ends[-1:]
    while run and run[-1] in before:
        run.append(before[run[-1]])
    return run
