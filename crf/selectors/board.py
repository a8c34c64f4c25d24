"""The study at a glance: subjects × visits with their state, what comes and what was missed."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from crf.definitions.model import Event, StudyDefinition
from crf.models import Query, Record
from crf.selectors import ORDER, definition_of, visit_timing
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission

# What the board can be filtered by, in the order of a visit's life.
STATES = ("due", "overdue", "in_progress", "complete", "queried", "verified", "signed", "locked")


@dataclass(frozen=True)
class BoardCell:
    """One visit of one subject: the state of its forms together, how many are entered, how many queries are open."""

    visit: Visit
    state: str  # expected | due | overdue | log | Record.Status
    entered: int
    forms: int
    queries: int


@dataclass(frozen=True)
class BoardRow:
    """One subject; `cells` are those of each event of the study, in its order, one per repeat."""

    subject: Subject
    cells: list[list[BoardCell]]


def subjects_on_board(
    study: Study, user: User, *, site: str = "", event: str = "", state: str = "", search: str = ""
) -> QuerySet[Subject]:
    """The subjects in scope, with at least one visit in the state (at the event, where one is given)."""
    found = Subject.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(study=study)
    if site:
        found = found.filter(site__code=site)
    if search:
        found = found.filter(number__icontains=search)
    if state in STATES:
        found = found.filter(_in_state(state, event, study))
    return found.select_related("site").order_by("number")


def _in_state(state: str, event: str, study: Study) -> Exists | Q:
    at = {"subject": OuterRef("pk")}
    if state in ("due", "overdue"):
        return Exists(_at_event(waiting_visits(Visit.objects.filter(**at), state), event))
    if state == "queried":
        open_queries = Query.objects.filter(**at).exclude(status=Query.Status.CLOSED)
        return Exists(_at_event(open_queries, event, "visit__event"))
    in_state = Exists(_at_event(Record.objects.filter(**at, status=state), event, "visit__event"))
    if state != Record.Status.IN_PROGRESS:
        return in_state
    unfinished = unfinished_visits(Visit.objects.filter(**at), definition_of(study))
    return Q(in_state) | Q(Exists(_at_event(unfinished, event)))


def _at_event(rows: QuerySet, event: str, path: str = "event") -> QuerySet:
    return rows.filter(**{path: event}) if event else rows


def waiting_visits(visits: QuerySet[Visit], state: str, today: dt.date | None = None) -> QuerySet[Visit]:
    """Visits of enrolled subjects without any entry: `due` while the window is open, `overdue` once it has closed."""
    today = today or timezone.localdate()
    timing = Q(window_to__lt=today) if state == "overdue" else Q(window_from__lte=today, window_to__gte=today)
    begun = Exists(Record.objects.filter(visit=OuterRef("pk")))
    return visits.filter(timing, ~begun, subject__status=Subject.Status.ENROLLED)


def unfinished_visits(visits: QuerySet[Visit], definition: StudyDefinition) -> QuerySet[Visit]:
    """Visits of enrolled subjects that were begun and still lack a form of their event (`have`: those entered).

    A log is never finished.
    """
    planned = lacking = Q(pk__in=[])
    for event in definition.events:
        if event.kind != "log":
            planned |= Q(event=event.oid, records__form__in=event.forms)
            lacking |= Q(event=event.oid, entered__lt=len(event.forms))
    begun = Exists(Record.objects.filter(visit=OuterRef("pk")))
    counted = visits.filter(begun, subject__status=Subject.Status.ENROLLED).annotate(
        have=ArrayAgg("records__form", distinct=True), entered=Count("records__form", distinct=True, filter=planned)
    )
    return counted.filter(lacking)


def board(definition: StudyDefinition, subjects: Iterable[Subject]) -> list[BoardRow]:
    """The rows of these subjects: three queries, however many."""
    subjects = list(subjects)
    keys = [subject.pk for subject in subjects]
    events = {event.oid: event for event in definition.events}
    entered = _counts(
        Record.objects.filter(subject__in=keys).order_by().values_list("visit_id", "status").annotate(n=Count("pk"))
    )
    open_queries = Query.objects.filter(subject__in=keys).exclude(status=Query.Status.CLOSED)
    asked = dict(open_queries.order_by().values_list("visit_id").annotate(Count("pk")))
    today, by_place = timezone.localdate(), defaultdict(list)
    for visit in Visit.objects.filter(subject__in=keys, event__in=events).order_by("repeat"):
        cell = _cell(visit, events[visit.event], entered.get(visit.pk, {}), asked.get(visit.pk, 0), today)
        by_place[visit.subject_id, visit.event].append(cell)
    return [BoardRow(subject, [by_place[subject.pk, oid] for oid in events]) for subject in subjects]


def _counts(rows: Iterable[tuple[int, str, int]]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for visit, status, count in rows:
        found[visit][status] = count
    return found


def _cell(visit: Visit, event: Event, entered: Mapping[str, int], queries: int, today: dt.date) -> BoardCell:
    total, forms = sum(entered.values()), len(event.forms)
    if event.kind == "log":
        state = min(entered, key=ORDER.index) if entered else "log"
    elif not entered:
        timing = visit_timing(visit, today)
        state = "overdue" if timing == "missed" else timing
    else:
        state = min(entered, key=ORDER.index) if total >= forms else Record.Status.IN_PROGRESS.value
    return BoardCell(visit, state, total, forms, queries)


@dataclass(frozen=True)
class CalendarDay:
    day: dt.date
    visits: list[Visit]
    more: int = 0  # visits of the day beyond those listed


@dataclass(frozen=True)
class Month:
    """The weeks of a month with the visits planned on each day, as far as the user sees."""

    first: dt.date
    weeks: list[list[CalendarDay]]
    planned: int = 0
    begun: frozenset[int] = field(default_factory=frozenset)  # visits with entries


def month_of(study: Study, user: User, first: dt.date, *, site: str = "", most: int = 8) -> Month:
    """The visits whose planned day lies in the weeks of the month that begins on `first`."""
    start = first - dt.timedelta(days=first.weekday())
    following = (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    end = following + dt.timedelta(days=(7 - following.weekday()) % 7)
    by_day: dict[dt.date, list[Visit]] = defaultdict(list)
    visits = list(seen_visits(study, user, site).filter(target_on__gte=start, target_on__lt=end))
    for visit in visits:
        by_day[visit.target_on].append(visit)
    days = [start + dt.timedelta(days=n) for n in range((end - start).days)]
    cells = [CalendarDay(day, by_day[day][:most], max(0, len(by_day[day]) - most)) for day in days]
    begun = (
        Record.objects.filter(visit__in=[visit.pk for visit in visits]).order_by().values_list("visit_id", flat=True)
    )
    return Month(first, [cells[n : n + 7] for n in range(0, len(cells), 7)], len(visits), frozenset(begun.distinct()))


def seen_visits(study: Study, user: User, site: str = "") -> QuerySet[Visit]:
    """The planned visits in the user's scope, by day and subject."""
    visits = Visit.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    if site:
        visits = visits.filter(subject__site__code=site)
    return visits.select_related("subject").order_by("target_on", "subject__number", "event")


def feed_visits(study: Study, user: User, today: dt.date, most: int = 5000) -> list[Any]:
    """What a calendar feed holds: planned visits without entries, from two months ago to a year and a half ahead."""
    begun = Exists(Record.objects.filter(visit=OuterRef("pk")))
    span = (today - dt.timedelta(days=60), today + dt.timedelta(days=550))
    visits = seen_visits(study, user).filter(~begun, target_on__range=span, subject__status=Subject.Status.ENROLLED)
    return list(visits[:most])
