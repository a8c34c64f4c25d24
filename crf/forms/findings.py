"""What the checks say of a form as it is typed, in the reader's language, at its item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crf.definitions.check import Finding
from crf.definitions.labs import LabResult
from crf.definitions.model import Form, StudyDefinition
from crf.definitions.pages import Page, page_with, pages
from crf.definitions.rows import ROW, address
from crf.definitions.values import display_value
from crf.selectors import Entry

from .answers import rows_of

MOST_REMARKS = 200  # in the summary of a form of thousands of items
TONES = {"L": "low", "H": "high", "N": "normal", "": "normal"}


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
        for row in rows_of(answers.get(group)) or rows_of(entry.state.values.get(group)) if conditional else []:
            places = (f"{group}[{row.get(ROW)}].{name}" for name in conditional)
            yield from (place for place in places if place not in entry.state.visible)


def _derived(entry: Entry, study: StudyDefinition, names: frozenset[str], language: str) -> Iterable[tuple[str, str]]:
    values = entry.state.values
    for name, item in entry.form.items.items():
        if name not in names:
            continue
        if item.type == "derived":
            yield name, display_value(item, study.codelist(item), values.get(name), language)
        for column in entry.form.groups[name].items if item.type == "group" else ():
            if column.type == "derived":
                for row in rows_of(values.get(name)):
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


def _name(place: str) -> str:
    """The item or group of the form that an address is in."""
    return place.partition("[")[0]
