"""Reads for the rules over all records: answers form by form, dates of visits, people enrolled twice."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from crf.definitions.model import Form, Item, StudyDefinition
from crf.definitions.values import is_missing
from crf.models import Record, definition_of_build
from crf.quality.dates import VisitDates
from registry.models import Identity, Study, Visit


@dataclass(frozen=True)
class Answers:
    """One record as the rules read it."""

    site: int
    subject: int
    visit: int
    form: str
    repeat: int
    revision: int
    build: int
    occurred: dt.date | None
    data: dict[str, Any]


def answers(study: Study, form: Form) -> Iterator[Answers]:
    """Every record of a form, streamed, in a fixed order."""
    fields = ("subject__site_id", "subject_id", "visit_id", "form", "repeat", "revision", "build_id")
    fields += ("visit__occurred_on", "data")
    found = Record.objects.filter(subject__study=study, form=form.oid).order_by("visit_id", "repeat")
    for row in found.values_list(*fields).iterator(chunk_size=2000):
        yield Answers(*row)


def asked_alike(form: Form, build: int) -> frozenset[str]:
    """The items that the form of another build asks as this one does: the same type and unit, in the same group."""
    theirs = definition_of_build(build).form(form.oid)
    return frozenset(
        name
        for name, item in form.questions.items()
        if (other := theirs.questions.get(name))
        and (other.type, other.unit) == (item.type, item.unit)
        and theirs.group_of.get(name) == form.group_of.get(name)
    )


def values(form: Form, data: dict[str, Any], names: frozenset[str]) -> Iterator[tuple[str, Item, Any]]:
    """Each item of `names` with its path and value, those of a repeating group row by row (`meds[3].dose`)."""
    for name, item in form.items.items():
        group = form.groups.get(name)
        if group is None:
            if name in names:
                yield name, item, data.get(name)
            continue
        rows = data.get(name)
        columns = [column for column in group.items if column.name in names]
        for row in rows if columns and isinstance(rows, list) else ():
            for column in columns:
                yield f"{name}[{row['row']}].{column.name}", column, row.get(column.name)


def is_answered(value: Any) -> bool:
    return value not in (None, "", []) and not is_missing(value)


def visit_dates(study: Study) -> Iterator[tuple[int, int, list[VisitDates]]]:
    """By subject (site, subject): the visits of the schedule with their dates."""
    found = Visit.objects.filter(subject__study=study).order_by("subject_id", "pk")
    fields = ("subject__site_id", "subject_id", "pk", "target_on", "window_from", "window_to", "occurred_on")
    by_subject: dict[tuple[int, int], list[VisitDates]] = defaultdict(list)
    for site, subject, key, target, low, high, occurred in found.values_list(*fields):
        by_subject[site, subject].append(VisitDates(key, target, (low, high), occurred))
    for (site, subject), visits in by_subject.items():
        yield site, subject, visits


@dataclass(frozen=True)
class SamePerson:
    """Two subjects (site, subject) that seem to be one person, and by what."""

    first: tuple[int, int]
    second: tuple[int, int]
    by: str  # id | hospital | name


def same_people(study: Study, definition: StudyDefinition) -> list[SamePerson]:
    """Pairs with the same keyed hash of ID number, hospital number, or name with the same sex and age."""
    fields = ("subject__site_id", "subject_id", "id_number_hash", "hospital_number_hash", "name_hash")
    rows = list(Identity.objects.filter(subject__study=study).order_by("subject_id").values_list(*fields))
    traits = _sex_and_age(study, definition)
    alike: dict[tuple[str, Any], list[tuple[int, int]]] = defaultdict(list)
    for site, subject, id_number, hospital_number, name in rows:
        who = (site, subject)
        for by, value in (("id", id_number), ("hospital", hospital_number)):
            if value:
                alike[by, value].append(who)
        if name and subject in traits:
            alike["name", (name, traits[subject])].append(who)
    found: dict[tuple[int, int], SamePerson] = {}
    for by in ("id", "hospital", "name"):
        for (kind, _value), people in alike.items():
            for first, second in combinations(people, 2) if kind == by else ():
                found.setdefault((first[1], second[1]), SamePerson(first, second, by))
    return list(found.values())


def _sex_and_age(study: Study, definition: StudyDefinition) -> dict[int, tuple[Any, int]]:
    """By subject, sex and age in whole years, where the study says which items tell them."""
    sex, age = definition.capture.sex, definition.capture.age
    if not sex or not age:
        return {}
    first: dict[str, dict[int, Any]] = {}
    for path in (sex, age):
        form, _, item = path.partition(".")
        records = Record.objects.filter(subject__study=study, form=form).order_by("-visit_id", "-repeat")
        first[path] = {subject: data.get(item) for subject, data in records.values_list("subject_id", "data")}
    return {
        subject: (value, int(first[age][subject]))
        for subject, value in first[sex].items()
        if is_answered(value) and isinstance(first[age].get(subject), int | float)
    }
