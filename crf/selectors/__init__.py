"""Reads over forms and answers: the build in force, what a subject's forms hold, the casebook, item histories."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet
from django.utils import timezone

from crf.definitions.answers import read_answers
from crf.definitions.check import FormState, evaluate
from crf.definitions.model import Event, Form, StudyDefinition
from crf.definitions.rows import flat, last_number
from crf.definitions.values import TYPED, BadValue
from crf.models import Record, StudyBuild
from registry.models import Site, Study, Subject, Visit


class NoBuild(LookupError):
    """The study has no published build, or none is released at the site."""


def current_build(study: Study, site: Site | None = None) -> StudyBuild:
    """The build new records are made with: the last one released at `site`; without a site, the last released anywhere.

    A study whose builds were never released has its newest one for the pages of the whole study. Raises NoBuild.
    """
    builds = StudyBuild.objects.filter(study=study)
    released = builds.filter(releases__site=site) if site else builds.filter(releases__isnull=False)
    build = released.order_by("-releases__pk").first()
    if build is None and site is None:
        build = builds.order_by("-pk").first()
    if build is None:
        where = f"site {site.code} of study {study.code}" if site else f"study {study.code}"
        raise NoBuild(f"{where} has no {'released' if site else 'published'} build")
    return build


def definition_of(study: Study, site: Site | None = None) -> StudyDefinition:
    return current_build(study, site).study_definition


def event_of(definition: StudyDefinition, oid: str) -> Event | None:
    """The event, or None where this build no longer has it: visits outlive the build that planned them."""
    return next((event for event in definition.events if event.oid == oid), None)


def orphans(record: Record) -> dict[str, Any]:
    """What the record holds that its form does not ask (any more), by address, as an earlier build stored it."""
    form = record.study_definition.form(record.form)
    answers = flat({name: value for name, value in record.data.items() if name != TYPED})
    return {place: value for place, value in answers.items() if not form.has(place)}


def context_for(subject: Subject, records: Iterable[Record], *, visit: Visit | None = None) -> dict[str, Any]:
    """What expressions may read beside their own form: `forms`, `events`, `subject`, `visit`, `today`.

    `forms.X` is the subject's first record of X; a form of the same event wins over earlier ones.
    """
    forms: dict[str, dict[str, Any]] = {}
    events: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        event = record.visit.event
        events[event].setdefault(record.form, record.data)
        if record.form not in forms or (visit is not None and record.visit_id == visit.pk):
            forms[record.form] = record.data
    return {
        "forms": forms,
        "events": dict(events),
        "subject": {
            "number": subject.number,
            "enrolled_on": subject.enrolled_on.isoformat(),
            "group": subject.group.code if subject.group_id else None,
            "site": subject.site.code,
        },
        "visit": {
            "event": visit.event,
            "repeat": visit.repeat,
            "occurred_on": visit.occurred_on.isoformat() if visit.occurred_on else None,
        }
        if visit
        else {},
        "today": timezone.localdate().isoformat(),
    }


def subject_records(subject: Subject) -> list[Record]:
    """All records of a subject, in the order of the calendar.

    Each knows whether the subject has queries that are not closed, ever had any, and has values that stand verified
    (`has_queries`, `was_queried`, `has_sdv`): asked in the same statement, once, so that a save or a page which has
    nothing to do there asks nothing more.
    """
    with connection.cursor() as cursor:
        cursor.execute(SUBJECT_RECORDS, [subject.pk] * 4)
        return in_calendar_order([_as_record(subject, row) for row in cursor])


# In SQL, since every save asks it and building the query had cost as much as answering it.
OF_RECORD = tuple(field.attname for field in Record._meta.concrete_fields)
OF_VISIT = tuple(field.attname for field in Visit._meta.concrete_fields)
SUBJECT_RECORDS = f"""
SELECT {", ".join(f"r.{name}" for name in OF_RECORD)}, {", ".join(f"v.{name}" for name in OF_VISIT)},
    EXISTS (SELECT FROM crf_query q WHERE q.subject_id = %s AND q.status <> 'closed'),
    EXISTS (SELECT FROM crf_query q WHERE q.subject_id = %s),
    EXISTS (SELECT FROM crf_sourceverification s JOIN crf_record m ON m.id = s.record_id WHERE m.subject_id = %s)
FROM crf_record r JOIN registry_visit v ON v.id = r.visit_id WHERE r.subject_id = %s
"""  # noqa: S608 - names of our own columns


def _as_record(subject: Subject, row: tuple[Any, ...]) -> Record:
    own, of_visit, known = row[: len(OF_RECORD)], row[len(OF_RECORD) : -3], row[-3:]
    values = dict(zip(OF_RECORD, own, strict=True))
    values |= {name: json.loads(values[name]) for name in ("data", "comments")}
    record = Record.from_db("default", OF_RECORD, tuple(values.values()))
    record.visit = Visit.from_db("default", OF_VISIT, of_visit)
    record.visit.subject = record.subject = subject
    record.has_queries, record.was_queried, record.has_sdv = known
    return record


def in_calendar_order(records: Iterable[Record]) -> list[Record]:
    """One subject's records as `context_for` takes them: the first of a form is the earliest."""
    return sorted(records, key=calendar_place)


def calendar_place(record: Record) -> tuple[Any, ...]:
    """What records are put into the order of the calendar by."""
    visit = record.visit
    return (visit.target_on or dt.date.max, visit.event, visit.repeat, record.repeat)


@dataclass(frozen=True)
class Entry:
    """What was typed into a form, understood: values, the form's state, and what could not be read."""

    form: Form
    values: dict[str, Any]
    state: FormState
    unread: dict[str, BadValue] = field(default_factory=dict)


def read_entry(
    *,
    subject: Subject,
    visit: Visit,
    form: str,
    typed: Mapping[str, Any],
    record: Record | None = None,
    definition: StudyDefinition | None = None,
    records: list[Record] | None = None,
) -> Entry:
    """Understand `typed` on top of what `record` holds: parse, derive, check (see `definitions.answers`).

    Raises KeyError for an item the form doesn't have.
    """
    study = definition or (record.study_definition if record else definition_of(subject.study, subject.site))
    the_form = study.form(form)
    stored = record.data if record else {}
    values, unread = read_answers(the_form, study, typed, stored, last_row=lambda group: last_row_of(record, group))
    records = subject_records(subject) if records is None else records
    others = [one for one in records if record is None or one.pk != record.pk]
    state = evaluate(the_form, values, context_for(subject, others, visit=visit))
    return Entry(the_form, values, state, unread)


def last_row_of(record: Record | None, group: str) -> int:
    """The highest number that the group's rows ever had in the record: a removed row's number is not given again."""
    if record is None or record.pk is None:
        return 0
    return last_number(record.history.values_list("data", flat=True).iterator(), group)


@dataclass(frozen=True)
class Cell:
    """One form at one visit in the casebook."""

    visit: Visit
    form: Form
    records: list[Record]
    state: str  # not_started | due | overdue | Record.Status
    queries: Mapping[int, int] = field(default_factory=dict)  # open ones, by repeat


@dataclass(frozen=True)
class CasebookRow:
    visit: Visit
    event_name: str
    state: str  # expected | due | missed | started | done | log
    cells: list[Cell]


def casebook(
    subject: Subject,
    language: str = "zh-hans",
    queries: Mapping[tuple[int, str, int], int] | None = None,
    study: StudyDefinition | None = None,
) -> list[CasebookRow]:
    """Visits × forms with their state, in the order of the schedule; a constant number of queries, no answers read.

    `queries` is the number of open queries by (visit id, form, repeat); `study` the build in force at the site, if
    that is known already.
    """
    study = study or definition_of(subject.study, subject.site)
    order = {event.oid: position for position, event in enumerate(study.events)}
    by_place: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in Record.objects.filter(subject=subject).defer("data", "comments").order_by("visit_id", "repeat"):
        by_place[record.visit_id, record.form].append(record)
    entered = {visit_id for visit_id, _form in by_place}
    # What was entered at a visit that a later build dropped is still there, after the others.
    shown = [visit for visit in subject.visits.all() if visit.event in order or visit.pk in entered]
    visits = sorted(shown, key=lambda v: (order.get(v.event, len(order)), v.event, v.repeat))
    return [_casebook_row(study, visit, by_place, language, queries or {}) for visit in visits]


def visit_row(study: StudyDefinition, visit: Visit, records: Iterable[Record], language: str) -> CasebookRow | None:
    """One visit of the casebook from records that were read already; None where the build has no such event."""
    if event_of(study, visit.event) is None:
        return None
    by_place: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in records:
        by_place[record.visit_id, record.form].append(record)
    return _casebook_row(study, visit, by_place, language, {})


def _casebook_row(
    study: StudyDefinition,
    visit: Visit,
    by_place: Mapping[Any, list[Record]],
    language: str,
    queries: Mapping[tuple[int, str, int], int],
) -> CasebookRow:
    key = visit.pk
    builds = [one.study_definition for (at, _form), held in by_place.items() if at == key for one in held]
    found = (event_of(build, visit.event) for build in (study, *builds))
    event = next(event for event in found if event)
    timing = visit_timing(visit, timezone.localdate())
    forms = {form: held[0].study_definition for (at, form), held in by_place.items() if at == key}
    planned = event.forms if event_of(study, visit.event) else ()
    cells = []
    for oid in dict.fromkeys((*planned, *forms)):
        records = by_place.get((key, oid), [])
        state = _weakest(records) if records else _EMPTY.get(timing, "not_started")
        asked = {number: n for (visit_id, form, number), n in queries.items() if (visit_id, form) == (key, oid)}
        cells.append(Cell(visit, (study if oid in planned else forms[oid]).form(oid), records, state, asked))
    return CasebookRow(visit, event.name.of(language), _row_state(event.kind, cells, timing), cells)


_EMPTY = {"due": "due", "missed": "overdue"}


def visit_timing(visit: Any, today: dt.date) -> str:
    """Where today is in the visit's window: expected (before it, or no date known), due, missed (after it)."""
    if visit.window_to and visit.window_to < today:
        return "missed"
    return "due" if visit.window_from and visit.window_from <= today else "expected"


ORDER = [status.value for status in Record.Status]


def _weakest(records: list[Record]) -> str:
    return min((record.status for record in records), key=ORDER.index)


def _row_state(kind: str, cells: list[Cell], timing: str) -> str:
    begun = [cell for cell in cells if cell.records]
    if kind == "log":
        return "log"
    if begun and all(cell.records and cell.state != Record.Status.IN_PROGRESS for cell in cells):
        return "done"
    if begun:
        return "started"
    return timing


@dataclass(frozen=True)
class ItemChange:
    """One change of one answer, as the audit trail tells it; `typed` is how a converted number was typed."""

    item: str
    old: Any
    new: Any
    at: dt.datetime
    by: str
    role: str
    organisation: str
    reason: str
    source: str
    revision: int
    status: str
    typed: Mapping[str, str] | None = None


def record_changes(record: Record, item: str | None = None) -> list[ItemChange]:
    """Every change of the record's answers by address (or of one), newest first; the first entry is old = None."""
    changes: list[ItemChange] = []
    previous: dict[str, Any] = {}
    for row in record.history.select_related("history_user").order_by("revision"):
        answers = flat(row.data)
        for name in sorted({*previous, *answers} - {TYPED}):
            old, new = previous.get(name), answers.get(name)
            if old != new and item in (None, name):
                changes.append(_item_change(row, name, old, new))
        previous = answers
    return changes[::-1]


def _item_change(row: Any, item: str, old: Any, new: Any) -> ItemChange:
    return ItemChange(
        item=item,
        old=old,
        new=new,
        at=row.history_date,
        by=str(row.history_user or ""),
        role=row.history_role,
        organisation=row.history_organisation,
        reason=row.history_change_reason,
        source=row.history_source,
        revision=row.revision,
        status=row.status,
        typed=row.data.get(TYPED, {}).get(item),
    )


def count_by_status(records: QuerySet) -> dict[str, int]:
    """Number of these records by status, in the order of a record's life."""
    found = dict(records.order_by().values_list("status").annotate(Count("pk")))
    return {status.value: found.get(status.value, 0) for status in Record.Status}
