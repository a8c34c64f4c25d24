"""A record's answers with the rules of an export applied, for formats that keep the record's own shape (ODM)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from crf.definitions.values import is_missing

from . import dates
from .layout import TableLayout
from .rules import OLDEST, Rule, Wanted

Rules = Mapping[str, Mapping[str, Rule]]


def rules_of(layouts: Sequence[TableLayout], form: str) -> Rules:
    """By group ("" is the form itself), the rule of each item."""
    return {
        layout.group: {question.item.name: question.rule for question in layout.questions}
        for layout in layouts
        if layout.form == form
    }


def treated(data: Mapping[str, Any], rules: Rules, days: int, wanted: Wanted) -> dict[str, Any]:
    """`data` as the export shows it; `days` is by how much the subject's dates move back."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name in rules and isinstance(value, list):
            found[name] = [{"row": row.get("row"), **_row(row, rules[name], days, wanted)} for row in value]
        elif name in rules.get("", {}):
            found |= _row({name: value}, rules[""], days, wanted)
        elif wanted.identified and _is_shown_orphan(name, rules, wanted):
            found[name] = value
    return found


def _is_shown_orphan(name: str, rules: Rules, wanted: Wanted) -> bool:
    """What no build asks any more, or asks as something else (`name@version`), is recorded too; whether it was blinded
    is not known."""
    rule = rules.get("", {}).get(name.partition("@")[0], Rule.KEEP if wanted.blinded else Rule.BLINDED)
    return not name.startswith("_") and not rule.leaves_out


def _row(row: Mapping[str, Any], rules: Mapping[str, Rule], days: int, wanted: Wanted) -> dict[str, Any]:
    return {
        name: _value(value, rules[name], days, wanted)
        for name, value in row.items()
        if name in rules and not rules[name].leaves_out
    }


def _value(value: Any, rule: Rule, days: int, wanted: Wanted) -> Any:
    if is_missing(value):
        return value if wanted.identified else {"missing": value["missing"], "reason": ""}
    if rule is Rule.SHIFT and isinstance(value, str):
        day, mark, time = value.partition("T")
        return dates.moved(day, days) + mark + time
    if rule is Rule.AGE and isinstance(value, int | float) and math.floor(value) > OLDEST:
        return OLDEST + 1
    return value
