"""Which tables and columns an export has: one table per form and per repeating group, over all builds of a study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from crf.definitions.model import Choice, Form, Item, StudyDefinition, Text

from .naming import unique
from .rules import Rule, Wanted, rule_of

NUMBERS = ("integer", "decimal")


@dataclass(frozen=True)
class Column:
    """One column: `kind` is text, integer, decimal, date, datetime, time or flag; `item` is empty for keys, whose
    `rule` says what happens to them."""

    name: str
    kind: str
    label: Text
    item: str = ""
    part: str = "value"
    choices: tuple[Choice, ...] = ()
    unit: str = ""
    rule: Rule = Rule.KEEP


@dataclass(frozen=True)
class Question:
    """One item over all builds that ask it, and the columns that hold its answers."""

    path: str
    item: Item
    kind: str
    rule: Rule
    choices: tuple[Choice, ...] = ()
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class TableLayout:
    """One table: a form, or one repeating group of it."""

    name: str
    form: str
    group: str
    label: Text
    keys: tuple[Column, ...]
    questions: tuple[Question, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.keys + tuple(column for question in self.kept for column in question.columns)

    @property
    def kept(self) -> tuple[Question, ...]:
        return tuple(question for question in self.questions if not question.rule.leaves_out)


KEYS = (
    Column("study", "text", Text(zh="研究", en="Study")),
    Column("site", "text", Text(zh="中心", en="Site")),
    Column("subject", "text", Text(zh="受试者", en="Subject")),
    Column("group", "text", Text(zh="组别", en="Group")),
    Column("event", "text", Text(zh="访视", en="Event")),
    Column("repeat", "integer", Text(zh="访视序号", en="Number of the event")),
    Column("visited_on", "date", Text(zh="访视日期", en="Date of the visit")),
    Column("form", "text", Text(zh="表单", en="Form")),
    Column("number", "integer", Text(zh="表单序号", en="Number of the form")),
    Column("row", "integer", Text(zh="行号", en="Row")),
    Column("status", "text", Text(zh="状态", en="Status")),
    Column("revision", "integer", Text(zh="修订号", en="Revision")),
    Column("build", "text", Text(zh="版本", en="Build")),
)


def tables(definitions: Sequence[StudyDefinition], wanted: Wanted) -> tuple[TableLayout, ...]:
    """The tables of a study whose builds are `definitions`, oldest first: the union of their items.

    The newest build that has a form or item says what it is called; a choice that only an older one has stays.
    An item that was of another type before is text.
    """
    forms = _forms(definitions)
    chosen = [oid for oid in forms if not wanted.forms or oid in wanted.forms]
    found: list[TableLayout] = []
    for oid in chosen:
        form = forms[oid].form
        found.append(_table(forms[oid], "", form.name, wanted))
        for group in forms[oid].groups:
            found.append(_table(forms[oid], group, forms[oid].groups[group], wanted))
    return tuple(found)


@dataclass
class _Union:
    """A form over all builds; `items` by group ("" is the form itself)."""

    form: Form
    study: StudyDefinition
    groups: dict[str, Text] = field(default_factory=dict)
    items: dict[str, dict[str, list[tuple[StudyDefinition, Item]]]] = field(default_factory=dict)


def _forms(definitions: Sequence[StudyDefinition]) -> dict[str, _Union]:
    found: dict[str, _Union] = {}
    for study in reversed(definitions):
        for form in study.forms:
            union = found.setdefault(form.oid, _Union(form, study))
            for name, section in form.groups.items():
                union.groups.setdefault(name, section.name)
                _add(union, name, study, section.items)
            _add(union, "", study, (item for item in form.items.values() if item.type != "group"))
    return found


def _add(union: _Union, group: str, study: StudyDefinition, items: Iterable[Item]) -> None:
    of_group = union.items.setdefault(group, {})
    for item in items:
        if item.type != "label":
            of_group.setdefault(item.name, []).append((study, item))


def _table(union: _Union, group: str, label: Text, wanted: Wanted) -> TableLayout:
    oid = union.form.oid
    keys = tuple(_treated(key, wanted) for key in KEYS if group or key.name != "row")
    taken = {key.name for key in keys}
    questions = []
    for asked in union.items.get(group, {}).values():
        question = _question(oid, group, asked, wanted)
        columns = tuple(_renamed(column, taken) for column in _columns(question, wanted))
        questions.append(
            Question(question.path, question.item, question.kind, question.rule, question.choices, columns)
        )
    name = f"{oid}__{group}" if group else oid
    return TableLayout(name, oid, group, label, keys, tuple(questions))


def _treated(key: Column, wanted: Wanted) -> Column:
    moves = key.kind == "date" and not wanted.identified
    return replace(key, rule=Rule.SHIFT) if moves else key


def _question(form: str, group: str, asked: list[tuple[StudyDefinition, Item]], wanted: Wanted) -> Question:
    """One item, newest first in `asked`; the strictest rule that any build gives it."""
    _study, item = asked[0]
    kinds = {one.value_kind for _, one in asked}
    kind = kinds.pop() if len(kinds) == 1 else "decimal" if kinds == set(NUMBERS) else "text"
    rules = [rule_of(study, form, one, wanted) for study, one in asked]
    if len({one.value_kind for _, one in asked}) > 1 and kind == "text":
        rules.append(rule_of(asked[0][0], form, item.model_copy(update={"type": "text", "value_type": None}), wanted))
    rule = next(
        (one for one in rules if one.leaves_out), next((one for one in rules if one is not Rule.KEEP), Rule.KEEP)
    )
    choices: dict[str, Choice] = {}
    for study, one in asked:
        codelist = study.codelist(one)
        for choice in codelist.choices if codelist else ():
            choices.setdefault(choice.code, choice)
    path = f"{form}.{group}.{item.name}" if group else f"{form}.{item.name}"
    return Question(path, item, kind, rule, tuple(choices.values()) if kind in ("choice", "choices") else ())


def _renamed(column: Column, taken: set[str]) -> Column:
    """An item that bears the name of a key or of another's companion gets a number behind its own."""
    name = unique(column.name, taken)
    taken.add(name)
    return Column(name, column.kind, column.label, column.item, column.part, column.choices, column.unit)


STORED = {"choice": "text", "choices": "text", "file": "text", "series": "text"}


def _columns(question: Question, wanted: Wanted) -> list[Column]:
    """The value's column and its companions: why it is missing, the span of a partial date, one flag a choice."""
    item, name, kind = question.item, question.item.name, question.kind
    label, path = item.label, question.path

    def companion(part: str, kind: str, zh: str, en: str) -> Column:
        return Column(f"{name}__{part}", kind, Text(zh=f"{label.zh}:{zh}", en=f"{label.en}: {en}"), path, part)

    shown = question.choices if kind == "choice" else ()
    found = [
        Column(name, STORED.get(kind, kind if kind != "date" else "text"), label, path, "value", shown, item.unit or "")
    ]
    if kind == "date":
        found.append(companion("earliest", "date", "最早可能日期", "earliest day it can be"))
        found.append(companion("latest", "date", "最晚可能日期", "latest day it can be"))
    if kind == "choices":
        for choice in question.choices:
            text = Text(zh=f"{label.zh}:{choice.label.zh}", en=f"{label.en}: {choice.label.en}")
            flag = f"{name}___{re.sub(r'[^a-z0-9]+', '_', choice.code.lower()).strip('_') or 'x'}"
            found.append(Column(flag, "flag", text, path, f"choice:{choice.code}"))
    if kind == "file":
        found.append(companion("sha256", "text", "文件的 SHA-256", "SHA-256 of the file"))
    if item.is_entered:
        found.append(companion("missing", "text", "缺失原因", "why it is missing"))
        if wanted.identified:
            found.append(companion("reason", "text", "缺失说明", "reason given for its being missing"))
    return found


def code_numbers(column: Column, format: str) -> dict[str, int] | None:
    """By code, its number: itself where all are whole numbers, in Stata else its place in the list; None is text."""
    codes = [choice.code for choice in column.choices]
    if not codes or format not in ("sav", "dta"):
        return None
    if all(re.fullmatch(r"0|-?[1-9]\d{0,8}", code) for code in codes):
        return {code: int(code) for code in codes}
    return {code: place for place, code in enumerate(codes, start=1)} if format == "dta" else None
