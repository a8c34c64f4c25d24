"""The entry form of a record: what a definition shows, and what a person typed into it.

Fields are named `value-<item>`, `unit-<item>`, `missing-<item>`, `missing-reason-<item>` and `comment-<item>`; in the
rows of a group `<item>` is its address, `meds[3].dose`, and `row-<group>` tells the rows that are there. What is typed
goes back into the page as it was typed, whatever the server thinks of it. Of a long form one page is shown and sent at
once (`section`); the rest stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.http import QueryDict
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.check import Finding
from crf.definitions.labs import LabResult
from crf.definitions.model import Codelist, FileRule, Form, Item, StudyDefinition
from crf.definitions.pages import Page, Part, page_of, page_with, pages
from crf.definitions.rows import ROW, address
from crf.definitions.units import units_of
from crf.definitions.values import TYPED, display_value, is_missing
from crf.selectors import Entry
from crf.selectors.series import SeriesChoice

RADIO_LIMIT = 6  # more choices than this are a list to pick from
SHORT_LABELS = 60  # characters of all labels together that fit on one line
LONG_TEXT = 200
MOST_REMARKS = 200  # in the summary of a form of thousands of items
SHORT_WORDS = {"not_done": "ND", "unknown": "UNK", "not_applicable": "NA"}
TONES = {"L": "low", "H": "high", "N": "normal", "": "normal"}


@dataclass(frozen=True)
class Reason:
    """Why saved answers change: a code of `registry.wording.REASONS` and words; the trail keeps `code: words`."""

    code: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.code == "other":
            return f"other: {self.text}" if self.text else ""
        return ": ".join(part for part in (self.code, self.text) if part)


@dataclass(frozen=True)
class Option:
    code: str
    label: str
    chosen: bool
    short: str = ""


@dataclass(frozen=True)
class Remark:
    """A finding in the reader's language, at its item; severity is hard, soft or required."""

    item: str
    label: str
    severity: str
    text: str
    href: str = ""


@dataclass(frozen=True)
class Result:
    """What a laboratory result means, beside it: text, and how it is coloured."""

    item: str
    text: str
    tone: str


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


@dataclass(frozen=True)
class PageLink:
    """A page of a long form, in its navigation."""

    number: int
    name: str
    is_here: bool
    remarks: int


@dataclass(frozen=True)
class Evaluation:
    """What the checks say of the form as typed, for the summary and for the lines of the page."""

    hidden: tuple[str, ...]
    remarks: tuple[Remark, ...]
    derived: tuple[tuple[str, str], ...]
    to_do: int  # required items still empty, named or not
    results: tuple[Result, ...] = ()

    @property
    def hard(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "hard"]

    @property
    def soft(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "soft"]

    @property
    def required(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "required"]

    @property
    def listed(self) -> tuple[Remark, ...]:
        """What the summary lists; the lines of the form say the rest."""
        return self.remarks[:MOST_REMARKS]

    @property
    def unlisted(self) -> int:
        return max(0, len(self.remarks) - MOST_REMARKS)

    def at(self, item: str) -> tuple[Remark, ...]:
        return tuple(remark for remark in self.remarks if remark.item == item)

    def items(self) -> list[dict[str, Any]]:
        """The remarks grouped by item, as the fragment lists them."""
        names = dict.fromkeys(remark.item for remark in self.remarks)
        return [{"name": name, "findings": self.at(name), **self._severities(name)} for name in names]

    def _severities(self, item: str) -> dict[str, bool]:
        found = {remark.severity for remark in self.at(item)}
        return {"is_hard": "hard" in found, "is_soft": "soft" in found}


def evaluation(
    entry: Entry,
    study: StudyDefinition,
    language: str,
    *,
    names_required: bool,
    answers: Mapping[str, Any] | None = None,
    page: Page | None = None,
) -> Evaluation:
    """What to tell of `entry`; empty required items are counted, and named only once asked for.

    `answers` are as typed, with rows that are still blank; `page` is the one that is shown, None for all.
    """
    form = entry.form
    shown = page or (pages(form)[0] if len(pages(form)) == 1 else None)
    names = shown.names if shown else frozenset(form.items)
    found = [f for f in entry.state.findings if names_required or f.check != "required"]
    told = [(f.item, _weight(f), f.message.of(language)) for f in found]
    unread = [(name, "hard", bad.of(language)) for name, bad in entry.unread.items()]
    remarks = [
        Remark(item, label_of(form, item, language), weight, text, _href(form, item, names))
        for item, weight, text in [*unread, *told]
    ]
    return Evaluation(
        hidden=tuple(_hidden(entry, names, answers or {})),
        remarks=tuple(_in_order(form, remarks)),
        derived=tuple(_derived(entry, study, names, language)),
        to_do=sum(finding.check == "required" for finding in entry.state.findings),
        results=tuple(
            Result(place, result.message.of(language), _tone(result))
            for place, result in entry.state.results.items()
            if _name(place) in names
        ),
    )


def _tone(result: LabResult) -> str:
    return "severe" if (result.grade or 0) >= 3 else TONES[result.flag]


def _name(place: str) -> str:
    """The item or group of the form that an address is in."""
    return place.partition("[")[0]


def _href(form: Form, item: str, here: frozenset[str]) -> str:
    """The way to an item, also on another page of the form."""
    name = _name(item)
    return f"#item-{item}" if name in here else f"?section={page_with(form, name).number}#item-{item}"


def _hidden(entry: Entry, names: frozenset[str], answers: Mapping[str, Any]) -> Iterable[str]:
    """What the page hides: items and groups, and in rows, blank ones too, what their conditions hide."""
    for name in entry.form.items:
        if name in names and name not in entry.state.visible:
            yield name
    for group, section in entry.form.groups.items():
        conditional = [item.name for item in section.items if item.show_if] if group in names else []
        for row in _rows(answers.get(group)) or _rows(entry.state.values.get(group)) if conditional else []:
            places = (f"{group}[{row.get(ROW)}].{name}" for name in conditional)
            yield from (place for place in places if place not in entry.state.visible)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _derived(entry: Entry, study: StudyDefinition, names: frozenset[str], language: str) -> Iterable[tuple[str, str]]:
    values = entry.state.values
    for name, item in entry.form.items.items():
        if name not in names:
            continue
        if item.type == "derived":
            yield name, display_value(item, study.codelist(item), values.get(name), language)
        for column in entry.form.groups[name].items if item.type == "group" else ():
            if column.type == "derived":
                for row in _rows(values.get(name)):
                    shown = display_value(column, study.codelist(column), row.get(column.name), language)
                    yield f"{name}[{row[ROW]}].{column.name}", shown


def _weight(finding: Finding) -> str:
    """An empty required item asks for an answer, not for a comment."""
    return "required" if finding.check == "required" else finding.severity


def _in_order(form: Form, remarks: Iterable[Remark]) -> list[Remark]:
    return sorted(remarks, key=lambda remark: position_of(form, remark.item))


def position_of(form: Form, place: str) -> tuple[int, int, int]:
    """Where an address stands on the page: item or group, row, item of the row; strangers last."""
    order: dict[str, int] = form.__dict__.setdefault("_positions", {})
    if not order:
        order |= {name: index for index, name in enumerate((*form.items, *form.group_of))}
    found = address(place)
    return (order.get(found.name, len(order)), found.row, order.get(found.item, -1)) if found else (len(order), 0, 0)


def label_of(form: Form, place: str, language: str) -> str:
    """What people call an item, or the item of a row."""
    if not form.has(place):
        return ""
    found = address(place)
    label = form.item(place).label.of(language)
    return f"{form.items[found.name].label.of(language)} #{found.row}: {label}" if found and found.row else label


# What was typed


def typed(form: Form, post: QueryDict) -> dict[str, Any]:
    """What was typed on the page that was sent, by item, as the services take it.

    Text, a list of codes, a number with its unit, a missing value, a file; of a group the list of its rows.
    """
    names = page_of(form, post.get("section")).names
    return {
        name: _typed_rows(form, name, post) if item.type == "group" else _typed_item(name, item, post)
        for name, item in form.items.items()
        if item.is_entered and name in names
    }


def _typed_rows(form: Form, group: str, post: QueryDict) -> list[dict[str, Any]]:
    """The rows that the page had, but those marked for removal; blank ones too, which the services leave out."""
    removed = set(post.getlist(f"remove-{group}"))
    numbers = [number for number in dict.fromkeys(post.getlist(f"row-{group}")) if number not in removed]
    entered = [item for item in form.groups[group].items if item.is_entered]
    return [
        {ROW: int(number)}
        | {item.name: _typed_item(f"{group}[{int(number)}].{item.name}", item, post) for item in entered}
        for number in numbers
        if number.isascii() and number.isdigit() and len(number) <= 6 and int(number) > 0
    ]


def _typed_item(name: str, item: Item, post: QueryDict) -> Any:
    if missing := post.get(f"missing-{name}"):
        return {"missing": missing, "reason": post.get(f"missing-reason-{name}", "").strip()}
    if item.type == "choices":
        return post.getlist(f"value-{name}")
    text = post.get(f"value-{name}", "").strip()
    if item.type in ("file", "series"):
        return "" if f"clear-{name}" in post else _reference(text)
    unit = post.get(f"unit-{name}", "")
    return {"value": text, "unit": unit} if unit and unit != item.unit else text


def _reference(text: str) -> Any:
    """A stored file or series as the page carries it; any other text is left to the services to refuse."""
    if not text.startswith("{") or len(text) > 4000:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def with_blank_rows(form: Form, answers: Mapping[str, Any], next_rows: Mapping[str, int]) -> dict[str, Any]:
    """`answers` with one blank row at the end of each group that may have another, numbered as `next_rows` says."""
    found = dict(answers)
    for group, section in form.groups.items():
        rows = _rows(found.get(group))
        is_full = section.rows is None or len(rows) >= section.rows.max
        if not is_full and not (rows and _is_blank(section.items, rows[-1])):
            following = max([next_rows.get(group, 1), *(int(row[ROW]) + 1 for row in rows)])
            found[group] = [*rows, {ROW: following}]
    return found


def _is_blank(items: Iterable[Item], row: Mapping[str, Any]) -> bool:
    return not any(_is_typed(row.get(item.name)) for item in items if item.is_entered)


def page_asked(form: Form, post: QueryDict) -> str:
    """The query of the page to show after a save: the one that a button asked for, else the one that was sent."""
    if len(pages(form)) == 1:
        return ""
    act = post.get("act", "")
    wanted = act.removeprefix("section-") if act.startswith("section-") else post.get("section")
    return f"?section={page_of(form, wanted).number}"


def comments(form: Form, post: QueryDict) -> dict[str, str]:
    """Why soft findings stand, by address; an emptied comment is taken back."""
    names = (name.removeprefix("comment-") for name in post if name.startswith("comment-"))
    return {name: post.get(f"comment-{name}", "").strip() for name in names if form.has(name)}


def reason(post: QueryDict) -> Reason:
    return Reason(post.get("reason-code", "").strip(), post.get("reason-text", "").strip())


def revision_of(post: QueryDict) -> int:
    """The revision of the record that the page showed; 0 where it showed none."""
    revision = post.get("revision", "")
    return int(revision) if revision.isdecimal() and len(revision) < 10 else 0


def as_typed(form: Form, study: StudyDefinition, values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values the way a person would type them; converted numbers in the unit that was typed."""
    given: Mapping[str, Any] = values.get(TYPED) or {}

    def shown(item: Item, place: str, value: Any) -> Any:
        return given[place] if place in given else _as_typed(item, study.codelist(item), value)

    return {
        name: [
            {ROW: row[ROW]}
            | {
                one.name: shown(one, f"{name}[{row[ROW]}].{one.name}", row.get(one.name))
                for one in form.groups[name].items
            }
            for row in _rows(values.get(name))
        ]
        if item.type == "group"
        else shown(item, name, values.get(name))
        for name, item in form.items.items()
    }


def _as_typed(item: Item, codelist: Codelist | None, value: Any) -> Any:
    if is_missing(value) or item.type in ("choice", "choices"):
        return value if value is not None else ("" if item.type == "choice" else [])
    if item.type in ("file", "series"):
        return value or ""
    return display_value(item, codelist, value)


# The page


def page_links(form: Form, here: Page, language: str, found: Evaluation) -> list[PageLink]:
    """The navigation of a long form; empty where it is one page."""
    every = pages(form)
    count: dict[int, int] = {}
    for remark in found.remarks if len(every) > 1 else ():
        number = page_with(form, _name(remark.item)).number
        count[number] = count.get(number, 0) + 1
    return [
        PageLink(page.number, page.parts[0].name(language), page.number == here.number, count.get(page.number, 0))
        for page in (every if len(every) > 1 else ())
    ]


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
        given = _rows(self.answers.get(rows.name))
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
        is_blank = _is_blank(part.items, row)
        lines = []
        for item in part.items:
            place = f"{group}[{number}].{item.name}"
            line = self.line(item, place, self.answers.get(place, row.get(item.name, "")))
            lines.append(replace(line, visible=line.visible and not (is_blank and item.show_if)))
        return RowView(number, tuple(lines), is_blank)

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


def _is_typed(answer: Any) -> bool:
    """Whether anything was typed; a unit alone is no answer."""
    return bool(answer.get("value") if isinstance(answer, dict) and "value" in answer else answer)


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
