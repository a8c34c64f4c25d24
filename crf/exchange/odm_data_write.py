"""A study with its records as one ODM 1.3.2 file, written as the records come: memory does not grow with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO

from crf.definitions.model import Form, Item, NotInDefinition, Section, StudyDefinition
from crf.definitions.rows import ROW, is_rows
from crf.definitions.values import is_missing, plain_number

from . import odm_notes, odm_oids
from .odm_metadata import Metadata13, value_of
from .odm_notes import OdmNote, OdmSignature, annotation, missing_annotation
from .xml_text import attributes, element

SPACE = "http://www.cdisc.org/ns/odm/v1.3"


class OdmDataWriter:
    """Records in the order study, site, subject, event, form; `with` writes the frame around them.

    `created` is an ISO date and time; `users` are the accounts that notes and signatures name, with their names.
    """

    def __init__(
        self, out: BinaryIO, study: StudyDefinition, *, created: str, file_oid: str, users: Mapping[str, str],
        source_version: str = "",
    ) -> None:  # fmt: skip
        self.out = out
        self.study = study
        self.created = created
        self.file_oid = file_oid
        self.users = users
        self.source_version = source_version
        self.oids = Metadata13(study)
        self.subject = ""
        self.at: tuple[str, int] | None = None
        self.clinical = True
        self.many = {event.oid for event in study.events if event.kind != "scheduled"}
        self.codes = {
            name: {choice.code: value_of(choice) for choice in codelist.choices}
            for name, codelist in study.codelists.items()
        }

    def __enter__(self) -> OdmDataWriter:
        head = attributes({
            "xmlns": SPACE, "ODMVersion": "1.3.2", "FileType": "Snapshot", "Granularity": "All",
            "FileOID": self.file_oid, "CreationDateTime": self.created, "SourceSystem": "Lobule",
            "SourceSystemVersion": self.source_version or None,
        })  # fmt: skip
        self.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<ODM{head}>')
        self.write(self.oids.study_element(odm_notes.codelists()))
        self.write(self.admin())
        self.write(f"<ClinicalData{attributes(self.study_keys())}>")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end_clinical()
            self.write("</ODM>")

    def write(self, text: str) -> None:
        if text:
            self.out.write(text.encode() + b"\n")

    def study_keys(self) -> dict[str, str]:
        return {"StudyOID": self.oids.study_oid, "MetaDataVersionOID": self.oids.version_oid}

    def admin(self) -> str:
        """Accounts, sites, and what a signature means."""
        effective = {**self.study_keys(), "EffectiveDate": self.created[:10]}
        users = [
            element("User", {"OID": user_oid(name)}, [element("LoginName", text=name), element("FullName", text=full)])
            for name, full in self.users.items()
        ]
        sites = [
            element("Location", {"OID": odm_oids.site_oid(site.code), "Name": site.name.en, "LocationType": "Site"},
                    [element("MetaDataVersionRef", effective)])
            for site in self.study.sites
        ]  # fmt: skip
        meaning = element("SignatureDef", {"OID": odm_notes.SIGNATURE, "Methodology": "Electronic"}, [
            element("Meaning", text="Signed by the investigator"),
            element("LegalReason", text="The signer confirms that the record is complete and correct."),
        ])  # fmt: skip
        return element("AdminData", {"StudyOID": self.oids.study_oid}, [*users, *sites, meaning])

    # Records

    def record(
        self, *, subject: str, site: str, event: str, repeat: int, form: str, number: int, data: Mapping[str, Any],
        signatures: Sequence[OdmSignature] = (), notes: Sequence[OdmNote] = (),
    ) -> None:  # fmt: skip
        """Write one record. Its last signature stands as Signature; earlier ones stand as annotations."""
        self.go_to(subject, site, event, repeat)
        definition = self.form_of(form)
        known = {item.name for section in definition.sections for item in section.items}
        known |= {section.rows.name for section in definition.sections if section.rows}
        here: dict[str, list[OdmNote]] = {}
        whole = [OdmNote("signature", "signed", one.meaning, by=one.by, at=one.at) for one in signatures[:-1]]
        for note in notes:
            if self.has_place(definition, data, note):
                here.setdefault(note.item, []).append(note)
            else:
                whole.append(note)
        whole += [
            OdmNote("value", "not in the build", json.dumps(value, ensure_ascii=False, sort_keys=True), item=name)
            for name, value in data.items()
            if name not in known and value not in (None, "", [])
        ]
        children = [odm_notes.signature(one, user_oid(one.by), odm_oids.site_oid(site)) for one in signatures[-1:]]
        children += [annotation(index, _named(note)) for index, note in enumerate(whole, start=1)]
        for index, section in enumerate(definition.sections, start=1):
            children += self.section(definition, index, section, data, here)
        oid = self.oids.forms.get(form, odm_oids.form_oid(form))
        keys = {"FormOID": oid, "FormRepeatKey": str(number) if definition.repeating or number > 1 else None}
        self.write(element("FormData", keys, children))

    def form_of(self, oid: str) -> Form:
        """The form; one that this build no longer has is without items, and its values stand as annotations."""
        try:
            return self.study.form(oid)
        except NotInDefinition:
            return Form.model_construct(oid=oid, name=self.study.title, sections=())

    def has_place(self, form: Form, data: Mapping[str, Any], note: OdmNote) -> bool:
        """Whether the file has an ItemData that a note can stand at."""
        name, bracket, rest = note.item.partition("[")
        if not bracket:
            return (form.oid, name) in self.oids.items and name not in form.group_of
        row, _, inner = rest.partition("].")
        return (form.oid, inner) in self.oids.items and any(str(one[ROW]) == row for one in data.get(name) or [])

    def section(
        self, form: Form, number: int, section: Section, data: Mapping[str, Any], notes: Mapping[str, list[OdmNote]]
    ) -> list[str]:  # fmt: skip
        oid = self.oids.groups[(form.oid, number)]
        if not section.rows:
            values = [self.item(form, item, data.get(item.name), notes.get(item.name, ())) for item in section.items]
            return [element("ItemGroupData", {"ItemGroupOID": oid}, values)] if any(values) else []
        name = section.rows.name
        rows = data.get(name)
        return [
            element("ItemGroupData", {"ItemGroupOID": oid, "ItemGroupRepeatKey": str(row[ROW])}, [
                self.item(form, item, row.get(item.name), notes.get(f"{name}[{row[ROW]}].{item.name}", ()))
                for item in section.items
            ])
            for row in (rows if is_rows(rows) else [])
        ]  # fmt: skip

    def item(self, form: Form, item: Item, value: Any, notes: Sequence[OdmNote]) -> str:
        """An ItemData; nothing for an item without value and notes, and for what only is displayed."""
        oid = self.oids.items.get((form.oid, item.name))
        empty = value is None or value == "" or value == []
        if oid is None or (empty and not notes):
            return ""
        said = [annotation(index, note) for index, note in enumerate(notes, start=1)]
        if empty or is_missing(value):
            if not empty:
                said.append(missing_annotation(len(said) + 1, value["missing"], value.get("reason") or ""))
            return element("ItemData", {"ItemOID": oid, "IsNull": "Yes"}, said)
        return element("ItemData", {"ItemOID": oid, "Value": self.text(item, value)}, said)

    def text(self, item: Item, value: Any) -> str:
        """A stored value as ODM writes it."""
        kind = item.value_kind
        if kind in ("choice", "choices"):
            codes = self.codes.get(item.codelist or "", {})
            return ";".join(codes.get(str(one), str(one)) for one in (value if isinstance(value, list) else [value]))
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        if kind == "date":
            return str(value).replace("-UK", "")
        if kind in ("time", "datetime"):
            return f"{value}:00"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return plain_number(value)
        return str(value)

    def association(
        self, *, subject: str, site: str, event: str, repeat: int, form: str, number: int, note: OdmNote
    ) -> None:  # fmt: skip
        """A note on a form that has no record; after the last record."""
        self.end_clinical()
        whose = {"StudyOID": self.oids.study_oid, "SubjectKey": subject}
        where = {
            **whose, "StudyEventOID": self.oids.events.get(event, odm_oids.event_oid(event)),
            "StudyEventRepeatKey": str(repeat),
            "FormOID": self.oids.forms.get(form, odm_oids.form_oid(form)), "FormRepeatKey": str(number),
        }  # fmt: skip
        keys = [element("KeySet", whose), element("KeySet", where)]
        self.write(element("Association", self.study_keys(), [*keys, annotation(1, note)]))

    # The elements around

    def go_to(self, subject: str, site: str, event: str, repeat: int) -> None:
        if subject != self.subject:
            self.end_subject()
            self.subject = subject
            self.write(f"<SubjectData{attributes({'SubjectKey': subject})}>")
            self.write(element("SiteRef", {"LocationOID": odm_oids.site_oid(site)}))
        if self.at != (event, repeat):
            self.end_event()
            self.at = (event, repeat)
            keys = {
                "StudyEventOID": self.oids.events.get(event, odm_oids.event_oid(event)),
                "StudyEventRepeatKey": str(repeat) if repeat > 1 or event in self.many else None,
            }
            self.write(f"<StudyEventData{attributes(keys)}>")

    def end_event(self) -> None:
        if self.at is not None:
            self.write("</StudyEventData>")
            self.at = None

    def end_subject(self) -> None:
        self.end_event()
        if self.subject:
            self.write("</SubjectData>")
            self.subject = ""

    def end_clinical(self) -> None:
        if self.clinical:
            self.end_subject()
            self.write("</ClinicalData>")
            self.clinical = False


def user_oid(username: str) -> str:
    return f"USR.{username}"


def _named(note: OdmNote) -> OdmNote:
    """A note that stands at the whole form says which item it is about."""
    if not note.item:
        return note
    text = f"{note.item}: {note.text}" if note.text else note.item
    return OdmNote(note.kind, note.status, text, "", note.by, note.at, note.ref)
