"""A record's data under another version of its form: what stays, what nobody asks any more, what fails, what is new.

Nothing is ever cleared. An answer to a question that is gone stays under its name; an answer whose name now means
something else (derived, a repeating group, a label, a number in a unit that is not converted), and a derived value
that can't be derived any more, stay under `name@version`, the version being the one that asked. Such orphans count
nowhere and no later save clears them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .check import Context, Finding, FormState, evaluate
from .errors import Refusal
from .model import Form, Item, StudyDefinition
from .rows import ROW, flat, is_rows
from .units import is_same_unit, units_of
from .values import CODED, TYPED, BadValue, is_missing, no_choice, parse_value, plain_number, typed_in_unit

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Carried:
    """What a record holds under the new form, and how it came to that; names are addresses (`meds[3].dose`)."""

    data: dict[str, Any]
    state: FormState
    orphaned: dict[str, Any] = field(default_factory=dict)  # asked before, and not any more
    failed: dict[str, Refusal] = field(default_factory=dict)  # not what the item takes now; kept as it is
    reread: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # the same answer as the new type stores it
    derived: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # calculated anew with another result
    findings: tuple[Finding, ...] = ()  # of the new checks, and not of the old ones

    @property
    def is_clean(self) -> bool:
        """Whether nothing but the version changes."""
        return not (self.orphaned or self.failed or self.reread or self.derived or self.findings)


def carry(
    old: Form, new: Form, study: StudyDefinition, data: Values, context: Context | None = None, *, version: str
) -> Carried:
    """`data` of the form `old`, of `version`, as a record of `new`, a form of `study`."""
    return _Carrier(old, new, study, data, context or {}, version).run()


class _Carrier:
    def __init__(
        self, old: Form, new: Form, study: StudyDefinition, data: Values, context: Context, version: str
    ) -> None:
        self.old, self.new, self.study = old, new, study
        self.data, self.context, self.version = data, context, version
        self.orphaned: dict[str, Any] = {}
        self.failed: dict[str, Refusal] = {}
        self.given: Mapping[str, Mapping[str, str]] = data.get(TYPED) or {}
        # Of converted numbers, what stays: of those that the new form asks, as they are answered.
        self.typed = {place: typed for place, typed in self.given.items() if not new.has(place)}
        self.reread: dict[str, tuple[Any, Any]] = {}

    def run(self) -> Carried:
        values: dict[str, Any] = {}
        for name, value in self.data.items():
            if name != TYPED:
                values |= self.value(name, value)
        if self.typed:
            values[TYPED] = self.typed
        state = evaluate(self.new, values, self.context)
        carried = self.with_lost(self.data, dict(state.values))
        self.derive_rows(carried)
        before = {(one.item, one.check) for one in evaluate(self.old, self.data, self.context).findings}
        return Carried(
            data=carried,
            state=state,
            orphaned=self.orphaned,
            failed=self.failed,
            reread=self.reread,
            derived=self.derived(carried),
            findings=tuple(one for one in state.findings if (one.item, one.check) not in before),
        )

    def value(self, name: str, value: Any) -> dict[str, Any]:
        """One name of the data as the new form's evaluation takes it."""
        item = self.new.items.get(name)
        if item is None:
            if name in self.old.items:
                self.orphaned[name] = value
            return {name: value}
        if item.type == "group" and is_rows(value):
            return {name: [self.row(name, row) for row in value]}
        if not item.is_entered and not self.is_entered(self.old, name):
            return {name: value}  # derived before and now
        if not item.is_entered or item.type == "group" or is_rows(value):
            self.orphaned[name] = value
            return {self.aside(name, value, self.data): value}
        return self.answer(item, name, value, self.data)

    def row(self, group: str, row: Values) -> dict[str, Any]:
        found: dict[str, Any] = {ROW: row[ROW]}
        for name, value in row.items():
            if name == ROW:
                continue
            place = f"{group}[{row[ROW]}].{name}"
            item = self.new.questions.get(name) if self.new.group_of.get(name) == group else None
            if item is None:
                if self.old.group_of.get(name) == group:
                    self.orphaned[place] = value
                found[name] = value
            elif not item.is_entered and self.is_entered(self.old, name):
                self.orphaned[place] = value
                found[self.aside(name, value, row)] = value
            else:
                found |= self.answer(item, place, value, row) if item.is_entered else {name: value}
        return found

    def is_entered(self, form: Form, name: str) -> bool:
        item = form.items.get(name) or form.questions.get(name)
        return item is None or item.is_entered

    def answer(self, item: Item, place: str, value: Any, taken: Values) -> dict[str, Any]:
        """The answer under its name; aside where it is a number in a unit that the new item doesn't convert."""
        old = self.asked(item.name)
        unit = _other_unit(old, item, value)
        source, given = value, self.given.get(place)
        if given and given["unit"] in units_of(item):
            source = given
        elif unit in units_of(item):
            source = {"value": plain_number(value), "unit": unit}
        elif unit:
            self.failed[place] = Refusal(
                f"以 {unit} 录入,本条现为 {item.unit},且未声明换算",
                f"entered in {unit}; the item is in {item.unit} now and declares no conversion",
            )
        stored = value if place in self.failed else self.read(old, item, place, value, source)
        name = self.aside(item.name, value, taken) if unit and place in self.failed else item.name
        if kept := given if name != item.name else typed_in_unit(item, source):
            self.typed[place.removesuffix(item.name) + name] = kept
        return {name: stored}

    def asked(self, name: str) -> Item | None:
        """The item as the old form asked it, in the same group or outside of any."""
        is_there = self.old.group_of.get(name) == self.new.group_of.get(name)
        return self.old.questions.get(name) if is_there else None

    def read(self, old: Item | None, item: Item, place: str, value: Any, source: Any) -> Any:
        """`source`, what was answered, as the new item stores it; `value` as it is where the item doesn't take it."""
        try:
            parsed = self.parsed(old, item, source)
        except BadValue as bad:
            self.failed[place] = bad
            return value
        if parsed is None:
            return value
        if type(parsed) is not type(value) or parsed != value:
            if parsed != value:
                self.reread[place] = (value, parsed)
            return parsed
        return value

    def parsed(self, old: Item | None, item: Item, value: Any) -> Any:
        """As somebody's answer is read, but a stored code is that code only, and no word is a reason for missing."""
        codelist = self.study.codelist(item)
        if codelist and old and old.value_kind in CODED and item.value_kind in CODED:
            for code in value if isinstance(value, list) else [value]:
                if isinstance(code, str) and code not in codelist.by_code:
                    raise no_choice(codelist, code)
        parsed = parse_value(item, codelist, value)
        if is_missing(parsed) and not is_missing(value):
            raise BadValue(f"“{str(value)[:40]}”不是本条的答案", f"{str(value)[:40]!r} is no answer to this item")
        return parsed

    def with_lost(self, before: Values, after: dict[str, Any]) -> dict[str, Any]:
        """`after`, with the derived values of `before` that it no longer has put aside."""
        kept = {name: value for name, value in after.items() if value is not None and value != []}
        for name, value in before.items():
            if name not in (*kept, TYPED) and self.aside(name, value, kept) not in kept:
                kept[self.aside(name, value, kept)] = value
        return kept

    def derive_rows(self, carried: dict[str, Any]) -> None:
        for group, value in carried.items():
            before = self.data.get(group)
            if group in self.new.groups and is_rows(value) and is_rows(before):
                rows = {row[ROW]: row for row in before}
                carried[group] = [self.with_lost(rows.get(row[ROW], {}), row) for row in value]

    def derived(self, carried: Values) -> dict[str, tuple[Any, Any]]:
        """The derived items whose value is another now; None where there is or was none."""
        before, after = flat(self.data), flat(carried)
        names = [name for name in dict.fromkeys((*before, *after)) if self.is_derived(name)]
        return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}

    def is_derived(self, place: str) -> bool:
        name = place.rpartition("].")[2]
        item = self.new.questions.get(name)
        return item is not None and item.type == "derived" and place not in self.orphaned

    def aside(self, name: str, value: Any, taken: Values) -> str:
        """`name@version`, or with a number where that already holds another value."""
        wanted = base = name if "@" in name else f"{name}@{self.version}"
        number = 2
        while wanted in taken and taken[wanted] != value:
            wanted, number = f"{base}.{number}", number + 1
        return wanted


def _other_unit(old: Item | None, item: Item, value: Any) -> str:
    """The unit that a stored number is in, where the new item is in another: as that item spells it if it converts."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not old or not old.unit or not item.unit or is_same_unit(old.unit, item.unit):
        return ""
    return next((one.unit for one in item.units if is_same_unit(one.unit, old.unit)), old.unit)


def gone(new: StudyDefinition, event: str, form: str, repeat: int) -> Refusal | None:
    """Why a record has no place in `new` and stays bound to its own build; None where it has one."""
    found = next((one for one in new.events if one.oid == event), None)
    if found is None:
        return Refusal(f"新版本没有访视 {event}", f"the new version has no visit {event}")
    if form not in found.forms:
        return Refusal(f"新版本的访视 {event} 没有表单 {form}", f"visit {event} of the new version has no form {form}")
    if not new.form(form).may_be_number(repeat):
        return Refusal(f"新版本的表单 {form} 不再可重复", f"form {form} of the new version does not repeat")
    return None
