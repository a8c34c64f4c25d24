"""A table and its mapping, as records of a study: one for each form that a row fills, every cell read or refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .mapping import Mapping, Target
from .model import MOST_REPEATS, Form, Item, StudyDefinition
from .rehearse import rounded
from .tables import BadTable, Row, Table
from .values import BadValue, parse_value


@dataclass(frozen=True)
class Problem:
    """Why something is refused, where it stands in the file (row 0 = the whole file), and what to do."""

    row: int
    column: str
    zh: str
    en: str
    remedy_zh: str
    remedy_en: str

    def of(self, language: str) -> str:
        return self.zh if language.lower().startswith("zh") else self.en

    def remedy(self, language: str) -> str:
        return self.remedy_zh if language.lower().startswith("zh") else self.remedy_en


@dataclass(frozen=True)
class Key:
    """Whose and which record a row is about, in the file's words."""

    site: str
    subject: str
    event: str
    repeat: int
    form: str
    number: int


@dataclass(frozen=True)
class Cell:
    """One answer that the file brings; `value` is None where it asks to clear."""

    value: Any
    row: int
    column: str


@dataclass
class Incoming:
    """What the file says of one record, from one row or several."""

    key: Key
    row: int
    group: str = ""
    enrolled_on: str = ""
    visited_on: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass
class Reading:
    """Everything that a file says, and everything in it that cannot be taken."""

    rows: int
    encoding: str
    records: list[Incoming]
    problems: list[Problem]


def as_problem(fault: BadTable) -> Problem:
    return Problem(fault.row, fault.column, fault.zh, fault.en, fault.remedy_zh, fault.remedy_en)


def read_records(study: StudyDefinition, table: Table, mapping: Mapping) -> Reading:
    """Read every cell by its item's rules. Problems are collected; the caller decides that one refuses all."""
    reader = _Reader(study, table, mapping)
    reader.read()
    return Reading(len(table.rows), table.encoding, list(reader.records.values()), reader.problems)


class _Reader:
    def __init__(self, study: StudyDefinition, table: Table, mapping: Mapping) -> None:
        self.study = study
        self.table = table
        self.mapping = mapping
        self.problems = [as_problem(fault) for fault in table.faults]
        self.bad_cells = {(fault.row, fault.column) for fault in table.faults}
        self.records: dict[Key, Incoming] = {}
        self.targets: dict[str, list[tuple[Form, Item, Target]]] = {}
        self.constants: list[tuple[Form, Item, Any]] = []

    def read(self) -> None:
        self.lay_out()
        if any(one.row <= 1 for one in self.problems):
            return
        for row in self.table.rows:
            self.read_row(row)

    # The header

    def lay_out(self) -> None:
        facts = {source.column for source in self.mapping.facts().values() if source.column}
        for column in [*facts, *self.mapping.columns, *self.mapping.ignore]:
            if column not in self.table.columns:
                self.refuse_header(
                    column, "文件中没有该列", "the file has no such column", "检查列名", "check the name"
                )
        for column in self.table.columns:
            if column in self.mapping.columns:
                self.aim(column, self.mapping.columns[column])
            elif column not in facts and column not in self.mapping.ignore:
                self.guess(column)
        for name, value in self.mapping.constants.items():
            found = self.find(name)
            if found:
                self.constants.append((*found, value))
            else:
                self.refuse_header(
                    name, "研究中没有该条目", "the study has no such item", "写 表单.条目", "write FORM.item"
                )

    def aim(self, column: str, target: Target) -> None:
        found = self.find(target.item)
        if not found:
            zh, en = f"研究中没有条目 {target.item}", f"the study has no item {target.item}"
            self.refuse_header(column, zh, en, "检查映射", "check the mapping")
        elif not found[1].is_entered:
            zh, en = f"{target.item} 由系统计算", f"{target.item} is derived, not entered"
            self.refuse_header(column, zh, en, "请加入 ignore", "put the column under `ignore`")
        else:
            self.targets[column] = [(*found, target)]

    def guess(self, column: str) -> None:
        """A column that bears an item's name; without a form in the row, only one form may have that name."""
        found = self.find(column)
        options = (
            [found] if found else [(form, form.items[column]) for form in self.study.forms if column in form.items]
        )
        entered = [(form, item) for form, item in options if item.is_entered]
        if not options or (options and not entered):
            zh, en = (
                ("该列由系统计算", "the column is derived") if options else ("没有对应的条目", "no item has this name")
            )
            self.refuse_header(column, zh, en, "在映射中指定,或加入 ignore", "map it, or put it under `ignore`")
        elif len(entered) > 1 and self.mapping.form is None:
            names = ", ".join(f"{form.oid}.{item.name}" for form, item in entered)
            self.refuse_header(
                column,
                f"多个表单有此条目:{names}",
                f"several forms have it: {names}",
                "写 表单.条目",
                "write FORM.item",
            )
        else:
            self.targets[column] = [
                (form, item, Target(item=f"{form.oid}.{item.name}")) for form, item in entered
            ]  # fmt: skip

    def find(self, name: str) -> tuple[Form, Item] | None:
        oid, _, item = name.partition(".")
        form = next((form for form in self.study.forms if form.oid == oid), None)
        return (form, form.items[item]) if form and item in form.items else None

    def refuse_header(self, column: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        self.problems.append(Problem(1, column, zh, en, remedy_zh, remedy_en))

    # The rows

    def read_row(self, row: Row) -> None:
        facts = {name: source.of(row.cells) for name, source in self.mapping.facts().items()}
        if not facts.get("subject"):
            column = self.mapping.subject.column or "subject"
            self.refuse(row, column, "缺少受试者", "names no subject", "填写受试者编号", "fill in the subject")
            return
        repeat, number = self.counted(row, facts, "repeat"), self.counted(row, facts, "number")
        if repeat is None or number is None:
            return
        for form, item, cell in self.cells(row, facts.get("form", "")):
            event = facts.get("event") or self.only_event(form)
            if not event:
                zh, en = f"未指明表单{form.oid}的访视", f"does not say at which event {form.oid} was filled"
                self.refuse(row, "", zh, en, "加 event 列,或在映射中写 event", "add a column `event`, or map `event`")
                return
            key = Key(facts.get("site", ""), facts["subject"], event, repeat, form.oid, number)
            self.put(key, row, facts, item, cell)

    def counted(self, row: Row, facts: dict[str, str], name: str) -> int | None:
        text = facts.get(name) or "1"
        if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_REPEATS:
            return int(text)
        zh, en = f"{name} 应为 1 起的整数", f"{name} is a whole number from 1"
        self.refuse(row, name, zh, en, "请改正", "correct it")
        return None

    def only_event(self, form: Form) -> str:
        events = [event.oid for event in self.study.events if form.oid in event.forms]
        return events[0] if len(events) == 1 else ""

    def cells(self, row: Row, form_of_row: str) -> Iterator[tuple[Form, Item, Cell]]:
        """Every answer of the row; a row that names its form may fill only that."""
        if form_of_row and form_of_row not in {form.oid for form in self.study.forms}:
            known = ", ".join(form.oid for form in self.study.forms)
            self.refuse(row, "form", f"没有表单“{form_of_row}”", f"there is no form {form_of_row!r}",
                        f"可用:{known}", f"there are: {known}")  # fmt: skip
            return
        filled = set()
        for column, options in self.targets.items():
            text = row.cells[column]
            if (row.number, column) in self.bad_cells:
                continue
            option = next((one for one in options if not form_of_row or one[0].oid == form_of_row), None)
            if option is None:
                if text and text not in self.mapping.missing:
                    self.refuse(row, column, f"表单{form_of_row}没有该条目", f"form {form_of_row} has no such item",
                                "清空该格", "empty the cell")  # fmt: skip
                continue
            cell = self.cell(row, column, option[1], option[2], text)
            if cell:
                filled.add(option[0].oid)
                yield option[0], option[1], cell
        for form, item, value in self.constants:
            if form.oid in filled:
                cell = self.cell(row, "", item, Target(item=f"{form.oid}.{item.name}"), value)
                if cell:
                    yield form, item, cell

    def cell(self, row: Row, column: str, item: Item, target: Target, raw: Any) -> Cell | None:
        if isinstance(raw, str):
            raw = target.values.get(raw, raw)
            if raw in self.mapping.missing or not raw:
                return Cell(None, row.number, column) if self.mapping.empty == "clear" else None
        try:
            if target.factor is not None:
                raw = _converted(item, raw, target.factor)
            return Cell(parse_value(item, self.study.codelist(item), raw), row.number, column)
        except BadValue as bad:
            label_zh, label_en = item.label.zh, item.label.en
            self.refuse(row, column, f"{label_zh}:{bad.zh}", f"{label_en}: {bad.en}", "改正该格", "correct the cell")
        return None

    def put(self, key: Key, row: Row, facts: dict[str, str], item: Item, cell: Cell) -> None:
        if key not in self.records:
            group, enrolled, visited = (facts.get(name, "") for name in ("group", "enrolled_on", "visited_on"))
            self.records[key] = Incoming(key, row.number, group, enrolled, visited)
        record = self.records[key]
        before = record.cells.get(item.name)
        if before and before.value != cell.value:
            self.refuse(row, cell.column, f"与第{before.row}行的值不同", f"differs from the value in row {before.row}",
                        "保留其中一行", "keep one of the rows")  # fmt: skip
            return
        record.cells.setdefault(item.name, cell)

    def refuse(self, row: Row, column: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        self.problems.append(Problem(row.number, column, zh, en, remedy_zh, remedy_en))


def _converted(item: Item, raw: Any, factor: float) -> Any:
    """A number in the file's unit, however it is written, in the item's; a missing word as it is."""
    value = parse_value(item.model_copy(update={"type": "decimal", "precision": None}), None, raw)
    if not isinstance(value, float):
        return value
    return rounded(value * factor, item.precision if item.precision is not None else 10)
