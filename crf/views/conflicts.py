"""Two people saved one record: what the page was opened on, what is saved now, and what is typed, side by side.

Only what both changed, differently, is asked; what one of them changed merges by itself and is shown. The page keeps
the revision it was opened on until every question is answered, so that nothing is ever overwritten unseen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from crf import forms
from crf.definitions.answers import read_answers
from crf.definitions.merge import Comparison, Difference, compare, names_of
from crf.definitions.rows import address
from crf.definitions.values import display_value
from crf.models import Record
from crf.views.entry_page import language
from crf.views.places import Place

CHOICE, COMMENT = "choice-", "comment:"


@dataclass(frozen=True)
class Conflict:
    """The three-way comparison of one entry page; `choices` is what was chosen so far, by address."""

    place: Place
    current: Record
    typed: Mapping[str, Any]
    comments: Mapping[str, str]
    comparison: Comparison
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> str:
        last = self.current.history.select_related("history_user").first()
        return str(last.history_user) if last else ""

    @property
    def revision(self) -> int:
        return self.current.revision

    @property
    def is_decided(self) -> bool:
        return not self.comparison.undecided(self.choices)

    @property
    def is_settled(self) -> bool:
        """Whether what was typed is saved already, by whomever."""
        return not (self.comparison.asked or self.comparison.kept)

    @property
    def is_same(self) -> bool:
        """Whether exactly what was typed is saved: it was sent twice."""
        return self.is_settled and not self.comparison.taken

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self._in_order(self.comparison.asked)

    @property
    def taken(self) -> list[dict[str, Any]]:
        return self._in_order(self.comparison.taken)

    def answers(self) -> dict[str, Any]:
        """What the page shows: as typed, with what only the other person changed and what was chosen of theirs."""
        return self._with(forms.as_typed(self.place.form, self.place.study, self._merged()))

    def data(self) -> dict[str, Any]:
        """What is saved of it: the same, with values instead of texts."""
        return self._with(self._merged())

    def remarks(self) -> dict[str, str]:
        """The comments, merged in the same way."""
        merged = self.comparison.merged(self.choices)
        theirs = {one.address for one in self._overruled() if one.address.startswith(COMMENT)}
        return {**self.comments, **{one.removeprefix(COMMENT): merged.get(one, "") for one in theirs}}

    def _merged(self) -> dict[str, Any]:
        return {name: value for name, value in self.comparison.merged(self.choices).items() if ":" not in name}

    def _with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.typed, **{name: values.get(name) for name in names_of(self._overruled())}}

    def _overruled(self) -> list[Difference]:
        chosen = [one for one in self.comparison.asked if self.choices.get(one.address) == "theirs"]
        return [*self.comparison.taken, *chosen]

    def _in_order(self, differences: Iterable[Difference]) -> list[dict[str, Any]]:
        """As on the page, each answer before its comment."""
        return sorted(
            (self._shown(one) for one in differences),
            key=lambda row: (forms.position_of(self.place.form, row["item"]), row["address"] != row["item"]),
        )

    def _shown(self, one: Difference) -> dict[str, Any]:
        item = one.address.removeprefix(COMMENT)
        place = address(item)
        label = forms.label_of(self.place.form, item, language())
        if item != one.address:
            label = _("Comment: %(label)s") % {"label": label}
        return {
            "address": one.address,
            "item": item,
            "anchor": place.name if place else item,
            "label": label,
            "base": self._text(one.address, one.base),
            "mine": self._text(one.address, one.mine),
            "theirs": self._text(one.address, one.theirs),
            "fields": json.dumps({side: self._fields(one, side) for side in ("mine", "theirs")}),
            "choice": self.choices.get(one.address, ""),
        }

    def _text(self, where: str, value: Any) -> str:
        if where.startswith(COMMENT) or value is None:
            return value or ""
        item = self.place.form.item(where)
        return display_value(item, self.place.study.codelist(item), value, language())

    def _fields(self, one: Difference, side: str) -> dict[str, list[str]]:
        """The fields of the page that show this side's answer; rows are filled in by the server."""
        value, place = getattr(one, side), address(one.address)
        if one.address.startswith(COMMENT):
            return {f"comment-{one.address.removeprefix(COMMENT)}": [value or ""]}
        if place is None or place.row:
            return {}
        shown = forms.as_typed(self.place.form, self.place.study, {one.address: value})[one.address]
        return forms.fields_of(one.address, shown)


def between(
    place: Place,
    base: int,
    typed: Mapping[str, Any],
    comments: Mapping[str, str],
    *,
    current: Record,
    choices: Mapping[str, str] | None = None,
) -> Conflict:
    """What was typed on top of revision `base` (0: nothing was saved), against what is saved now."""
    opened = current.history.filter(revision=base).first() if base else None
    before = dict(opened.data) if opened else {}
    mine = _read(place, typed, before)
    words = {**(opened.comments if opened else {}), **comments}
    comparison = compare(
        _with_comments(_entered(place, before), opened.comments if opened else {}),
        _with_comments(_entered(place, current.data), current.comments),
        _with_comments(_entered(place, mine), words),
    )
    return Conflict(place, current, typed, comments, comparison, choices or {})


def choices(post: QueryDict) -> dict[str, str]:
    """What was chosen on the page, by address."""
    return {name.removeprefix(CHOICE): post[name] for name in post if name.startswith(CHOICE)}


def _read(place: Place, typed: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed as values; what can't be read stays as the text that it is."""
    values, unread = read_answers(place.form, place.study, typed, before)
    return values | {name: str(typed[name]) for name in unread if name in typed}


def _entered(place: Place, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that people enter; derived ones follow from them."""
    return {name: _columns(place, name, value) for name, value in values.items() if _is_entered(place, name)}


def _is_entered(place: Place, name: str) -> bool:
    return name in place.form.items and place.form.items[name].is_entered


def _columns(place: Place, name: str, value: Any) -> Any:
    if name not in place.form.groups or not isinstance(value, list):
        return value
    kept = {item.name for item in place.form.groups[name].items if item.is_entered} | {"row"}
    return [{key: one for key, one in row.items() if key in kept} for row in value]


def _with_comments(values: Mapping[str, Any], comments: Iterable[Any] | Mapping[str, str]) -> dict[str, Any]:
    return {**values, **{f"{COMMENT}{item}": text for item, text in dict(comments).items() if text}}
