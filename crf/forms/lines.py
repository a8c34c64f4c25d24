"""The lines of the entry form: each item with its control, its answer and what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.model import Codelist, FileRule, Form, Item, StudyDefinition
from crf.definitions.pages import Page, Part, pages
from crf.definitions.rows import ROW
from crf.definitions.units import units_of
from crf.definitions.values import is_missing
from crf.selectors.series import SeriesChoice

from .answers import is_blank, rows_of, with_blank_rows
from .findings import Evaluation, Remark, Result

RADIO_LIMIT = 6  # more choices than this are a list to pick from
SHORT_LABELS = 60  # characters of all labels together that fit on one line
LONG_TEXT = 200
SHORT_WORDS = {"not_done": "ND", "unknown": "UNK", "not_applicable": "NA"}


@dataclass(frozen=True)
class Option:
    code: str
    label: str
    chosen: bool
    short: str = ""


@dataclass(frozen=True)
class ItemView:
    """One line of the entry form; `name` is an address inside a row."""

    name: str
    control: str
    label: str
    help: str
    unit: str
    required: bool
    text: str
    options: tuple[Option, ...]
    missing: str
    missing_reason: str
    definition: str = ""
    guideline: str = ""
    units: tuple[Option, ...] = ()
    file: Mapping[str, Any] | None = None
    accept: str = ""
    max_mb: int = 0
    visible: bool = True
    comment: str = ""
    findings: tuple[Remark, ...] = ()
    result: Result | None = None
    is_lab: bool = False
    history_url: str = ""
    link: str = ""  # where the chosen series is looked at

    @property
    def is_hard(self) -> bool:
        return any(remark.severity == "hard" for remark in self.findings)

    @property
    def is_soft(self) -> bool:
        return any(remark.severity == "soft" for remark in self.findings)

    @property
    def shows_comment(self) -> bool:
        return self.is_soft or bool(self.comment)

    @property
    def is_short(self) -> bool:
        return sum(len(option.label) for option in self.options) <= SHORT_LABELS

    @property
    def described_by(self) -> str:
        return f"help-{self.name} findings-{self.name}" if self.help else f"findings-{self.name}"

    @property
    def is_grouped(self) -> bool:
        """Whether the label names several controls, or none, instead of one."""
        return self.control in ("radio", "checkboxes", "derived", "file")

    @property
    def inputmode(self) -> str:
        return {"number": "decimal", "time": "numeric"}.get(self.control, "")

    @property
    def placeholder(self) -> str:
        return {"date": _("YYYY-MM-DD"), "time": "HH:MM", "datetime": _("YYYY-MM-DD HH:MM")}.get(self.control, "")

    @property
    def missing_options(self) -> tuple[Option, ...]:
        return _missing_options(self.missing, get_language())


@cache
def _missing_options(chosen: str, _language: str | None) -> tuple[Option, ...]:
    return tuple(Option(code, _missing_label(code), code == chosen, short) for code, short in SHORT_WORDS.items())


def _missing_label(code: str) -> str:
    return {"not_done": _("not done"), "unknown": _("unknown"), "not_applicable": _("not applicable")}[code]


@dataclass(frozen=True)
class RowView:
    """One row of a group; a blank one is there to be filled."""

    number: int
    items: tuple[ItemView, ...]
    is_blank: bool


@dataclass(frozen=True)
class GroupView:
    """The rows of a group; `next` is the number of the next new row."""

    name: str
    rows: tuple[RowView, ...]
    pattern: RowView  # number 0: what a new row is made from on the page
    next: int
    most: int
    visible: bool
    findings: tuple[Remark, ...]


@dataclass(frozen=True)
class SectionView:
    name: str
    help: str
    items: tuple[ItemView, ...]
    group: GroupView | None = None

    @property
    def visible(self) -> bool:
        return self.group.visible if self.group else any(item.visible for item in self.items)


def sections(
    form: Form,
    study: StudyDefinition,
    language: str,
    *,
    answers: Mapping[str, Any],
    remarks: Mapping[str, str],
    found: Evaluation,
    history_urls: Mapping[str, str],
    page: Page | None = None,
    next_rows: Mapping[str, int] | None = None,
    series: Sequence[SeriesChoice] = (),
) -> list[SectionView]:
    """The form (or one `page` of it) with `answers` as typed, `remarks` as comments, and what was `found`.

    `next_rows` gives, by group, the number that a new row may have; `series` are those of the subject to choose among.
    """
    given = with_blank_rows(form, answers, next_rows or {}) | dict(found.derived)
    maker = _Maker(study, language, given, remarks, found, history_urls, next_rows or {}, series)
    return [maker.section(part) for part in (page or pages(form)[0]).parts]


class _Maker:
    """Makes the lines of one page."""

    def __init__(
        self,
        study: StudyDefinition,
        language: str,
        answers: Mapping[str, Any],
        remarks: Mapping[str, str],
        found: Evaluation,
        history_urls: Mapping[str, str],
        next_rows: Mapping[str, int],
        series: Sequence[SeriesChoice],
    ) -> None:
        self.study, self.language, self.answers, self.remarks = study, language, answers, remarks
        self.history_urls, self.next_rows, self.series = history_urls, next_rows, series
        self.hidden = set(found.hidden)
        self.findings: dict[str, list[Remark]] = {}
        for remark in found.remarks:
            self.findings.setdefault(remark.item, []).append(remark)
        self.results = {result.item: result for result in found.results}

    def section(self, part: Part) -> SectionView:
        section = part.section
        return SectionView(
            name=part.name(self.language),
            help=section.help.of(self.language) if section.help else "",
            items=() if section.rows else tuple(self.line(item, item.name) for item in part.items),
            group=self.group(part) if section.rows else None,
        )

    def group(self, part: Part) -> GroupView | None:
        """The rows as typed, the last of them blank, to go on with."""
        rows = part.section.rows
        if rows is None:
            return None
        given = rows_of(self.answers.get(rows.name))
        following = max([self.next_rows.get(rows.name, 1), *(int(row[ROW]) + 1 for row in given)])
        return GroupView(
            name=rows.name,
            rows=tuple(self.row(part, rows.name, int(row[ROW]), row) for row in given),
            pattern=self.row(part, rows.name, 0, {}),
            next=following,
            most=rows.max,
            visible=rows.name not in self.hidden,
            findings=tuple(self.findings.get(rows.name, ())),
        )

    def row(self, part: Part, group: str, number: int, row: Mapping[str, Any]) -> RowView:
        empty = is_blank(part.items, row)
        lines = []
        for item in part.items:
            place = f"{group}[{number}].{item.name}"
            line = self.line(item, place, self.answers.get(place, row.get(item.name, "")))
            lines.append(replace(line, visible=line.visible and not (empty and item.show_if)))
        return RowView(number, tuple(lines), empty)

    def line(self, item: Item, place: str, answer: Any = None) -> ItemView:
        answer = self.answers.get(place, "") if answer is None else answer
        line = _line(item, place, self.study.codelist(item), answer, self.language)
        return replace(
            _among_series(line, answer, self.series) if item.type == "series" and self.series else line,
            visible=place not in self.hidden,
            comment=self.remarks.get(place, ""),
            findings=tuple(self.findings.get(place, ())),
            result=self.results.get(place),
            history_url=self.history_urls.get(place, ""),
        )


def _among_series(line: ItemView, answer: Any, series: Sequence[SeriesChoice]) -> ItemView:
    """The line as a choice among the subject's series; one that is none of them (any more) stays as it was typed."""
    held = answer if isinstance(answer, dict) else {"series": answer}
    key = held.get("series") or ""
    chosen = next((one for one in series if one.key == key), None)
    options = [Option(line.text if one is chosen else one.key, one.label, one is chosen) for one in series]
    if line.text and chosen is None:
        options.append(Option(line.text, str(held.get("label") or key), True))
    return replace(line, control="select", options=tuple(options), link=chosen.url if chosen else "")


def _line(item: Item, place: str, codelist: Codelist | None, answer: Any, language: str) -> ItemView:
    """The item with its answer, before anything was found."""
    missing = answer if is_missing(answer) else {}
    measured = answer if isinstance(answer, dict) and "unit" in answer else {"value": answer, "unit": item.unit or ""}
    file = answer if isinstance(answer, dict) and ("file" in answer or "series" in answer) else None
    rule = item.file or FileRule()
    text = _as_field(file) if file else measured["value"]
    return ItemView(
        name=place,
        control=_control(item, codelist),
        label=item.label.of(language),
        help=item.help.of(language) if item.help else "",
        unit=item.unit or "",
        required=item.required is not False and item.is_entered,
        text=text if isinstance(text, str) else "",
        options=_options(item, codelist, answer, language),
        missing=missing.get("missing", ""),
        missing_reason=missing.get("reason", ""),
        definition=item.definition.of(language) if item.definition else "",
        guideline=item.guideline.of(language) if item.guideline else "",
        units=tuple(Option(unit, unit, unit == measured["unit"]) for unit in units_of(item)),
        file=file,
        is_lab=bool(item.lab or item.ctcae),
        accept=",".join(f".{kind}" for kind in rule.types) if item.type == "file" else "",
        max_mb=rule.max_mb if item.type == "file" else 0,
    )


def _as_field(reference: Mapping[str, Any]) -> str:
    """A stored file or series as the page carries it: a series without a label by its own name."""
    if "series" in reference and not reference.get("label"):
        return str(reference["series"])
    return json.dumps(reference, ensure_ascii=False)


def _control(item: Item, codelist: Codelist | None) -> str:
    if item.type == "choice":
        return "radio" if codelist and len(codelist.choices) <= RADIO_LIMIT else "select"
    if item.type == "text":
        return "long" if (item.max_length or 0) > LONG_TEXT else "text"
    return {"integer": "number", "decimal": "number", "choices": "checkboxes"}.get(item.type, item.type)


def _options(item: Item, codelist: Codelist | None, answer: Any, language: str) -> tuple[Option, ...]:
    if codelist is None or item.type not in ("choice", "choices"):
        return ()
    held = answer if isinstance(answer, list) else [answer]
    chosen = [str(one) for one in held if isinstance(one, str | int | float) and one != ""]
    found = [Option(c.code, c.label.of(language), c.code in chosen) for c in codelist.choices]
    # What an earlier version offered is shown, or the next save would take it away unseen.
    gone = "已不在选项中" if language.startswith("zh") else "no longer a choice"
    return (*found, *(Option(one, f"{one} ({gone})", True) for one in chosen if one not in codelist.by_code))


def fields_of(name: str, answer: Any) -> dict[str, list[str]]:
    """The fields and values that show `answer`, for the button that takes the other person's answer."""
    missing = answer if is_missing(answer) else {}
    fields = {
        f"value-{name}": [] if missing else _field_values(answer),
        f"missing-{name}": [missing["missing"]] if missing else [],
        f"missing-reason-{name}": [missing.get("reason", "")],
    }
    if isinstance(answer, dict) and "unit" in answer:
        fields[f"unit-{name}"] = [answer["unit"]]
    return fields


def _field_values(answer: Any) -> list[str]:
    if isinstance(answer, dict):
        return [answer["value"]] if "value" in answer else [_as_field(answer)]
    return answer if isinstance(answer, list) else [answer] if answer else []


def blank(items: Iterable[Item], study: StudyDefinition, language: str) -> list[ItemView]:
    """The lines of a form that nobody has filled in, for the pages of a build."""
    return [_line(item, item.name, study.codelist(item), "", language) for item in items]
