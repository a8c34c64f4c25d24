"""Who is enrolled, against what each site and group should reach."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from registry.models import Study, Subject, User
from registry.permissions import Permission, current_memberships


@dataclass(frozen=True)
class Row:
    """One site or group: how many of its target are enrolled, as far as the user sees."""

    kind: str
    code: str
    name: str
    enrolled: int
    target: int


@dataclass(frozen=True)
class Enrolment:
    rows: tuple[Row, ...]
    enrolled: int
    target: int


@dataclass(frozen=True)
class StudyOverview:
    """A study in the list of the user's studies."""

    study: Study
    enrolled: int
    target: int
    roles: tuple[str, ...]


def enrolment(study: Study, user: User) -> Enrolment:
    """Enrolment by site and by group; a user of one site sees that site's numbers only."""
    seen = Subject.objects.visible_to(user).filter(study=study)
    by_site = dict(seen.order_by().values_list("site").annotate(Count("pk")))
    by_group = dict(seen.order_by().values_list("group").annotate(Count("pk")))
    sites = [_row("site", site, by_site) for site in study.sites.visible_to(user)]
    groups = [_row("group", group, by_group) for group in study.groups.all()]
    # One group is the whole study: its row would only repeat the total.
    rows = tuple(sites + (groups if len(groups) > 1 else []))
    target = sum(row.target for row in sites) or sum(group.target for group in groups)
    return Enrolment(rows, sum(row.enrolled for row in sites), target)


def _row(kind: str, one: object, counts: dict[int, int]) -> Row:
    return Row(kind, one.code, one.name, counts.get(one.pk, 0), one.target)  # type: ignore[attr-defined]


def overviews(user: User) -> list[StudyOverview]:
    """The user's studies with their numbers, in three queries."""
    studies = Study.objects.visible_to(user).prefetch_related("sites", "groups")
    counts = dict(Subject.objects.visible_to(user).order_by().values_list("study").annotate(Count("pk")))
    roles: dict[int, list[str]] = {}
    for membership in current_memberships(user):
        roles.setdefault(membership.study_id, []).append(membership.get_role_display())
    return [
        StudyOverview(study, counts.get(study.pk, 0), _target(study), tuple(dict.fromkeys(roles.get(study.pk, []))))
        for study in studies
    ]


def _target(study: Study) -> int:
    return sum(site.target for site in study.sites.all()) or sum(group.target for group in study.groups.all())


def subjects(
    study: Study, user: User, *, number: str = "", site: str = "", group: str = "", status: str = ""
) -> QuerySet[Subject]:
    """The study's subjects that the user sees, narrowed by the filters of the list."""
    found = Subject.objects.visible_to(user, needs=Permission.SUBJECT_VIEW).filter(study=study)
    narrowed = Q(number__icontains=number.strip()) if number.strip() else Q()
    for field, value in {"site__code": site, "group__code": group, "status": status}.items():
        narrowed &= Q(**{field: value}) if value else Q()
    return found.filter(narrowed).select_related("site", "group").order_by("number")
