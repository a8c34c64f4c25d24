"""A table and its mapping, as records of a study: one for each form that a row fills, every cell read or refused."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from .mapping import Mapping, Source, Target
from .model import MOST_REPEATS, NUMERIC, Form, Item, StudyDefinition
from .rehearse import rounded
from .rows import MOST_ROWS, address
from .tables import BadTable, Row, Table
from .values import BadValue, parse_value, plain_value

BATCH_ROWS = 1_000
# What the file of refused rows has beside the columns that were sent; nothing is read from them.
ROW_COLUMN, PROBLEM_COLUMN = "import_row", "import_problem"
MOST_REMEMBERED = 20_000  # distinct cells of a column whose reading is kept
NESTED = re.compile(r"(?:([A-Z][A-Z0-9_]{0,39})\.)?([a-z][a-z0-9_]*\[\d{1,3}\]\.[a-z][a-z0-9_]*)$", re.ASCII)


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


class Key(NamedTuple):
    """Whose and which record a row is about, in the file's words; without a form it is about the visit alone."""

    site: str
    subject: str
    event: str
    repeat: int
    form: str
    number: int


class Cell(NamedTuple):
    """One answer that the file brings; `value` is None where it asks to clear."""

    value: Any
    row: int
    column: str


@dataclass(slots=True)
class Incoming:
    """What the file says of one record, from one row or several; `cells` by address (`dose`, `meds[3].dose`).

    `rows` are all rows that speak of it, also those without an answer.
    """

    key: Key
    row: int
    group: str = ""
    enrolled_on: str = ""
    visited_on: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)


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
    """Read every cell by its item's rules. Problems are collected; the caller decides what one refuses."""
    readings = list(read_batches(study, table, mapping))
    records = [record for reading in readings for record in reading.records]
    problems = [problem for reading in readings for problem in reading.problems]
    return Reading(len(table.rows), table.encoding, records, problems)


def read_batches(study: StudyDefinition, table: Table, mapping: Mapping, size: int = BATCH_ROWS) -> Iterator[Reading]:
    """The same a batch at a time, of some `size` rows, so that the memory a file takes is that of its text.

    All rows of a subject are in one batch. The first reading has the problems of the header; if there are any, it is
    the only one.
    """
    layout = _Layout(study, table, mapping)
    if layout.problems:
        yield Reading(len(table.rows), table.encoding, [], layout.problems)
        return
    faults: dict[int, list[BadTable]] = {}
    for fault in table.faults:
        faults.setdefault(fault.row, []).append(fault)
    lost = sorted(faults.keys() - {row.number for row in table.rows})
    yield Reading(0, table.encoding, [], [as_problem(fault) for row in lost for fault in faults[row]])
    for rows in _by_subject(table, layout, size):
        reader = _Reader(layout, faults)
        for row in rows:
            reader.read_row(row)
        yield Reading(len(rows), table.encoding, list(reader.records.values()), reader.problems)


def _by_subject(table: Table, layout: _Layout, size: int) -> Iterator[list[Row]]:
    """The rows in batches that part no subject, in the order in which subjects first appear."""
    at = table.columns.index(layout.subject.column) if layout.subject.column else None
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        groups.setdefault("" if at is None else one_person(row.texts[at]), []).append(row)
    batch: list[Row] = []
    for rows in groups.values():
        batch += rows
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def in_batches(reading: Reading, size: int = BATCH_ROWS) -> Iterator[Reading]:
    """A reading of another format, parted in the same way: each problem with the records of its row, the others first.

    A row that is refused takes no part, so its problem must be known where its records are planned.
    """
    fed = {row for record in reading.records for row in rows_of(record) if row > 1}
    waiting: dict[int, list[Problem]] = {}
    for problem in reading.problems:
        if problem.row in fed:
            waiting.setdefault(problem.row, []).append(problem)
    yield Reading(0, reading.encoding, [], [one for one in reading.problems if one.row not in fed])
    groups: dict[str, list[Incoming]] = {}
    for record in reading.records:
        groups.setdefault(one_person(record.key.subject), []).append(record)
    batch: list[Incoming] = []
    for records in groups.values():
        batch += records
        if len(batch) >= size:
            yield _batch(reading, batch, waiting)
            batch = []
    if batch:
        yield _batch(reading, batch, waiting)


def _batch(reading: Reading, records: list[Incoming], waiting: dict[int, list[Problem]]) -> Reading:
    rows = sorted({row for record in records for row in rows_of(record)}) if waiting else []
    return Reading(len(records), reading.encoding, records, [one for row in rows for one in waiting.pop(row, ())])


def rows_of(incoming: Incoming) -> set[int]:
    """All rows of the file that speak of a record."""
    return incoming.rows or {incoming.row, *(cell.row for cell in incoming.cells.values())}


def one_person(text: str) -> str:
    """An identifier as people mean it: width, spaces and case don't part a person from themselves."""
    if text.isascii():
        return text.replace(" ", "").upper()
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


class _Aim:
    """One column (or constant) aimed at one item: how its text becomes the stored value."""

    def __init__(self, study: StudyDefinition, form: Form, item: Item, target: Target, mapping: Mapping) -> None:
        self.form = form.oid
        self.item = item
        self.group = form.group_of.get(item.name, "")
        self.row = target.row
        self.codelist = study.codelist(item)
        self.target = target
        self.empty = {"", *mapping.missing, *target.missing}
        self.convert = _conversion(item, target)
        self.known: dict[str, Any] = {}
        # Most cells of a large file are plain numbers, and need none of what `_attempt` does.
        is_plain = item.value_kind in NUMERIC and not target.values and not self.convert
        self.plain = partial(plain_value, item.value_kind, item.precision) if is_plain else None

    def remembered(self, raw: str) -> Any:
        """The value of a cell, None for an empty one, or BadValue; what takes long to read is remembered."""
        if self.plain and raw not in self.empty and (number := self.plain(raw)) is not None:
            return number
        found = self._attempt(raw)
        if len(self.known) >= MOST_REMEMBERED:
            self.known.clear()
        self.known[raw] = found
        return found

    def read(self, raw: Any) -> Any:
        """The value of a constant. Raises BadValue."""
        found = self.remembered(raw) if isinstance(raw, str) else self._read(raw)
        if isinstance(found, BadValue):
            raise found
        return found

    def _attempt(self, raw: str) -> Any:
        translated = self.target.values.get(raw, raw)
        if translated in self.empty:
            return None
        try:
            return self._read(translated)
        except BadValue as bad:
            return bad

    def _read(self, raw: Any) -> Any:
        value = parse_value(self.item, self.codelist, self.convert(raw) if self.convert else raw)
        if value is None and raw not in (None, ""):
            raise BadValue(f"“{str(raw)[:40]}”无法识别", f"{str(raw)[:40]!r} says nothing that can be stored")
        return value


def _conversion(item: Item, target: Target) -> Callable[[Any], Any] | None:
    if target.date:
        return lambda raw: _year_first(raw, target.date or "")
    factor, offset = target.factor, 0.0
    if target.unit is not None and target.unit != item.unit:
        unit = next((one for one in item.units if one.unit == target.unit), None)
        factor, offset = (unit.factor, unit.offset) if unit else (None, 0.0)
    if factor is None:
        return None
    plain = item.model_copy(update={"type": "decimal", "precision": None, "units": ()})
    digits = item.precision if item.precision is not None else 0 if item.value_kind == "integer" else 10

    def convert(raw: Any) -> Any:
        """A number in the file's unit, however it is written, in the item's; a missing word as it is."""
        value = parse_value(plain, None, raw)
        return rounded(value * factor + offset, digits) if isinstance(value, float) else value

    return convert


DAY_MONTH = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})(.*)$", re.ASCII | re.DOTALL)
SERIAL = re.compile(r"\d{1,5}(\.\d+)?$", re.ASCII)
EXCEL_DAY_0 = dt.datetime(1899, 12, 30)


def _year_first(raw: Any, order: str) -> Any:
    """A date of another order, or Excel's day number, as the items' rules read dates; anything else as it is."""
    text = str(raw).strip()
    if order == "excel" and SERIAL.match(text):
        at = EXCEL_DAY_0 + dt.timedelta(days=float(text))
        return at.strftime("%Y-%m-%d") if at.time() == dt.time() else at.strftime("%Y-%m-%d %H:%M")
    if order != "excel" and (found := DAY_MONTH.match(text)):
        day, month = (found[1], found[2]) if order == "dmy" else (found[2], found[1])
        return f"{found[3]}-{month}-{day}{found[4]}"
    return raw


class _Layout:
    """What the header says: which column is which fact or item, and what of it cannot be."""

    def __init__(self, study: StudyDefinition, table: Table, mapping: Mapping) -> None:
        self.study = study
        self.table = table
        self.mapping = mapping
        self.facts: dict[str, Source] = mapping.facts()
        self.subject = mapping.subject
        self.problems = [as_problem(fault) for fault in table.faults if fault.row <= 1]
        self.forms = {form.oid: form for form in study.forms}
        self.aims: list[tuple[int, str, list[_Aim]]] = []
        self.constants: list[_Aim] = []
        self.read_header()
        self.only_events = {form.oid: self.only_event(form) for form in study.forms}
        self.places = {name: table.columns.index(source.column) for name, source in self.facts.items()
                       if source.column in table.columns}  # fmt: skip

    def read_header(self) -> None:
        facts = {source.column for source in self.facts.values() if source.column}
        ours = {ROW_COLUMN, PROBLEM_COLUMN} - facts - self.mapping.columns.keys()
        for column in [*facts, *self.mapping.columns, *self.mapping.ignore]:
            if column not in self.table.columns:
                self.refuse(column, "文件中没有该列", "the file has no such column", "检查列名", "check the name")
        for at, column in enumerate(self.table.columns):
            if column in self.mapping.columns:
                self.aim(at, column, self.mapping.columns[column])
            elif column not in facts and column not in self.mapping.ignore and column not in ours:
                self.guess(at, column)
        for name in self.mapping.constants:
            found = self.find(name)
            if found and self.may_be_filled(name, *found):
                self.constants.append(_Aim(self.study, *found, Target(item=name), self.mapping))
            elif not found:
                self.refuse(name, "研究中没有该条目", "the study has no such item", "写 表单.条目", "write FORM.item")

    def aim(self, at: int, column: str, target: Target) -> None:
        found = self.find(target.item)
        if not found:
            zh, en = f"研究中没有条目 {target.item}", f"the study has no item {target.item}"
            self.refuse(column, zh, en, "检查映射", "check the mapping")
            return
        units = [found[1].unit, *(one.unit for one in found[1].units)]
        if target.unit is not None and target.unit not in units:
            known = ", ".join(unit for unit in units if unit) or "-"
            zh, en = f"{target.item} 没有单位“{target.unit}”", f"{target.item} has no unit {target.unit!r}"
            self.refuse(column, zh, en, f"可用:{known}", f"there are: {known}")
        elif self.may_be_filled(column, *found):
            self.aims.append((at, column, [_Aim(self.study, *found, target, self.mapping)]))

    def may_be_filled(self, column: str, form: Form, item: Item) -> bool:
        name = f"{form.oid}.{item.name}"
        if not item.is_entered:
            zh, en = f"{name} 由系统计算", f"{name} is derived, not entered"
        elif item.type in ("file", "series"):
            zh, en = f"{name} 是文件或影像,不能用表格导入", f"{name} is a file or images: no table can bring it"
        elif item.type == "group":
            zh, en = f"{name} 是重复组", f"{name} is a repeating group"
            self.refuse(column, zh, en, "映射到组内条目", "map the column to an item inside it")
            return False
        else:
            return True
        self.refuse(column, zh, en, "请加入 ignore", "put the column under `ignore`")
        return False

    def guess(self, at: int, column: str) -> None:
        """A column that bears an item's name; without a form in the row, only one form may have that name."""
        options = self.named(column)
        entered = [(form, item, row) for form, item, row in options if item.is_entered]
        if not entered:
            zh, en = (
                ("该列由系统计算", "the column is derived") if options else ("没有对应的条目", "no item has this name")
            )
            self.refuse(column, zh, en, "在映射中指定,或加入 ignore", "map it, or put it under `ignore`")
        elif len(entered) > 1 and self.mapping.form is None:
            names = ", ".join(f"{form.oid}.{item.name}" for form, item, _ in entered)
            zh, en = f"多个表单有此条目:{names}", f"several forms have it: {names}"
            self.refuse(column, zh, en, "写 表单.条目", "write FORM.item")
        elif all(self.may_be_filled(column, form, item) for form, item, _ in entered):
            aims = [
                _Aim(self.study, form, item, Target(item=f"{form.oid}.{item.name}", row=row), self.mapping)
                for form, item, row in entered
            ]
            self.aims.append((at, column, aims))

    def named(self, column: str) -> list[tuple[Form, Item, int | None]]:
        """The items that a column's name says: `albumin`, `LB.albumin`, `meds[2].dose`, `CM.meds[2].dose`."""
        nested = NESTED.match(column)
        if nested:
            place = address(nested[2])
            forms = [form for form in self.study.forms if nested[1] in (None, form.oid)]
            return [
                (form, form.questions[place.item], place.row)
                for form in forms
                if place and form.group_of.get(place.item) == place.name
            ]
        found = self.find(column)
        if found:
            return [(*found, None)]
        return [(form, form.questions[column], None) for form in self.study.forms if column in form.questions]

    def find(self, name: str) -> tuple[Form, Item] | None:
        oid, _, item = name.partition(".")
        form = self.forms.get(oid)
        known = {**form.items, **form.questions} if form else {}
        return (form, known[item]) if form and item in known else None

    def only_event(self, form: Form) -> str:
        events = [event.oid for event in self.study.events if form.oid in event.forms]
        return events[0] if len(events) == 1 else ""

    def refuse(self, column: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        self.problems.append(Problem(1, column, zh, en, remedy_zh, remedy_en))


class _Reader:
    """One batch of rows. The inner loop runs once for each cell of the file: it is written to be short."""

    def __init__(self, layout: _Layout, faults: dict[int, list[BadTable]]) -> None:
        self.layout = layout
        self.mapping = layout.mapping
        self.faults = faults
        self.clears = layout.mapping.empty == "clear"
        self.problems: list[Problem] = []
        self.records: dict[Key, Incoming] = {}
        self.counters: dict[tuple[Key, str], int] = {}

    def read_row(self, row: Row) -> None:
        texts = row.texts
        faults = self.faults.get(row.number, ())
        self.problems += [as_problem(fault) for fault in faults]
        facts = self.facts(texts)
        if not facts.get("subject"):
            column = self.mapping.subject.column or "subject"
            self.refuse(row, column, "缺少受试者", "names no subject", "填写受试者编号", "fill in the subject")
            return
        counts = [self.counted(row, facts, name) for name in ("repeat", "number", "row")]
        if None in counts or not self.names_a_form(row, facts.get("form", "")):
            return
        repeat, number, group_row = (count or 0 for count in counts)
        by_form = self.cells(row, texts, facts.get("form", ""), {fault.column for fault in faults})
        if not by_form and facts.get("visited_on"):
            by_form[facts.get("form", "")] = []
        for form, cells in by_form.items():
            event = facts.get("event") or self.layout.only_events.get(form, "")
            if not event:
                zh, en = f"未指明表单{form}的访视", f"does not say at which event {form} was filled"
                self.refuse(row, "", zh, en, "加 event 列,或在映射中写 event", "add a column `event`, or map `event`")
                return
            place = (form, number) if cells else ("", 1)
            key = Key(facts.get("site", ""), facts["subject"], event, repeat or 1, *place)
            self.put(key, row, facts, cells, group_row)

    def facts(self, texts: list[str]) -> dict[str, str]:
        found = {}
        for name, source in self.layout.facts.items():
            at = self.layout.places.get(name)
            text = (source.value or "") if at is None else texts[at]
            found[name] = source.values.get(text, text) if source.values else text
        return found

    def counted(self, row: Row, facts: dict[str, str], name: str) -> int | None:
        """A count of the row; 0 where it says none, None where it cannot be read."""
        text = facts.get(name) or ""
        limit = MOST_ROWS if name == "row" else MOST_REPEATS
        if not text:
            return 0 if name == "row" else 1
        if text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= limit:
            return int(text)
        zh, en = f"{name} 应为 1 起的整数", f"{name} is a whole number from 1"
        self.refuse(row, self.column_of(name), zh, en, "请改正", "correct it")
        return None

    def column_of(self, fact: str) -> str:
        source = self.layout.facts.get(fact)
        return (source.column if source else None) or fact

    def names_a_form(self, row: Row, form: str) -> bool:
        if not form or form in self.layout.forms:
            return True
        known = ", ".join(self.layout.forms)
        self.refuse(row, self.column_of("form"), f"没有表单“{form}”", f"there is no form {form!r}",
                    f"可用:{known}", f"there are: {known}")  # fmt: skip
        return False

    def cells(
        self, row: Row, texts: list[str], form_of_row: str, bad: set[str]
    ) -> dict[str, list[tuple[_Aim, Cell]]]:  # fmt: skip
        """Every answer of the row by form; a row that names its form may fill only that."""
        found: dict[str, list[tuple[_Aim, Cell]]] = {}
        clears, number = self.clears, row.number
        for at, column, aims in self.layout.aims:
            text = texts[at]
            if (not text and not clears) or (bad and column in bad):
                continue
            aim = aims[0] if len(aims) == 1 and not form_of_row else self.aim_of(row, column, aims, form_of_row, text)
            if aim is None:
                continue
            value = aim.known[text] if text in aim.known else aim.remembered(text)
            if value.__class__ is BadValue:
                self.refuse_cell(row, column, aim.item, value)
            elif value is not None or clears:
                if aim.form in found:
                    found[aim.form].append((aim, Cell(value, number, column)))
                else:
                    found[aim.form] = [(aim, Cell(value, number, column))]
        for aim in self.layout.constants:
            if aim.form in found:
                self.add_constant(row, aim, found[aim.form])
        return found

    def aim_of(self, row: Row, column: str, aims: list[_Aim], form: str, text: str) -> _Aim | None:
        aim = next((one for one in aims if not form or one.form == form), None)
        if aim is None and text and text not in self.mapping.missing:
            self.refuse(row, column, f"表单{form}没有该条目", f"form {form} has no such item",
                        "清空该格", "empty the cell")  # fmt: skip
        return aim

    def add_constant(self, row: Row, aim: _Aim, cells: list[tuple[_Aim, Cell]]) -> None:
        try:
            value = aim.read(self.mapping.constants[aim.target.item])
        except BadValue as wrong:
            self.refuse_cell(row, "", aim.item, wrong)
            return
        if value is not None:
            cells.append((aim, Cell(value, row.number, "")))

    def put(
        self, key: Key, row: Row, facts: dict[str, str], cells: Iterable[tuple[_Aim, Cell]], group_row: int
    ) -> None:
        record = self.records.get(key)
        if record is None:
            record = self.records[key] = Incoming(key, row.number)
        record.rows.add(row.number)
        for name in ("group", "enrolled_on", "visited_on"):
            if text := facts.get(name, ""):
                self.note(record, name, text, row)
        stored = record.cells
        counted: dict[str, int] = {}
        for aim, cell in cells:
            name = aim.item.name
            if aim.group:
                name = f"{aim.group}[{self.row_number(key, aim, group_row, counted)}].{name}"
            before = stored.setdefault(name, cell)
            if before is not cell and before.value != cell.value:
                zh, en = f"与第{before.row}行的值不同", f"differs from the value in row {before.row}"
                self.refuse(row, cell.column, zh, en, "保留其中一行", "keep one of the rows")

    def row_number(self, key: Key, aim: _Aim, said: int, counted: dict[str, int]) -> int:
        """Which row of the group: as the column or the row of the file says, else the next one of this record."""
        if aim.row or said:
            return aim.row or said
        if aim.group not in counted:
            self.counters[key, aim.group] = self.counters.get((key, aim.group), 0) + 1
            counted[aim.group] = self.counters[key, aim.group]
        return counted[aim.group]

    def note(self, record: Incoming, name: str, text: str, row: Row) -> None:
        before = getattr(record, name)
        if not before:
            setattr(record, name, text)
        elif before != text:
            self.refuse(row, self.column_of(name), f"与第{record.row}行的值不同", f"differs from row {record.row}",
                        "保留其中一行", "keep one of the rows")  # fmt: skip

    def refuse_cell(self, row: Row, column: str, item: Item, wrong: BadValue) -> None:
        zh, en = f"{item.label.zh}:{wrong.zh}", f"{item.label.en}: {wrong.en}"
        self.refuse(row, column, zh, en, "改正该格", "correct the cell")

    def refuse(self, row: Row, column: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        self.problems.append(Problem(row.number, column, zh, en, remedy_zh, remedy_en))
