"""Clinical data in ODM as the records of a study: snapshot or transactional, typed or untyped, ODM 1.3 or 2.0.

Subjects are read one by one, so that only their answers stay in memory. Every value of the file becomes a cell, a
problem that names subject, event, form and item, or a note on why it is not stored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crf.definitions.incoming import Cell, Incoming, Key, Problem, Reading
from crf.definitions.model import MOST_REPEATS, Event, Form, Item, Section, StudyDefinition
from crf.definitions.rehearse import rounded
from crf.definitions.rows import MOST_ROWS, Address
from crf.definitions.values import MISSING, BadValue, missing, parse_value

from . import odm_oids
from .loss import refused
from .numbers import read_whole
from .odm_file import version_of
from .odm_metadata import Metadata13, value_of
from .odm_notes import MISSING_LIST
from .odm_rules import ANSWERS
from .xml_tree import Node, read_xml

MOST_PROBLEMS = 5_000
PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?-*$", re.ASCII)
CLOCK = re.compile(r"(.*?\d\d?:\d\d)(?::(\d\d(?:\.\d+)?))?(Z|[+-]\d\d:?\d\d)?$", re.ASCII)
FRAME = ("AuditRecord", "Signature", "Annotation", "InvestigatorRef", "ArchiveLayoutRef")
FRAMES = {
    "AuditRecord": ("稽查记录", "audit records; the import writes its own"),
    "Signature": ("签名", "signatures; a record is signed here by who answers for it"),
    "Annotation": ("注释", "annotations"),
    "InvestigatorRef": ("研究者", "investigators"),
    "ArchiveLayoutRef": ("版式", "layouts"),
}


@dataclass
class OdmReading(Reading):
    """A reading with what does not refuse (`notes`), and how many item values the file holds (`values`)."""

    notes: list[Problem] = field(default_factory=list)
    values: int = 0


@dataclass(frozen=True)
class Place:
    """Where in the file a value stands, in its own words."""

    subject: str
    event: str = ""
    form: str = ""
    group: str = ""

    def column(self, item: str = "") -> str:
        return "/".join(part for part in (self.event, self.form, self.group, item) if part)


def read_odm_data(content: bytes, study: StudyDefinition, *, file: str = "") -> OdmReading:
    """The records that an ODM file brings to `study`; rows of problems are lines of the file.

    Raises DefinitionErrors (one) for a file that is no ODM, is broken or hostile, holds no clinical data, or holds
    that of another study.
    """
    reader = _Reader(study)
    name = file or "ODM"
    root = read_xml(content, file=name, taken={"SubjectData": reader.take})
    version_of(root, name)
    if not reader.subjects:
        if reader.others:
            others = ", ".join(sorted(reader.others))
            raise refused(
                name,
                root.line,
                "ClinicalData/@StudyOID",
                f"文件是研究 {others} 的数据,不是 {reader.oids.study_oid}",
                f"the data are of study {others}, not of {reader.oids.study_oid}",
                "选择该研究的文件",
                "choose this study's file",
            )
        raise refused(
            name,
            root.line,
            "ClinicalData",
            "文件中没有受试者数据",
            "the file holds no subject's data",
            "若为研究定义,请用 import_study 导入",
            "if it defines a study, import it with import_study",
        )
    return reader.reading()


class _Reader:
    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.oids = Metadata13(study)
        self.events = _both({self.oids.events[event.oid]: event for event in study.events}, study.events)
        self.forms = _both({self.oids.forms[form.oid]: form for form in study.forms}, study.forms)
        self.layouts = {form.oid: _Layout(study, self.oids, form) for form in study.forms}
        self.sites = {odm_oids.site_oid(site.code): site.code for site in study.sites}
        self.records: dict[Key, Incoming] = {}
        self.problems: list[Problem] = []
        self.unsaid = 0
        self.notes: list[Problem] = []
        self.frames: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.versions: set[str] = set()
        self.subjects = 0
        self.values = 0

    def reading(self) -> OdmReading:
        if self.unsaid:
            self.problems.append(
                Problem(
                    0,
                    "",
                    f"另有 {self.unsaid} 处问题",
                    f"{self.unsaid} more problems",
                    "先解决以上问题",
                    "solve those above first",
                )
            )
        for tag, count in sorted(self.frames.items()):
            zh, en = FRAMES[tag]
            self.note(0, tag, f"{count} 条{zh}不导入", f"{count} {en}; not imported")
        for oid, count in sorted(self.others.items()):
            self.note(
                0,
                "ClinicalData/@StudyOID",
                f"另一研究 {oid} 的 {count} 名受试者不导入",
                f"{count} subjects of another study, {oid}, are not imported",
            )
        return OdmReading(self.subjects, "xml", list(self.records.values()), self.problems, self.notes, self.values)

    def problem(self, line: int, place: Place, item: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        if len(self.problems) >= MOST_PROBLEMS:
            self.unsaid += 1
            return
        zh, en = f"受试者 {place.subject}:{zh}", f"subject {place.subject}: {en}"
        self.problems.append(Problem(line, place.column(item), zh, en, remedy_zh, remedy_en))

    def note(self, line: int, column: str, zh: str, en: str) -> None:
        if len(self.notes) < MOST_PROBLEMS:
            self.notes.append(Problem(line, column, zh, en, "", ""))

    # The frame around the values

    def take(self, node: Node, around: list[Node]) -> None:
        """Read one SubjectData, which is then forgotten."""
        clinical = around[-1]
        if clinical.tag != "ClinicalData":
            return
        if clinical.get("StudyOID") not in (self.oids.study_oid, self.study.code):
            self.others[clinical.get("StudyOID")] += 1
            return
        self.subjects += 1
        version = clinical.get("MetaDataVersionOID")
        if version not in self.versions and version != self.oids.version_oid:
            self.note(
                clinical.line,
                "ClinicalData/@MetaDataVersionOID",
                f"数据按版本 {version} 录入,现按 {self.study.version} 读取",
                f"entered under version {version}, read by {self.study.version}",
            )
        self.versions.add(version)
        subject = node.get("SubjectKey").strip()
        place = Place(subject)
        if not subject:
            self.problem(node.line, place, "SubjectKey", "缺少受试者编号", "has no SubjectKey", "补充", "fill it in")
        elif self.stays(node, place):
            self.subject(node, place)

    def stays(self, node: Node, place: Place) -> bool:
        """False, with a problem, where the file asks to remove what stands here."""
        self.frames.update(child.tag for child in node.children if child.tag in FRAME)
        if node.get("TransactionType") != "Remove":
            return True
        self.problem(
            node.line,
            place,
            "",
            "文件要求删除;导入不删除记录",
            "the file asks to remove this; imports remove no record",
            "在系统中处理该记录",
            "deal with the record in the system",
        )
        return False

    def subject(self, node: Node, place: Place) -> None:
        site_ref = node.first("SiteRef")
        location = site_ref.get("LocationOID") if site_ref else ""
        short = odm_oids.site_code(location)
        known = short if short in self.sites.values() else location.removeprefix("LOC.")
        site = self.sites.get(location, known)
        counts = _Keys()
        for data in node.all("StudyEventData"):
            oid = data.get("StudyEventOID")
            here = Place(place.subject, oid)
            event = self.events.get(oid)
            if event is None:
                self.unknown(data, here, "访视", "event", oid, [one.oid for one in self.study.events])
            elif self.stays(data, here):
                repeat = self.counted(data, here, "StudyEventRepeatKey", counts, (oid,), event.kind != "scheduled")
                if repeat:
                    self.event(data, here, event, Key(site, place.subject, event.oid, repeat, "", 1), counts)

    def event(self, node: Node, place: Place, event: Event, key: Key, counts: _Keys) -> None:
        for data in node.all("FormData", "ItemGroupData"):
            two = data.tag == "ItemGroupData"  # ODM 2: a form is a group of groups
            oid = data.get("ItemGroupOID" if two else "FormOID")
            here = Place(place.subject, place.event, oid)
            form = self.forms.get(oid)
            if form is None:
                self.unknown(data, here, "表单", "form", oid, [one.oid for one in self.study.forms])
                continue
            attribute = "ItemGroupRepeatKey" if two else "FormRepeatKey"
            scope = (place.event, str(key.repeat), oid)
            if not self.stays(data, here):
                continue
            number = self.counted(data, here, attribute, counts, scope, form.repeating)
            if form.oid not in event.forms:
                self.problem(
                    data.line,
                    here,
                    "",
                    f"访视{event.oid}没有表单{form.oid}",
                    f"{event.oid} has no form {form.oid}",
                    "检查研究定义",
                    "see the study's definition",
                )
            elif number:
                self.form(data, here, form, Key(key.site, key.subject, key.event, key.repeat, form.oid, number))

    def counted(
        self, node: Node, place: Place, attribute: str, counts: _Keys, scope: tuple[str, ...], many: bool
    ) -> int:
        """The repeat that a key stands for; 0, with a problem, where there can't be one."""
        raw = node.get(attribute)
        number = counts.number(scope, raw)
        if number > (MOST_REPEATS if many else 1):
            self.problem(
                node.line,
                place,
                attribute,
                f"{attribute}={raw}:此处不能重复",
                f"{attribute}={raw}: this does not repeat",
                "合并重复,或在研究定义中允许重复",
                "merge the repeats, or let the definition repeat it",
            )
            return 0
        return number

    def unknown(self, node: Node, place: Place, zh: str, en: str, oid: str, known: list[str]) -> None:
        self.values += sum(1 for _value in _values(node))
        options = ", ".join(known[:20])
        self.problem(
            node.line,
            place,
            "",
            f"研究中没有{zh}“{oid}”",
            f"the study has no {en} {oid!r}",
            f"可用:{options}",
            f"there are: {options}",
        )

    # Values

    def form(self, node: Node, place: Place, form: Form, key: Key) -> None:
        layout = self.layouts[form.oid]
        counts = _Keys()
        direct = node.tag == "ItemGroupData" and any(True for _value in _items(node))
        for data in [*([node] if direct else []), *_groups(node)]:
            oid = data.get("ItemGroupOID")
            here = Place(place.subject, place.event, place.form, oid)
            section = layout.sections.get(oid)
            row = counts.number((oid,), data.get("ItemGroupRepeatKey"), most=MOST_ROWS)
            rows = section.rows.name if section and section.rows else ""
            if not rows and row > 1:
                self.problem(
                    data.line,
                    here,
                    "ItemGroupRepeatKey",
                    "该分组不重复",
                    "this group does not repeat",
                    "合并重复,或在研究定义中允许重复",
                    "merge the repeats, or let the definition repeat it",
                )
            elif self.stays(data, here):
                for value in _items(data):
                    self.item(value, here, form, layout, key, rows, row)

    def item(self, node: Node, place: Place, form: Form, layout: _Layout, key: Key, rows: str, row: int) -> None:
        self.values += 1
        self.frames.update(child.tag for child in node.children if child.tag in FRAME and not _missing(node))
        oid = node.get("ItemOID")
        item = layout.items.get((place.group, oid)) or layout.items.get(("", oid))
        if item is None:
            self.problem(
                node.line,
                place,
                oid,
                f"表单{form.oid}没有条目“{oid}”",
                f"form {form.oid} has no item {oid!r}",
                "检查研究定义",
                "see the study's definition",
            )
            return
        if not item.is_entered:
            shown = _raw(node)[:80]
            self.note(
                node.line,
                place.column(oid),
                f"受试者 {place.subject}:“{shown}”由系统计算,不导入",
                f"subject {place.subject}: {shown!r} is calculated here and not imported",
            )
            return
        if node.get("TransactionType") == "Context":
            return
        group = form.group_of.get(item.name, "")
        address = str(Address(group, row, item.name)) if group else item.name
        try:
            value = self.value(node, item)
        except BadValue as bad:
            self.problem(
                node.line,
                place,
                oid,
                f"{item.label.zh}:{bad.zh}",
                f"{item.label.en}: {bad.en}",
                "改正该值",
                "correct the value",
            )
            return
        self.put(node, place, key, address, value)

    def value(self, node: Node, item: Item) -> Any:
        """The stored value of an ItemData; None where it is empty. Raises BadValue."""
        reason = _missing(node)
        if reason:
            return missing(*reason)
        raw: Any = _raw(node)
        if raw == "" or node.get("IsNull") == "Yes" or node.get("TransactionType") == "Remove":
            return None
        if item.type in ("file", "series"):
            raise BadValue("文件和影像不随 ODM 导入;请上传", "files and images are not imported with ODM; upload them")
        if item.value_kind in ("choice", "choices"):
            raw = self.codes(item, raw)
        elif item.value_kind in ("date", "time", "datetime"):
            raw = _moment(item.value_kind, raw)
        value = parse_value(item, self.study.codelist(item), raw)
        return self.converted(node, item, value)

    def codes(self, item: Item, raw: str) -> Any:
        codelist = self.study.codelist(item)
        if codelist is None:
            return raw
        if "odm:boolean" in codelist.alias:
            return ANSWERS.get(raw, raw)
        ours = {value_of(choice): choice.code for choice in codelist.choices}
        raw = raw if raw in ours else raw.strip()
        if item.value_kind == "choices" and raw not in ours:
            return [ours.get(part, part) for part in raw.split(";")]
        return ours.get(raw, raw)

    def converted(self, node: Node, item: Item, value: Any) -> Any:
        """A number in the item's own unit."""
        reference = node.first("MeasurementUnitRef")
        oid = reference.get("MeasurementUnitOID") if reference else node.get("MeasurementUnitOID")
        if not oid or not isinstance(value, int | float):
            return value
        units = self.oids.units_of(item)
        if units and oid == units[0]:
            return value
        for unit in item.units:
            if oid in (f"MU.{unit.unit}", unit.unit):
                converted = rounded(
                    value * unit.factor + unit.offset, item.precision if item.precision is not None else 10
                )
                return round(converted) if item.value_kind == "integer" else converted
        expected = item.unit or "-"
        raise BadValue(
            f"单位 {oid} 不是 {expected},也没有换算", f"the unit {oid} is not {expected} and has no conversion"
        )

    def put(self, node: Node, place: Place, key: Key, address: str, value: Any) -> None:
        clears = node.get("TransactionType") in ("Remove", "Update", "Upsert") or node.get("IsNull") == "Yes"
        if value is None and not clears:
            return
        record = self.records.setdefault(key, Incoming(key, node.line))
        before = record.cells.get(address)
        if before and before.value != value and not node.get("TransactionType"):
            self.problem(
                node.line,
                place,
                node.get("ItemOID"),
                f"与第{before.row}行的值不同",
                f"differs from the value in line {before.row}",
                "保留其中一个",
                "keep one of them",
            )
            return
        record.cells[address] = Cell(value, node.line, place.column(node.get("ItemOID")))


class _Layout:
    """What the OIDs of one form's groups and items stand for; an item's original OID counts in its own group."""

    def __init__(self, study: StudyDefinition, oids: Metadata13, form: Form) -> None:
        self.sections: dict[str, Section] = {}
        self.items: dict[tuple[str, str], Item] = {}
        for number, section in enumerate(form.sections, start=1):
            written = oids.groups[(form.oid, number)]
            for group in dict.fromkeys([written, section.alias.get("odm", written)]):
                self.sections.setdefault(group, section)
                for item in section.items:
                    self.put(group, item, oids.items.get((form.oid, item.name), ""))
        for item in (item for section in form.sections for item in section.items):
            self.items.setdefault(("", item.name), item)

    def put(self, group: str, item: Item, written: str) -> None:
        for oid in dict.fromkeys([written, item.alias.get("odm", written)]):
            if oid:
                self.items.setdefault((group, oid), item)
                self.items.setdefault(("", oid), item)


class _Keys:
    """Repeat keys as numbers: whole numbers from 1 are themselves, other texts count as they come. No two are one."""

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[str, ...], str], int] = {}
        self.taken: set[tuple[tuple[str, ...], int]] = set()
        self.highest: dict[tuple[str, ...], int] = {}

    def number(self, scope: tuple[str, ...], raw: str, most: int = MOST_REPEATS) -> int:
        key = (scope, raw or "1")
        if key not in self.known:
            number = read_whole(key[1])
            if number is None or not 1 <= number <= most or (scope, number) in self.taken:
                number = self.highest.get(scope, 0) + 1
            self.known[key] = number
            self.taken.add((scope, number))
            self.highest[scope] = max(self.highest.get(scope, 0), number)
        return self.known[key]


def _both(written: dict[str, Any], parts: Any) -> dict[str, Any]:
    """By OID as this product writes it, and as the file that the study came from has it."""
    return {part.alias["odm"]: part for part in parts if "odm" in part.alias} | written


def _items(node: Node) -> Iterator[Node]:
    return (child for child in node.children if child.tag.startswith("ItemData"))


def _groups(node: Node) -> Iterator[Node]:
    """The groups below a form, those of ODM 2 that lie in each other too."""
    for child in node.all("ItemGroupData"):
        yield child
        yield from _groups(child)


def _values(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.tag.startswith("ItemData"):
            yield child
        else:
            yield from _values(child)


def _raw(node: Node) -> str:
    """The value of an ItemData (ODM 1.3 or 2.0) or of a typed one, such as ItemDataInteger."""
    if node.tag == "ItemData":
        return node.get("Value") or node.content("Value")
    return node.text.strip()


def _missing(node: Node) -> tuple[str, str] | None:
    """Why a value is missing, as this product writes it: a flag, with the reason in the comment."""
    for annotation in node.all("Annotation"):
        for flag in annotation.all("Flag"):
            value = flag.first("FlagValue")
            if value and value.get("CodeListOID") == MISSING_LIST and value.text.strip() in MISSING:
                return value.text.strip(), annotation.content("Comment")
    return None


def _moment(kind: str, raw: str) -> str:
    """ISO 8601 as values are read here: unknown parts as UK, no seconds; BadValue where something would be lost."""
    if kind == "date":
        match = PARTIAL.match(raw)
        return f"{match[1]}-{match[2] or 'UK'}-UK" if match else raw
    match = CLOCK.match(raw)
    if match is None:
        return raw
    if match[3] or (match[2] and float(match[2])):
        raise BadValue(
            f"“{raw}”含秒或时区,此处不能保存", f"{raw!r} has seconds or a time zone, which can't be stored here"
        )
    return match[1]
