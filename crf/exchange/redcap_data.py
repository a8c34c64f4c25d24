"""Records of a REDCap project, as its CSV export (raw headers) or inside its project XML, as records of a study.

Every value is read by its item's rules. A checkbox is one column per choice, and one answer here; `<form>_complete` is
REDCap's own status of a form. What a file says and an import cannot take is a problem, or a note where it does no harm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from crf.definitions.incoming import PROBLEM_COLUMN, ROW_COLUMN, Cell, Incoming, Key, Problem, Reading
from crf.definitions.model import MOST_REPEATS, Event, Form, Item, StudyDefinition
from crf.definitions.tables import BadTable, Row, Table, read_table
from crf.definitions.values import BadValue, missing, parse_value

from .loss import refused
from .numbers import read_whole
from .redcap_fields import choices
from .redcap_parts import unique_group
from .redcap_project import REDCAP, project_root
from .redcap_write import instruments
from .xml_tree import Node

EVENT, INSTRUMENT, INSTANCE, GROUP = (
    "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance", "redcap_data_access_group",
)  # fmt: skip
# Columns that hold no answer: REDCap's own, and those of our file of refused rows.
OWN = frozenset([EVENT, INSTRUMENT, INSTANCE, GROUP, "redcap_survey_identifier", ROW_COLUMN, PROBLEM_COLUMN])
TICKED = {"1": True, "checked": True, "0": False, "unchecked": False, "": False}
STATUS = {"0": 0, "incomplete": 0, "1": 1, "unverified": 1, "2": 2, "complete": 2}
# Labels of missing data codes that say more than "unknown".
MISSING_WORDS = (
    ("not_done", r"not done|not asked|not performed|not collected|nask|未做|未查"),
    ("not_applicable", r"not applicable|n/a|does not apply|不适用"),
)


@dataclass
class RedcapReading(Reading):
    """A reading; `values` counts the answers that the file gives, `status` REDCap's status of each form (0, 1, 2).

    `notes` are said and refuse nothing, such as calculated values, which the system works out itself.
    """

    notes: list[Problem] = field(default_factory=list)
    values: int = 0
    status: dict[Key, int] = field(default_factory=dict)


def read_redcap_data(content: bytes, study: StudyDefinition, *, file: str = "") -> RedcapReading:
    """The records of a REDCap export for `study`: CSV with raw headers, or project XML with data.

    Raises DefinitionErrors for a file that cannot be read at all; else every fault is a problem with its row.
    """
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or content[:40].decode("utf-16", "ignore").startswith(
        "<"
    ):
        return _XmlRecords(study, content, file or "project.xml").read()
    try:
        table = read_table(content)
    except BadTable as bad:
        raise refused(
            file or "data.csv", bad.row or 1, bad.column, bad.zh, bad.en, bad.remedy_zh, bad.remedy_en
        ) from bad
    return _CsvRecords(study, table).read()


@dataclass(frozen=True)
class Column:
    """What one REDCap column holds: an answer, the tick of one choice, a form's status, or nothing that is taken."""

    form: Form
    kind: Literal["value", "tick", "status", "derived", "label"]
    item: Item | None = None
    group: str = ""
    code: str = ""


class Layout:
    """Every column that a REDCap export of the study can have, by name; and its events as REDCap calls them."""

    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.columns: dict[str, Column] = {}
        self.instruments: dict[str, tuple[Form, str]] = {}
        for place in instruments(study):
            group = place.section.rows.name if place.section.rows else ""
            self.instruments.setdefault(place.instrument, (place.form, group))
            self.columns.setdefault(f"{place.instrument}_complete", Column(place.form, "status"))
            self.add(place.variable, place.form, place.item, group)
        self.record_id = study.alias.get("redcap:record_id", "record_id")
        self.missing = {code: _reason(label) for code, label in choices(study.alias.get("redcap:missing", ""))}
        self.events: dict[str, Event] = {}
        for event in study.events:
            for name in (event.alias.get("redcap", ""), event.oid, event.name.en, event.name.zh):
                self.events.setdefault(name.lower(), event)

    def add(self, variable: str, form: Form, item: Item, group: str) -> None:
        if item.type == "choices":
            codelist = self.study.codelist(item)
            for code in codelist.codes() if codelist else ():
                self.columns[f"{variable}___{spelt(code)}"] = Column(form, "tick", item, group, code)
            for code, _label in choices(self.study.alias.get("redcap:missing", "")):
                self.columns.setdefault(f"{variable}___{spelt(code)}", Column(form, "tick", item, group, f"?{code}"))
        else:
            kind = {"derived": "derived", "label": "label"}.get(item.type, "value")
            self.columns[variable] = Column(form, kind, item, group)  # type: ignore[arg-type]

    def event(self, name: str) -> Event | None:
        """By its unique name, or as a labelled export writes it: `Visit 1 (Arm 1: Drug A)`."""
        plain = re.sub(r"\s*\(arm \d+:.*\)$", "", name.strip(), flags=re.IGNORECASE)
        return self.events.get(name.strip().lower()) or self.events.get(plain.lower())


def spelt(code: str) -> str:
    """A choice's code as the end of a column's name."""
    return re.sub(r"[^a-z0-9]", "_", code.lower())


def _reason(label: str) -> tuple[str, str]:
    return next((kind for kind, words in MISSING_WORDS if re.search(words, label, re.IGNORECASE)), "unknown"), label


# The ticks of one checkbox: its column, the name of the first one ticked, the codes, and the row.
Ticks = dict[tuple[str, str], tuple[Column, str, list[str], int]]


@dataclass
class Answer:
    text: str
    row: int


@dataclass
class Where:
    """The record that a row, or a FormData, speaks of."""

    site: str
    subject: str
    event: Event
    repeat: int
    number: int
    form: Form
    rows: str = ""


class _Records:
    """Puts answers into records; the two readers below only say where each stands."""

    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.layout = Layout(study)
        self.records: dict[Key, Incoming] = {}
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.status: dict[Key, int] = {}
        self.values = 0
        self.left: Counter[tuple[str, str]] = Counter()

    def refuse(self, row: int, column: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        self.problems.append(Problem(row, column, zh, en, remedy_zh, remedy_en))

    def reading(self, rows: int, encoding: str) -> RedcapReading:
        for (column, why), count in self.left.items():
            zh, en = LEFT[why]
            self.notes.append(Problem(0, column, f"{zh}({count}个值)", f"{en} ({count} values)", "", ""))
        return RedcapReading(
            rows, encoding, list(self.records.values()), self.problems, self.notes, self.values, self.status
        )

    def site(self, name: str) -> str:
        """The site of a data access group; the only one where the study has one."""
        if not name:
            return self.study.sites[0].code if len(self.study.sites) == 1 else ""
        for site in self.study.sites:
            if name in (site.code, site.name.en, site.name.zh, unique_group(site.name.en)):
                return site.code
        return name

    def key(self, where: Where) -> Key:
        number = where.number if where.form.repeating else 1
        return Key(where.site, where.subject, where.event.oid, where.repeat, where.form.oid, number)

    def put(self, where: Where, answers: Mapping[str, Answer]) -> None:
        """All that one row says of one form."""
        ticks: Ticks = {}
        for name, answer in answers.items():
            column = self.layout.columns[name]
            if column.kind == "status":
                self.take_status(where, answer)
            elif column.kind == "tick":
                self.tick(ticks, name, column, answer)
            elif answer.text:
                self.values += 1
                self.take(where, name, column, answer)
        for column, first, codes, row in ticks.values():
            self.take_ticks(where, first, column, codes, row)

    def take_status(self, where: Where, answer: Answer) -> None:
        status = STATUS.get(answer.text.lower())
        if status is not None:
            self.status[self.key(where)] = status

    def tick(self, ticks: Ticks, name: str, column: Column, answer: Answer) -> None:
        ticked = TICKED.get(answer.text.lower())
        if ticked is None:
            self.refuse(
                answer.row,
                name,
                f"“{answer.text[:40]}”不是 0 或 1",
                f"{answer.text[:40]!r} is neither 0 nor 1",
                "导出原始数据(raw data)",
                "export the raw data",
            )
        elif ticked:
            self.values += 1
            assert column.item is not None
            place = column.group, column.item.name
            ticks.setdefault(place, (column, name, [], answer.row))[2].append(column.code)

    def take_ticks(self, where: Where, name: str, column: Column, codes: list[str], row: int) -> None:
        absent = [code[1:] for code in codes if code.startswith("?")]
        assert column.item is not None
        codelist = self.study.codelist(column.item)
        value: Any = parse_value(column.item, codelist, [code for code in codes if not code.startswith("?")])
        if absent:
            value = missing(*self.layout.missing[absent[0]])
        self.store(where, name, column, value, row)

    def take(self, where: Where, name: str, column: Column, answer: Answer) -> None:
        item = column.item
        assert item is not None
        if column.kind in ("derived", "label"):
            self.left[name, column.kind] += 1
            return
        if item.type in ("file", "series"):
            self.left[name, "file"] += 1
            return
        if answer.text in self.layout.missing and not self.is_code(item, answer.text):
            self.store(where, name, column, missing(*self.layout.missing[answer.text]), answer.row)
            return
        try:
            value = parse_value(item, self.study.codelist(item), as_written(item, answer.text))
        except BadValue as bad:
            self.refuse(answer.row, name, f"{item.label.zh}:{bad.zh}", f"{item.label.en}: {bad.en}",
                        "改正该值", "correct the value")  # fmt: skip
            return
        if value is not None:
            self.store(where, name, column, value, answer.row)

    def is_code(self, item: Item, text: str) -> bool:
        codelist = self.study.codelist(item)
        return codelist is not None and codelist.choice(text) is not None

    def store(self, where: Where, name: str, column: Column, value: Any, row: int) -> None:
        key = self.key(where)
        record = self.records.get(key)
        if record is None:
            group = where.event.groups[0] if len(where.event.groups) == 1 else ""
            record = self.records[key] = Incoming(key, row, group=group)
        record.rows.add(row)
        assert column.item is not None
        place = f"{column.group}[{where.number}].{column.item.name}" if column.group else column.item.name
        before = record.cells.get(place)
        if before is not None and before.value != value:
            self.refuse(row, name, f"与第{before.row}行的值不同", f"differs from the value in row {before.row}",
                        "保留其中一行", "keep one of the rows")  # fmt: skip
            return
        record.cells[place] = Cell(value, row, name)

    def number(self, text: str, row: int, column: str) -> int | None:
        if not text:
            return 1
        number = read_whole(text)
        if number is not None and 1 <= number <= MOST_REPEATS:
            return number
        self.refuse(
            row, column, f"“{text[:20]}”不是 1 起的序号", f"{text[:20]!r} is no number from 1", "请改正", "correct it"
        )
        return None

    def only_event(self, form: Form) -> Event | None:
        found = [event for event in self.study.events if form.oid in event.forms]
        return found[0] if len(found) == 1 else None


LEFT = {
    "derived": ("由系统计算,不导入", "calculated here, not imported"),
    "label": ("说明文字没有值", "a text that is only shown has no value"),
    "file": ("文件本身不在数据导出中,请另行上传", "a file is not part of the data; upload it to its item"),
}


def as_written(item: Item, text: str) -> str:
    """A value in REDCap's spelling as ours: the decimal comma of `…_comma_decimal`."""
    if item.value_kind == "decimal" and item.alias.get("redcap:validation", "").endswith("comma_decimal"):
        return text.replace(",", ".")
    return text


class _CsvRecords(_Records):
    def __init__(self, study: StudyDefinition, table: Table) -> None:
        super().__init__(study)
        self.table = table
        self.problems += [
            Problem(fault.row, fault.column, fault.zh, fault.en, fault.remedy_zh, fault.remedy_en)
            for fault in table.faults
        ]
        self.bad = {(fault.row, fault.column) for fault in table.faults}

    def read(self) -> RedcapReading:
        if self.header_is_ours():
            for row in self.table.rows:
                self.read_row(row)
        return self.reading(len(self.table.rows), self.table.encoding)

    def header_is_ours(self) -> bool:
        columns = self.table.columns
        if self.layout.record_id not in columns:
            self.refuse(
                1, self.layout.record_id, f"没有记录编号列“{self.layout.record_id}”",
                f"there is no column {self.layout.record_id!r} for the record's id",
                "导出原始数据(CSV / Microsoft Excel, raw data),并确认是同一项目",
                "export “CSV / Microsoft Excel (raw data)”, and check that it is the same project",
            )  # fmt: skip
            return False
        unknown = [name for name in columns if name not in self.layout.columns and name not in OWN
                   and name != self.layout.record_id and not name.endswith("_timestamp")]  # fmt: skip
        for name in unknown:
            self.refuse(1, name, "研究中没有该字段", "the study has no such field", "删除该列,或核对研究版本",
                        "remove the column, or check the version of the study")  # fmt: skip
        return not unknown

    def read_row(self, row: Row) -> None:
        cells = {name: text for name, text in row.cells.items() if (row.number, name) not in self.bad}
        subject = cells.get(self.layout.record_id, "")
        if not subject:
            self.refuse(row.number, self.layout.record_id, "缺少记录编号", "has no record id", "请填写", "fill it in")
            return
        instance = self.number(cells.get(INSTANCE, ""), row.number, INSTANCE)
        event, sound = self.event_of(row.number, cells.get(EVENT, ""))
        repeated, known = self.instrument_of(row.number, cells.get(INSTRUMENT, ""))
        if instance is None or not sound or not known:
            return
        site = self.site(cells.get(GROUP, ""))
        for form, group, answers in self.by_form(row.number, cells):
            if repeated is not None and (form.oid, group) != (repeated[0].oid, repeated[1]):
                self.stray(row.number, answers, form)
                continue
            where = self.where(site, subject, event, instance, form, group, repeated is not None)
            if where is None:
                self.stray(row.number, answers, form)
                continue
            self.put(where, answers)

    def stray(self, row: int, answers: Mapping[str, Answer], form: Form) -> None:
        """Answers of a form that this row cannot hold; nothing where the row only repeats the record's id."""
        for name, answer in answers.items():
            own = name == self.layout.record_id or self.layout.columns[name].kind == "status"
            if not own and TICKED.get(answer.text.lower(), True):
                self.refuse(row, name, f"该行的访视没有表单{form.oid}", f"this row's event has no form {form.oid}",
                            "清空该格", "empty the cell")  # fmt: skip

    def event_of(self, row: int, name: str) -> tuple[Event | None, bool]:
        if not name:
            return None, True
        event = self.layout.event(name)
        if event is None:
            known = ", ".join(one.alias.get("redcap", one.oid) for one in self.study.events)
            self.refuse(row, EVENT, f"没有访视“{name[:60]}”", f"there is no event {name[:60]!r}",
                        f"可用:{known}", f"there are: {known}")  # fmt: skip
        return event, event is not None

    def instrument_of(self, row: int, name: str) -> tuple[tuple[Form, str] | None, bool]:
        if not name:
            return None, True
        found = self.layout.instruments.get(name) or next(
            ((form, group) for form, group in self.layout.instruments.values() if name in (form.name.en, form.name.zh)),
            None,
        )
        if found is None:
            known = ", ".join(self.layout.instruments)
            self.refuse(
                row,
                INSTRUMENT,
                f"没有表单“{name[:60]}”",
                f"there is no instrument {name[:60]!r}",
                f"可用:{known}",
                f"there are: {known}",
            )
        return found, found is not None

    def by_form(self, number: int, cells: Mapping[str, str]) -> list[tuple[Form, str, dict[str, Answer]]]:
        """The row's answers by form and repeating group, in the order of its columns."""
        found: dict[tuple[str, str], tuple[Form, dict[str, Answer]]] = {}
        for name, text in cells.items():
            column = self.layout.columns.get(name)
            if column is not None and text:
                entry = found.setdefault((column.form.oid, column.group), (column.form, {}))
                entry[1][name] = Answer(text, number)
        return [(form, group, answers) for (_oid, group), (form, answers) in found.items()]

    def where(
        self, site: str, subject: str, event: Event | None, instance: int, form: Form, group: str, repeated: bool
    ) -> Where | None:
        place = event or self.only_event(form)
        if place is None or form.oid not in place.forms:
            return None
        if repeated:
            return Where(site, subject, place, 1, instance, form, group)
        return Where(site, subject, place, instance, 1, form, group)


class _XmlRecords(_Records):
    def __init__(self, study: StudyDefinition, content: bytes, file: str) -> None:
        super().__init__(study)
        self.content = content
        self.file = file
        self.subjects = 0

    def read(self) -> RedcapReading:
        root = project_root(self.content, self.file, self.read_subject)
        if not self.subjects:
            raise refused(
                self.file, root.line, "", "项目 XML 不含数据", "the project XML holds no data",
                "导出“metadata and data”", "export “metadata and data”",
            )  # fmt: skip
        return self.reading(self.subjects, "xml")

    def read_subject(self, node: Node) -> None:
        self.subjects += 1
        key = node.get("SubjectKey")
        groups = {one.get("Value") for one in _all(node, "ItemData") if one.get("ItemOID") == GROUP}
        site = self.site(next(iter(groups), ""))
        for event_node in node.all("StudyEventData"):
            name = event_node.get(f"{REDCAP}UniqueEventName") or event_node.get("StudyEventOID").removeprefix("Event.")
            event = self.layout.event(name)
            repeat = self.number(event_node.get("StudyEventRepeatKey"), event_node.line, "StudyEventRepeatKey")
            if event is None:
                self.refuse(event_node.line, EVENT, f"没有访视“{name[:60]}”", f"there is no event {name[:60]!r}",
                            "核对研究版本", "check the version of the study")  # fmt: skip
            elif repeat is not None:
                for form_node in event_node.all("FormData"):
                    self.read_form(site, key, event, repeat, form_node)
        for form_node in node.all("FormData"):
            self.read_form(site, key, None, 1, form_node)

    def read_form(self, site: str, subject: str, event: Event | None, repeat: int, node: Node) -> None:
        name = node.get("FormOID").removeprefix("Form.")
        form, group = self.layout.instruments.get(name, (None, ""))
        place = event or (self.only_event(form) if form else None)
        number = self.number(node.get("FormRepeatKey"), node.line, "FormRepeatKey")
        if form is None or place is None or form.oid not in place.forms:
            self.refuse(
                node.line,
                name,
                f"研究的该访视没有表单“{name}”",
                f"the study has no form {name!r} at this event",
                "核对研究版本",
                "check the version of the study",
            )
        elif number is not None:
            answers = {}
            for item in _all(node, "ItemData", "ItemDataBase64Binary"):
                answer = self.answer(item)
                if answer is not None:
                    answers[item.get("ItemOID")] = answer
            self.put(Where(site, subject, place, repeat, number, form, group), answers)

    def answer(self, item: Node) -> Answer | None:
        name, text = item.get("ItemOID"), item.get("Value")
        if item.tag == "ItemDataBase64Binary":
            text = item.get(f"{REDCAP}DocName") or "file"
        if name in OWN or not text.strip():
            return None
        if name not in self.layout.columns:
            self.refuse(item.line, name, "研究中没有该字段", "the study has no such field", "核对研究版本",
                        "check the version of the study")  # fmt: skip
            return None
        return Answer(text.strip(), item.line)


def _all(node: Node, *tags: str) -> list[Node]:
    found: list[Node] = []
    for child in node.children:
        found += [child] if child.tag in tags else _all(child, *tags)
    return found
