"""What REDCap's logic on one form can read, as our expressions name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .logic import Field


@dataclass
class Variable:
    """A field of the project: the OID of its form, the item's name, its kind and the codes of its choices."""

    form: str
    name: str
    kind: str
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReachEvent:
    """An event by our OID and REDCap's unique name."""

    oid: str
    unique: str
    forms: frozenset[str]
    repeating: bool = False


@dataclass
class Reach:
    """All that logic may refer to; `facts` are smart variables such as [event-name]."""

    variables: dict[str, Variable]
    events: list[ReachEvent]
    repeating: frozenset[str]
    facts: dict[str, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_unique = {event.unique: event for event in self.events if event.unique}
        self.of_form: dict[str, list[ReachEvent]] = {}
        for event in self.events:
            for form in event.forms:
                self.of_form.setdefault(form, []).append(event)

    def of(self, form: str) -> FormReach:
        return FormReach(self, form)


class FormReach(Mapping[str, Field]):
    """The fields that an expression of one form can read, each made when it is asked for."""

    def __init__(self, reach: Reach, form: str) -> None:
        self.reach = reach
        self.form = form

    def __getitem__(self, name: str) -> Field:
        event, _, variable = name.rpartition("/")
        found = self.reach.variables.get(variable)
        if found is None:
            return self.reach.facts[name]
        return self.at_event(event, found) if event else self.here(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self.reach.variables)

    def __len__(self) -> int:
        return len(self.reach.variables)

    def at_event(self, unique: str, variable: Variable) -> Field:
        """`[event][field]`."""
        event = self.reach.by_unique.get(unique)
        if event is None or variable.form not in event.forms:
            raise KeyError(unique)
        if variable.form in self.reach.repeating or event.repeating:
            return Field("", "elsewhere")
        return Field(f"events.{event.oid}.{variable.form}.{variable.name}", variable.kind, variable.codes)

    def here(self, variable: Variable) -> Field:
        """`[field]`: REDCap means its value in the same event."""
        if variable.form == self.form:
            return Field(variable.name, variable.kind, variable.codes)
        theirs = self.reach.of_form.get(variable.form, [])
        mine = self.reach.of_form.get(self.form, [])
        alone = len(theirs) == 1 and all(event is theirs[0] for event in mine)
        if not alone or variable.form in self.reach.repeating or theirs[0].repeating:
            return Field("", "elsewhere")
        return Field(f"forms.{variable.form}.{variable.name}", variable.kind, variable.codes)


def smart_variables(events: list[ReachEvent], arms: list[str], sites: Mapping[str, str]) -> dict[str, Field]:
    """[event-name], [arm-number] and [record-dag-name]; `arms` are the numbers of arms, when there are several;
    `sites` their codes by the unique names of data access groups."""
    found = {"event-name": Field("visit.event", "choice", {one.unique: one.oid for one in events if one.unique})}
    if arms:
        found["arm-number"] = Field("subject.group", "choice", {number: f"ARM_{number}" for number in arms})
    if sites:
        found["record-dag-name"] = Field("subject.site", "choice", dict(sites))
    return found
