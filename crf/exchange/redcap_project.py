"""A REDCap project as its parts, and its XML: ODM 1.3.1 whose meaning stands in attributes of REDCap's own."""

from __future__ import annotations

from collections.abc import Callable

from .loss import Imported, Loss, refused
from .redcap_build import build
from .redcap_fields import TYPE_NAMES, VALIDATION_NAMES, DictionaryRow, choices
from .redcap_parts import Arm, MissingCode, Project, ProjectEvent
from .xml_tree import Node, read_xml

REDCAP = "{https://projectredcap.org}"
MAX_BYTES = 200_000_000
MOST_TEXT = 60_000_000  # an uploaded file stands in the XML as one text
OWN_FIELDS = ("redcap_data_access_group", "redcap_survey_identifier", "redcap_event_name")
# Settings that say nothing about the study: how REDCap's pages behave.
PLAIN_SETTINGS = frozenset(["", "0", "1", "ALL"])


def read_project(content: bytes, *, file: str = "project.xml", code: str = "", version: str = "1") -> Imported:
    """The study of a REDCap project XML. Raises DefinitionErrors for a file that is none; `code` names the study."""
    root = project_root(content, file, lambda subject: None)
    return build(_ProjectReader(root, file).project(), file=file, code=code, version=version)


def project_root(content: bytes, file: str, subject: Callable[[Node], None]) -> Node:
    """The file's root element, if it is a REDCap project; each SubjectData goes to `subject` and is not kept."""
    if len(content) > MAX_BYTES:
        zh, en = "文件超过200 MB", "larger than 200 MB"
        raise refused(file, 1, "", zh, en, "请导出不含文件的项目", "export it without uploaded files")
    taken = {"SubjectData": lambda node, around: subject(node)}
    root = read_xml(content, file=file, taken=taken, most_text=MOST_TEXT)
    study = root.first("Study") if root.tag == "ODM" else None
    metadata = study.first("MetaDataVersion") if study else None
    if metadata is None or not any(key.startswith(REDCAP) for key in metadata.attributes):
        raise refused(
            file, root.line, "", "不是 REDCap 项目 XML", "this is not the XML of a REDCap project",
            "在 REDCap 的 Other Functionality 页导出“Download metadata only (XML)”",
            "export it in REDCap under Other Functionality, “Download metadata only (XML)”",
        )  # fmt: skip
    return root


class _ProjectReader:
    def __init__(self, root: Node, file: str) -> None:
        self.file = file
        self.study = next(root.all("Study"))
        self.metadata = next(self.study.all("MetaDataVersion"))
        self.settings = self.study.first("GlobalVariables") or Node("GlobalVariables", "", {}, root.line)
        self.losses: list[Loss] = []
        self.codelists = {one.get("OID"): one for one in self.metadata.all("CodeList")}

    def project(self) -> Project:
        self.report_settings()
        forms = {
            one.get(f"{REDCAP}FormName") or one.get("OID").removeprefix("Form."): one
            for one in self.metadata.all("FormDef")
        }
        rows = self.rows(forms)
        if not rows:
            zh, en = "项目中没有字段", "the project has no fields"
            raise refused(
                self.file, self.metadata.line, "", zh, en, "重新导出完整的项目 XML", "export the whole project again"
            )
        return Project(
            title=self.settings.content("StudyName") or self.metadata.get("Name") or "REDCap",
            rows=rows,
            form_titles={name: form.get("Name") for name, form in forms.items()},
            arms=self.arms(),
            events=self.events(),
            sites=self.sites(),
            repeating=self.repeating(),
            repeating_events=self.repeating_events(),
            missing=self.missing(),
            losses=self.losses,
        )

    # Settings

    def report_settings(self) -> None:
        groups = {"DataAccessGroupsGroup", "RepeatingInstrumentsAndEvents"}
        for node in self.settings.children:
            if node.space != REDCAP[1:-1] or node.tag in groups or node.tag == "MissingDataCodes":
                continue
            if node.children:
                for group in node.children:
                    name = next((value for key, value in group.attributes.items() if "name" in key.lower()), "")
                    self.lose("dropped", group.tag, name, group.line, *REASONS.get(group.tag, REASONS[""]))
            elif node.text.strip() not in PLAIN_SETTINGS:
                self.lose("dropped", node.tag, node.text.strip(), node.line, *REASONS[""])

    def lose(self, fate: str, element: str, what: str, line: int, zh: str, en: str) -> None:
        self.losses.append(Loss(fate, element, "", what, zh, en, line))  # type: ignore[arg-type]

    def sites(self) -> tuple[str, ...]:
        """The names of the data access groups."""
        named = (
            one.get("group_name") or one.get(f"{REDCAP}group_name") for one in _all(self.settings, "DataAccessGroups")
        )
        return tuple(dict.fromkeys(name for name in named if name))

    def repeating(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for one in _all(self.settings, "RepeatingInstrument"):
            found.setdefault(one.get(f"{REDCAP}RepeatInstrument"), []).append(one.get(f"{REDCAP}UniqueEventName"))
            label = one.get(f"{REDCAP}CustomLabel")
            if label:
                self.lose("dropped", "RepeatingInstrument", label, one.line, "记录标题不导入", "a title of records")
        return {form: tuple(events) for form, events in found.items()}

    def repeating_events(self) -> frozenset[str]:
        return frozenset(one.get(f"{REDCAP}UniqueEventName") for one in _all(self.settings, "RepeatingEvent"))

    def missing(self) -> tuple[MissingCode, ...]:
        return tuple(MissingCode(code, label) for code, label in choices(self.settings.content("MissingDataCodes")))

    # Events

    def arms(self) -> tuple[Arm, ...]:
        found: dict[str, str] = {}
        for event in self.metadata.all("StudyEventDef"):
            found.setdefault(event.get(f"{REDCAP}ArmNum") or "1", event.get(f"{REDCAP}ArmName"))
        return tuple(Arm(number, name) for number, name in found.items())

    def events(self) -> tuple[ProjectEvent, ...]:
        return tuple(
            ProjectEvent(
                unique=node.get(f"{REDCAP}UniqueEventName") or node.get("OID").removeprefix("Event."),
                name=node.get(f"{REDCAP}EventName") or node.get("Name"),
                arm=node.get(f"{REDCAP}ArmNum") or "1",
                day=_whole(node.get(f"{REDCAP}DayOffset")),
                before=_whole(node.get(f"{REDCAP}OffsetMin")),
                after=_whole(node.get(f"{REDCAP}OffsetMax")),
                forms=tuple(
                    one.get(f"{REDCAP}FormName") or one.get("FormOID").removeprefix("Form.")
                    for one in node.all("FormRef")
                ),
            )
            for node in self.metadata.all("StudyEventDef")
        )

    # Fields

    def rows(self, forms: dict[str, Node]) -> list[DictionaryRow]:
        groups = {one.get("OID"): one for one in self.metadata.all("ItemGroupDef")}
        items = {one.get("OID"): one for one in self.metadata.all("ItemDef")}
        found: dict[str, DictionaryRow] = {}
        for form, node in forms.items():
            for reference in node.all("ItemGroupRef"):
                group = groups.get(reference.get("ItemGroupOID"))
                if group is None:
                    raise self.unknown(reference, "ItemGroupOID")
                for ref in group.all("ItemRef"):
                    item = items.get(ref.get("ItemOID"))
                    if item is None:
                        raise self.unknown(ref, "ItemOID")
                    variable = item.get(f"{REDCAP}Variable") or item.get("OID")
                    # A checkbox is one item per choice; the status of a form is REDCap's own.
                    if variable not in found and variable not in (*OWN_FIELDS, f"{form}_complete"):
                        found[variable] = self.row(form, variable, item)
        return list(found.values())

    def unknown(self, node: Node, key: str) -> Exception:
        oid = node.get(key)
        return refused(
            self.file,
            node.line,
            oid,
            f"引用了不存在的 {key} {oid}",
            f"refers to a {key} {oid!r} that is not in the file",
            "重新导出完整的项目 XML",
            "export the whole project again",
        )

    def row(self, form: str, variable: str, item: Node) -> DictionaryRow:
        kind = item.get(f"{REDCAP}FieldType") or "text"
        kind = TYPE_NAMES.get(kind, kind)
        validation = item.get(f"{REDCAP}TextValidationType")
        low, high = self.limits(item)
        question = item.first("Question")
        return DictionaryRow(
            variable=variable,
            form=form,
            section=item.get(f"{REDCAP}SectionHeader"),
            type=kind,
            label=question.content("TranslatedText") if question else "",
            choices=self.choices(kind, item),
            note=item.get(f"{REDCAP}FieldNote"),
            validation=VALIDATION_NAMES.get(validation, validation),
            minimum=low,
            maximum=high,
            identifier=item.get(f"{REDCAP}Identifier"),
            branching=item.get(f"{REDCAP}BranchingLogic"),
            required=item.get(f"{REDCAP}RequiredField"),
            alignment=item.get(f"{REDCAP}CustomAlignment"),
            question=item.get(f"{REDCAP}QuestionNumber"),
            matrix=item.get(f"{REDCAP}MatrixGroupName"),
            ranking=item.get(f"{REDCAP}MatrixRanking"),
            annotation=item.get(f"{REDCAP}FieldAnnotation"),
            line=item.line,
        )

    def limits(self, item: Node) -> tuple[str, str]:
        found = {one.get("Comparator"): one.content("CheckValue") for one in item.all("RangeCheck")}
        return found.get("GE", ""), found.get("LE", "")

    def choices(self, kind: str, item: Node) -> str:
        if kind == "calc":
            return item.get(f"{REDCAP}Calculation")
        if kind == "slider":
            return item.get(f"{REDCAP}SliderLabels")
        if kind in ("yesno", "truefalse"):
            return ""
        ref = item.first("CodeListRef")
        codelist = self.codelists.get(ref.get("CodeListOID")) if ref else None
        if codelist is None:
            return ""
        whole = codelist.get(f"{REDCAP}CheckboxChoices")
        if whole:
            return whole
        pairs = []
        for one in codelist.all("CodeListItem"):
            decode = one.first("Decode")
            pairs.append(f"{one.get('CodedValue')}, {decode.content('TranslatedText') if decode else ''}".rstrip())
        return " | ".join(pairs)


REASONS = {
    "UserRoles": ("用户和角色在本系统中另行授权", "people and roles are given their rights here"),
    "Reports": ("报表不导入", "reports are not part of a study definition"),
    "": ("REDCap 自身的设置", "a setting of REDCap itself"),
}


def _all(node: Node, tag: str) -> list[Node]:
    found: list[Node] = []
    for child in node.children:
        found += [child] if child.tag == tag else _all(child, tag)
    return found


def _whole(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0
