"""Repeating groups: rows of answers, and the address `meds[3].dose` of one answer in them.

Stored: `[{"row": 1, "drug": "x", "dose": 5.0}, {"row": 3, …}]`, without empty answers. A row's number is given once
and never used again in its record, so that an address in a query or in the history always means the same row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeGuard

ROW = "row"
MOST_ROWS = 999
ADDRESS = re.compile(r"([a-z][a-z0-9_]{0,62})(?:\[([1-9]\d{0,5})\]\.([a-z][a-z0-9_]{0,62}))?$", re.ASCII)


class Address(NamedTuple):
    """Where an answer stands: an item of the form (row 0), or the item of one row of a group."""

    name: str
    row: int = 0
    item: str = ""

    def __str__(self) -> str:
        return f"{self.name}[{self.row}].{self.item}" if self.row else self.name

    @property
    def leaf(self) -> str:
        """The name of the item itself, which is unique in the form."""
        return self.item or self.name


def address(text: str) -> Address | None:
    """What `dose` or `meds[3].dose` points at; None for anything else."""
    match = ADDRESS.match(text)
    return Address(match[1], int(match[2] or 0), match[3] or "") if match else None


def is_rows(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a stored value holds the rows of a group."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(row, dict) and type(row.get(ROW)) is int for row in value)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of a record by address: what changed in a row is then one answer among the others."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if is_rows(value):
            for row in value:
                found |= {f"{name}[{row[ROW]}].{item}": inner for item, inner in row.items() if item != ROW}
        else:
            found[name] = value
    return found


def nested(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`: rows in the order of their numbers; empty answers are left out of rows."""
    found: dict[str, Any] = {}
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for text, value in answers.items():
        place = address(text)
        if place is None or not place.row:
            found[text] = value
        elif value is not None:
            rows.setdefault(place.name, {}).setdefault(place.row, {ROW: place.row})[place.item] = value
    return found | {name: [by_number[number] for number in sorted(by_number)] for name, by_number in rows.items()}


def value_at(values: Mapping[str, Any], text: str) -> Any:
    """The answer at an address, or None."""
    place = address(text)
    if place is None or not place.row:
        return values.get(text)
    rows = values.get(place.name)
    found = next((row for row in rows if row.get(ROW) == place.row), None) if is_rows(rows) else None
    return found.get(place.item) if found else None


def numbers(value: Any) -> set[int]:
    """The numbers of the rows of a stored group."""
    return {row[ROW] for row in value} if is_rows(value) else set()


def last_number(versions: Iterable[Mapping[str, Any]], group: str) -> int:
    """The highest row number that a group ever had in these versions of a record's data; 0 where it had none."""
    return max((number for data in versions for number in numbers(data.get(group))), default=0)
