"""Which part of an ODM file defines the study: its version, its MetaDataVersion and those that this includes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .loss import refused
from .odm_report import NO_PLACE, Report
from .xml_tree import Node

SPACES = {
    "http://www.cdisc.org/ns/odm/v1.2": "1.3",
    "http://www.cdisc.org/ns/odm/v1.3": "1.3",
    "http://www.cdisc.org/ns/odm/v2.0": "2.0",
    "": "1.3",
}
REDCAP = "https://projectredcap.org"
DEFINITIONS = (
    "StudyEventDef", "FormDef", "ItemGroupDef", "ItemDef", "CodeList", "ConditionDef", "MethodDef",
)  # fmt: skip


@dataclass
class Metadata:
    """One study's definitions by kind and OID, with what their MetaDataVersion includes already in place."""

    version: str
    root: Node
    study: Node | None
    last: Node
    protocols: list[Node] = field(default_factory=list)
    units: dict[str, Node] = field(default_factory=dict)
    definitions: dict[str, dict[str, Node]] = field(default_factory=lambda: {tag: {} for tag in DEFINITIONS})

    def all(self, tag: str) -> dict[str, Node]:
        return self.definitions[tag]


def version_of(root: Node, file: str) -> str:
    """ "1.3" or "2.0"; raises for a file that is no ODM."""
    version = SPACES.get(root.space)
    if root.tag not in ("ODM", "Study", "MetaDataVersion") or version is None:
        raise refused(
            file, root.line, "", f"不是 CDISC ODM 文件,根元素为 {root.tag}", f"no CDISC ODM: its root is {root.tag}",
            "请导出 ODM 1.3.1、1.3.2 或 2.0", "export ODM 1.3.1, 1.3.2 or 2.0",
        )  # fmt: skip
    said = root.get("ODMVersion")
    if said and not said.startswith(("1.2", "1.3", "2.")):
        raise refused(
            file, root.line, "ODMVersion", f"不支持 ODM {said}", f"ODM {said} is not read",
            "请导出 ODM 1.3.1、1.3.2 或 2.0", "export ODM 1.3.1, 1.3.2 or 2.0",
        )  # fmt: skip
    return version


def metadata_of(root: Node, wanted: str, report: Report, file: str) -> Metadata:
    """The metadata of the study `wanted` (its OID), or of the last one in the file."""
    version = version_of(root, file)
    if not root.space:
        report.lose("changed", root, "", "", "没有 ODM 命名空间;按 ODM 1.3 读取", "has no namespace; read as ODM 1.3")
    studies = [root] if root.tag == "Study" else list(root.all("Study"))
    if root.tag == "MetaDataVersion":
        return _gathered(version, root, None, root, {}, report)
    study, last = _chosen(studies, wanted, report, file)
    known = {
        (one.get("OID"), version_node.get("OID")): (one, version_node)
        for one in studies
        for version_node in one.all("MetaDataVersion")
    }
    return _gathered(version, root, study, last, known, report)


def _chosen(studies: list[Node], wanted: str, report: Report, file: str) -> tuple[Node, Node]:
    """The study and its newest MetaDataVersion; the others are reported."""
    options = [(study, version) for study in studies for version in study.all("MetaDataVersion")]
    fitting = [option for option in options if option[0].get("OID") == wanted] or options
    if not fitting:
        raise refused(
            file, 1, "MetaDataVersion", "文件中没有研究定义", "the file defines no study",
            "若为临床数据,请用数据导入;否则导出含元数据的文件",
            "if it holds clinical data, import it as records; else export a file with metadata",
        )  # fmt: skip
    study, version = fitting[-1]
    for other, other_version in options:
        if other is not study or other_version is not version:
            place = f"{other.get('OID')}/{other_version.get('OID')}"
            zh, en = "一次导入一个研究的最新版本", "one import takes the newest version of one study"
            report.lose("dropped", other_version, place, other_version.get("Name"), zh, en)
    return study, version


Known = dict[tuple[str, str], tuple[Node, Node]]


def _gathered(
    version: str, root: Node, study: Node | None, last: Node, known: Known, report: Report
) -> Metadata:  # fmt: skip
    metadata = Metadata(version, root, study, last)
    for one, node in _chain(study, last, known, report):
        for unit in _units(one, version):
            metadata.units[unit.get("OID")] = unit
        seen: set[tuple[str, str]] = set()
        for child in node.children:
            _put(metadata, child, seen, report)
    return metadata


def _chain(study: Node | None, last: Node, known: Known, report: Report) -> list[tuple[Node | None, Node]]:
    """The MetaDataVersion after those that it includes, oldest first."""
    chain: list[tuple[Node | None, Node]] = [(study, last)]
    while include := chain[0][1].first("Include"):
        key = (include.get("StudyOID"), include.get("MetaDataVersionOID"))
        before = known.get(key)
        if before is None or any(before[1] is node for _study, node in chain):
            zh, en = "引用的版本不在文件中,或循环引用", "the version it includes is not in the file, or includes itself"
            report.lose("dropped", include, "/".join(key), "", zh, en)
            break
        chain.insert(0, before)
    return chain


def _units(study: Node | None, version: str) -> list[Node]:
    basics = study.first("BasicDefinitions") if study else None
    return list(basics.all("MeasurementUnit")) if basics else []


def _put(metadata: Metadata, child: Node, seen: set[tuple[str, str]], report: Report) -> None:
    oid = child.get("OID")
    if child.tag == "Protocol" or (child.tag == "StudyEventGroupDef" and child.first("StudyEventRef")):
        metadata.protocols.append(child)
    elif child.tag in metadata.definitions:
        if (child.tag, oid) in seen:
            report.lose(
                "dropped",
                child,
                oid,
                child.get("Name"),
                "OID 重复;保留第一个",
                "its OID is used twice; the first stays",
            )
            return
        seen.add((child.tag, oid))
        metadata.definitions[child.tag][oid] = child
    elif child.tag not in ("Include", "Description"):
        report.lose("dropped", child, oid, child.compact(), *NO_PLACE)
