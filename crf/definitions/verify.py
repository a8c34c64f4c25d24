"""What pydantic cannot see: names that point nowhere, circles, ranges without sense, expressions that cannot work."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from .check import OWN_CHECKS, rule_group
from .errors import Fault, Place
from .expressions import ROWS, BadExpression, Expression, compile_expression
from .model import NUMERIC, Check, Event, Form, Item, StudyDefinition
from .order import Cycle, dependency_order
from .rehearse import DATES, misfit
from .rows import ROW
from .verify_labs import item_troubles, lab_faults

ENROLMENT = "enrolment"
NUMERIC_OR_CHOICE = (*NUMERIC, "choice", "text")
DICOM_TYPES = {
    "AcquisitionDate": ("date",),
    "Manufacturer": ("choice", "text"),
    "ManufacturerModelName": ("choice", "text"),
    "DiffusionBValue": ("text",),
    "sequences": ("choices",),
}
MOST_CODE = {"sites": 10, "groups": 20}  # characters, as the registry's columns have them
MOST_NUMBER, MOST_TARGET = 40, 1_000_000
# What stands in an expression for a date or a time.
SPELT = {"date": "2026-04-03", "datetime": "2026-04-03T14:30", "time": "14:30"}


def verify(study: StudyDefinition) -> list[Fault]:
    """Every fault of a definition whose pieces are each well formed."""
    faults = [*_duplicates(study), *_room(study), *_events(study), *_codelists(study), *lab_faults(study)]
    for index, form in enumerate(study.forms):
        faults += _form(study, form, ("forms", index))
    if not faults:
        faults = [*_cycles(study)]
    if not faults:
        faults = [fault for index, form in enumerate(study.forms) for fault in _rehearsal(study, form, index)]
    return faults


def places(form: Form, at: Place) -> Iterator[tuple[Item, Place]]:
    """Each item with the keys that lead to it."""
    for section_index, section in enumerate(form.sections):
        for item_index, item in enumerate(section.items):
            yield item, (*at, "sections", section_index, "items", item_index)


class Written(NamedTuple):
    """An expression of a form where it is written: the name of its owner, its key, and the group it sees rows of."""

    place: Place
    owner: str
    key: str
    text: str
    group: str = ""


def expressions(form: Form, at: Place) -> Iterator[Written]:
    """Every expression of a form."""
    for index, section in enumerate(form.sections):
        if section.show_if:
            yield Written((*at, "sections", index, "show_if"), form.oid, "show_if", section.show_if)
    for item, place in places(form, at):
        for key in ("show_if", "required", "derive"):
            text = getattr(item, key)
            if isinstance(text, str):
                yield Written((*place, key), f"{form.oid}.{item.name}", key, text, form.group_of.get(item.name, ""))
    for index, check in enumerate(form.checks):
        place = (*at, "checks", index, "require")
        yield Written(place, f"{form.oid}.{check.id}", "require", check.require, rule_group(form, check))


def _repeats(named: Iterable[tuple[str, Place]], owner: str = "") -> Iterator[Fault]:
    """The second and later uses of a name that must be unique."""
    seen: set[str] = set()
    for name, place in named:
        if name in seen:
            item = f"{owner}.{name}" if owner else name
            yield Fault(
                place, item, f"“{name}”重复", f"{name!r} is used twice", "请改名,使其唯一", "rename one of them"
            )
        seen.add(name)


def _room(study: StudyDefinition) -> Iterator[Fault]:
    """What is longer or larger than the registry has room for."""
    for key, most in MOST_CODE.items():
        for index, part in enumerate(getattr(study, key)):
            if len(part.code) > most:
                yield _too_much((key, index, "code"), part.code, f"{most} 个字符", f"{most} characters")
            if (part.target or 0) > MOST_TARGET:
                yield _too_much((key, index, "target"), part.code, str(MOST_TARGET), str(MOST_TARGET))
    longest = max((site.code for site in study.sites), key=len)
    number = study.subject_number.replace("{site}", longest)
    if len(study.subject_number) > 60 or len(number) > MOST_NUMBER:
        yield _too_much(("subject_number",), study.code, f"{MOST_NUMBER} 个字符", f"{MOST_NUMBER} characters")


def _too_much(place: Place, item: str, zh: str, en: str) -> Fault:
    return Fault(place, item, "过长或过大", "is too long or too large", f"最多 {zh}", f"at most {en}")


def _duplicates(study: StudyDefinition) -> Iterator[Fault]:
    for key, attribute in (("events", "oid"), ("forms", "oid"), ("sites", "code"), ("groups", "code")):
        parts = getattr(study, key)
        yield from _repeats((getattr(part, attribute), (key, index, attribute)) for index, part in enumerate(parts))
    for index, form in enumerate(study.forms):
        at = ("forms", index, "sections")
        items = [(item.name, (*place, "name")) for item, place in places(form, ("forms", index))]
        items += [(one.rows.name, (*at, i, "rows", "name")) for i, one in enumerate(form.sections) if one.rows]
        checks = [(check.id, ("forms", index, "checks", at, "id")) for at, check in enumerate(form.checks)]
        yield from _repeats([*items, *checks], form.oid)


def _events(study: StudyDefinition) -> Iterator[Fault]:
    forms, groups = {form.oid for form in study.forms}, {group.code for group in study.groups}
    for index, event in enumerate(study.events):
        for at, oid in enumerate(event.forms):
            if oid not in forms:
                yield _unknown(("events", index, "forms", at), event.oid, "表单", "form", oid, forms)
        for at, code in enumerate(event.groups):
            if code not in groups:
                yield _unknown(("events", index, "groups", at), event.oid, "分组", "group", code, groups)
        yield from _anchor(study, event, ("events", index, "anchor"))
        yield from _unplanned(event, ("events", index))
        yield from _undated(event, ("events", index))
    known = [event.oid for event in study.events]
    if study.imaging and study.imaging.event and study.imaging.event not in known:
        yield _unknown(("imaging", "event"), study.code, "访视", "event", study.imaging.event, known)
    used = {oid for event in study.events for oid in event.forms}
    for index, form in enumerate(study.forms):
        if form.oid not in used:
            yield Fault(
                ("forms", index, "oid"), form.oid, "表单不在任何访视中", "the form is in no event",
                "在 study.yaml 的 events 中列出该表单,或删除文件", "list it in an event of study.yaml or remove it",
            )  # fmt: skip


def _anchor(study: StudyDefinition, event: Event, place: Place) -> Iterator[Fault]:
    anchor = event.anchor
    if anchor is None or anchor == ENROLMENT:
        return
    oid, _, name = anchor.partition(".")
    item = next((form.items.get(name) for form in study.forms if form.oid == oid), None)
    if item is None or item.value_kind != "date":
        yield Fault(
            place, event.oid, f"锚点“{anchor}”不是日期条目", f"anchor {anchor!r} is no date item",
            "写 enrolment 或 表单.日期条目,如 OPER.transplant_date",
            "write enrolment or FORM.date_item, such as OPER.transplant_date",
        )  # fmt: skip


def _unplanned(event: Event, place: Place) -> Iterator[Fault]:
    """An unscheduled visit has no plan: a person adds it, with its date."""
    for key in ("anchor", "day", "window", "every") if event.kind == "unscheduled" else ():
        if getattr(event, key) is not None:
            yield Fault(
                (*place, key), event.oid, f"计划外访视没有 {key}", f"an unscheduled visit has no `{key}`",
                "删除,或改 kind", "remove it, or change `kind`",
            )  # fmt: skip


def _undated(event: Event, place: Place) -> Iterator[Fault]:
    """Where no day is said, nothing is planned: the rest of a plan would have no effect."""
    for key in ("anchor", "window", "every") if event.kind == "repeating" and event.day is None else ():
        if getattr(event, key) is not None:
            yield Fault(
                (*place, key), event.oid, f"没有 day,{key} 不起作用", f"`{key}` has no effect without `day`",
                f"加 day,或删除 {key}", f"add `day`, or remove `{key}`",
            )  # fmt: skip


def _unknown(place: Place, item: str, zh: str, en: str, name: str, known: Iterable[str]) -> Fault:
    options = ", ".join(sorted(known)[:20]) or "-"
    return Fault(
        place, item, f"没有{zh}“{name}”", f"there is no {en} {name!r}", f"可用:{options}", f"there are: {options}"
    )


def _codelists(study: StudyDefinition) -> Iterator[Fault]:
    for name, codelist in study.codelists.items():
        yield from _repeats(
            [(code, ("codelists", name, "choices", index, "code")) for index, code in enumerate(codelist.codes())], name
        )


def _form(study: StudyDefinition, form: Form, at: Place) -> Iterator[Fault]:
    for item, place in places(form, at):
        troubles = [*_item(study, item), *_dicom(study, form, item), *item_troubles(study, item)]
        for key, zh, en, remedy_zh, remedy_en in troubles:
            yield Fault((*place, key), f"{form.oid}.{item.name}", zh, en, remedy_zh, remedy_en)
    yield from _groups(form, at)
    for index, check in enumerate(form.checks):
        yield from _check(form, check, (*at, "checks", index, "items"))
    for written in expressions(form, at):
        yield from _expression(study, form, written)


def _groups(form: Form, at: Place) -> Iterator[Fault]:
    for index, section in enumerate(form.sections):
        if not section.rows:
            continue
        place = (*at, "sections", index)
        if section.rows.min > section.rows.max:
            yield Fault(
                (*place, "rows", "min"), f"{form.oid}.{section.rows.name}", "min 大于 max", "min is above max",
                "交换两个数", "swap the two numbers",
            )  # fmt: skip
        for inner, item in enumerate(section.items):
            if item.name == ROW:
                yield Fault(
                    (*place, "items", inner, "name"), f"{form.oid}.{item.name}",
                    "row 是行号,不能作条目名", "row is the number of a row and names no item",
                    "请改名", "rename it",
                )  # fmt: skip


def _check(form: Form, check: Check, at: Place) -> Iterator[Fault]:
    if check.id in OWN_CHECKS:
        yield Fault(
            (*at[:-1], "id"), f"{form.oid}.{check.id}", f"{check.id} 是系统自身核查的名称",
            f"{check.id} is the name of a check that every form has", "请改名", "rename it",
        )  # fmt: skip
    group = rule_group(form, check)
    known = {*form.items, *form.group_of}
    for inner, name in enumerate(check.items):
        if name not in known:
            yield _unknown((*at, inner), f"{form.oid}.{check.id}", "条目", "item", name, known)
        elif group and form.group_of.get(name, "" if inner else "none") not in (group, ""):
            yield Fault(
                (*at, inner), f"{form.oid}.{check.id}",
                f"本检查逐行核对 {group}:第一个条目应在其中,也不能用另一组的条目",
                f"this check looks at {group} row by row: its first item is one of them, and none is of another group",
                f"先写 {group} 的条目", f"begin with an item of {group}",
            )  # fmt: skip


Trouble = tuple[str, str, str, str, str]


def _item(study: StudyDefinition, item: Item) -> Iterator[Trouble]:
    kind = item.value_kind
    coded = kind in ("choice", "choices")
    if item.type == "derived" and not item.value_type:
        yield (
            "type",
            "派生条目缺少 value_type",
            "a derived item needs value_type",
            "加 value_type: decimal 等",
            "add one",
        )
    if item.type == "derived" and not item.derive:
        yield "type", "派生条目缺少 derive", "a derived item needs derive", "写计算表达式", "write the expression"
    if item.type != "derived" and (item.derive or item.value_type):
        key = "derive" if item.derive else "value_type"
        yield key, f"只有派生条目有 {key}", f"only a derived item has {key}", "改为 type: derived", "set type: derived"
    if not item.is_entered and item.required:
        yield "required", "该类条目不能必填", "nobody can fill this in", "删除 required", "remove required"
    if coded and not item.codelist:
        yield "type", "选择题缺少 codelist", "a choice needs a codelist", "写 codelist: 名称", "add codelist: NAME"
    if item.codelist and not coded:
        yield (
            "codelist",
            "只有选择题有代码表",
            "only choices have a codelist",
            "改 type 或删除",
            "change type or remove it",
        )
    elif item.codelist and item.codelist not in study.codelists:
        known = ", ".join(sorted(study.codelists)) or "-"
        zh, en = f"没有代码表“{item.codelist}”", f"there is no code list {item.codelist!r}"
        yield "codelist", zh, en, f"可用:{known}", f"there are: {known}"
    if item.precision is not None and kind != "decimal":
        yield "precision", "只有 decimal 有小数位", "only a decimal has precision", "删除 precision", "remove it"
    if item.max_length is not None and kind != "text":
        yield "max_length", "只有 text 有长度", "only text has max_length", "删除 max_length", "remove it"
    yield from _ranges(item, kind)


def _dicom(study: StudyDefinition, form: Form, item: Item) -> Iterator[Trouble]:
    if not item.dicom:
        return
    imaging = study.imaging
    event = next((event for event in study.events if imaging and event.oid == imaging.event), None)
    repeats = form.repeating or item.name in form.group_of
    if imaging is None or event is None or form.oid not in event.forms or repeats:
        yield (
            "dicom",
            "只有影像访视(study.yaml 的 imaging.event)中不重复的表单可由 DICOM 填写",
            "only a form that does not repeat, in the event of the images (imaging.event), is filled from DICOM",
            "移到该访视或删除 dicom",
            "move the form to that event, or remove dicom",
        )
        return
    if not item.is_entered:
        yield "dicom", "该类条目不能由 DICOM 填写", "such an item is not filled in", "删除 dicom", "remove dicom"
    sequence, keyword = item.dicom_source
    known = [one.code for one in imaging.sequences]
    if sequence and sequence not in known:
        zh, en = f"没有序列“{sequence}”", f"there is no sequence {sequence!r}"
        yield "dicom", zh, en, f"可用:{', '.join(known)}", f"there are: {', '.join(known)}"
    if item.type not in DICOM_TYPES.get(keyword, NUMERIC_OR_CHOICE):
        types = ", ".join(DICOM_TYPES.get(keyword, NUMERIC_OR_CHOICE))
        yield "dicom", f"{keyword} 不能填入 {item.type}", f"{keyword} does not fit {item.type}", types, types


def _ranges(item: Item, kind: str) -> Iterator[Trouble]:
    for key in ("range", "soft_range"):
        limits = getattr(item, key)
        if limits is None:
            continue
        if kind not in NUMERIC:
            zh, en = f"{kind} 类型不能有 {key}", f"{kind} has no {key}"
            yield key, zh, en, "改用 checks,或改 type", "use a check instead, or change the type"
            continue
        low, high = limits
        if (low is None and high is None) or (low is not None and high is not None and low > high):
            yield key, "范围应为[低, 高]", "a range is [lowest, highest]", "交换两个数", "swap the two numbers"
        if kind == "integer" and any(limit is not None and not float(limit).is_integer() for limit in limits):
            yield key, "整数条目的范围应为整数", "the range of an integer is whole", "写整数", "write whole numbers"
    if item.range and item.soft_range and kind in NUMERIC:
        low, high = item.range
        soft_low, soft_high = item.soft_range
        below = low is not None and soft_low is not None and soft_low < low
        if below or (high is not None and soft_high is not None and soft_high > high):
            yield "soft_range", "soft_range 超出 range", "soft_range reaches beyond range", "缩小它", "narrow it"


def _expression(study: StudyDefinition, form: Form, written: Written) -> Iterator[Fault]:
    try:
        expression = compile_expression(written.text)
    except BadExpression as error:
        yield Fault(written.place, written.owner, error.zh, error.en, "请修改表达式", "correct the expression")
        return
    known = True
    for name in (*expression.names, *expression.fields):
        zh, en, remedy = _unresolved(study, form, name, written.group)
        if zh:
            known = False
            yield Fault(written.place, written.owner, zh, en, f"可用:{remedy}", f"there are: {remedy}")
    if known:
        yield from _misspelt(study, form, written, expression)


def _misspelt(study: StudyDefinition, form: Form, written: Written, expression: Expression) -> Iterator[Fault]:
    """Strings compared with a choice, a group, a site or an event that are none, and with a date that are no date."""
    for literal in expression.literals:
        compared = resolve(study, form, literal.name, written.group)
        kind = compared.value_kind if compared else "date" if literal.name in DATES else ""
        if kind in SPELT and not _is_spelt(kind, literal.text):
            yield Fault(
                written.place, written.owner,
                f"“{literal.text}”不能与 {literal.name}({kind})比较", f"{literal.name}: {literal.text!r} is no {kind}",
                f"写成 '{SPELT[kind]}';判断有无用 given(x)", f"write '{SPELT[kind]}'; given(x) asks for a value",
            )  # fmt: skip
        codes = None if literal.is_order else _codes_of(study, literal.name, compared)
        if codes is not None and literal.text not in codes:
            fault = _unknown(written.place, written.owner, "代码", "code", literal.text, codes)
            yield replace(fault, zh=f"{literal.name}{fault.zh}", en=f"{literal.name}: {fault.en}")


def _codes_of(study: StudyDefinition, name: str, item: Item | None) -> list[str] | None:
    """What an item or a fact can be; None where that is not listed."""
    if item is not None:
        codelist = study.codelist(item)
        return codelist.codes() if codelist else None
    if name == "subject.group":
        return [group.code for group in study.groups]
    if name == "subject.site":
        return [site.code for site in study.sites]
    return [event.oid for event in study.events] if name == "visit.event" else None


def _is_spelt(kind: str, text: str) -> bool:
    """Whether a text is written as a date or time is stored; a point in time may be compared with a day."""
    try:
        if kind == "time":
            return len(text) == 5 and bool(dt.time.fromisoformat(text))
        day, _t, clock = text.partition("T")
        dt.date.fromisoformat(day)
        return len(day) == 10 and (not clock or (kind == "datetime" and _is_spelt("time", clock)))
    except ValueError:
        return False


def resolve(study: StudyDefinition, form: Form, name: str, group: str = "") -> Item | None:
    """The item that a name in an expression of `form` stands for; None for facts such as `today`.

    Expressions of the rows of `group` see its items; `meds[].dose` is an item of the rows of meds.
    """
    name, _, column = name.partition(ROWS)
    head, *rest = name.split(".")
    if not rest and group and form.group_of.get(head) == group:
        return form.questions[head]
    target = form if not rest else _target(study, head, rest)
    if target is None:
        return None
    item = target.items.get(rest[-1] if rest else head)
    if not column:
        return item
    inside = item is not None and target.group_of.get(column) == item.name
    return target.questions[column] if inside else None


def _target(study: StudyDefinition, head: str, rest: list[str]) -> Form | None:
    """The form that `forms.X.item` or `events.E.X.item` reads."""
    return next((other for other in study.forms if head in ("forms", "events") and other.oid == rest[-2:-1][0]), None)


def _unresolved(study: StudyDefinition, form: Form, name: str, group: str = "") -> tuple[str, str, str]:
    """Why a name points nowhere in both languages, and what there is; empty when it is fine."""
    found = resolve(study, form, name, group)
    name, _, column = name.partition(ROWS)
    head, *rest = name.split(".")
    if column and found is None:
        return _no_row_item(study, form, name, column)
    if head in ("today", "subject", "visit"):
        return "", "", ""
    if head == "events":
        event = next((event for event in study.events if event.oid == rest[0]), None)
        if event is None:
            return f"没有访视“{rest[0]}”", f"there is no event {rest[0]!r}", ", ".join(e.oid for e in study.events)
        if rest[1] not in event.forms:
            return (
                f"访视{event.oid}没有表单“{rest[1]}”",
                f"event {event.oid} has no form {rest[1]!r}",
                ", ".join(event.forms),
            )
    if found is not None and found.type != "label":
        return "", "", ""
    target = form if not rest else next((other for other in study.forms if other.oid == rest[-2]), None)
    if target is None:
        return f"没有表单“{rest[-2]}”", f"there is no form {rest[-2]!r}", ", ".join(f.oid for f in study.forms)
    wanted = rest[-1] if rest else head
    if wanted in target.group_of:
        rows = target.group_of[wanted]
        hint = f"{rows}.map(r, r.{wanted})"
        return f"“{wanted}”在重复组 {rows} 的行里", f"{wanted!r} is in the rows of the group {rows}", hint
    return f"表单{target.oid}没有条目“{wanted}”", f"form {target.oid} has no item {wanted!r}", ", ".join(target.items)


def _no_row_item(study: StudyDefinition, form: Form, name: str, column: str) -> tuple[str, str, str]:
    """What to say of `r.column` where the rows of `name` have none; nothing where `name` itself is unknown."""
    group = resolve(study, form, name) if name else None
    if name and group is None:
        return ("", "", "") if _unresolved(study, form, name)[0] else ("没有行", "has no rows", "-")
    head, *rest = name.split(".")
    target = _target(study, head, rest) if rest else form
    if group is None or group.type != "group" or target is None:
        return f"这里的“.{column}”不是一行的条目", f"there are no rows here that have {column!r}", "groups.map(r, …)"
    known = ", ".join(one.name for one in target.groups[group.name].items)
    return f"{name} 的行没有条目“{column}”", f"the rows of {name} have no item {column!r}", known


def _cycles(study: StudyDefinition) -> Iterator[Fault]:
    """Items whose visibility or value needs itself, also by way of other forms."""
    needs: dict[str, list[str]] = {}
    where: dict[str, tuple[Place, str]] = {}
    for index, form in enumerate(study.forms):
        for item, place in [*places(form, ("forms", index)), *_group_places(form, ("forms", index))]:
            full = f"{form.oid}.{item.name}"
            key = "derive" if item.derive else "show_if"
            where[full] = ((*place, key), full)
            needs[full] = [
                ".".join(name.split(".")[-2:]) if "." in name else f"{form.oid}.{name}" for name in form.needs(item)
            ]
    try:
        dependency_order(needs)
    except Cycle as cycle:
        place, item_name = where[cycle.names[0]]
        yield Fault(
            place, item_name, f"循环依赖:{cycle}", f"circular dependency: {cycle}",
            "去掉其中一个引用", "take one of the references out",
        )  # fmt: skip


def _group_places(form: Form, at: Place) -> Iterator[tuple[Item, Place]]:
    for index, section in enumerate(form.sections):
        if section.rows:
            yield form.items[section.rows.name], (*at, "sections", index)


def _rehearsal(study: StudyDefinition, form: Form, index: int) -> Iterator[Fault]:
    """Try each expression on specimen values: a sum of text and number is found now, not at the bedside."""
    for written in expressions(form, ("forms", index)):
        item = form.questions.get(written.owner.partition(".")[2]) if written.key == "derive" else None

        def named(name: str, group: str = written.group) -> tuple[Item | None, tuple[Item, ...]]:
            found = resolve(study, form, name, group)
            head, *rest = name.split(".")
            target = (_target(study, head, rest) if rest else form) if found and found.type == "group" else None
            return found, target.groups[found.name].items if found and target else ()

        trouble = misfit(study, written.text, item, named)
        if trouble:
            yield Fault(written.place, written.owner, *trouble)
