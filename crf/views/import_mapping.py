"""The page's fields for a mapping: columns beside items, with what the file holds and what the study asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

from crf.definitions.errors import Refusal
from crf.definitions.incoming import PROBLEM_COLUMN, ROW_COLUMN
from crf.definitions.mapping import STANDARD, Mapping
from crf.definitions.model import StudyDefinition
from crf.definitions.pydantic_faults import explain
from crf.services import import_jobs

FACTS = {
    "subject": gettext_lazy("Subject"),
    "site": gettext_lazy("Site"),
    "group": gettext_lazy("Group"),
    "enrolled_on": gettext_lazy("Enrolled on"),
    "visited_on": gettext_lazy("Day of the visit"),
    "event": gettext_lazy("Visit"),
    "repeat": gettext_lazy("Number of the visit"),
    "form": gettext_lazy("Form"),
    "number": gettext_lazy("Number of the form"),
    "row": gettext_lazy("Row of a repeating group"),
}
POSTED = ("target", "values", "missing", "factor", "unit", "date", "row")
FIXED = ("site", "group", "enrolled_on", "event", "form")
DATES = (
    ("", gettext_lazy("year first")),
    ("dmy", gettext_lazy("day, month, year")),
    ("mdy", gettext_lazy("month, day, year")),
    ("excel", gettext_lazy("Excel's day number")),
)


@dataclass
class Column:
    """One column of the file and what is chosen for it."""

    number: int
    name: str
    samples: list[str]
    target: str = ""
    guessed: bool = False
    values: str = ""
    missing: str = ""
    factor: str = ""
    unit: str = ""
    date: str = ""
    row: str = ""

    @property
    def has_details(self) -> bool:
        return any((self.values, self.missing, self.factor, self.unit, self.date, self.row))


@dataclass
class Page:
    """The whole form, as it is shown and as it was posted."""

    columns: list[Column]
    fixed: dict[str, str] = field(default_factory=dict)
    match: str = "number"
    create_subjects: bool = False
    empty: str = "keep"
    complete: bool = False
    missing: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    hidden: str = "refuse"


def fixed(upload: Any) -> tuple[str, ...]:
    """What can be said for all rows at once; a file without columns names its sites, groups and visits itself."""
    return FIXED if upload.is_table else ("enrolled_on",)


def targets(definition: StudyDefinition, language: str) -> list[tuple[str, str]]:
    """What a column can be aimed at: facts of the row, and every item that a table can fill."""
    items = [
        (f"{form.oid}.{name}", f"{item.label.of(language)} · {form.name.of(language)}")
        for form in definition.forms
        for name, item in form.questions.items()
        if item.is_entered and item.type not in ("file", "series")
    ]
    return [*((name, str(label)) for name, label in FACTS.items()), *items]


def shown(upload: Any, definition: StudyDefinition, mapping: Mapping | None) -> Page:
    """The form for a mapping that was chosen before, or with guesses by the names of columns and items."""
    samples = import_jobs.samples(upload)
    columns = [
        Column(at, name, samples[at] if at < len(samples) else [])
        for at, name in enumerate(upload.columns)
        if name not in (ROW_COLUMN, PROBLEM_COLUMN)
    ]
    if mapping is None:
        known = _names(definition)
        for column in columns:
            column.target = known.get(_folded(column.name), "")
            column.guessed = bool(column.target)
        return Page(columns)
    page = Page(columns, match=mapping.match, create_subjects=mapping.create_subjects, empty=mapping.empty)
    page.complete, page.constants, page.hidden = mapping.complete, dict(mapping.constants), mapping.hidden
    page.missing = "\n".join(mapping.missing)
    facts = mapping.facts()
    page.fixed = {name: source.value for name, source in facts.items() if source.value is not None}
    of_fact = {source.column: name for name, source in facts.items() if source.column}
    known = _names(definition)
    for column in columns:
        _fill(column, mapping, of_fact, known, facts)
    return page


def _fill(column: Column, mapping: Mapping, of_fact: dict[Any, str], known: dict[str, str], facts: Any) -> None:
    if column.name in of_fact:
        column.target = of_fact[column.name]
        column.values = _lines(facts[column.target].values)
    elif column.name in mapping.columns:
        target = mapping.columns[column.name]
        column.target, column.values, column.missing = target.item, _lines(target.values), "\n".join(target.missing)
        column.factor = "" if target.factor is None else str(target.factor)
        column.unit, column.date = target.unit or "", target.date or ""
        column.row = str(target.row or "")
    elif column.name not in mapping.ignore:
        column.target = known.get(_folded(column.name), "")


def _names(definition: StudyDefinition) -> dict[str, str]:
    """What a column may be called, and what it then is: names, labels in both languages, a foreign format's names.

    A name that means two things means nothing.
    """
    found: dict[str, set[str]] = {}
    for name in STANDARD:
        found.setdefault(name, set()).add(name)
        found.setdefault(_folded(str(FACTS[name])), set()).add(name)
    for form in definition.forms:
        for name, item in form.questions.items():
            spellings = [name, f"{form.oid}.{name}", item.label.zh, item.label.en, *item.alias.values()]
            for spelling in spellings if item.is_entered and item.type not in ("file", "series") else ():
                found.setdefault(_folded(spelling), set()).add(f"{form.oid}.{name}")
    return {spelling: next(iter(meant)) for spelling, meant in found.items() if len(meant) == 1}


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()


def _lines(values: dict[str, str]) -> str:
    return "\n".join(f"{cell} = {code}" for cell, code in values.items())


def posted(upload: Any, data: QueryDict) -> Page:
    """The form as somebody sent it."""
    samples = import_jobs.samples(upload)
    columns = [
        Column(
            at,
            name,
            samples[at] if at < len(samples) else [],
            **{field: data.get(f"{field}-{at}", "").strip() for field in POSTED},
        )
        for at, name in enumerate(upload.columns)
        if name not in (ROW_COLUMN, PROBLEM_COLUMN)
    ]
    said = {name: text for name in fixed(upload) if (text := data.get(f"fixed-{name}", "").strip())}
    return Page(
        columns,
        said,
        match=data.get("match", "number"),
        create_subjects="create_subjects" in data,
        empty=data.get("empty", "keep"),
        complete="complete" in data,
        missing=data.get("missing", ""),
        constants=(upload.mapping or {}).get("constants", {}),
        hidden=(upload.mapping or {}).get("hidden", "refuse"),
    )


def mapping_of(page: Page) -> Mapping:
    """The mapping that the form says. Raises Refusal with all that is wrong with it."""
    wanted: dict[str, Any] = {name: {"value": value} for name, value in page.fixed.items()}
    wanted |= {"match": page.match, "create_subjects": page.create_subjects, "empty": page.empty}
    wanted |= {"complete": page.complete, "missing": _words(page.missing), "constants": page.constants}
    wanted["hidden"] = page.hidden
    columns, ignored, problems = {}, [], []
    for column in page.columns:
        try:
            values = _pairs(column.values)
        except ValueError as wrong:
            problems.append((column.name, str(wrong)))
            continue
        if column.target in FACTS and "column" in wanted.get(column.target, {}):
            problems.append((column.name, _("another column is already the %(fact)s") % {"fact": FACTS[column.target]}))
        elif column.target in FACTS:
            wanted[column.target] = {"column": column.name, "values": values}
        elif column.target:
            columns[column.name] = _target(column, values)
        else:
            ignored.append(column.name)
    wanted |= {"columns": columns, "ignore": ignored}
    if problems:
        text = "; ".join(f"{name}: {wrong}" for name, wrong in problems)
        raise Refusal(text, text)
    try:
        return Mapping.model_validate(wanted)
    except ValidationError as error:
        faults = list(explain(error, wanted, [*Mapping.model_fields]))
        place = [".".join(str(key) for key in fault.place) for fault in faults]
        raise Refusal(
            ";".join(f"{at}:{fault.zh}" for at, fault in zip(place, faults, strict=True)),
            "; ".join(f"{at}: {fault.en}" for at, fault in zip(place, faults, strict=True)),
        ) from error


def _target(column: Column, values: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"item": column.target, "values": values, "missing": _words(column.missing)}
    found |= {name: text for name in ("factor", "unit", "date", "row") if (text := getattr(column, name))}
    if "factor" in found:
        found["factor"] = found["factor"].replace(",", ".")
    return found


def _words(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str) -> dict[str, str]:
    """Lines of `cell = code`."""
    found = {}
    for line in _words(text):
        cell, equals, code = line.rpartition("=")
        if not equals:
            raise ValueError(_("write one `cell = code` a line"))
        found[cell.strip()] = code.strip()
    return found
