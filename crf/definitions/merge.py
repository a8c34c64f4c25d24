"""Two people changed one record: what each changed, what merges by itself, and what a person must decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .rows import ROW, address, flat, is_rows, last_number, nested, numbers

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One answer, at its address, in the three versions; None is no answer."""

    address: str
    base: Any
    theirs: Any
    mine: Any


@dataclass(frozen=True)
class Comparison:
    """What became of each answer that somebody changed since `base`."""

    theirs: dict[str, Any]  # by address
    mine: dict[str, Any]  # by address, rows that both added under one number kept apart
    asked: tuple[Difference, ...]  # both changed it, differently
    taken: tuple[Difference, ...]  # only they did
    kept: tuple[Difference, ...]  # only I did

    def merged(self, choices: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The values that come of it: mine, with what only they changed and what is chosen as `theirs`."""
        values = dict(self.mine)
        chosen = choices or {}
        for one in [*self.taken, *(one for one in self.asked if chosen.get(one.address) == "theirs")]:
            if one.theirs is None:
                values.pop(one.address, None)
            else:
                values[one.address] = one.theirs
        return nested(values)

    def undecided(self, choices: Mapping[str, str]) -> list[str]:
        """The addresses that still wait for `mine` or `theirs`."""
        return [one.address for one in self.asked if choices.get(one.address) not in ("mine", "theirs")]


def compare(base: Values, theirs: Values, mine: Values) -> Comparison:
    """Compare three versions of a record's data, answer by answer; rows of groups by their number."""
    mine = _renumbered(base, theirs, mine)
    before, there, here = _given(base), _given(theirs), _given(mine)
    asked, taken, kept = [], [], []
    for place in _in_order(here, there, before):
        one = Difference(place, before.get(place), there.get(place), here.get(place))
        if one.theirs == one.mine:
            continue
        if one.mine == one.base:
            taken.append(one)
        elif one.theirs == one.base:
            kept.append(one)
        else:
            asked.append(one)
    return Comparison(there, here, tuple(asked), tuple(taken), tuple(kept))


def differing(first: Values, second: Values) -> list[Difference]:
    """The answers in which two versions differ (first as `theirs`, second as `mine`), rows by their number."""
    there, here = _given(first), _given(second)
    return [
        Difference(place, None, there.get(place), here.get(place))
        for place in _in_order(there, here)
        if there.get(place) != here.get(place)
    ]


def _given(values: Values) -> dict[str, Any]:
    """The answers by address; names that begin with `_` tell how answers were typed, and are none."""
    named = {name: value for name, value in values.items() if not name.startswith("_")}
    return {place: value for place, value in flat(named).items() if value not in (None, "", [])}


def _in_order(*versions: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(place for version in versions for place in version)


def _renumbered(base: Values, theirs: Values, mine: Values) -> dict[str, Any]:
    """Mine, where a row that I added has another number than a row that they added."""
    found = dict(mine)
    for name, rows in mine.items():
        if not is_rows(rows):
            continue
        old, added = numbers(base.get(name)), numbers(theirs.get(name))
        following = last_number([base, theirs, mine], name)
        moved = []
        for row in rows:
            if row[ROW] in added - old:
                following += 1
                row = {**row, ROW: following}
            moved.append(row)
        found[name] = moved
    return found


def names_of(differences: Iterable[Difference]) -> set[str]:
    """The items and groups of the form that these differences are in."""
    places = [address(one.address) for one in differences]
    return {place.name for place in places if place}
