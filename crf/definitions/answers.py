"""What was typed into a form, on top of what it holds: each answer read by its item's rules, rows of groups too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .model import Form, Item, StudyDefinition
from .rows import MOST_ROWS, ROW, address, is_rows
from .values import TYPED, BadValue, parse_value, typed_in_unit

LastRow = Callable[[str], int]


def read_answers(
    form: Form,
    study: StudyDefinition,
    typed: Mapping[str, Any],
    stored: Mapping[str, Any],
    *,
    last_row: LastRow = lambda group: 0,
) -> tuple[dict[str, Any], dict[str, BadValue]]:
    """The values after `typed`, and by address what could not be read (there the stored value stays).

    Items not in `typed` stay as they are. Of a group `typed` holds all rows, `[{"row": 1, "dose": "5"}, …]`, where a
    row without a number is new, a row not named is removed, and an item not named in a row stays; or single answers
    by address, `{"meds[3].dose": "5"}`. `last_row` tells the highest number that a group's rows ever had, so that a
    new row never gets the number of a removed one. Raises KeyError for an item that the form doesn't have.
    """
    reader = _Reader(form, study, stored, last_row)
    for name, raw in typed.items():
        reader.read(name, raw)
    return reader.finished(), reader.unread


class _Reader:
    def __init__(self, form: Form, study: StudyDefinition, stored: Mapping[str, Any], last_row: LastRow) -> None:
        self.form = form
        self.study = study
        self.values = dict(stored)
        self.as_typed: dict[str, dict[str, str]] = dict(self.values.pop(TYPED, {}))
        self.last_row = last_row
        self.unread: dict[str, BadValue] = {}

    def read(self, name: str, raw: Any) -> None:
        item = self.form.items.get(name)
        if item is None:
            self.read_address(name, raw)
        elif item.type == "group":
            self.read_group(name, raw)
        elif item.is_entered:
            self.answer(self.values, item, name, raw)

    def answer(self, values: dict[str, Any], item: Item, place: str, raw: Any) -> None:
        codelist = self.study.codelists.get(item.codelist) if item.codelist else None
        try:
            values[item.name] = parse_value(item, codelist, raw)
        except BadValue as bad:
            self.unread[place] = bad
            return
        if item.units:
            self.as_typed.pop(place, None)
            if given := typed_in_unit(item, raw):
                self.as_typed[place] = given

    def read_address(self, name: str, raw: Any) -> None:
        place = address(name)
        if place is None or not place.row or self.form.group_of.get(place.item) != place.name:
            raise KeyError(name)
        rows = {row[ROW]: dict(row) for row in self.rows(place.name)}
        row = rows.setdefault(place.row, {ROW: place.row})
        item = self.form.questions[place.item]
        if item.is_entered:
            self.answer(row, item, name, raw)
        self.keep(place.name, list(rows.values()))

    def read_group(self, group: str, raw: Any) -> None:
        if raw is None or raw == "":
            raw = []
        if not isinstance(raw, list | tuple) or not all(isinstance(row, Mapping) for row in raw):
            self.unread[group] = BadValue("应为若干行", "should be rows")
            return
        if len(raw) > MOST_ROWS:
            self.unread[group] = BadValue(f"最多{MOST_ROWS}行", f"at most {MOST_ROWS} rows")
            return
        held = {row[ROW]: row for row in self.rows(group)}
        rows: dict[int, dict[str, Any]] = {}
        for number, typed in self.numbered(group, raw, held):
            row = rows[number] = {ROW: number} | dict(held.get(number, {}))
            for name, answer in typed.items():
                if name != ROW:
                    self.cell(group, row, name, answer)
        self.keep(group, list(rows.values()))

    def numbered(self, group: str, raw: Any, held: Mapping[int, Any]) -> list[tuple[int, Mapping[str, Any]]]:
        """Each typed row with its number: known numbers stay, a new row gets one that was never used."""
        asked = [_number(row.get(ROW)) for row in raw]
        is_new = any(number not in held for number in asked)
        last = max(self.last_row(group), *held, 0) if is_new else 0
        free = max([last, *(number for number in asked if number)])
        found: dict[int, Mapping[str, Any]] = {}
        for number, row in zip(asked, raw, strict=True):
            if number in found or (number not in held and number <= last):
                free += 1
                number = free
            found[number] = row
        return list(found.items())

    def cell(self, group: str, row: dict[str, Any], name: str, raw: Any) -> None:
        if self.form.group_of.get(name) != group:
            raise KeyError(f"{group}[{row[ROW]}].{name}")
        item = self.form.questions[name]
        if item.is_entered:
            self.answer(row, item, f"{group}[{row[ROW]}].{name}", raw)

    def rows(self, group: str) -> list[dict[str, Any]]:
        held = self.values.get(group)
        return held if is_rows(held) else []

    def keep(self, group: str, rows: list[dict[str, Any]]) -> None:
        """Without empty answers, without rows that hold none, in the order of their numbers."""
        kept = [{name: value for name, value in row.items() if value is not None and value != []} for row in rows]
        entered = {one.name for one in self.form.groups[group].items if one.is_entered}
        self.values[group] = sorted((row for row in kept if entered & row.keys()), key=lambda row: row[ROW]) or None

    def finished(self) -> dict[str, Any]:
        """The values, with how those still there were typed."""
        there = {f"{name}[{row[ROW]}].{item}" for name in self.form.groups for row in self.rows(name) for item in row}
        typed = {
            place: given
            for place, given in self.as_typed.items()
            if place in there or isinstance(self.values.get(place), int | float)
        }
        return self.values | {TYPED: typed} if typed else self.values


def _number(raw: Any) -> int:
    """A row's number as a page or file gives it; 0 for a new row."""
    text = str(raw) if isinstance(raw, int | str) and not isinstance(raw, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
