"""A study definition as the metadata of ODM 1.3.1 or 1.3.2.

What ODM has no word for (visit days, critical items, normal ranges …) stands in Aliases whose context begins with
"lobule:", one JSON value for each field; other systems pass over them, and reading the file again needs nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crf.definitions.model import Check, Choice, Codelist, Event, Form, Item, Section, StudyDefinition, Text

from . import odm_oids
from .naming import Names
from .odm_plan import TYPES
from .odm_report import NCI, OWN
from .xml_text import element

CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
SAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,7}$")
FORMAT = re.compile(r"[A-Za-z_$][A-Za-z0-9_.]{0,7}$")
ANY = re.compile(r".", re.DOTALL)
# Attributes of foreign files that ODM 1.3 has a place for, with what they must look like.
ATTRIBUTES: dict[str, dict[str, re.Pattern[str]]] = {
    "StudyEventDef": {"Category": ANY},
    "FormDef": {},
    "ItemGroupDef": {
        "IsReferenceData": re.compile("Yes$|No$"), "SASDatasetName": SAS, "Domain": ANY, "Origin": ANY, "Role": ANY,
        "Purpose": ANY, "Comment": ANY,
    },
    "ItemDef": {
        "Length": re.compile(r"[1-9]\d*$"), "SignificantDigits": re.compile(r"\d+$"), "SASFieldName": SAS,
        "SDSVarName": SAS, "Origin": ANY, "Comment": ANY,
    },
    "CodeList": {"SASFormatName": FORMAT},
    "CodeListItem": {"Rank": re.compile(r"-?\d+(\.\d+)?$"), "OrderNumber": re.compile(r"-?\d+$")},
}  # fmt: skip
SIDES = ("GE", "LE")
Facts = dict[str, Any]


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def translated(text: Text, more: Mapping[str, str | None] | None = None) -> list[str]:
    """TranslatedText in both languages; a text that is the same in both is written once, in the one it is in."""
    if text.zh == text.en:
        language = "zh" if CJK.search(text.zh) else "en"
        return [element("TranslatedText", {"xml:lang": language, **(more or {})}, text=text.zh)]
    return [
        element("TranslatedText", {"xml:lang": language, **(more or {})}, text=text.of(language))
        for language in ("zh", "en")
    ]  # fmt: skip


def aliases(own: Mapping[str, Any], alias: Mapping[str, str], said: Sequence[str], *more: tuple[str, str]) -> list[str]:
    """Aliases of a definition: other systems', this product's, and what of `alias` nothing else says."""
    foreign = {key.removeprefix("odm:alias:"): value for key, value in alias.items() if key.startswith("odm:alias:")}
    rest = {key: value for key, value in alias.items() if not key.startswith("odm:alias:") and key not in said}
    fields = {**own, **({"alias": rest} if rest else {})}
    pairs = [*more, *foreign.items(), *((f"{OWN}{key}", as_json(value)) for key, value in sorted(fields.items()))]
    return [element("Alias", {"Context": context, "Name": name}) for context, name in dict(pairs).items()]


def plain_codings(part: Item | Choice | Codelist) -> str:
    """The NCI code, where that is all the terminology there is."""
    codings = part.codings
    return codings[0].code if len(codings) == 1 and codings[0].system == "NCIt" and not codings[0].name else ""


def own_of(part: Any, said: Sequence[str]) -> Facts:
    """The fields of a part that ODM does not say."""
    fields: Facts = part.model_dump(mode="json", exclude_defaults=True)
    return {key: value for key, value in fields.items() if key not in said}


class Metadata13:
    """Renders a study's definitions once; the OID of everything is then known, to metadata and data alike."""

    ATTRIBUTES: Mapping[str, Mapping[str, re.Pattern[str]]] = ATTRIBUTES
    MORE: Mapping[str, str] = {}  # attributes of every TranslatedText
    SIGNATURE: Sequence[str] = ()  # what stands between the description of a rule and its expressions
    FORM, FORM_REF, FORM_OID = "FormDef", "FormRef", "FormOID"
    FORM_HEAD: Mapping[str, str] = {}
    SECTION_HEAD: Mapping[str, str] = {}
    REPEATING = "Yes"
    REPEATINGS: Sequence[str] = ("Yes",)
    ENUMERATED = "EnumeratedItem"
    UNITS = True  # whether a unit, and the decimals of a number, have a place
    EXTERNAL = True  # whether a code list may lie outside the file

    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.taken: dict[str, tuple[str, str]] = {}
        self.events: dict[str, str] = {}
        self.forms: dict[str, str] = {}
        self.groups: dict[tuple[str, int], str] = {}
        self.items: dict[tuple[str, str], str] = {}
        self.codelists: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.study_oid = study.alias.get("odm", study.code)
        self.version_oid = study.alias.get("odm:version", odm_oids.version_oid(study.version))
        for name, codelist in study.codelists.items():
            self.codelist(name, codelist)
        for form in study.forms:
            self.form(form)
        for event in study.events:
            self.event(event)

    def translated(self, text: Text) -> list[str]:
        return translated(text, self.MORE)

    def attributes_of(self, tag: str, alias: Mapping[str, str], said: list[str]) -> dict[str, str | None]:
        """Attributes of the foreign file that this element may bear; their keys are added to `said`."""
        found: dict[str, str | None] = {}
        for name, pattern in self.ATTRIBUTES[tag].items():
            value = alias.get(f"odm@{name}")
            if value and pattern.match(value):
                found[name] = value
                said.append(f"odm@{name}")
        return found

    def claim(self, tag: str, wanted: str, render: Callable[[str], str]) -> str:
        """The OID of a definition: `wanted`, shared with one that reads the same, numbered where it is another's."""
        oid, number = wanted, 2
        while True:
            text = render(oid)
            if self.taken.setdefault(oid, (tag, text)) == (tag, text):
                return oid
            oid, number = f"{wanted}.{number}", number + 1

    def of(self, tag: str) -> list[str]:
        """The definitions of a kind, in the order in which they were needed."""
        return [text for kind, text in self.taken.values() if kind == tag]

    # Code lists

    def codelist(self, name: str, codelist: Codelist) -> None:
        if "odm:boolean" in codelist.alias:
            return
        default = odm_oids.codelist_oid(name)
        wanted = codelist.alias.get("odm", default)
        said = ["odm", "odm@Name", "odm@DataType", *(["odm:enumerated"] if self.EXTERNAL else [])]
        fields, pairs, terms = self.terms(codelist)
        own = own_of(codelist, ("name", "choices", "alias", *fields))
        enumerated = "odm:enumerated" in codelist.alias and all(
            choice.label.zh == choice.label.en == value_of(choice) for choice in codelist.choices
        )
        extra = self.attributes_of("CodeList", codelist.alias, said)
        inner = [
            element("Description", children=self.translated(codelist.name)),
            *(self.choice(choice, enumerated) for choice in codelist.choices),
            *terms,
        ]
        head = {
            "Name": codelist.alias.get("odm@Name", codelist.name.en),
            "DataType": codelist.alias.get("odm@DataType", "text"),
            **extra,
        }

        def render(oid: str) -> str:
            prefix = oid.removeprefix("CL.").removeprefix("CL_") or oid
            key = {"key": name} if Names(first="list").spelt(prefix) != name else {}
            more = aliases(own | key, codelist.alias, said, *pairs)
            return element("CodeList", {"OID": oid, **head}, [*inner, *more])

        self.codelists[name] = self.claim("CodeList", wanted, render)

    def choice(self, choice: Choice, enumerated: bool) -> str:
        said = ["odm"]
        extra = self.attributes_of("CodeListItem", choice.alias, said)
        fields, pairs, terms = self.terms(choice)
        own = own_of(choice, ("code", "label", "alias", *fields))
        inner = [*terms, *aliases(own, choice.alias, said, *pairs)]
        if enumerated:
            return element(self.ENUMERATED, {"CodedValue": value_of(choice), **extra}, inner)
        decode = element("Decode", children=self.translated(choice.label))
        return element("CodeListItem", {"CodedValue": value_of(choice), **extra}, [decode, *inner])

    def terms(self, part: Item | Choice | Codelist) -> tuple[list[str], list[tuple[str, str]], list[str]]:
        """Terminology: the fields that are said with it, as Aliases, and as elements."""
        code = plain_codings(part)
        return (["codings"], [(NCI[0], code)], []) if code else ([], [], [])

    # Forms

    def form(self, form: Form) -> None:
        refs = [self.section(form, number, section) for number, section in enumerate(form.sections, start=1)]
        said = ["odm", "odm@Name"]
        own = own_of(form, ("oid", "name", "repeating", "sections", "checks", "alias"))
        default = odm_oids.form_oid(form.oid)
        wanted = form.alias.get("odm", default)
        fields = self.check_fields(form)
        conditions = [key for key in form.alias if key.startswith("odm:condition:")]
        inner = [element("Description", children=self.translated(form.name)), *refs]
        repeating = self.REPEATING if form.repeating else "No"
        head = {"Name": form.alias.get("odm@Name", form.name.en), "Repeating": repeating, **self.FORM_HEAD}

        def render(oid: str) -> str:
            name = {"oid": form.oid} if oid != default else {}
            more = aliases(own | name | fields, form.alias, [*said, *conditions])
            return element(self.FORM, {"OID": oid, **head}, [*inner, *more])

        self.forms[form.oid] = self.claim(self.FORM, wanted, render)

    def check_fields(self, form: Form) -> Facts:
        """What a check says beside its expression and message; and their order, where it isn't that of the items."""
        fields: Facts = {}
        for check in form.checks:
            said = own_of(
                check, ("id", "require", "severity", "message", "alias", *(["items"] if len(check.items) == 1 else []))
            )
            rest = {key: value for key, value in check.alias.items() if key != "odm"}
            said |= {"alias": rest} if rest else {}
            if said:
                fields[f"check:{check.id}"] = said
        natural = [check.id for item in every_item(form) for check in self.checks_of(form, item)]
        if natural != [check.id for check in form.checks]:
            fields["checks"] = [check.id for check in form.checks]
        return fields

    def checks_of(self, form: Form, item: Item) -> list[Check]:
        """The checks that are written at an item: the first that they name."""
        return [check for check in form.checks if check.items[0] == item.name]

    def section(self, form: Form, number: int, section: Section) -> str:
        wanted = section.alias.get("odm", odm_oids.section_oid(form.oid, number))
        entered = [item for item in section.items if "odm:empty" not in item.alias]
        refs = [self.item_ref(form, item, index) for index, item in enumerate(entered, start=1)]
        said = ["odm", "odm@Name", "odm:mandatory", "odm:condition"]
        extra = self.attributes_of("ItemGroupDef", section.alias, said)
        head = {
            "Name": section.alias.get("odm@Name", section.name.en),
            "Repeating": self.repeating(section, said),
            **self.SECTION_HEAD,
            **extra,
        }
        own = own_of(section, ("name", "items", "show_if", "alias"))
        inner = [
            element("Description", children=self.translated(section.name)),
            *refs,
            *aliases(own, section.alias, said),
        ]
        oid = self.claim("ItemGroupDef", wanted, lambda oid: element("ItemGroupDef", {"OID": oid, **head}, inner))
        self.groups[(form.oid, number)] = oid
        return element("ItemGroupRef", {
            "ItemGroupOID": oid, "OrderNumber": str(number), "Mandatory": section.alias.get("odm:mandatory", "Yes"),
            "CollectionExceptionConditionOID": self.condition(section.show_if, section.alias, f"{wanted}@{form.oid}"),
        })  # fmt: skip

    def repeating(self, section: Section, said: list[str]) -> str:
        """What a foreign file said, if this version of ODM has that word."""
        if not section.rows:
            return "No"
        value = section.alias.get("odm@Repeating", self.REPEATING)
        if value not in self.REPEATINGS:
            return self.REPEATING
        said.append("odm@Repeating")
        return value

    def condition(self, show_if: str | None, alias: Mapping[str, str], owner: str) -> str | None:
        """The OID of the condition under which something is *not* collected."""
        facts = verbatim(alias, "odm:condition", show_if)
        if show_if is None and not facts:
            return None
        texts = [*facts.get("texts", []), *([["CEL", odm_oids.negation(show_if)]] if show_if is not None else [])]
        return self.rule("ConditionDef", facts.get("oid") or odm_oids.condition_oid(owner), owner, texts, {}, facts)

    def method(self, item: Item, owner: str) -> str | None:
        facts = verbatim(item.alias, "odm:method", item.derive)
        if item.derive is None and not facts:
            return None
        texts = [*facts.get("texts", []), *([["CEL", item.derive]] if item.derive is not None else [])]
        more = {"Type": facts.get("type", "Computation") or None}
        return self.rule("MethodDef", facts.get("oid") or odm_oids.method_oid(owner), owner, texts, more, facts)

    def rule(
        self, tag: str, oid: str, default: str, texts: Sequence[Sequence[str]], more: Mapping[str, str | None],
        facts: Facts,
    ) -> str:  # fmt: skip
        name = facts.get("name") or default
        said = facts.get("description") or {"zh": name, "en": name}
        description = element("Description", children=self.translated(Text(**said)))
        inner = [description, *self.SIGNATURE, *self.formal(texts)]
        return self.claim(tag, oid, lambda taken: element(tag, {"OID": taken, "Name": name, **more}, inner))

    def formal(self, texts: Sequence[Sequence[str]]) -> list[str]:
        return [element("FormalExpression", {"Context": context or None}, text=text) for context, text in texts]

    # Items

    def item_ref(self, form: Form, item: Item, number: int) -> str:
        wanted = item.alias.get("odm", odm_oids.item_oid(form.oid, item.name))
        inner, head = self.item_parts(form, item, wanted)
        oid = self.claim("ItemDef", wanted, lambda oid: element("ItemDef", {"OID": oid, **head}, inner))
        self.items[(form.oid, item.name)] = oid
        return element("ItemRef", {
            "ItemOID": oid, "OrderNumber": str(number), "Mandatory": yes(item.required is True),
            "MethodOID": self.method(item, f"{wanted}@{form.oid}"),
            "CollectionExceptionConditionOID": self.condition(item.show_if, item.alias, f"{wanted}@{form.oid}"),
        })  # fmt: skip

    def item_parts(self, form: Form, item: Item, wanted: str) -> tuple[list[str], Mapping[str, str | None]]:
        kind = item.value_kind
        boolean = item.codelist is not None and item.codelist not in self.codelists and kind == "choice"
        data_type = item.alias.get("odm@DataType", "boolean" if boolean else odm_oids.DATA_TYPES[kind])
        said = ["odm", "odm@Name", "odm@DataType", "odm:condition", "odm:method"]
        said += ["odm:unit", "odm:unit@Name", "odm:units"] if self.UNITS else []
        said += ["odm:external"] if self.EXTERNAL else []
        extra = self.attributes_of("ItemDef", item.alias, said)
        head: dict[str, str | None] = {"Name": item.alias.get("odm@Name", item.name), "DataType": data_type, **extra}
        if item.max_length:
            head["Length"] = str(item.max_length)
        if item.precision is not None and self.UNITS:
            head["SignificantDigits"] = str(item.precision)
        cdash = [("CDASH", item.cdisc)] if item.cdisc and item.cdisc != extra.get("SDSVarName") else []
        fields, pairs, terms = self.terms(item)
        inner = [
            *self.item_texts(item),
            *(element("MeasurementUnitRef", {"MeasurementUnitOID": oid}) for oid in self.units_of(item)),
            *self.range_checks(form, item, said),
            *self.codelist_ref(item),
            *terms,
            *aliases(self.item_fields(item, data_type, fields), item.alias, said, *cdash, *pairs),
        ]
        return inner, head

    def item_texts(self, item: Item) -> list[str]:
        described = [element("Description", children=self.translated(item.definition))] if item.definition else []
        return [*described, element("Question", children=self.translated(item.label))]

    ITEM_SAID: tuple[str, ...] = (
        "name", "type", "value_type", "label", "definition", "codelist", "show_if", "range", "soft_range", "derive",
        "unit", "precision", "max_length", "cdisc", "alias",
    )  # fmt: skip

    def item_fields(self, item: Item, data_type: str, said: Sequence[str]) -> Facts:
        """What ODM has no word for."""
        own = own_of(item, [*self.ITEM_SAID, *said, *(["required"] if isinstance(item.required, bool) else [])])
        own["name"] = item.name
        expected = "choice" if item.codelist else TYPES.get(data_type, "text")
        if item.value_kind != expected:
            own["value_type" if item.type == "derived" else "type"] = item.value_kind
        return own

    def units_of(self, item: Item) -> list[str]:
        """The item's unit first, then those that a foreign file offered beside it."""
        if not item.unit or not self.UNITS:
            return []
        alias = item.alias
        first = [alias.get("odm:unit", f"MU.{item.unit}"), alias.get("odm:unit@Name", item.unit), item.unit]
        return [self.unit(*one) for one in [first, *json.loads(alias.get("odm:units", "[]"))]]

    def unit(self, oid: str, unit_name: str, name: str) -> str:
        symbol = element("Symbol", children=[element("TranslatedText", {"xml:lang": "en"}, text=name)])
        head = {"Name": unit_name}
        return self.claim(
            "MeasurementUnit", oid, lambda oid: element("MeasurementUnit", {"OID": oid, **head}, [symbol])
        )

    def codelist_ref(self, item: Item) -> list[str]:
        if item.codelist in self.codelists:
            return [element("CodeListRef", {"CodeListOID": self.codelists[str(item.codelist)]})]
        if "odm:external" in item.alias and self.EXTERNAL:
            facts = json.loads(item.alias["odm:external"])
            inner = [element("ExternalCodeList", facts["attributes"])]
            head = {"Name": facts["name"], "DataType": facts["type"]}
            oid = self.claim("CodeList", facts["oid"], lambda oid: element("CodeList", {"OID": oid, **head}, inner))
            return [element("CodeListRef", {"CodeListOID": oid})]
        return []

    def range_checks(self, form: Form, item: Item, said: list[str]) -> list[str]:
        """Limits, checks, and what a foreign file said beside them; the keys of what is said are added to `said`."""
        found = []
        for key, soft in (("range", False), ("soft_range", True)):
            for side, limit in enumerate(getattr(item, key) or ()):
                if limit is not None:
                    said.append(f"odm:message:{key}:{side}")
                    message = item.alias.get(said[-1])
                    text = Text(**json.loads(message)) if message else None
                    found.append(self.range_check(SIDES[side], soft, [f"{limit:.15g}"], (), (), text))
        found += [self.check(check) for check in self.checks_of(form, item)]
        for key in sorted(key for key in item.alias if key.startswith("odm:rangecheck:")):
            facts = json.loads(item.alias[key])
            if facts["unit"] and not self.UNITS:
                continue
            said.append(key)
            messages = [
                element("TranslatedText", {"xml:lang": language or None, **self.MORE}, text=text)
                for language, text in facts["message"].items()
            ]
            found.append(
                self.range_check(
                    facts["comparator"], facts["soft"], facts["values"], facts["texts"], facts["unit"], None, messages
                )
            )
        return found

    def check(self, check: Check) -> str:
        soft = check.severity == "soft"
        facts = json.loads(check.alias["odm"]) if "odm" in check.alias else None
        if facts and facts["cel"] == check.require and (self.UNITS or not facts["unit"]):
            return self.range_check(
                facts["comparator"], soft, facts["values"], facts["texts"], facts["unit"], check.message
            )
        return self.range_check("", soft, (), [[f"CEL#{check.id}", check.require]], (), check.message)

    def range_check(
        self, comparator: str, soft: bool, values: Sequence[str], texts: Sequence[Sequence[str]], unit: Sequence[str],
        message: Text | None, messages: Sequence[str] = (),
    ) -> str:  # fmt: skip
        said = [*messages, *(self.translated(message) if message else [])]
        return element(
            "RangeCheck",
            {"Comparator": comparator or None, "SoftHard": "Soft" if soft else "Hard"},
            [
                *(element("CheckValue", text=value) for value in (values if not texts else ())),
                *self.formal(texts),
                *([element("MeasurementUnitRef", {"MeasurementUnitOID": self.unit(*unit)})] if unit else []),
                *([element("ErrorMessage", children=said)] if said else []),
            ],
        )

    # Events

    def event(self, event: Event) -> None:
        kind = odm_oids.DEFAULTS[event.kind]
        said = ["odm", "odm@Name", "odm@Type", "odm@Repeating", "odm:optional_forms"]
        extra = self.attributes_of("StudyEventDef", event.alias, said)
        own = own_of(event, ("oid", "name", "kind", "forms", "optional", "alias"))
        default = odm_oids.event_oid(event.oid)
        wanted = event.alias.get("odm", default)
        optional = json.loads(event.alias.get("odm:optional_forms", "[]"))
        refs = [
            element(self.FORM_REF, {
                self.FORM_OID: self.forms[oid], "OrderNumber": str(number), "Mandatory": yes(oid not in optional),
                "CollectionExceptionConditionOID": self.form_condition(oid, event.oid),
            })
            for number, oid in enumerate(event.forms, start=1)
        ]  # fmt: skip
        inner = [element("Description", children=self.translated(event.name)), *refs]
        head = {
            "Name": event.alias.get("odm@Name", event.name.en),
            "Repeating": event.alias.get("odm@Repeating", yes(kind[1])),
            "Type": event.alias.get("odm@Type", kind[0]),
            **extra,
        }

        def render(oid: str) -> str:
            more = aliases(own | ({"oid": event.oid} if oid != default else {}), event.alias, said)
            return element("StudyEventDef", {"OID": oid, **head}, [*inner, *more])

        self.events[event.oid] = self.claim("StudyEventDef", wanted, render)

    def form_condition(self, form: str, event: str) -> str | None:
        """A condition that a foreign file put on a form at an event; its sections have it as their own."""
        alias = self.study.form(form).alias
        key = f"odm:condition:{event}"
        if key not in alias:
            return None
        facts = json.loads(alias[key])
        return self.rule("ConditionDef", facts["oid"], facts["oid"], facts["texts"], {}, facts)

    # The whole

    def definitions(self, codelists: Sequence[str]) -> list[str]:
        """Everything that a MetaDataVersion holds after its Protocol, in the order of ODM's schema."""
        before = ("StudyEventDef", self.FORM, "ItemGroupDef", "ItemDef", "CodeList")
        after = ("ConditionDef", "MethodDef")
        return [
            *(text for kind in dict.fromkeys(before) for text in self.of(kind)),
            *codelists,
            *(text for kind in after for text in self.of(kind)),
        ]

    STUDY_SAID = (
        "odm", "odm:version", "odm:version@Name", "odm:version@Description", "odm:StudyDescription", "odm:ProtocolName",
    )  # fmt: skip

    def study_aliases(self) -> list[str]:
        """What of the study has no element: sites, groups, images, and its titles in both languages."""
        own = own_of(self.study, ("code", "version", "title", "events", "forms", "codelists", "alias"))
        own |= {"code": self.study.code, "version": self.study.version}
        if self.study.title.zh != self.study.title.en:
            own["title"] = self.study.title.model_dump()
        return aliases(own, self.study.alias, self.STUDY_SAID)

    def event_refs(self) -> list[str]:
        return [
            element("StudyEventRef", {
                "StudyEventOID": self.events[event.oid], "OrderNumber": str(number),
                "Mandatory": yes(not event.optional),
            })
            for number, event in enumerate(self.study.events, start=1)
        ]  # fmt: skip

    def study_element(self, codelists: Sequence[str] = ()) -> str:
        """The Study element; `codelists` are more of them, rendered, that the file needs."""
        study = self.study
        protocol = element("Protocol", children=[*self.event_refs(), *self.study_aliases()])
        facts = study.alias.get
        variables = element("GlobalVariables", children=[
            element("StudyName", text=study.title.en),
            element("StudyDescription", text=facts("odm:StudyDescription", study.title.en)),
            element("ProtocolName", text=facts("odm:ProtocolName", study.registration_number or study.code)),
        ])  # fmt: skip
        units = self.of("MeasurementUnit")
        version = {
            "OID": self.version_oid, "Name": facts("odm:version@Name", study.version),
            "Description": facts("odm:version@Description"),
        }  # fmt: skip
        metadata = element("MetaDataVersion", version, [protocol, *self.definitions(codelists)])
        basics = [element("BasicDefinitions", children=units)] if units else []
        return element("Study", {"OID": self.study_oid}, [variables, *basics, metadata])


def verbatim(alias: Mapping[str, str], key: str, cel: str | None) -> Facts:
    """What a foreign file said of a rule; nothing where the rule has been changed since, or is this product's own."""
    facts: Facts = json.loads(alias[key]) if key in alias else {}
    return facts if facts.get("cel") == cel or (facts and facts["cel"] is None) else {}


def yes(value: bool) -> str:
    return "Yes" if value else "No"


def value_of(choice: Choice) -> str:
    return choice.alias.get("odm", choice.code)


def every_item(form: Form) -> list[Item]:
    return [item for section in form.sections for item in section.items]
