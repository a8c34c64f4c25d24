"""What a form looks like with these answers: what is shown, what is derived, what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .expressions import Expression, ExpressionFailed, RowList, compile_expression, is_given
from .labs import FormLabs, LabResult, labs_of
from .model import NUMERIC, Check, Form, Item, Rows, Severity, Text
from .rehearse import as_stored
from .rows import ROW, is_rows
from .values import TYPED, plain_number

Values = Mapping[str, Any]

REQUIRED = Text(zh="必填:请填写,或标为未做/未知/不适用", en="Required: fill it in, or mark it not done, unknown or n/a")
HIDDEN = Text(
    zh="按已填内容本条不适用,但仍有值;请核对,如需清除请说明原因",
    en="Does not apply given the other answers, yet has a value; check it, and give a reason if you clear it",
)
OWN_CHECKS = frozenset({"range", "soft_range", "required", "hidden", "derive", "rule", "rows"})


@dataclass(frozen=True)
class Finding:
    """Something to look at. `check` is one of OWN_CHECKS, or a check's id.

    `item` and `items` are addresses: `dose`, or `meds[3].dose` inside a repeating group.
    """

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
    """`values` are those given, hidden ones included (nothing is cleared in silence), with derived ones renewed.

    `visible` holds addresses: items, groups, and `meds[3].dose` for what is shown in a row.
    """

    values: dict[str, Any]
    visible: frozenset[str]
    findings: list[Finding]
    results: dict[str, LabResult] = field(default_factory=dict)  # by address, what laboratory results mean
    asked: frozenset[str] = frozenset()  # every name that the form has: items, groups, and the columns of their rows

    @property
    def effective(self) -> dict[str, Any]:
        """The values that count: without those of hidden items, in rows too."""
        return {name: self._counting(name, value) for name, value in self.values.items() if name in self.visible}

    @property
    def stored(self) -> dict[str, Any]:
        """What a record keeps: the values that count, without empty ones, and how converted ones were typed.

        An answer to a question that the form no longer has counts nowhere and stays: no save clears it.
        """
        kept = {
            name: self._counting(name, value, keep_orphans=True) if type(value) is list else value
            for name, value in self.values.items()
            if value is not None and value != [] and (name in self.visible or self._is_orphan(name))
        }
        typed = {
            place: given
            for place, given in self.values.get(TYPED, {}).items()
            if place in self.visible or self._is_orphan(place.rpartition("].")[2])
        }
        return kept | {TYPED: typed} if typed else kept

    def _is_orphan(self, name: str) -> bool:
        return bool(self.asked) and name not in self.asked and name != TYPED

    def _counting(self, name: str, value: Any, *, keep_orphans: bool = False) -> Any:
        if not is_rows(value) or name not in self.visible:
            return value
        return [
            {
                item: inner
                for item, inner in row.items()
                if item == ROW
                or f"{name}[{row[ROW]}].{item}" in self.visible
                or (keep_orphans and self._is_orphan(item))
            }
            for row in value
        ]


def evaluate(form: Form, values: Values, context: Context | None = None) -> FormState:
    """Show, derive and check `form` with canonical `values` (see values.py), in dependency order.

    What is unknown decides nothing: an item whose condition is unknown stays hidden, a rule that needs an unknown
    value finds nothing. Hidden items count as empty in expressions. Decimals are derived from unrounded inputs.
    The rows of a group are each evaluated with their own answers in front of the form's.
    """
    return _Evaluation(_plan_of(form), values, context or {}, labs_of(form)).run()


@dataclass(frozen=True, slots=True)
class _Step:
    """One item with its expressions compiled; of a group, also the steps of its rows."""

    item: Item
    name: str
    conditions: tuple[Expression, ...]
    derive: Expression | None
    required: Expression | bool
    is_number: bool
    inside: tuple[float, float] | None  # the values that neither range says anything of
    rows: Rows | None = None
    columns: tuple[_Step, ...] = ()
    column_order: tuple[_Step, ...] = ()

    @property
    def is_checked(self) -> bool:
        return self.rows is not None or self.inside is not None or (self.required is not False and self.item.is_entered)


@dataclass(frozen=True, slots=True)
class _Rule:
    check: Check
    require: Expression
    group: str  # whose rows are checked one by one; empty: the form
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that evaluating a form needs and no answer changes."""

    steps: tuple[_Step, ...]  # in the order of their dependencies
    items: tuple[_Step, ...]  # in the order of the page
    checked: tuple[_Step, ...]  # those that something is asked of: required, a range, rows
    names: frozenset[str]
    asked: frozenset[str]
    derived: frozenset[str]
    rules: tuple[_Rule, ...]


def _plan_of(form: Form) -> _Plan:
    """Made once for each form; kept beside its cached properties."""
    plan: _Plan | None = form.__dict__.get("_plan")
    if plan is None:
        steps = {name: _step(form, item) for name, item in form.items.items()}
        plan = form.__dict__["_plan"] = _Plan(
            steps=tuple(steps[name] for name in form.order),
            items=tuple(steps.values()),
            checked=tuple(step for step in steps.values() if step.is_checked),
            names=frozenset(steps),
            asked=frozenset((*steps, *form.questions)),
            derived=frozenset(name for name, item in form.items.items() if not item.is_entered),
            rules=tuple(_rule(form, check) for check in form.checks),
        )
    return plan


def _step(form: Form, item: Item) -> _Step:
    columns: dict[str, _Step] = {}
    rows = None
    order: tuple[_Step, ...] = ()
    if item.type == "group":
        section = form.groups[item.name]
        rows, columns = section.rows, {one.name: _step(form, one) for one in section.items}
        order = tuple(columns[one.name] for one in form.row_order(item.name))
    return _Step(
        item=item,
        name=item.name,
        conditions=tuple(compile_expression(text) for text in form.conditions[item.name]),
        derive=compile_expression(item.derive) if item.derive else None,
        required=compile_expression(item.required) if isinstance(item.required, str) else item.required,
        is_number=item.value_kind in NUMERIC,
        inside=_inside(item),
        rows=rows,
        columns=tuple(columns.values()),
        column_order=order,
    )


def _inside(item: Item) -> tuple[float, float] | None:
    ranges = [one for one in (item.range, item.soft_range) if one]
    if item.value_kind not in NUMERIC or not ranges:
        return None
    low = max((one[0] for one in ranges if one[0] is not None), default=-math.inf)
    high = min((one[1] for one in ranges if one[1] is not None), default=math.inf)
    return low, high


def _rule(form: Form, check: Check) -> _Rule:
    group = rule_group(form, check)
    columns = frozenset(name for name in check.items if form.group_of.get(name) == group)
    return _Rule(check, compile_expression(check.require), group, columns)


def rule_group(form: Form, check: Check) -> str:
    """The group whose rows a check looks at one by one; empty where it looks at the form."""
    return next((form.group_of[name] for name in check.items if name in form.group_of), "")


class _Scope:
    """Where the answers of expressions come from: the form, or one row of a group in front of it."""

    __slots__ = ("counting", "lookup", "prefix", "values")

    def __init__(self, prefix: str, values: dict[str, Any], find: Callable[[_Scope, str], Any]) -> None:
        self.prefix = prefix
        self.values = values
        self.counting: dict[str, Any] = {}  # what expressions see
        self.lookup: Callable[[str], Any] = lambda name: find(self, name)


class _Evaluation:
    def __init__(self, plan: _Plan, values: Values, context: Context, labs: FormLabs | None) -> None:
        self.plan = plan
        self.labs = labs
        self.context = context
        given = {name: value for name, value in values.items() if name not in plan.derived}
        self.form = _Scope("", given, self.of_form)
        self.rows: dict[str, list[_Scope]] = {}
        self.visible: set[str] = set()
        self.findings: dict[str, list[Finding]] = {}

    def run(self) -> FormState:
        self.settle_all(self.plan.steps, self.form)
        # Required may read any item, so it waits until all are settled.
        self.check_all(self.plan.checked, self.form)
        for rule in self.plan.rules:
            for scope in self.rows.get(rule.group, []) if rule.group else [self.form]:
                self.check_rule(rule, scope)
        return FormState(
            values=self.form.values,
            visible=frozenset(self.visible),
            findings=self.in_order() if self.findings else [],
            results=self.weigh(self.labs) if self.labs else {},
            asked=self.plan.asked,
        )

    def weigh(self, labs: FormLabs) -> dict[str, LabResult]:
        """Laboratory results against the normal ranges of the person whom the form is about."""
        person = labs.person(self.form.counting, self.of_context)
        found: dict[str, LabResult] = {}
        for scope in [self.form, *(scope for scopes in self.rows.values() for scope in scopes)]:
            for name in labs.items.keys() & scope.counting.keys():
                value = scope.values.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    result = labs.items[name].result(value, person, labs.baseline(name, self.of_context))
                    if result is not None:
                        found[scope.prefix + name] = result
        return found

    def of_context(self, name: str) -> Any:
        return known(self.context, name)

    def of_form(self, scope: _Scope, name: str) -> Any:
        if name in self.plan.names:
            return scope.counting.get(name)
        return known(self.context, name)

    def of_row(self, columns: frozenset[str]) -> Callable[[_Scope, str], Any]:
        def find(scope: _Scope, name: str) -> Any:
            return scope.counting.get(name) if name in columns else self.of_form(self.form, name)

        return find

    def result(self, expression: Expression, scope: _Scope, name: str) -> Any:
        """An expression's value; a rule that cannot be worked out is itself a finding, never a crash."""
        try:
            return expression.evaluate(scope.lookup)
        except ExpressionFailed as failure:
            message = Text(zh=f"规则无法计算({failure}),请告知数据管理员", en=f"{failure}; tell the data manager")
            self.find(scope, name, "rule", "soft", message)
            return None

    def settle_all(self, steps: tuple[_Step, ...], scope: _Scope) -> None:
        for step in steps:
            name = step.name
            if step.conditions and not self.shown(step, scope):
                if is_given(scope.values.get(name)):
                    self.find(scope, name, "hidden", "soft", HIDDEN)
                continue
            self.visible.add(scope.prefix + name if scope.prefix else name)
            if step.rows is not None:
                self.settle_rows(step)
            elif step.derive is None:
                scope.counting[name] = scope.values.get(name)
            else:
                self.derive(step, step.derive, scope)

    def shown(self, step: _Step, scope: _Scope) -> bool:
        return all(self.result(condition, scope, step.name) is True for condition in step.conditions)

    def settle_rows(self, step: _Step) -> None:
        """Each row by itself; expressions outside see the rows as a list of what counts in them."""
        given = self.form.values.get(step.name)
        names = frozenset(column.name for column in step.columns)
        derived = {column.name for column in step.columns if not column.item.is_entered}
        scopes = self.rows[step.name] = []
        for row in given if is_rows(given) else []:
            entered = {name: value for name, value in row.items() if name not in derived}
            scope = _Scope(f"{step.name}[{row[ROW]}].", entered, self.of_row(names))
            self.settle_all(step.column_order, scope)
            scopes.append(scope)
        if scopes:
            self.form.values[step.name] = [scope.values for scope in scopes]
        self.form.counting[step.name] = RowList({ROW: scope.values[ROW], **scope.counting} for scope in scopes)

    def derive(self, step: _Step, derive: Expression, scope: _Scope) -> None:
        value = self.result(derive, scope, step.name)
        if value is None:
            return
        try:
            stored = as_stored(step.item, value)
        except ValueError as error:
            message = Text(zh=f"派生结果类型不符({value})", en=f"cannot be derived: {error}")
            self.find(scope, step.name, "derive", "soft", message)
            return
        scope.values[step.name] = stored
        # Later expressions calculate with the unrounded number; a choice with its code.
        scope.counting[step.name] = value if isinstance(value, float) and step.is_number else stored

    def check_all(self, steps: tuple[_Step, ...], scope: _Scope) -> None:
        for step in steps:
            value = scope.values.get(step.name)
            if step.inside and value.__class__ is float and step.inside[0] <= value <= step.inside[1]:
                continue  # so are most numbers of a large file
            if (scope.prefix + step.name if scope.prefix else step.name) not in self.visible:
                continue
            if step.rows is not None:
                self.check_rows(step, step.rows)
            else:
                self.check_item(step, scope)

    def check_rows(self, step: _Step, rows: Rows) -> None:
        scopes = self.rows[step.name]
        if len(scopes) < rows.min:
            message = Text(zh=f"至少填写 {rows.min} 行", en=f"Required: fill in at least {rows.min} rows")
            self.find(self.form, step.name, "required", "soft", message)
        if len(scopes) > rows.max:
            message = Text(
                zh=f"最多 {rows.max} 行,现有 {len(scopes)} 行", en=f"At most {rows.max} rows, not {len(scopes)}"
            )
            self.find(self.form, step.name, "rows", "hard", message)
        for scope in scopes:
            self.check_all(step.columns, scope)

    def check_item(self, step: _Step, scope: _Scope) -> None:
        item, value = step.item, scope.values.get(step.name)
        if value is None or value == "" or value == []:
            if step.required is not False and item.is_entered and self.required(step, scope):
                self.find(scope, item.name, "required", "soft", REQUIRED)
        elif step.inside and _is_number(value) and not step.inside[0] <= value <= step.inside[1]:
            if not _within(item.range, value):
                self.find(scope, item.name, "range", "hard", range_message(item, item.range, value, hard=True))
            elif not _within(item.soft_range, value):
                message = range_message(item, item.soft_range, value, hard=False)
                self.find(scope, item.name, "soft_range", "soft", message)

    def required(self, step: _Step, scope: _Scope) -> bool:
        if isinstance(step.required, bool):
            return step.required
        return self.result(step.required, scope, step.name) is True

    def check_rule(self, rule: _Rule, scope: _Scope) -> None:
        check = rule.check
        if self.result(rule.require, scope, check.items[0]) is False:
            places = tuple(scope.prefix + name if name in rule.columns else name for name in check.items)
            self.find(scope, check.items[0], check.id, check.severity, check.message, places)

    def find(
        self, scope: _Scope, name: str, check: str, severity: Severity, message: Text, items: tuple[str, ...] = ()
    ) -> None:
        place = scope.prefix + name
        self.findings.setdefault(place, []).append(Finding(place, check, severity, message, items or (place,)))

    def in_order(self) -> list[Finding]:
        """As the page runs: item after item, a group's rows after the group."""
        places = dict.fromkeys(self.places())
        rest = [place for place in self.findings if place not in places]
        return [finding for place in (*places, *rest) for finding in self.findings.get(place, [])]

    def places(self) -> Iterator[str]:
        for step in self.plan.items:
            yield step.name
            for scope in self.rows.get(step.name, []):
                yield from (scope.prefix + column.name for column in step.columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
