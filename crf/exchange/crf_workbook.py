"""A study's definition as a workbook to read and discuss: visits, forms, items, code lists, checks, normal ranges.

It is for people; what comes back in is the YAML folder.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import xlsxwriter

from crf.definitions.difference import said
from crf.definitions.model import Form, Item, Section, StudyDefinition

from .crf_pdf import codings, conversions

MOST_CHARACTERS = 32_000  # of one cell; Excel takes 32,767
ITEM_COLUMNS = (
    "form", "section", "section_show_if", "group", "rows", "name", "type", "value_type", "label_zh", "label_en", "unit",
    "units", "precision", "max_length", "codelist", "codes", "required", "show_if", "range", "soft_range",
    "complete_date", "derive", "file", "help_zh", "help_en", "definition_zh", "definition_en", "guideline_zh",
    "guideline_en", "codings", "critical", "blinded", "lab", "ctcae", "dicom", "cdisc", "role", "origin",
)  # fmt: skip

LAB_COLUMNS = ("lab", "name_zh", "name_en", "low", "high", "unit", "sex", "age_from", "age_below", "site", "codings")


def write_workbook(study: StudyDefinition, *, created: dt.datetime) -> bytes:
    """XLSX; equal definitions and times give equal bytes. Every cell is text or a number, never a formula or a link."""
    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"title": f"{study.code} {study.version}", "created": created.replace(tzinfo=None)})
        head = book.add_format({"bold": True, "bg_color": "#e6edf3", "text_wrap": True, "valign": "top"})
        body = book.add_format({"text_wrap": True, "valign": "top"})
        for name, columns, rows, widths in _sheets(study):
            sheet = book.add_worksheet(name)
            sheet.freeze_panes(1, 0)
            sheet.set_row(0, None, head)
            for index, title in enumerate(columns):
                sheet.write_string(0, index, title, head)
                sheet.set_column(index, index, widths.get(title, 14), body)
            last = _fill(sheet, rows)
            sheet.autofilter(0, 0, max(last, 1), len(columns) - 1)
    return out.getvalue()


def _fill(sheet: Any, rows: Iterable[Sequence[Any]]) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        for index, value in enumerate(row):
            if isinstance(value, int | float) and not isinstance(value, bool):
                sheet.write_number(number, index, value)
            elif value not in (None, ""):
                sheet.write_string(number, index, said(value, "en")[:MOST_CHARACTERS])
    return number


Sheet = tuple[str, Sequence[str], Iterable[Sequence[Any]], dict[str, int]]
WIDE = {"label_zh": 30, "label_en": 34, "codes": 40, "require": 44, "message_zh": 34, "message_en": 38, "show_if": 30}
WIDE |= {"derive": 34, "help_zh": 26, "help_en": 28, "name_zh": 26, "name_en": 30, "forms": 34, "text": 60}
WIDE |= {"definition_zh": 30, "definition_en": 30, "guideline_zh": 30, "guideline_en": 30}


def _sheets(study: StudyDefinition) -> Iterator[Sheet]:
    yield "study", ("fact", "text"), _study(study), WIDE
    names = ("oid", "name_zh", "name_en")
    yield "events", (*names, "kind", "anchor", "day", "from", "to", "every", "groups", "forms"), _events(study), WIDE
    yield "forms", (*names, "repeating", "double_entry", "items", "help_zh", "help_en"), _forms(study), WIDE
    yield "items", ITEM_COLUMNS, _items(study), WIDE
    yield "codelists", ("codelist", "code", "label_zh", "label_en", "cdisc", "codings"), _codes(study), WIDE
    columns = ("form", "id", "severity", "query", "items", "require", "message_zh", "message_en")
    yield "checks", columns, _checks(study), WIDE
    yield "labs", LAB_COLUMNS, _labs(study), WIDE


def _study(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    yield "code", study.code
    yield "version", study.version
    yield "sha256", study.sha256()
    yield "title_zh", study.title.zh
    yield "title_en", study.title.en
    yield "registration_number", study.registration_number
    for site in study.sites:
        yield f"site {site.code}", f"{site.name.zh} · {site.name.en}"


def _events(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for event in study.events:
        window = event.window or (None, None)
        about = (event.oid, event.name.zh, event.name.en, event.kind, event.anchor, event.day)
        yield (*about, *window, event.every, event.groups, event.forms)


def _forms(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for form in study.forms:
        about = (form.oid, form.name.zh, form.name.en, form.repeating, form.double_entry, len(form.questions))
        yield (*about, form.help.zh if form.help else "", form.help.en if form.help else "")


def _items(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for form in study.forms:
        for section in form.sections:
            for item in section.items:
                place = {"form": form.oid, **_place(section)}
                yield [place[column] if column in place else _cell(study, item, column) for column in ITEM_COLUMNS]


def _place(section: Section) -> dict[str, Any]:
    rows = section.rows
    names = {"section": section.name.en, "section_show_if": section.show_if}
    return names | {"group": rows.name if rows else "", "rows": f"{rows.min}-{rows.max}" if rows else ""}


def _cell(study: StudyDefinition, item: Item, column: str) -> Any:
    if column == "codes":
        codelist = study.codelist(item)
        return "; ".join(f"{c.code} = {c.label.zh} {c.label.en}" for c in codelist.choices) if codelist else ""
    if column == "codings":
        return "; ".join(codings(item))
    if column == "units":
        return "; ".join(conversions(item))
    if column == "file":
        return f"{', '.join(item.file.types)}; {item.file.max_mb} MB" if item.file else ""
    name, _underscore, language = column.rpartition("_")
    if language in ("zh", "en"):
        text = getattr(item, name)
        return text.of(language) if text else ""
    value = getattr(item, column)
    return "" if value is False else value


def _codes(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for name, codelist in study.codelists.items():
        for choice in codelist.choices:
            yield name, choice.code, choice.label.zh, choice.label.en, choice.cdisc, "; ".join(codings(choice))


def _checks(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for form in study.forms:
        yield from _of_form(form)


def _of_form(form: Form) -> Iterator[Sequence[Any]]:
    for one in form.checks:
        yield form.oid, one.id, one.severity, one.query, one.items, one.require, one.message.zh, one.message.en


def _labs(study: StudyDefinition) -> Iterator[Sequence[Any]]:
    for key, lab in study.labs.items():
        for one in lab.ranges:
            above, below = one.age or (None, None)
            limits = (one.low, one.high, one.unit, one.sex, above, below, one.site)
            yield (key, lab.name.zh, lab.name.en, *limits, "; ".join(codings(lab)))
