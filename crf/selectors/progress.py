"""How far capture has come, by site and form: what is due, begun, complete; and the rows behind each figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from crf.definitions.model import StudyDefinition
from crf.models import Query, Record
from registry.models import Site, Study, User, Visit
from registry.permissions import Permission

MISSING = "missing"
PAST_ENTRY = (Record.Status.COMPLETE, Record.Status.VERIFIED, Record.Status.SIGNED, Record.Status.LOCKED)


@dataclass
class Progress:
    """One form at one site. `due` counts visits that have begun or should have; a record may come before."""

    site: Site
    form: str
    name: str
    due: int = 0
    missing: int = 0
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Record.Status.values, 0))
    queries: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("open", "answered"), 0))

    @property
    def records(self) -> int:
        return sum(self.states.values())

    @property
    def complete(self) -> int:
        """Complete or beyond."""
        return sum(self.states[status] for status in PAST_ENTRY)

    @property
    def checked(self) -> int:
        """Verified against the source, or beyond."""
        return self.complete - self.states[Record.Status.COMPLETE]


def visible_records(study: Study, user: User) -> QuerySet:
    return Record.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)


def progress(study: Study, user: User, definition: StudyDefinition, language: str) -> list[Progress]:
    """By site and form, in their order; a constant number of queries whatever the size of the study."""
    sites = {site.pk: site for site in study.sites.visible_to(user, needs=Permission.RECORD_VIEW)}
    table = {
        (site.pk, form.oid): Progress(site, form.oid, form.name.of(language))
        for site in sites.values()
        for form in definition.forms
    }
    for site, form, status, n in (
        visible_records(study, user)
        .order_by()
        .values_list("subject__site_id", "form", "status")
        .annotate(n=Count("pk"))
    ):
        if (site, form) in table:
            table[site, form].states[status] += n
    for site, form, due, missing in _due(study, user, definition):
        table[site, form].due += due
        table[site, form].missing += missing
    for site, form, status, n in open_queries(study, user):
        if (site, form) in table:
            table[site, form].queries[status] += n
    return list(table.values())


def open_queries(study: Study, user: User) -> Iterable[tuple[int, str, str, int]]:
    """(site, form, open or answered, how many)."""
    found = Query.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(study=study)
    waiting = found.exclude(status=Query.Status.CLOSED).order_by()
    return waiting.values_list("subject__site_id", "form", "status").annotate(n=Count("pk"))


def due_visits(study: Study, user: User) -> QuerySet:
    """Visits that happened or whose window has opened, of subjects still in the study."""
    today = timezone.localdate()
    visible = Visit.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    begun = Q(occurred_on__isnull=False) | Q(window_from__lte=today) | Q(target_on__lte=today)
    return visible.filter(begun).exclude(subject__status="withdrawn", occurred_on__isnull=True)


def _due(study: Study, user: User, definition: StudyDefinition) -> Iterable[tuple[int, str, int, int]]:
    """(site, form, visits due, of them without a record of the form)."""
    visits: dict[tuple[int, str], int] = defaultdict(int)
    for site, event, n in (
        due_visits(study, user).order_by().values_list("subject__site_id", "event").annotate(n=Count("pk"))
    ):
        visits[site, event] = n
    entered: dict[tuple[int, str, str], int] = defaultdict(int)
    for site, event, form, n in (
        due_visits(study, user)
        .filter(records__isnull=False)
        .order_by()
        .values_list("subject__site_id", "event", "records__form")
        .annotate(n=Count("pk", distinct=True))
    ):
        entered[site, event, form] = n
    expected = {event.oid: event.forms for event in definition.events if event.kind != "log"}
    for (site, event), n in visits.items():
        for form in expected.get(event, ()):
            yield site, form, n, n - entered[site, event, form]


def missing_visits(study: Study, user: User, definition: StudyDefinition, *, site: str, form: str) -> QuerySet:
    """The due visits at which nobody began the form."""
    events = [event.oid for event in definition.events if event.kind != "log" and form in event.forms]
    found = due_visits(study, user).filter(event__in=events)
    found = found.exclude(pk__in=visible_records(study, user).filter(form=form).values("visit"))
    found = found.filter(subject__site__code=site) if site else found
    return found.select_related("subject", "subject__site").order_by("subject__number", "target_on", "pk")


def records_in(study: Study, user: User, *, site: str, form: str, state: str) -> QuerySet:
    """The records behind a figure; `state` is a status, `entered` (complete, later) or `checked` (verified, later)."""
    records = visible_records(study, user).select_related("subject", "subject__site", "visit")
    if site:
        records = records.filter(subject__site__code=site)
    if form:
        records = records.filter(form=form)
    wanted = {"entered": PAST_ENTRY, "checked": PAST_ENTRY[1:]}.get(state, (state,) if state else ())
    records = records.filter(status__in=wanted) if wanted else records
    return records.order_by("subject__number", "visit__target_on", "form", "repeat")
