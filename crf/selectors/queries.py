"""Reads over queries: the list and its filters, what waits for whom, what is open at a place."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.definitions.values import display_value
from crf.models import Query, QueryMessage, QueryView, Record, SecondEntry
from registry.models import Site, Study, Subject, User, Visit
from registry.permissions import GRANTS, Permission, Role, current_memberships

PUBLIC_ID = re.compile(r"^\s*q-?0*(\d{1,18})\s*$", re.IGNORECASE)
WAITING = "waiting"  # the filter's word for open and answered together
# Who may be asked: a query is for a role that can answer it.
ASSIGNEES = [role.value for role in Role if Permission.QUERY_ANSWER in GRANTS[role] and role != Role.SYSTEM]

Place = tuple[int, str, int]  # visit, form, repeat


@dataclass(frozen=True)
class Filters:
    """Which queries of a study: what is None or empty is not asked. `older` is the age in days at least."""

    site: Site | None = None
    status: str = ""
    subject: str = ""
    event: str = ""
    form: str = ""
    item: str = ""
    origin: str = ""
    priority: int | None = None
    assignee: str = ""
    older: int | None = None
    text: str = ""
    mine: bool = False


def seen_by(user: User) -> QuerySet[Query]:
    """The queries that the user may see."""
    return Query.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(~waits_for_second_entry(user))


def waits_for_second_entry(user: User) -> Exists:
    """Whether the form at a row's visit, form and repeat waits for the user's own second entry.

    What it holds, and what is asked about it, is not theirs to see before.
    """
    waiting = SecondEntry.objects.visible_to(user, needs=Permission.RECORD_ENTER)
    at = {f"record__{name}": OuterRef(name) for name in ("visit", "form", "repeat")}
    typed = Record.history.model.objects.filter(id=OuterRef("record_id"), history_user=user)
    typed = typed.filter(~Q(history_source__in=("derived", "dicom", "migration")))
    return Exists(waiting.filter(~Exists(typed), status=SecondEntry.Status.AWAITED, **at))


def listed(study: Study, user: User, filters: Filters | None = None) -> QuerySet[Query]:
    """The study's queries inside the user's scope that the filters choose, newest first."""
    asked = filters or Filters()
    found = seen_by(user).filter(study=study)
    if asked.status:
        found = found.exclude(status="closed") if asked.status == WAITING else found.filter(status=asked.status)
    equal = {"origin": asked.origin, "form": asked.form, "visit__event": asked.event, "assignee": asked.assignee}
    equal |= {"priority": asked.priority, "subject__site": asked.site}
    found = found.filter(**{name: value for name, value in equal.items() if value})
    if asked.subject:
        found = found.filter(subject__number__icontains=asked.subject)
    if asked.item:  # the item itself, or a column in any row of its group
        found = found.filter(Q(item=asked.item) | Q(item__endswith=f"].{asked.item}"))
    if asked.older:
        found = found.filter(_open_for(dt.timedelta(days=asked.older)))
    if asked.text:
        found = found.filter(_says(asked.text))
    if asked.mine:
        found = found.filter(_waits_for(user, study))
    return found.order_by("-pk")


def _open_for(age: dt.timedelta) -> Q:
    return Q(closed_at=None, opened_at__lte=timezone.now() - age) | Q(closed_at__gte=F("opened_at") + age)


def _says(text: str) -> Q:
    """A query's number, or words in its question or thread."""
    if number := PUBLIC_ID.match(text):
        return Q(pk=int(number[1]))
    said = QueryMessage.objects.filter(query=OuterRef("pk")).filter(
        Q(text__icontains=text) | Q(text_en__icontains=text)
    )
    return Q(text__icontains=text) | Q(text_en__icontains=text) | Exists(said)


def with_people(queries: QuerySet[Query]) -> QuerySet[Query]:
    """The same with what a line of the list shows, in one statement."""
    return queries.select_related("subject__site", "visit", "opened_by", "answered_by", "closed_by")


@dataclass(frozen=True)
class Waiting:
    """Queries that wait for a person: asked of their role at their sites, or answered and theirs to close."""

    to_answer: int
    to_close: int

    @property
    def total(self) -> int:
        return self.to_answer + self.to_close


def queries_waiting(user: User, study: Study) -> Waiting:
    """How many queries wait for the user in the study; one query."""
    counts = waiting_for(study, user).aggregate(
        to_answer=Count("pk", filter=Q(status="open")), to_close=Count("pk", filter=Q(status="answered"))
    )
    return Waiting(**counts)


def waiting_for(study: Study, user: User) -> QuerySet[Query]:
    """The queries that wait for the user in the study."""
    return Query.objects.filter(_waits_for(user, study), ~waits_for_second_entry(user), study=study)


def _waits_for(user: User, study: Study) -> Q:
    """Open queries for a role the user holds at the subject's site, and answered ones where they may close."""
    waits = Q(pk__in=[])
    for membership in current_memberships(user) if user.is_active else []:
        if membership.study_id != study.pk:
            continue
        here = Q(subject__site=membership.site_id) if membership.site_id else Q(study=study)
        held = GRANTS[membership.role]
        if Permission.QUERY_ANSWER in held:
            waits |= here & Q(status="open", assignee=membership.role)
        if Permission.QUERY_CLOSE in held:
            waits |= here & Q(status="answered")
    return waits


def open_query_counts(subject: Subject) -> dict[Place, int]:
    """Queries of the subject that are not closed, by (visit, form, repeat); one query."""
    found = Query.objects.filter(subject=subject).exclude(status="closed").order_by()
    counted = found.values_list("visit_id", "form", "repeat").annotate(Count("pk"))
    return {(visit, form, repeat): count for visit, form, repeat, count in counted}


def queries_at(visit: Visit, form: str, repeat: int) -> list[Query]:
    """All queries of one form, open ones first, then the newest."""
    found = with_people(Query.objects.filter(visit=visit, form=form, repeat=repeat))
    return sorted(found, key=lambda query: (query.status == "closed", -query.pk))


def by_item(queries: Iterable[Query]) -> dict[str, list[Query]]:
    """Queries by the path of their item; those of the form itself under the empty one."""
    found: dict[str, list[Query]] = defaultdict(list)
    for query in queries:
        found[query.item].append(query)
    return dict(found)


def thread(query: Query) -> list[QueryMessage]:
    """What was said, oldest first."""
    return list(query.messages.select_related("by"))


def threads(queries: Iterable[Query]) -> dict[int, list[QueryMessage]]:
    """The threads of these queries by key, in one query."""
    found: dict[int, list[QueryMessage]] = defaultdict(list)
    for message in QueryMessage.objects.filter(query__in=[query.pk for query in queries]).select_related("by"):
        found[message.query_id].append(message)
    return dict(found)


def records_at(places: Iterable[Place]) -> dict[Place, dict[str, Any]]:
    """Data and revision of the records that were saved at these places, in one query."""
    wanted = set(places)
    if not wanted:
        return {}
    visits, forms = {visit for visit, _form, _repeat in wanted}, {form for _visit, form, _repeat in wanted}
    rows = Record.objects.filter(visit__in=visits, form__in=forms).order_by()
    found = {
        (row["visit_id"], row["form"], row["repeat"]): row
        for row in rows.values("visit_id", "form", "repeat", "data", "revision", "build_id", "status")
    }
    return {place: row for place, row in found.items() if place in wanted}


def shown_value(definition: StudyDefinition | None, form: str, path: str, value: Any, language: str) -> str:
    """A value at a path as people read it, with its unit; as it is stored where the definition has no such item."""
    try:
        item = definition.form(form).item(path) if definition else None
    except NotInDefinition:
        item = None
    if value is None:
        return "—"
    if definition is None or item is None or item.type == "group":
        return str(value)
    return display_value(item, definition.codelist(item), value, language, unit=True)


def saved_views(user: User, study: Study) -> list[QueryView]:
    """The user's own views of the list, and those that others share."""
    found = QueryView.objects.filter(Q(owner=user) | Q(is_shared=True), study=study)
    return list(found.select_related("owner"))
