"""CDISC ODM 1.3.1, 1.3.2 and 2.0 metadata as a study definition; everything it does not carry is in the loss report.

OIDs stay in `alias["odm"]`, so that the next export gives the same ones; what a later export needs word for word
(expressions, attributes, messages) stays beside them under "odm:…" and "odm@…".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from crf.definitions.errors import DefinitionErrors

from . import odm_oids
from .logic import Field
from .loss import Imported, refused
from .naming import Names as Taken
from .numbers import read_whole
from .odm_codelists import BOOLEAN, Codelists
from .odm_file import REDCAP, Metadata, metadata_of
from .odm_plan import AS_TEXT, MISSING_REFERENCE, FormPlan, ItemPlan, Planner, SectionPlan, numbered, repeats
from .odm_report import IN_ALIAS, NO_PLACE, OWN, Report, codings, own_fields, with_own
from .odm_rules import VALUE_TYPES, Names, Ranges, Rules, section_condition
from .settle import settle
from .xml_tree import Node, read_xml

ITEM_DEF = ("OID", "Name", "DataType", "Length", "SignificantDigits", "FractionDigits", "SDSVarName")
ITEM_CHILDREN = (
    "Description", "Question", "Definition", "Prompt", "CRFCompletionInstructions", "MeasurementUnitRef", "RangeCheck",
    "CodeListRef", "Coding",
)  # fmt: skip
REF = ("OrderNumber", "Mandatory", "CollectionExceptionConditionOID", "MethodOID")
# Attributes of the file that speak of more than the file itself.
ABOUT_THE_STUDY = ("Description", "Originator", "AsOfDateTime", "PriorFileOID", "Archival")
OTHER_STUDY = "Study/@code"  # the element of the loss that tells of an export of another study of ours
Raw = dict[str, Any]


def read_odm(content: bytes, *, code: str = "", file: str = "") -> Imported:
    """The study that an ODM file defines. `code` becomes its code, and chooses it where the file has several.

    Raises DefinitionErrors, with file, line and remedy, for what is no ODM, is broken, or is no file to trust.
    """
    report = Report()
    root = read_xml(content, file=file or "ODM", taken={"SubjectData": lambda node, around: None})
    _strip(root)
    metadata = metadata_of(root, code, report, file or "ODM")
    try:
        return _Reader(metadata, report, file or "ODM", code).read()
    except DefinitionErrors:
        raise
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        # What an Alias of this product says goes into the definition as it is, and may be of any kind.
        raise refused(
            file or "ODM", root.line, f"Alias {OWN}…", "本系统写入的 Alias 被改动,无法读取",
            "its Alias elements of this product hold something else than it writes",
            "请从本系统重新导出", "export it again from here",
        ) from error  # fmt: skip


class _Reader:
    def __init__(self, metadata: Metadata, report: Report, file: str, code: str) -> None:
        self.metadata = metadata
        self.report = report
        self.file = file
        self.code = code
        self.codelists = Codelists(metadata, report)
        self.rules = Rules(metadata, report)
        self.planner = Planner(metadata, report, self.codelists.names, file)
        self.forms = self.planner.forms()
        codes = {
            name: {one["alias"].get("odm", one["code"]): one["code"] for one in raw["choices"]}
            for name, raw in self.codelists.raw.items()
        }
        self.names = Names(self.forms.values(), codes)
        self.labels_assumed = 0
        self.used_lists: set[str] = set()
        self.used_units: set[str] = set()

    def read(self) -> Imported:
        self.vendor()
        forms = {oid: self.form(plan) for oid, plan in self.forms.items()}
        forms = {oid: form for oid, form in forms.items() if form["sections"]}
        raw = self.study() | {"events": self.events(forms), "forms": list(forms.values())}
        raw["codelists"] = {name: raw_list for name, raw_list in self.codelists.raw.items()}
        if "boolean" in self.used_lists:
            raw["codelists"].setdefault("boolean", BOOLEAN)
        with_own(raw, self.own_study())
        odm_oids.prune(raw)
        self.leftovers()
        return settle(raw, self.report.losses, file=self.file)

    # The study

    def study(self) -> Raw:
        """Code, version, titles, sites; what ODM does not say is assumed, and reported."""
        study, last = self.metadata.study, self.metadata.last
        oid = study.get("OID") if study else last.get("OID")
        facts = self.global_variables(study)
        title = facts["StudyName"] or oid
        if study is None:
            self.report.lose(
                "assumed", last, oid, oid, "文件没有 Study;用其 OID 作为研究", "no Study; its OID stands for one"
            )
        code = Taken(upper=True, first="S").spelt(self.code or oid or title)
        version = re.sub(r"[^0-9A-Za-z._-]+", "-", last.get("OID")).strip("._-")[:32] or "1"
        alias = {"odm": oid, "odm:version": last.get("OID"), "odm:version@Name": last.get("Name")}
        for name in ("StudyDescription", "ProtocolName"):
            alias[f"odm:{name}"] = facts[name]
        described = last.get("Description") or (self.report.text(last.first("Description")) or {}).get("en", "")
        if described:
            self.report.lose("kept", last, oid, described, *IN_ALIAS, element="MetaDataVersion/Description")
            alias["odm:version@Description"] = described
        for protocol in self.metadata.protocols:
            said = ("Description", "StudyEventRef", "StudyEventGroupRef")
            alias |= self.report.rest(protocol, "Protocol", ("OID", "Name"), said)
        return {
            "code": code,
            "version": version,
            "title": self.report.text(study.first("Description") if study and not facts["StudyName"] else None)
            or {"zh": title, "en": title},
            "alias": {key: value for key, value in alias.items() if value},
            "sites": self.sites(oid),
        }

    def global_variables(self, study: Node | None) -> dict[str, str]:
        names = ("StudyName", "StudyDescription", "ProtocolName")
        variables = study.first("GlobalVariables") if study else None
        if variables is not None:
            return {name: variables.content(name) for name in names}
        described = self.report.text(study.first("Description")) if study else None
        return {
            name: (study.get(name) if study else "") or ((described or {}).get("en", "") if "Desc" in name else "")
            for name in names
        }

    def sites(self, oid: str) -> list[Raw]:
        taken: set[str] = set()
        found = []
        for admin in self.metadata.root.all("AdminData"):
            for place in admin.all("Location"):
                if place.get("LocationType", "Site") == "Site" and place.get("OID") not in taken:
                    taken.add(place.get("OID"))
                    name = place.get("Name") or place.get("OID")
                    code = odm_oids.site_code(place.get("OID"))
                    if len(place.get("OID").removeprefix("LOC.")) > odm_oids.MOST_SITE_CODE:
                        zh, en = f"OID 过长,中心代码为 {code}", f"too long for a code; the site is {code}"
                        self.report.lose("assumed", place, place.get("OID"), place.get("OID"), zh, en)
                    found.append({"code": code, "name": {"zh": name, "en": name}})
        if not found:
            zh, en = "文件没有中心;假定一个中心 01", "the file names no site; one site, 01, is assumed"
            self.report.lose("assumed", self.metadata.last, oid, "01", zh, en, element="AdminData/Location")
            found = [{"code": "01", "name": {"zh": "中心01", "en": "Site 01"}, "origin": "assumed"}]
        return found

    def own_study(self) -> Raw:
        own: Raw = {}
        for protocol in self.metadata.protocols:
            own |= own_fields(protocol, self.report, "Protocol")
        if self.code:
            code = str(own.pop("code", self.code))  # who reads the file has chosen another
            if code != self.code:
                zh, en = (
                    f"这是研究 {code} 的定义,按 {self.code} 读取",
                    f"the definition of {code}, read as that of {self.code}",
                )
                self.report.lose("changed", self.metadata.last, "", code, zh, en, element=OTHER_STUDY)
        return own

    def name_of(self, node: Node) -> dict[str, str]:
        """A definition's Description, else its Name, else its OID."""
        name = node.get("Name") or node.get("OID")
        return self.report.text(node.first("Description")) or {"zh": name, "en": name}

    # Events

    def events(self, forms: Mapping[str, Raw]) -> list[Raw]:
        refs = {
            ref.get("StudyEventOID"): ref for protocol in self.metadata.protocols
            for ref in numbered(protocol, "StudyEventRef")
        }  # fmt: skip
        nodes = self.metadata.all("StudyEventDef")
        order = [oid for oid in refs if oid in nodes] + [oid for oid in nodes if oid not in refs]
        for oid in refs:
            self.report.rest(refs[oid], oid, ("StudyEventOID", "OrderNumber", "Mandatory"), (), fate="dropped")
            if oid not in nodes:
                self.report.lose("dropped", refs[oid], oid, "", *MISSING_REFERENCE)
        taken = Taken(upper=True, first="E")
        found = [self.event(nodes[oid], refs.get(oid), forms, taken, day) for day, oid in enumerate(order)]
        events = [event for event in found if event is not None]
        used = {oid for event in events for oid in event["forms"]}
        left = [form["oid"] for form in forms.values() if form["oid"] not in used]
        if left:
            events.append(self.extra_event(left, taken, first=not events))
        return events

    def event(self, node: Node, ref: Node | None, forms: Mapping[str, Raw], taken: Taken, day: int) -> Raw | None:
        oid = node.get("OID")
        own = own_fields(node, self.report, oid)
        wanted = str(own.pop("oid", "")) or re.sub(r"^SE[._](?=[A-Z])", "", oid)
        code = taken.take(wanted)
        found: list[str] = []
        optional: list[str] = []
        for form_ref in numbered(node, "FormRef", "ItemGroupRef"):
            target = form_ref.get("FormOID") or form_ref.get("ItemGroupOID")
            self.report.rest(form_ref, f"{oid}/{target}", ("FormOID", "ItemGroupOID", *REF), (), fate="dropped")
            if target in forms:
                found.append(forms[target]["oid"])
                if form_ref.get("Mandatory") == "No":
                    optional.append(forms[target]["oid"])
                self.form_condition(code, form_ref, target, forms)
            else:
                self.report.lose("dropped", form_ref, f"{oid}/{target}", "", *MISSING_REFERENCE)
        if not found:
            self.report.lose("dropped", node, oid, node.compact(), "没有表单的访视", "an event without forms")
            return None
        alias = self.report.rest(
            node, oid, ("OID", "Name", "Repeating", "Type"), ("Description", "FormRef", "ItemGroupRef")
        )
        alias |= {"odm": oid, "odm@Name": node.get("Name")}
        if optional:
            zh, en = "访视的每个表单都应填写", "every form of an event is expected"
            self.report.lose("kept", node, oid, ", ".join(optional), zh, en, element="FormRef/@Mandatory")
            alias["odm:optional_forms"] = as_json(optional)
        event = {"oid": code, "name": self.name_of(node), "forms": list(dict.fromkeys(found)), "alias": alias}
        return with_own(event | self.kind(node, ref, alias, day if "day" not in own else None), own)

    def kind(self, node: Node, ref: Node | None, alias: dict[str, str], day: int | None) -> Raw:
        """Scheduled, Unscheduled or Common, once or repeatedly, as this product's kinds of events."""
        type_, many = node.get("Type", "Scheduled"), repeats(node)
        kind = "log" if type_ == "Common" and not many else "unscheduled" if type_ == "Unscheduled" else "repeating"
        kind = "scheduled" if type_ == "Scheduled" and not many else kind
        if (type_, many) != odm_oids.DEFAULTS[kind]:
            alias |= {"odm@Type": type_, "odm@Repeating": node.get("Repeating", "No")}
        found: Raw = {"kind": kind} if kind != "scheduled" else {}
        if kind == "scheduled" and day is not None:
            zh, en = "ODM 没有访视日;按顺序假定,请填写", "ODM has no visit days; assumed from the order, fill them in"
            self.report.lose("assumed", node, node.get("OID"), f"day {day}", zh, en, element="StudyEventDef/day")
            found |= {"anchor": "enrolment", "day": day, "origin": "assumed"}
        if ref is not None and ref.get("Mandatory") == "No":
            found["optional"] = True
        return found

    def extra_event(self, forms: list[str], taken: Taken, *, first: bool) -> Raw:
        zh, en = "这些表单不在任何访视中;假定一个访视", "these forms are in no event; one is assumed"
        self.report.lose("assumed", self.metadata.last, ", ".join(forms), "", zh, en, element="StudyEventDef")
        name = {"zh": "表单", "en": "Forms"} if first else {"zh": "其他表单", "en": "Other forms"}
        when: Raw = {"anchor": "enrolment", "day": 0} if first else {"kind": "unscheduled", "optional": True}
        return {
            "oid": taken.take("VISIT" if first else "OTHER"),
            "name": name,
            "forms": forms,
            "origin": "assumed",
            **when,
        }

    def form_condition(self, event: str, ref: Node, target: str, forms: Mapping[str, Raw]) -> None:
        """A condition on a form at an event: on all its sections, if that is the only event with the form."""
        if not ref.get("CollectionExceptionConditionOID"):
            return
        plan = self.forms[target]
        rule = self.rules.condition(ref, self.names.within(plan))
        users = [
            other.get("OID")
            for other in self.metadata.all("StudyEventDef").values()
            for one in other.all("FormRef", "ItemGroupRef")
            if target in (one.get("FormOID"), one.get("ItemGroupOID"))
        ]
        if rule is None:
            return
        form = forms[target]
        form["alias"][f"odm:condition:{event}"] = rule.verbatim()
        if rule.cel is None or len(set(users)) > 1:
            zh, en = "表单的条件只能用于一个访视", "a form can have a condition only if one event has it"
            if rule.cel is not None:
                self.report.lose("kept", ref, f"{event}/{target}", rule.oid, zh, en)
            return
        if form["alias"].get("odm:form_condition") == rule.cel:
            return  # a file of our own: its sections have it already
        form["alias"]["odm:form_condition"] = rule.cel
        for section in form["sections"]:
            section["show_if"] = _both(section.get("show_if"), rule.cel)

    # Forms

    def form(self, plan: FormPlan) -> Raw:
        node, oid = plan.node, plan.node.get("OID")
        fields = self.names.within(plan)
        own = own_fields(node, self.report, oid)
        order = own.pop("checks", None)
        extras = {key.removeprefix("check:"): own.pop(key) for key in list(own) if key.startswith("check:")}
        own.pop("oid", None)
        checks: list[Raw] = []
        number = Counter()
        sections = [self.section(section, plan, fields, checks, number) for section in plan.sections]
        name = self.name_of(node)
        alias = self.report.rest(
            node, oid, ("OID", "Name", "Repeating", "Type"), ("Description", "ItemGroupRef", "ItemRef")
        )
        alias |= {"odm": oid, "odm@Name": node.get("Name")}
        form: Raw = {"oid": plan.oid, "name": name, "alias": alias, "sections": [one for one in sections if one]}
        if repeats(node):
            form["repeating"] = True
        if not form["sections"]:
            self.report.lose("dropped", node, oid, node.compact(), "没有条目的表单", "a form without items")
        checks = [check | extras.get(check["id"], {}) for check in _distinct(checks)]
        if isinstance(order, list):
            checks.sort(key=lambda check: order.index(check["id"]) if check["id"] in order else len(order))
        return with_own(form | ({"checks": checks} if checks else {}), own)

    def section(
        self, plan: SectionPlan, form: FormPlan, fields: Mapping[str, Field], checks: list[Raw], number: Counter
    ) -> Raw | None:
        node, oid = plan.node, plan.node.get("OID")
        own = own_fields(node, self.report, oid) if plan.refs else {}
        own_rows = own.pop("rows", None)
        name = self.name_of(node)
        items = [self.item(item, form, fields, checks) for item in plan.items]
        alias: dict[str, str] = {}
        if plan.refs:
            alias = self.report.rest(
                node, oid, ("OID", "Name", "Repeating", "Type"), ("Description", "ItemRef", "ItemGroupRef")
            ) | {"odm": oid, "odm@Name": node.get("Name")}
            self.mandatory(plan.refs[-1], form, alias)
        if not items:
            items = [self.empty_group(oid, name, number)]
        section: Raw = {"name": name, "items": items, "alias": alias}
        if plan.rows:
            section["rows"] = (own_rows if isinstance(own_rows, dict) else {}) | {"name": plan.rows}
            if node.get("Repeating") not in ("Yes", "Simple"):
                alias["odm@Repeating"] = node.get("Repeating")
                self.report.lose("kept", node, oid, node.get("Repeating"), *IN_ALIAS, element="ItemGroupDef/@Repeating")
        for rule in section_condition(self.rules, plan, fields):
            alias["odm:condition"] = rule.verbatim()
            if rule.cel:
                section["show_if"] = _both(section.get("show_if"), rule.cel)
        return with_own(section, own)

    def mandatory(self, ref: Node, form: FormPlan, alias: dict[str, str]) -> None:
        place = f"{form.node.get('OID')}/{ref.get('ItemGroupOID')}"
        self.report.rest(ref, place, ("ItemGroupOID", *REF), (), fate="dropped")
        if ref.get("Mandatory") == "No":
            zh, en = "分组都应填写;必填由条目决定", "every group is expected; its items say what is required"
            self.report.lose("kept", ref, ref.get("ItemGroupOID"), "No", zh, en, element="ItemGroupRef/@Mandatory")
            alias["odm:mandatory"] = "No"

    def empty_group(self, oid: str, name: Mapping[str, str], number: Counter) -> Raw:
        """A group with nothing but a description is a text on the form."""
        return {"name": number.next("text"), "type": "label", "label": dict(name), "alias": {"odm:empty": oid}}

    # Items

    def item(self, plan: ItemPlan, form: FormPlan, fields: Mapping[str, Field], checks: list[Raw]) -> Raw:
        node, oid = plan.node, plan.oid
        own = own_fields(node, self.report, oid)
        own.pop("name", None)
        alias = self.report.rest(node, oid, ITEM_DEF, ITEM_CHILDREN)
        self.report.rest(plan.ref, f"{form.node.get('OID')}/{oid}", ("ItemOID", *REF), (), fate="dropped")
        alias |= {"odm": oid, "odm@Name": node.get("Name"), "odm@DataType": node.get("DataType")}
        item: Raw = {"name": plan.name, "type": plan.type, **self.texts(node), "alias": alias}
        item |= self.size(plan, alias) | self.vocabulary(plan, alias)
        unit = self.unit(plan, item, alias)
        if plan.ref.get("Mandatory") == "Yes":
            item["required"] = True
        self.logic(plan, item, fields)
        ranges = Ranges(self.rules, plan, unit, self.symbol)
        ranges.read(fields)
        alias |= ranges.alias
        for key, limits in ranges.limits.items():
            if limits != [None, None]:
                item[key] = limits
        checks += ranges.checks
        return _consistent(with_own(item, own))

    def texts(self, node: Node) -> Raw:
        question, description = self.report.text(node.first("Question")), self.report.text(node.first("Description"))
        label = question or description
        if label is None:
            self.labels_assumed += 1
            label = {"zh": node.get("Name") or node.get("OID"), "en": node.get("Name") or node.get("OID")}
        found: Raw = {"label": label}
        definition = self.report.text(node.first("Definition")) or (description if question else None)
        if definition and definition != label:
            found["definition"] = definition
        for tag, key in (("Prompt", "help"), ("CRFCompletionInstructions", "guideline")):
            text = self.report.text(node.first(tag))
            if text:
                found[key] = text
        return found

    def size(self, plan: ItemPlan, alias: dict[str, str]) -> Raw:
        node = plan.node
        found: Raw = {}
        length = node.get("Length")
        digits = node.get("SignificantDigits") or node.get("FractionDigits")
        if length:
            most = read_whole(length)
            if plan.type == "text" and most is not None and 1 <= most <= 20000:
                found["max_length"] = most
            else:
                self.kept_size(plan, alias, "Length", length)
        if digits:
            decimals = read_whole(digits)
            if plan.type == "decimal" and decimals is not None and 0 <= decimals <= 10:
                found["precision"] = decimals
            else:
                self.kept_size(plan, alias, "SignificantDigits", digits)
        if node.get("DataType") in AS_TEXT:
            zh, en = (
                f"没有 {node.get('DataType')} 类型;按文字录入",
                f"there is no type {node.get('DataType')}; it takes text",
            )
            self.report.lose("changed", node, plan.oid, node.get("DataType"), zh, en, element="ItemDef/@DataType")
        return found

    def kept_size(self, plan: ItemPlan, alias: dict[str, str], name: str, value: str) -> None:
        zh, en = f"{plan.type} 类型没有此限制;原值保留", f"the type {plan.type} has no such limit; its value stays"
        self.report.lose("kept", plan.node, plan.oid, value, zh, en, element=f"ItemDef/@{name}")
        alias[f"odm@{name}"] = value

    def vocabulary(self, plan: ItemPlan, alias: dict[str, str]) -> Raw:
        """Code list, terminology and CDISC name."""
        node = plan.node
        found: Raw = {}
        if plan.coded:
            found["codelist"] = plan.coded
            self.used_lists.add(plan.coded)
        reference = node.first("CodeListRef")
        if reference and not plan.coded:
            oid = reference.get("CodeListOID")
            if oid in self.codelists.external:
                alias["odm:external"] = self.codelists.external[oid]
            else:
                self.report.lose("dropped", reference, f"{plan.oid}/{oid}", "", *MISSING_REFERENCE)
        terms = codings(node)
        if terms:
            found["codings"] = terms
        cdash = next((one.get("Name") for one in node.all("Alias") if one.get("Context") == "CDASH"), "")
        if cdash or node.get("SDSVarName"):
            found["cdisc"] = cdash or node.get("SDSVarName")
        if node.get("SDSVarName"):
            alias["odm@SDSVarName"] = node.get("SDSVarName")
        return found

    def unit(self, plan: ItemPlan, item: Raw, alias: dict[str, str]) -> str:
        """The item's unit, the first that the file gives; the factors of others are not in ODM."""
        references = [one.get("MeasurementUnitOID") for one in plan.node.all("MeasurementUnitRef")]
        units = [oid for oid in references if oid in self.metadata.units]
        self.used_units.update(units)
        for oid in references:
            if oid not in self.metadata.units:
                self.report.lose(
                    "dropped", plan.node, f"{plan.oid}/{oid}", "", *MISSING_REFERENCE, element="MeasurementUnitRef"
                )
        if not units:
            return ""
        item["unit"] = self.symbol(self.metadata.units[units[0]])
        alias["odm:unit"] = units[0]
        alias["odm:unit@Name"] = self.metadata.units[units[0]].get("Name")
        others = [
            [oid, self.metadata.units[oid].get("Name"), self.symbol(self.metadata.units[oid])] for oid in units[1:]
        ]
        for _oid, _name, symbol in others:
            zh, en = "ODM 没有换算系数;请在 units 中补充", "ODM has no factor to convert it; add it under `units`"
            self.report.lose("kept", plan.node, plan.oid, symbol, zh, en, element="ItemDef/MeasurementUnitRef")
        if others:
            alias["odm:units"] = as_json(others)
        return units[0]

    def symbol(self, node: Node) -> str:
        """A unit is written alike in both languages."""
        self.used_units.add(node.get("OID"))
        text = self.report.text(node.first("Symbol"))
        name = text["en"] if text else node.get("Name") or node.get("OID")
        if text and text["zh"] != text["en"]:
            self.report.lose("dropped", node, node.get("OID"), text["zh"], "单位不分语言", "a unit has one spelling")
        self.report.rest(node, node.get("OID"), ("OID", "Name"), ("Symbol",))
        return name

    def logic(self, plan: ItemPlan, item: Raw, fields: Mapping[str, Field]) -> None:
        alias: dict[str, str] = item["alias"]
        condition = self.rules.condition(plan.ref, fields)
        if condition:
            alias["odm:condition"] = condition.verbatim()
            if condition.cel:
                item["show_if"] = condition.cel
        method = self.rules.method(plan.ref, fields)
        if method:
            alias["odm:method"] = method.verbatim(type=method.node.get("Type"))
            if method.cel and plan.type in VALUE_TYPES:
                item |= {"type": "derived", "value_type": plan.type, "derive": method.cel}
            elif method.cel:
                zh, en = f"{plan.type} 类型的条目不能计算", f"an item of type {plan.type} can't be derived"
                self.report.lose("kept", method.node, f"{plan.oid}/{method.oid}", method.cel, zh, en)

    # What is left

    def vendor(self) -> None:
        """A file of REDCap says more in its own attributes than in ODM's elements; its own reader knows them."""
        root = self.metadata.root
        if any(
            name.startswith(f"{{{REDCAP}}}")
            for node in self.metadata.all("ItemDef").values()
            for name in node.attributes
        ):
            zh, en = (
                "REDCap 项目文件:用 --format redcap 导入可保留分支逻辑",
                "a REDCap project: --format redcap reads its logic too",
            )
            self.report.lose("changed", root, "", "", zh, en)

    def leftovers(self) -> None:
        report = self.report
        self.rules.say_unused()
        for oid, node in self.metadata.all("ItemDef").items():
            if oid not in self.planner.by_oid:
                report.lose("dropped", node, oid, node.get("Name"), "没有被任何表单引用", "no form refers to it")
        for oid, unit in self.metadata.units.items():
            if oid not in self.used_units:
                report.lose("dropped", unit, oid, unit.get("Name"), "没有被任何条目引用", "no item refers to it")
        if self.labels_assumed:
            zh, en = "没有问题文本;用 Name 作标签", "no question text; Name is the label"
            report.lose(
                "assumed", self.metadata.last, "", f"{self.labels_assumed} ×", zh, en, element="ItemDef/Question"
            )
        self.outside()
        report.say_languages()

    def outside(self) -> None:
        """What stands in the file beside the study's definitions."""
        for admin in self.metadata.root.all("AdminData"):
            for child in admin.children:
                if child.tag != "Location" or child.get("LocationType", "Site") != "Site":
                    self.report.lose("dropped", child, child.get("OID"), "", *NO_PLACE)
        for name, value in self.metadata.root.attributes.items():
            if name in ABOUT_THE_STUDY and self.metadata.root.tag == "ODM":
                self.report.lose("dropped", self.metadata.root, "", value, *NO_PLACE, element=f"ODM/@{name}")
        for child in self.metadata.root.all("Description", "ReferenceData", "Association", "Signature"):
            self.report.lose("dropped", child, child.get("StudyOID"), child.compact(300), *NO_PLACE)


def _strip(root: Node) -> None:
    """Take the spaces around attributes away, as definitions do with every text."""
    open_: list[Node] = [root]
    while open_:
        node = open_.pop()
        node.attributes = {key: value.strip() for key, value in node.attributes.items()}
        open_ += node.children


class Counter:
    """Counts names of one form."""

    def __init__(self) -> None:
        self.last = 0

    def next(self, word: str) -> str:
        self.last += 1
        return f"{word}_{self.last}"


def _both(first: str | None, second: str) -> str:
    return second if not first or first == second else f"({first}) && ({second})"


def _distinct(checks: list[Raw]) -> list[Raw]:
    """Each check once, whatever stands in the form twice."""
    found: dict[str, Raw] = {}
    for check in checks:
        found.setdefault(check["id"], check)
    return list(found.values())


def _consistent(item: Raw) -> Raw:
    """Without what the type cannot have: a derived or displayed item is not required, a text has no limits."""
    kind = item.get("value_type") or item["type"]
    gone = {
        "required": item["type"] in ("derived", "label"),
        "max_length": kind != "text",
        "precision": kind != "decimal",
        "codelist": kind not in ("choice", "choices"),
    }
    return {key: value for key, value in item.items() if not gone.get(key)}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
