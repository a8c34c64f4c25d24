"""Which forms an ODM study has, of which sections and items, and how each is called here; nothing of their rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .loss import refused
from .naming import Names
from .numbers import read_whole
from .odm_file import Metadata
from .odm_report import Report, own_fields
from .xml_tree import Node

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}$")
# What ODM's DataTypes become. Text holds what has no closer type, such as durations and dates with parts of a time.
TYPES = {
    "integer": "integer", "float": "decimal", "double": "decimal", "decimal": "decimal",
    "date": "date", "partialDate": "date", "incompleteDate": "date", "time": "time", "datetime": "datetime",
    "boolean": "choice", "base64Binary": "file",
}  # fmt: skip
AS_TEXT = frozenset(
    ["partialTime", "partialDatetime", "durationDatetime", "intervalDatetime", "incompleteDatetime", "incompleteTime"]
)
MOST_PLACES = 200_000  # groups and items as forms show them: references can make a small file unfold to billions
MOST_DEPTH = 30  # of ODM 2's groups in groups
MISSING_REFERENCE = ("指向文件中没有的 OID", "refers to an OID that is not in the file")


@dataclass
class ItemPlan:
    """An item of a section: its reference, its definition and its name and type here."""

    ref: Node
    node: Node
    name: str
    type: str
    coded: str = ""

    @property
    def oid(self) -> str:
        return self.node.get("OID")


@dataclass
class SectionPlan:
    node: Node
    refs: list[Node]
    items: list[ItemPlan] = field(default_factory=list)
    rows: str = ""


@dataclass
class FormPlan:
    node: Node
    oid: str
    sections: list[SectionPlan] = field(default_factory=list)

    def items(self) -> Iterator[tuple[SectionPlan, ItemPlan]]:
        return ((section, item) for section in self.sections for item in section.items)


def numbered(node: Node, *tags: str) -> list[Node]:
    """The references below a definition by OrderNumber; those without one stay where the file has them."""
    refs = list(node.all(*tags))
    if any(read_whole(ref.get("OrderNumber")) is None for ref in refs):
        return refs
    return sorted(refs, key=lambda ref: read_whole(ref.get("OrderNumber")) or 0)


def repeats(node: Node) -> bool:
    return node.get("Repeating", "No") not in ("No", "")


class Planner:
    """Walks from the forms to their items once; the same ItemDef has the same name in every form."""

    def __init__(self, metadata: Metadata, report: Report, codelists: dict[str, str], file: str) -> None:
        self.metadata = metadata
        self.report = report
        self.codelists = codelists
        self.file = file
        self.places = 0
        self.form_names = Names(upper=True, first="F")
        self.item_names = Names(first="i")
        self.by_oid: dict[str, str] = {}

    def forms(self) -> dict[str, FormPlan]:
        """Forms by their OID in the file."""
        return {node.get("OID"): self.form(node) for node in self.form_nodes()}

    def form_nodes(self) -> list[Node]:
        if self.metadata.version == "1.3":
            return list(self.metadata.all("FormDef").values())
        groups = self.metadata.all("ItemGroupDef")
        at_events = [
            ref.get("ItemGroupOID")
            for event in self.metadata.all("StudyEventDef").values()
            for ref in event.all("ItemGroupRef")
        ]
        typed = [oid for oid, node in groups.items() if node.get("Type") == "Form"]
        found = [oid for oid in dict.fromkeys([*at_events, *typed]) if oid in groups]
        if not found:
            inner = {ref.get("ItemGroupOID") for node in groups.values() for ref in node.all("ItemGroupRef")}
            found = [oid for oid in groups if oid not in inner]
        return [groups[oid] for oid in groups if oid in found]

    def form(self, node: Node) -> FormPlan:
        own = own_fields(node, self.report, node.get("OID"))
        oid = node.get("OID")
        wanted = own.get("oid") or re.sub(r"^(F[._]|ODM\.F\.|FORM\.)(?=[A-Z])", "", oid)
        form = FormPlan(node, self.form_names.take(str(wanted)))
        if any(True for _ref in node.all("ItemRef")):
            form.sections.append(self.section(node, []))
        form.sections += self.sections(node, [], {oid})
        taken: set[str] = set()
        for section, item in form.items():
            item.name = _unused(item.name, taken)
            taken.add(item.name)
            if section.rows:
                taken.add(section.rows)
        for section in form.sections:
            if section.rows:
                section.rows = _unused(section.rows, {item.name for _s, item in form.items()} | _others(form, section))
        return form

    def sections(self, node: Node, above: list[Node], inside: set[str]) -> list[SectionPlan]:
        """The groups below a form, those of ODM 2 that lie in each other one after the other."""
        found = []
        for ref in numbered(node, "ItemGroupRef"):
            self.count(ref, len(inside))
            oid = ref.get("ItemGroupOID")
            group = self.metadata.all("ItemGroupDef").get(oid)
            if group is None or oid in inside:
                self.report.lose("dropped", ref, oid, "", *MISSING_REFERENCE)
                continue
            refs = [*above, ref]
            if group.first("ItemRef") or not group.first("ItemGroupRef"):
                found.append(self.section(group, refs))
            found += self.sections(group, refs, inside | {oid})
        return found

    def section(self, node: Node, refs: list[Node]) -> SectionPlan:
        section = SectionPlan(node, refs)
        if refs and repeats(node):
            own = own_fields(node, self.report, node.get("OID")).get("rows") or {}
            wanted = node.get("Name") if PLAIN.match(node.get("Name")) else node.get("OID")
            section.rows = str(own.get("name") or Names(first="rows").take(wanted)) if isinstance(own, dict) else "rows"
        for ref in numbered(node, "ItemRef"):
            self.count(ref)
            item = self.metadata.all("ItemDef").get(ref.get("ItemOID"))
            if item is None:
                self.report.lose("dropped", ref, ref.get("ItemOID"), "", *MISSING_REFERENCE)
                continue
            section.items.append(self.item(ref, item))
        return section

    def count(self, ref: Node, depth: int = 0) -> None:
        """Refuse a file whose references unfold without end."""
        self.places += 1
        if self.places > MOST_PLACES or depth > MOST_DEPTH:
            zh = f"引用展开后超过{MOST_PLACES}个条目或{MOST_DEPTH}层"
            en = f"its references unfold to more than {MOST_PLACES} items or {MOST_DEPTH} levels"
            raise refused(self.file, ref.line, "", zh, en, "请检查该文件是否正确", "see whether this is the right file")

    def item(self, ref: Node, node: Node) -> ItemPlan:
        oid = node.get("OID")
        if oid not in self.by_oid:
            own = own_fields(node, self.report, oid).get("name")
            wanted = node.get("Name") if PLAIN.match(node.get("Name")) else oid
            self.by_oid[oid] = str(own) if own else self.item_names.take(wanted)
        kind, coded = self.type_of(node)
        return ItemPlan(ref, node, self.by_oid[oid], kind, coded)

    def type_of(self, node: Node) -> tuple[str, str]:
        """Type here, and the name of its code list."""
        reference = node.first("CodeListRef")
        name = self.codelists.get(reference.get("CodeListOID"), "") if reference else ""
        if name:
            return "choice", name
        data_type = node.get("DataType")
        return TYPES.get(data_type, "text"), "boolean" if data_type == "boolean" else ""


def _unused(name: str, taken: set[str]) -> str:
    number, wanted = 2, name
    while wanted in taken:
        wanted, number = f"{name[:59]}_{number}", number + 1
    return wanted


def _others(form: FormPlan, section: SectionPlan) -> set[str]:
    return {other.rows for other in form.sections if other is not section}
