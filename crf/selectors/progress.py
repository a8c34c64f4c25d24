"""How far capture has come, by site and form: what is due, begun, complete; and the rows behind each figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from crf.definitions.model import StudyDefinition
from crf.models import Query, Record
from crf.selectors import ORDER
from crf.selectors.builds import definitions_in_force
from crf.selectors.queries import seen_by
from registry.models import Site, Study, User, Visit
from registry.permissions import Permission

DUE, MISSING = "due", "missing"
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


def progress(study: Study, user: User, language: str) -> list[Progress]:
    """By site and form in force there, in their order; a constant number of queries whatever the size of the study."""
    sites = {site.pk: site for site in study.sites.visible_to(user, needs=Permission.RECORD_VIEW)}
    definitions = definitions_in_force(study)
    table = {
        (key, form.oid): Progress(site, form.oid, form.name.of(language))
        for key, site in sites.items()
        if key in definitions
        for form in definitions[key].forms
    }
    for site, form, status, n in (
        visible_records(study, user)
        .order_by()
        .values_list("subject__site_id", "form", "status")
        .annotate(n=Count("pk"))
    ):
        if (site, form) in table:
            table[site, form].states[status] += n
    for site, form, due, missing in _due(study, user, _expected(definitions)):
        table[site, form].due += due
        table[site, form].missing += missing
    for site, form, status, n in open_queries(study, user):
        if (site, form) in table:
            table[site, form].queries[status] += n
    return list(table.values())


def open_queries(study: Study, user: User) -> Iterable[tuple[int, str, str, int]]:
    """(site, form, open or answered, how many)."""
    waiting = seen_by(user).filter(study=study).exclude(status=Query.Status.CLOSED).order_by()
    return waiting.values_list("subject__site_id", "form", "status").annotate(n=Count("pk"))


def due_visits(study: Study, user: User) -> QuerySet:
    """Visits that happened or whose window has opened, of subjects still in the study."""
    today = timezone.localdate()
    visible = Visit.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    begun = Q(occurred_on__isnull=False) | Q(window_from__lte=today) | Q(target_on__lte=today)
    return visible.filter(begun).exclude(subject__status="withdrawn", occurred_on__isnull=True)


Expected = Mapping[tuple[int, str], tuple[str, ...]]  # by site and event, the forms of a dated visit


def _expected(definitions: Mapping[int, StudyDefinition]) -> Expected:
    return {
        (site, event.oid): event.forms
        for site, definition in definitions.items()
        for event in definition.events
        if event.kind != "log"
    }


def _due(study: Study, user: User, expected: Expected) -> Iterable[tuple[int, str, int, int]]:
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
    for (site, event), n in visits.items():
        for form in expected.get((site, event), ()):
            yield site, form, n, n - entered[site, event, form]


def due_forms(
    study: Study, user: User, *, site: str = "", form: str = "", only_missing: bool = False
) -> list[tuple[int, str]]:
    """(visit, form) of what is due, in the order of subjects and visits; `only_missing` what nobody began."""
    expected = _expected(definitions_in_force(study))
    visits = due_visits(study, user).filter(**{"subject__site__code": site} if site else {})
    records = visible_records(study, user).filter(**{"form": form} if form else {})
    begun = set(records.order_by().values_list("visit_id", "form")) if only_missing else set()
    rows = visits.order_by("subject__number", "target_on", "pk").values_list("pk", "subject__site_id", "event")
    return [
        (visit, oid)
        for visit, at, event in rows
        for oid in expected.get((at, event), ())
        if form in ("", oid) and (visit, oid) not in begun
    ]


def due_rows(due: Sequence[tuple[int, str]]) -> list[tuple[Visit, str, str]]:
    """The visit, the form and how far it is (empty where nobody began it) of what `due_forms` tells; two queries."""
    keys = {visit for visit, _form in due}
    visits = Visit.objects.select_related("subject__site", "subject__study").in_bulk(keys)
    states: dict[tuple[int, str], list[str]] = defaultdict(list)
    for visit, form, status in Record.objects.filter(visit__in=keys).values_list("visit_id", "form", "status"):
        states[visit, form].append(status)
    return [(visits[visit], form, min(states[visit, form], key=ORDER.index, default="")) for visit, form in due]


def records_in(study: Study, user: User, *, site: str, form: str, state: str) -> QuerySet:
    """The records behind a figure; `state` is a status, `entered` (complete, later) or `checked` (verified, later)."""
    records = visible_records(study, user).select_related("visit__subject__site", "visit__subject__study")
    if site:
        records = records.filter(subject__site__code=site)
    if form:
        records = records.filter(form=form)
    wanted = {"entered": PAST_ENTRY, "checked": PAST_ENTRY[1:]}.get(state, (state,) if state else ())
    records = records.filter(status__in=wanted) if wanted else records
    return records.order_by("subject__number", "visit__target_on", "form", "repeat")
