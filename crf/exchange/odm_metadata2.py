"""A study definition as the metadata of ODM 2.0: forms are groups of groups, expressions stand in Code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from crf.definitions.model import Choice, Codelist, Item

from .odm_metadata import ANY, Metadata13
from .xml_text import element

SYSTEMS = {
    "NCIt": "http://ncicb.nci.nih.gov/xml/odm/EVS/CDISC",
    "LOINC": "http://loinc.org",
    "SNOMED CT": "http://snomed.info/sct",
    "ICD-10": "http://hl7.org/fhir/sid/icd-10",
}
YES_NO = re.compile("Yes$|No$")


class Metadata20(Metadata13):
    ATTRIBUTES: Mapping[str, Mapping[str, re.Pattern[str]]] = {
        "StudyEventDef": {"Category": ANY},
        "ItemGroupDef": {
            "IsReferenceData": YES_NO, "DatasetName": ANY, "Domain": ANY, "Purpose": ANY, "Structure": ANY,
        },
        "ItemDef": {"Length": re.compile(r"[1-9]\d*$"), "DisplayFormat": ANY, "VariableSet": ANY},
        "CodeList": {},
        "CodeListItem": {"Rank": re.compile(r"-?\d+(\.\d+)?$"), "OrderNumber": re.compile(r"[1-9]\d*$")},
    }  # fmt: skip
    MORE: Mapping[str, str] = {"Type": "text/plain"}
    SIGNATURE: Sequence[str] = ("<MethodSignature/>",)
    FORM, FORM_REF, FORM_OID = "ItemGroupDef", "ItemGroupRef", "ItemGroupOID"
    FORM_HEAD: Mapping[str, str] = {"Type": "Form"}
    SECTION_HEAD: Mapping[str, str] = {"Type": "Section"}
    REPEATING = "Simple"
    REPEATINGS: Sequence[str] = ("Simple", "Dynamic", "Static")
    ENUMERATED = "CodeListItem"
    UNITS = False
    EXTERNAL = False
    ITEM_SAID: tuple[str, ...] = (
        *(field for field in Metadata13.ITEM_SAID if field not in ("unit", "precision")), "help", "guideline",
    )  # fmt: skip

    def terms(self, part: Item | Choice | Codelist) -> tuple[list[str], list[tuple[str, str]], list[str]]:
        coded = [
            element("Coding", {
                "Code": one.code, "System": SYSTEMS.get(one.system, "urn:lobule:terminology"),
                "SystemName": one.system, "Label": one.name,
            })
            for one in part.codings
        ]  # fmt: skip
        return ["codings"], [], coded

    def formal(self, texts: Sequence[Sequence[str]]) -> list[str]:
        return [
            element("FormalExpression", {"Context": context or None}, [element("Code", text=text)])
            for context, text in texts
        ]

    def item_texts(self, item: Item) -> list[str]:
        parts = (
            ("Definition", item.definition),
            ("Question", item.label),
            ("Prompt", item.help),
            ("CRFCompletionInstructions", item.guideline),
        )
        return [element(tag, children=self.translated(text)) for tag, text in parts if text]

    def study_element(self, codelists: Sequence[str] = ()) -> str:
        study, facts = self.study, self.study.alias.get
        group = f"SEG.{study.code}"
        reference = element("StudyEventGroupRef", {"StudyEventGroupOID": group, "OrderNumber": "1", "Mandatory": "Yes"})
        described = self.plain(facts("odm:version@Description"))
        metadata = element(
            "MetaDataVersion",
            {"OID": self.version_oid, "Name": facts("odm:version@Name", study.version)},
            [
                *described,
                element("Protocol", children=[reference, *self.study_aliases()]),
                element("StudyEventGroupDef", {"OID": group, "Name": study.title.en}, self.event_refs()),
                *self.definitions(codelists),
            ],
        )
        head = {
            "OID": self.study_oid, "StudyName": study.title.en,
            "ProtocolName": facts("odm:ProtocolName", study.registration_number or study.code),
        }  # fmt: skip
        return element("Study", head, [*self.plain(facts("odm:StudyDescription", study.title.en)), metadata])

    def plain(self, text: str | None) -> list[str]:
        """A Description without a language."""
        if not text:
            return []
        return [element("Description", children=[element("TranslatedText", self.MORE, text=text)])]
