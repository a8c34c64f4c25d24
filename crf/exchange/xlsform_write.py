"""A study definition as one XLSForm: a group for each section, both languages, and the report of what it cannot say."""

from __future__ import annotations

import datetime as dt
import io
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import xlsxwriter

from crf.definitions.check import range_message
from crf.definitions.model import Check, Form, Item, Section, StudyDefinition, Text

from .logic import Field, translate
from .logic_parse import Untranslatable
from .loss import Fate, Loss
from .naming import Names
from .numbers import write_number
from .redcap_logic import Written
from .redcap_write import Exported
from .xpath_logic import to_xpath

ZH, EN = "中文 (zh)", "English (en)"
SURVEY = (
    "type", "name", f"label::{EN}", f"label::{ZH}", f"hint::{EN}", f"hint::{ZH}", f"guidance_hint::{EN}",
    f"guidance_hint::{ZH}", "required", "relevant", "constraint", f"constraint_message::{EN}",
    f"constraint_message::{ZH}", "calculation", "appearance", "default", "read_only",
)  # fmt: skip
CHOICES = ("list_name", "name", f"label::{EN}", f"label::{ZH}")
SETTINGS = ("form_title", "form_id", "version", "default_language")
TYPES = {
    "text": "text", "integer": "integer", "decimal": "decimal", "date": "date", "time": "time", "datetime": "dateTime",
    "label": "note", "series": "text", "choice": "select_one", "choices": "select_multiple", "file": "file",
}  # fmt: skip
MEDIA = {"photo": "image", "image": "image", "audio": "audio", "video": "video", "file": "file"}
Row = dict[str, str]


def write_xlsform(study: StudyDefinition, *, language: str = "en") -> Exported:
    """The workbook (.xlsx) that XLSForm tools take; `language` is the one it opens in."""
    writer = _Writer(study)
    survey = list(writer.survey())
    settings = {
        "form_title": study.title.of(language), "form_id": study.alias.get("xlsform") or study.code.lower(),
        "version": study.version, "default_language": ZH if language.startswith("zh") else EN,
    }  # fmt: skip
    sheets = (("survey", SURVEY, survey), ("choices", CHOICES, writer.choices()), ("settings", SETTINGS, [settings]))
    return Exported(_workbook(sheets), tuple(writer.losses))


def _workbook(sheets: tuple[tuple[str, tuple[str, ...], list[Row]], ...]) -> bytes:
    """Texts only, so that nothing becomes a formula or a link; the same rows give the same bytes."""
    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"created": dt.datetime(2000, 1, 1)})
        for name, columns, rows in sheets:
            sheet = book.add_worksheet(name)
            for at, cells in enumerate([list(columns), *([row.get(one, "") for one in columns] for row in rows)]):
                for column, cell in enumerate(cells):
                    if cell:
                        sheet.write_string(at, column, cell)
    return out.getvalue()


@dataclass(frozen=True)
class Place:
    form: Form
    section: Section
    item: Item
    name: str


class _Writer:
    def __init__(self, study: StudyDefinition) -> None:
        self.study = study
        self.losses: list[Loss] = []
        self.known: dict[tuple[str, str], dict[str, Written]] = {}
        self.readable: dict[tuple[str, str], dict[str, Field]] = {}
        self.taken = Names(first="q", reserved=frozenset())
        self.places = [
            Place(form, section, item, self.named(form, item))
            for form in study.forms for section in form.sections for item in section.items
        ]  # fmt: skip
        self.groups = {
            id(section): self.taken.take(section.rows.name if section.rows else f"section_{at}")
            for at, section in enumerate((one for form in study.forms for one in form.sections), start=1)
        }
        self.report_study()

    def named(self, form: Form, item: Item) -> str:
        """The form's own name for a question; a second item of one name bears its form's."""
        said = item.alias.get("xlsform", "")
        if said and said.lower() == item.name and said not in self.taken.taken:
            self.taken.taken.add(item.name)
            return said
        wanted = item.name if item.name not in self.taken.taken else f"{form.oid.lower()}_{item.name}"
        return self.taken.take(wanted)

    def lose(self, fate: Fate, element: str, place: str, what: str, zh: str, en: str) -> None:
        self.losses.append(Loss(fate, element, place, what, zh, en))

    def report_study(self) -> None:
        for event in self.study.events[1:]:
            self.lose("dropped", "event", event.oid, event.name.en, "XLSForm 没有访视", "an XLSForm has no events")
        for site in self.study.sites[1:]:
            self.lose("dropped", "site", site.code, site.name.en, "XLSForm 没有中心", "an XLSForm has no sites")
        for form in self.study.forms:
            if form.repeating:
                zh, en = "XLSForm 没有可重复的表单", "an XLSForm has no forms that repeat"
                self.lose("dropped", "repeating", form.oid, form.name.en, zh, en)

    # Rows

    def survey(self) -> Iterator[Row]:
        several = len(self.study.forms) > 1
        for form in self.study.forms:
            said = {id(check) for item in self.items(form) for check in self.constraints(form, item)[:1]}
            for check in form.checks:
                if id(check) not in said:
                    self.lose(
                        "dropped",
                        "check",
                        f"{form.oid}.{check.id}",
                        check.require,
                        "没有跨题核查",
                        "no check of several questions",
                    )
            for section in form.sections:
                yield from self.group(form, section, several)

    def items(self, form: Form) -> list[Item]:
        return [item for section in form.sections for item in section.items]

    def group(self, form: Form, section: Section, several: bool) -> Iterator[Row]:
        kind = "repeat" if section.rows else "group"
        relevant = self.section_relevant(form, section)
        label = Text(
            zh=f"{form.name.zh}:{section.name.zh}" if several and form.name != section.name else section.name.zh,
            en=f"{form.name.en}: {section.name.en}" if several and form.name != section.name else section.name.en,
        )
        yield {"type": f"begin_{kind}", "name": self.groups[id(section)], "relevant": relevant, **both("label", label)}
        for place in self.places:
            if place.section is section:
                yield self.question(place)
        yield {"type": f"end_{kind}"}

    def question(self, place: Place) -> Row:
        item, alias = place.item, place.item.alias
        row = {"name": place.name, **both("label", self.label(item))}
        row["type"] = self.type_of(place)
        if item.derive:
            row |= self.calculation(place)
        for name, text in (("hint", item.help), ("guidance_hint", item.guideline)):
            row |= both(name, text) if text else {}
        row["required"] = self.required(place)
        row["relevant"] = self.relevant(place, item.show_if, alias.get("xlsform:relevant", ""))
        row |= self.constraint(place)
        row["appearance"] = alias.get("xlsform:appearance", "")
        row["default"] = alias.get("xlsform:default", "")
        row["read_only"] = alias.get("xlsform:readonly", "") if not item.derive else ""
        self.report(place)
        return row

    def label(self, item: Item) -> Text:
        unit = f" ({item.unit})" if item.unit else ""
        return Text(
            zh=item.label.zh + (unit if item.unit not in (None, "") and unit.strip(" ()") not in item.label.zh else ""),
            en=item.label.en + (unit if item.unit not in (None, "") and unit.strip(" ()") not in item.label.en else ""),
        )

    def type_of(self, place: Place) -> str:
        item = place.item
        kind = TYPES.get(item.value_kind, "text")
        if kind.startswith("select"):
            return f"{kind} {item.codelist}" if item.type != "derived" else "text"
        if item.type == "file":
            return MEDIA.get(item.alias.get("xlsform:type", ""), "file")
        return kind

    def calculation(self, place: Place) -> Row:
        item = place.item
        said, now = item.alias.get("xlsform:calculate", ""), item.derive or ""
        if said and translate(said, "xpath", self.fields(place), want="value").cel == now:
            return {"type": "calculate", "calculation": said}
        try:
            return {"type": "calculate", "calculation": to_xpath(now, self.written(place), condition=False)}
        except Untranslatable as why:
            self.lose(
                "changed",
                "derive",
                place.name,
                now,
                f"不计算,作为值填写:{why.zh}",
                f"entered, not calculated: {why.en}",
            )
            return {}

    # Logic

    def written(self, place: Place) -> dict[str, Written]:
        """What an expression of the place's form and group reads, as XPath refers to it; worked out once for each."""
        where = place.form.oid, self.rows_of(place)
        if where not in self.known:
            self.known[where] = self.names_in(place)
        return self.known[where]

    def rows_of(self, place: Place) -> str:
        return place.section.rows.name if place.section.rows else ""

    def names_in(self, place: Place) -> dict[str, Written]:
        found: dict[str, Written] = {}
        for one in self.places:
            if one.section.rows is not None and one.section is not place.section:
                continue
            codelist = self.study.codelist(one.item)
            entry = Written(f"${{{one.name}}}", one.item.value_kind, tuple(codelist.codes()) if codelist else ())
            found[f"forms.{one.form.oid}.{one.item.name}"] = entry
            if one.form is place.form:
                found[one.item.name] = entry
        return found

    def fields(self, place: Place) -> Mapping[str, Field]:
        """What the form's own XPath reads, to see whether it still says the same as ours."""
        where = place.form.oid, self.rows_of(place)
        if where not in self.readable:
            self.readable[where] = self.read_in(place)
        found = self.readable[where]
        return ChainMap({".": found[place.name]}, found)

    def read_in(self, place: Place) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for one in self.places:
            codelist = self.study.codelist(one.item)
            codes = {code: code for code in codelist.codes()} if codelist else {}
            kind = one.item.value_kind
            rows = one.section.rows
            if rows is not None and one.section is not place.section:
                number = "number" if kind in ("integer", "decimal") else kind
                found[one.name] = Field(f"{rows.name}.{one.item.name}", f"rows:{number}", codes)
                found[self.groups[id(one.section)]] = Field(rows.name, "group")
            elif one.form is place.form:
                found[one.name] = Field(one.item.name, kind, codes)
        return found

    def relevant(self, place: Place, now: str | None, said: str) -> str:
        made = translate(said, "xpath", self.fields(place)).cel if said else None
        if said and made == (now or place.item.alias.get("cel:show_if")):
            return said
        if not now:
            return ""
        try:
            return to_xpath(now, self.written(place), condition=True)
        except Untranslatable as why:
            self.lose("dropped", "show_if", place.name, now, f"始终显示:{why.zh}", f"always shown: {why.en}")
            return ""

    def section_relevant(self, form: Form, section: Section) -> str:
        """The condition of a section: the groups' own words where they still say it."""
        if not section.show_if and "cel:show_if" not in section.alias:
            return ""
        first = next(place for place in self.places if place.section is section)
        outside = Place(form, Section(name=section.name, items=section.items), first.item, first.name)
        texts = [text for key, text in section.alias.items() if key.startswith("xlsform:relevant:")]
        said = texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)
        cels = [translate(text, "xpath", self.fields(first)).cel for text in texts]
        known = [cel for cel in cels if cel]
        joined = known[0] if len(known) == 1 else " && ".join(f"({cel})" for cel in known)
        if said and joined == (section.show_if or section.alias.get("cel:show_if")):
            return said
        return self.relevant(outside, section.show_if, "") if section.show_if else ""

    def required(self, place: Place) -> str:
        required, said = place.item.required, place.item.alias.get("xlsform:required", "")
        if isinstance(required, bool):
            return "yes" if required else ""
        if said and translate(said, "xpath", self.fields(place)).cel == required:
            return said
        try:
            return to_xpath(required, self.written(place), condition=True)
        except Untranslatable as why:
            self.lose("dropped", "required", place.name, required, f"不必填:{why.zh}", f"not required: {why.en}")
            return ""

    def constraints(self, form: Form, item: Item) -> list[Check]:
        """The checks that an XLSForm wrote as this question's constraint."""
        return [check for check in form.checks if check.items == (item.name,) and "xlsform" in check.alias]

    def constraint(self, place: Place) -> Row:
        item = place.item
        checks = self.constraints(place.form, item)
        if checks:
            return {"constraint": checks[0].alias["xlsform"], **both("constraint_message", checks[0].message)}
        if not item.range:
            return {}
        low, high = item.range
        tests = [f". {sign} {write_number(limit)}" for sign, limit in ((">=", low), ("<=", high)) if limit is not None]
        bound = low if low is not None else high
        message = range_message(item, item.range, bound or 0, hard=True)
        plain = Text(zh=message.zh.partition(",现为")[0], en=message.en.partition("; it is")[0])
        return {"constraint": " and ".join(tests), **both("constraint_message", plain)}

    def report(self, place: Place) -> None:
        item = place.item
        for key, zh, en in NOT_SAID:
            if getattr(item, key):
                what = str(getattr(item, key))[:200]
                self.lose("dropped", key, f"{place.form.oid}.{item.name}", what, zh, en)

    def choices(self) -> list[Row]:
        used = dict.fromkeys(place.item.codelist for place in self.places if place.item.type in ("choice", "choices"))
        return [
            {"list_name": name, "name": choice.code, **both("label", choice.label)}
            for name in used if name for choice in self.study.codelists[name].choices
        ]  # fmt: skip


NOT_SAID = (
    ("soft_range", "XLSForm 没有可说明的范围", "an XLSForm has no limits that can be explained"),
    ("codings", "XLSForm 没有术语编码", "an XLSForm has no terminology codes"),
    ("definition", "XLSForm 没有定义", "an XLSForm has no definitions"),
    ("units", "XLSForm 没有单位换算", "an XLSForm has no conversion of units"),
    ("lab", "XLSForm 没有正常值范围", "an XLSForm has no normal ranges"),
    ("dicom", "XLSForm 不由影像填写", "an XLSForm takes nothing from images"),
)


def both(column: str, text: Text) -> Row:
    return {f"{column}::{EN}": text.en, f"{column}::{ZH}": text.zh}
