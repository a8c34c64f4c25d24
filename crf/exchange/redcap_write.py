"""A study definition as REDCap's data dictionary, in one language, with the report of what a dictionary cannot say."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from crf.definitions.model import Codelist, Form, Item, Section, StudyDefinition, Text

from .logic import translate
from .logic_parse import Untranslatable
from .loss import Fate, Loss
from .naming import Names
from .numbers import read_number, write_number
from .redcap_build import DEFAULT_TYPES, default_validation
from .redcap_fields import COLUMNS, TWO_CHOICES, TYPES, DictionaryRow, choices, readable, tags, validated_type
from .redcap_logic import Written, to_redcap
from .redcap_parts import unique_group
from .redcap_reach import Reach, ReachEvent, Variable, smart_variables

RECORD_ID = "record_id"
MOST_NAME = 100


@dataclass(frozen=True)
class Exported:
    """A dictionary as bytes, and what of the study it does not say."""

    content: bytes
    losses: tuple[Loss, ...]


def write_dictionary(study: StudyDefinition, *, language: str = "en") -> Exported:
    """The 18-column CSV that REDCap takes as a data dictionary; visits, checks and sites have no place in it."""
    writer = _DictionaryWriter(study, language)
    rows = writer.rows()
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(row.cells() for row in rows)
    return Exported(out.getvalue().encode(), tuple(writer.losses))


@dataclass(frozen=True)
class Place:
    """An item with where it stands and what REDCap calls it."""

    form: Form
    section: Section
    item: Item
    instrument: str
    variable: str
    opens: bool


def instruments(study: StudyDefinition) -> list[Place]:
    """Every item with the instrument and the variable that REDCap knows it by."""
    return _DictionaryWriter(study, "en").places


class _DictionaryWriter:
    def __init__(self, study: StudyDefinition, language: str) -> None:
        self.study = study
        self.language = language
        self.losses: list[Loss] = []
        self.known: dict[str, dict[str, Written]] = {}
        self.places = self.placed()
        self.reach = self.reached()
        self.formulas = {id(place.item): self.formula(place) for place in self.places if place.item.derive}

    def lose(self, fate: Fate, element: str, place: str, what: str, zh: str, en: str) -> None:
        self.losses.append(Loss(fate, element, place, what, zh, en))

    def text(self, text: Text) -> str:
        return text.of(self.language)

    # Names

    def placed(self) -> list[Place]:
        """Every item with its instrument; a repeating group becomes an instrument of its own."""
        free: frozenset[str] = frozenset()  # what is a word of our expressions is a name like others there
        instruments = Names(first="f", most=64, reserved=free)
        variables = Names(first="v", most=MOST_NAME, reserved=free)
        found: list[Place] = []
        if not self.record_id():
            variables.take(RECORD_ID)
        kept = {item.alias.get("redcap") for _form, item in self.every_item()}
        for form in self.study.forms:
            named = form.alias.get("redcap") or instruments.take(form.oid)
            for index, section in enumerate(form.sections):
                instrument = named
                if section.rows:
                    instrument = instruments.take(f"{named}_{section.rows.name}")
                    self.lose(
                        "changed",
                        "rows",
                        f"{form.oid}.{section.rows.name}",
                        self.text(section.name),
                        f"重复组成为单独的表单 {instrument},请在 REDCap 中设为可重复",
                        f"a repeating group becomes the instrument {instrument}; make it repeat in REDCap",
                    )
                for at, item in enumerate(section.items):
                    variable = item.alias.get("redcap") or self.variable(form, item, variables, kept)
                    opens = at == 0 and (index > 0 or section.name != form.name) and not section.rows
                    found.append(Place(form, section, item, instrument, variable, opens))
        return found

    def every_item(self) -> list[tuple[Form, Item]]:
        return [(form, item) for form in self.study.forms for section in form.sections for item in section.items]

    def record_id(self) -> bool:
        wanted = self.study.alias.get("redcap:record_id")
        first = self.study.forms[0].sections[0].items[0]
        return wanted is not None and wanted == (first.alias.get("redcap") or first.name)

    def variable(self, form: Form, item: Item, taken: Names, kept: set[str | None]) -> str:
        """The item's own name; REDCap's are unique in the project, so a second one bears its form's."""
        if item.name in taken.taken or item.name in kept:
            return taken.take(f"{form.oid.lower()}_{item.name}")
        return taken.take(item.name)

    # Rows

    def rows(self) -> list[DictionaryRow]:
        self.report_study()
        rows = [self.row(place) for place in self.places]
        if not self.record_id():
            label = "受试者编号" if self.language.startswith("zh") else "Record ID"
            rows.insert(0, DictionaryRow(RECORD_ID, rows[0].form, label=label))
        return rows

    def report_study(self) -> None:
        for event in self.study.events[1:] if len(self.study.events) > 1 else ():
            self.lose(
                "dropped", "event", event.oid, self.text(event.name), "数据字典没有访视", "a dictionary has no events"
            )
        for form in self.study.forms:
            for check in form.checks:
                if "redcap" not in check.alias:
                    self.lose(
                        "dropped",
                        "check",
                        f"{form.oid}.{check.id}",
                        check.require,
                        "数据字典没有跨字段核查",
                        "a dictionary has no checks between fields",
                    )
            if form.repeating:
                self.lose("dropped", "repeating", form.oid, "", "请在 REDCap 中设为可重复", "make it repeat in REDCap")

    def row(self, place: Place) -> DictionaryRow:
        item, alias = place.item, place.item.alias
        kind = self.type_of(item)
        self.report_item(place)
        minimum, maximum = self.limits(place, kind)
        return DictionaryRow(
            variable=place.variable,
            form=place.instrument,
            section=self.header(place),
            type=kind,
            label=self.said(alias.get("redcap:label"), self.label_of(item), item.name),
            choices=self.choices(place, kind),
            note=self.said(alias.get("redcap:note"), self.text(item.help) if item.help else "", ""),
            validation=self.validation(item, kind),
            minimum=minimum,
            maximum=maximum,
            identifier="y" if item.role == "identifier" else "",
            branching=self.branching(place),
            required="y" if item.required else alias.get("redcap:required", ""),
            alignment=alias.get("redcap:alignment", ""),
            question=alias.get("redcap:question", ""),
            matrix=alias.get("redcap:matrix", ""),
            ranking=alias.get("redcap:ranking", ""),
            annotation=self.annotation(place, kind),
        )

    def label_of(self, item: Item) -> str:
        """The label, with the unit that a dictionary has no column for."""
        label = self.text(item.label)
        return f"{label} ({item.unit})" if item.unit and item.unit not in label else label

    def said(self, source: str | None, now: str, otherwise: str) -> str:
        """The source's own text as long as it still reads as the present one."""
        if source is not None and (readable(source) or otherwise) == now:
            return source
        return now

    def header(self, place: Place) -> str:
        if not place.opens:
            return ""
        return self.said(place.section.alias.get("redcap"), self.text(place.section.name), "")

    def type_of(self, item: Item) -> str:
        """REDCap's field type: the one it had, while the item is still of its kind."""
        kind = item.type
        said = item.alias.get("redcap:type")
        if kind == "derived":
            calculated = said not in ("text", "notes") and item.value_type in ("decimal", "integer")
            return "calc" if calculated and self.formulas.get(id(item)) else "notes" if said == "notes" else "text"
        if kind == "series":
            return "text"
        if said and self.still(said, item):
            return said
        return DEFAULT_TYPES[kind]

    def still(self, said: str, item: Item) -> bool:
        if said in TWO_CHOICES:
            codelist = self.study.codelist(item)
            return codelist is not None and codelist.codes() == [code for code, _zh, _en in TWO_CHOICES[said]]
        if said in ("dropdown", "radio", "checkbox") and item.type == "text":
            return item.codelist is None  # a choice without choices
        if said in ("calc", "dropdown", "radio") or TYPES[said] == item.type:
            return True
        return said in ("notes", "sql") and item.type == "text"

    def validation(self, item: Item, kind: str) -> str:
        said = item.alias.get("redcap:validation")
        now = item.value_type or item.type
        if said is not None and (kind != "text" or validated_type(said)[0] == now or now == "text"):
            return said
        return default_validation(now, item.precision) if kind == "text" else ""

    def limits(self, place: Place, kind: str) -> tuple[str, str]:
        """The lowest and highest value; as the source writes them where they are still the same."""
        item = place.item
        said = item.alias.get("redcap:min", ""), item.alias.get("redcap:max", "")
        limits = item.range or item.soft_range
        if limits is None:
            return said if item.type not in ("integer", "decimal") or self.is_other_limit(place, said) else ("", "")
        found = []
        for text, limit in zip(said, limits, strict=True):
            default = kind == "slider" and read_number(text) is None and limit in (0, 100)
            same = text and (default or read_number(text) == limit)
            found.append(text if same else "" if limit is None or default else write_number(limit))
        return found[0], found[1]

    def is_other_limit(self, place: Place, said: tuple[str, str]) -> bool:
        """Whether REDCap's limits of a number are none of its range: a check of ours, or nothing that we can check."""
        checked = any(
            check.alias.get("redcap") == "range" and place.item.name in check.items for check in place.form.checks
        )
        return checked or any(text and read_number(text) is None for text in said)

    def choices(self, place: Place, kind: str) -> str:
        item, said = place.item, place.item.alias.get("redcap:choices", "")
        codelist = self.study.codelist(item)
        if kind == "calc":
            return self.formulas.get(id(item)) or said
        if codelist is None or kind in TWO_CHOICES:
            return said
        pairs = [(choice.code, self.text(choice.label)) for choice in codelist.choices]
        if [(code, readable(label) or code) for code, label in choices(said)] == pairs:
            return said
        return " | ".join(f"{self.code(place, code, codelist)}, {self.label(place, label)}" for code, label in pairs)

    def code(self, place: Place, code: str, codelist: Codelist) -> str:
        plain = code.replace(",", "_").replace("|", "_").strip()
        if plain != code:
            self.lose(
                "changed", "code", place.variable, code, "REDCap 的代码不含逗号和竖线", "a code there has no comma or |"
            )
        return plain

    def label(self, place: Place, label: str) -> str:
        plain = " ".join(label.split()).replace("|", "/")
        if "|" in label:
            self.lose(
                "changed", "choice", place.variable, label, "选项标签中的 | 改为 /", "| in a choice's label becomes /"
            )
        return plain

    # Logic

    def written(self, form: Form) -> dict[str, Written]:
        """What an expression of `form` reads, as REDCap refers to it; worked out once for each form."""
        if form.oid not in self.known:
            self.known[form.oid] = self.names_in(form)
        return self.known[form.oid]

    def names_in(self, form: Form) -> dict[str, Written]:
        found: dict[str, Written] = {}
        for place in self.places:
            item = place.item
            codelist = self.study.codelist(item)
            codes = tuple(codelist.codes()) if codelist else ()
            entry = Written(f"[{place.variable}]", item.value_kind, codes)
            if place.section.rows is None and not place.form.repeating:
                found[f"forms.{place.form.oid}.{item.name}"] = entry
            if place.form.oid == form.oid:
                found[item.name] = entry
        for event in self.study.events:
            unique = event.alias.get("redcap")
            for place in self.places:
                if unique and place.form.oid in event.forms and not place.form.repeating and not place.section.rows:
                    base = found.get(f"forms.{place.form.oid}.{place.item.name}")
                    if base:
                        path = f"events.{event.oid}.{place.form.oid}.{place.item.name}"
                        found[path] = Written(f"[{unique}]{base.reference}", base.kind, base.codes)
        return found

    def reached(self) -> Reach:
        """What REDCap's own logic of an imported study reads, to see whether it still says the same."""
        variables = {}
        for place in self.places:
            codelist = self.study.codelist(place.item)
            codes = {code: code for code in codelist.codes()} if codelist else {}
            if not place.section.rows:
                name, kind = place.item.name, place.item.value_kind
                variables[place.variable] = Variable(place.form.oid, name, kind, codes)
        events = [
            ReachEvent(event.oid, event.alias.get("redcap", ""), frozenset(event.forms), event.kind == "repeating")
            for event in self.study.events
        ]
        arms = [group.code.removeprefix("ARM_") for group in self.study.groups]
        facts = smart_variables(events, arms, {unique_group(site.name.en): site.code for site in self.study.sites})
        return Reach(variables, events, frozenset(form.oid for form in self.study.forms if form.repeating), facts)

    def branching(self, place: Place) -> str:
        item, form = place.item, place.form
        said = item.alias.get("redcap:branching", "")
        texts = [text for text in (place.section.show_if, item.show_if) if text]
        now = texts[0] if len(texts) == 1 else " && ".join(f"({text})" for text in texts)
        moved = item.alias.get("cel:show_if", "")
        if said and self.still_means(said, place, now or moved, want_value=False):
            return said
        if not now:
            return ""
        try:
            return to_redcap(now, self.written(form), condition=True)
        except Untranslatable as why:
            self.lose("dropped", "show_if", place.variable, now, f"始终显示:{why.zh}", f"always shown: {why.en}")
            return ""

    def still_means(self, said: str, place: Place, now: str, *, want_value: bool) -> bool:
        """Whether REDCap's own text still reads as the present expression, or never had a reading."""
        fields = self.reach.of(place.form.oid)
        made = translate(said, "redcap", fields, want="value" if want_value else "condition")
        return (made.cel or "") == now

    def formula(self, place: Place) -> str:
        """How REDCap calculates a derived item; empty where it cannot, and people enter the value."""
        alias, now = place.item.alias, place.item.derive or ""
        said = alias.get("redcap:choices", "") if "redcap:type" not in alias else ""
        if said and self.still_means(said, place, now, want_value=True):
            return said
        try:
            return to_redcap(now, self.written(place.form), condition=False)
        except Untranslatable as why:
            self.lose("changed", "derive", place.variable, now, f"不计算,作为值填写:{why.zh}",
                      f"entered, not calculated: {why.en}")  # fmt: skip
            return ""

    def annotation(self, place: Place, kind: str) -> str:
        item, said = place.item, place.item.alias.get("redcap:annotation", "")
        parts = [said] if said else []
        known = {name for name, _argument in tags(said)}
        formula = self.formulas.get(id(item))
        if formula and kind != "calc" and "CALCTEXT" not in known:
            parts.append(f"@CALCTEXT({formula})")
        if item.range and kind != "slider" and "FORCE-MINMAX" not in known:
            parts.append("@FORCE-MINMAX")
        if item.type == "text" and item.max_length and kind != "notes" and "CHARLIMIT" not in known:
            parts.append(f"@CHARLIMIT={item.max_length}")
        return " ".join(parts)

    def report_item(self, place: Place) -> None:
        item = place.item
        where = f"{place.form.oid}.{item.name}"
        if isinstance(item.required, str):
            self.lose(
                "changed",
                "required",
                where,
                item.required,
                "条件必填改为必填",
                "required under a condition becomes required",
            )
        if item.range and item.soft_range:
            self.lose(
                "dropped", "soft_range", where, str(item.soft_range), "REDCap 只有一个范围", "REDCap has one range"
            )
        for key, zh, en in NOT_SAID:
            if getattr(item, key):
                self.lose("changed" if key == "unit" else "dropped", key, where, str(getattr(item, key))[:200], zh, en)


NOT_SAID = (
    ("codings", "数据字典没有术语编码", "a dictionary has no terminology codes"),
    ("definition", "数据字典没有定义", "a dictionary has no definitions"),
    ("guideline", "数据字典没有填写指南", "a dictionary has no completion guidelines"),
    ("unit", "单位写入标签", "the unit goes into the label"),
    ("units", "数据字典没有单位换算", "a dictionary has no conversion of units"),
    ("lab", "数据字典没有正常值范围", "a dictionary has no normal ranges"),
    ("dicom", "数据字典不由影像填写", "a dictionary takes nothing from images"),
)
