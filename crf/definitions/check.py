"""What a form looks like with these answers: what is shown, what is derived, what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .expressions import ExpressionFailed, compile_expression, is_given
from .model import Check, Form, Item, Severity, Text
from .rehearse import as_stored
from .values import plain_number

Values = Mapping[str, Any]

REQUIRED = Text(zh="必填:请填写,或标为未做/未知/不适用", en="Required: fill it in, or mark it not done, unknown or n/a")
HIDDEN = Text(
    zh="按已填内容本条不适用,但仍有值;请核对,如需清除请说明原因",
    en="Does not apply given the other answers, yet has a value; check it, and give a reason if you clear it",
)


@dataclass(frozen=True)
class Finding:
    """Something to look at. `check` is range, soft_range, required, hidden, derive, rule, or a check's id."""

    item: str
    check: str
    severity: Severity
    message: Text
    items: tuple[str, ...] = ()

    @property
    def blocks_completion(self) -> bool:
        """A record is not complete with a hard finding, nor with a required item left open."""
        return self.severity == "hard" or self.check == "required"


# What expressions may read beyond the form, as names nest: {"today": "2026-04-03",
# "subject": {"enrolled_on", "site", "group", "number"}, "visit": {"event", "repeat", "occurred_on"},
# "forms": {form: values of the subject's first record}, "events": {event: {form: values}}}.
Context = Mapping[str, Any]


def known(context: Context, name: str) -> Any:
    """The value of a dotted name, or None where the way there ends."""
    place: Any = context
    for key in name.split("."):
        if not isinstance(place, Mapping):
            return None
        place = place.get(key)
    return place


@dataclass(frozen=True)
class FormState:
    """`values` are those given, hidden ones included (nothing is cleared in silence), with derived ones renewed."""

    values: dict[str, Any]
    visible: frozenset[str]
    findings: list[Finding]

    @property
    def effective(self) -> dict[str, Any]:
        """The values that count: without those of hidden items."""
        return {name: value for name, value in self.values.items() if name in self.visible}


def evaluate(form: Form, values: Values, context: Context | None = None) -> FormState:
    """Show, derive and check `form` with canonical `values` (see values.py), in dependency order.

    What is unknown decides nothing: an item whose condition is unknown stays hidden, a rule that needs an unknown
    value finds nothing. Hidden items count as empty in expressions. Decimals are derived from unrounded inputs.
    """
    return _Evaluation(form, values, context or {}).run()


class _Evaluation:
    def __init__(self, form: Form, values: Values, context: Context) -> None:
        self.form = form
        self.context = context
        self.values = {
            name: value for name, value in values.items() if name not in form.items or form.items[name].is_entered
        }
        self.counting: dict[str, Any] = {}  # what expressions see of this form
        self.visible: set[str] = set()
        self.findings: dict[str, list[Finding]] = {}

    def run(self) -> FormState:
        for name in self.form.order:
            item = self.form.items[name]
            if self.shown(name):
                self.visible.add(name)
                self.settle(item)
            elif is_given(self.values.get(name)):
                self.find(name, "hidden", "soft", HIDDEN)
        # Required may read any item, so it waits until all are settled.
        for name in self.form.items:
            if name in self.visible:
                self.check_item(self.form.items[name])
        for check in self.form.checks:
            self.check_rule(check)
        ordered = [finding for name in (*self.form.items, "") for finding in self.findings.get(name, [])]
        return FormState(self.values, frozenset(self.visible), ordered)

    def lookup(self, name: str) -> Any:
        if name in self.form.items:
            return self.counting.get(name)
        return known(self.context, name)

    def result(self, text: str, name: str) -> Any:
        """An expression's value; a rule that cannot be worked out is itself a finding, never a crash."""
        try:
            return compile_expression(text).evaluate(self.lookup)
        except ExpressionFailed as failure:
            message = Text(zh=f"规则无法计算({failure}),请告知数据管理员", en=f"{failure}; tell the data manager")
            self.find(name, "rule", "soft", message)
            return None

    def shown(self, name: str) -> bool:
        return all(self.result(text, name) is True for text in self.form.conditions[name])

    def settle(self, item: Item) -> None:
        if not item.derive:
            self.counting[item.name] = self.values.get(item.name)
            return
        value = self.result(item.derive, item.name)
        if value is None:
            return
        try:
            self.values[item.name] = as_stored(item, value)
        except ValueError as error:
            self.find(
                item.name, "derive", "soft", Text(zh=f"派生结果类型不符({value})", en=f"cannot be derived: {error}")
            )
        else:
            # Later expressions calculate with the unrounded number; a choice with its code.
            self.counting[item.name] = (
                value if isinstance(value, float) and _is_number(item) else self.values[item.name]
            )

    def check_item(self, item: Item) -> None:
        value = self.values.get(item.name)
        if value in (None, "", []):
            if item.is_entered and self.required(item):
                self.find(item.name, "required", "soft", REQUIRED)
        elif _is_number(item) and isinstance(value, int | float):
            if not _within(item.range, value):
                self.find(item.name, "range", "hard", range_message(item, item.range, value, hard=True))
            elif not _within(item.soft_range, value):
                self.find(item.name, "soft_range", "soft", range_message(item, item.soft_range, value, hard=False))

    def required(self, item: Item) -> bool:
        if isinstance(item.required, bool):
            return item.required
        return self.result(item.required, item.name) is True

    def check_rule(self, check: Check) -> None:
        if self.result(check.require, check.items[0]) is False:
            self.find(check.items[0], check.id, check.severity, check.message, check.items)

    def find(self, item: str, check: str, severity: Severity, message: Text, items: tuple[str, ...] = ()) -> None:
        key = item if item in self.form.items else ""
        self.findings.setdefault(key, []).append(Finding(item, check, severity, message, items or (item,)))


def _is_number(item: Item) -> bool:
    return item.value_kind in ("integer", "decimal")


def _within(limits: tuple[float | None, float | None] | None, value: float) -> bool:
    if limits is None:
        return True
    low, high = limits
    return (low is None or value >= low) and (high is None or value <= high)


def range_message(item: Item, limits: Any, value: float, *, hard: bool) -> Text:
    """What was expected, with the unit, and what was entered."""
    low, high = limits
    unit = f" {item.unit}" if item.unit else ""
    if low is not None and high is not None:
        zh, en = f"{plain_number(low)}–{plain_number(high)}{unit}", f"{plain_number(low)} to {plain_number(high)}{unit}"
    elif low is not None:
        zh, en = f"不低于 {plain_number(low)}{unit}", f"at least {plain_number(low)}{unit}"
    else:
        zh, en = f"不高于 {plain_number(high)}{unit}", f"at most {plain_number(high)}{unit}"
    if hard:
        return Text(zh=f"应为 {zh},现为 {plain_number(value)}", en=f"Must be {en}; it is {plain_number(value)}")
    return Text(
        zh=f"通常为 {zh},现为 {plain_number(value)};请核对或说明",
        en=f"Usually {en}; it is {plain_number(value)}. Check or explain",
    )
