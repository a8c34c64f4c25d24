"""What every page shares: the study it is about, the menu of that study, and page or fragment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from registry.models import Study, Subject
from registry.permissions import Permission, authorise, rights

P = Permission


@dataclass(frozen=True)
class Place:
    """One place of a study's menu: shown to those who hold `needs`, once its app has the URL."""

    url_name: str
    needs: Permission
    icon: str
    label: Any


MENU = (
    Place("registry:study", P.STUDY_VIEW, "home", _("Overview")),
    Place("registry:subjects", P.SUBJECT_VIEW, "users", _("Subjects")),
    Place("crf:queries", P.RECORD_VIEW, "message", _("Queries")),
    Place("crf:quality", P.RECORD_VIEW, "target", _("Data quality")),
    Place("crf:builds", P.BUILD_VIEW, "files", _("Builds")),
    Place("imaging:images", P.IMAGE_VIEW, "photo-scan", _("Images")),
    Place("analytics:datasets", P.DATASET_VIEW, "database", _("Datasets")),
    Place("analytics:evaluations", P.EVALUATION_VIEW, "chart-dots", _("Evaluations")),
    Place("registry:audit", P.AUDIT_VIEW, "history", _("Audit trail")),
    Place("registry:jobs", P.JOB_VIEW, "bolt", _("Jobs")),
)


def study_or_404(request: HttpRequest, code: str, *, needs: Permission = P.STUDY_VIEW) -> Study:
    """The study of this page: Http404 outside the user's scope, PermissionDenied inside it without the right."""
    study = get_object_or_404(Study.objects.visible_to(request.user), code=code)
    request.study = study  # type: ignore[attr-defined]
    authorise(request.user, needs, study=study)
    return study


def subject_or_404(request: HttpRequest, code: str, number: str, *, needs: Permission = P.SUBJECT_VIEW) -> Subject:
    """The subject of this page, in scope, and with the right at the subject's own site."""
    visible = Subject.objects.visible_to(request.user).select_related("study", "site", "group")
    subject = visible.filter(study__code=code, number=number).first()
    if subject is None:
        study_or_404(request, code)  # whoever may not see the study is told so
        raise Http404(f"no subject {number} in study {code}")
    request.study = subject.study  # type: ignore[attr-defined]
    authorise(request.user, P.STUDY_VIEW, study=subject.study)
    authorise(request.user, needs, subject=subject)
    return subject


def render_page(
    request: HttpRequest, page: str, context: dict[str, Any], *, fragment: str = "", status: int = 200
) -> HttpResponse:
    """The whole page, or only its `fragment` when htmx asks; both come from the same templates."""
    asks_for_part = fragment and getattr(request, "htmx", False) and not request.htmx.boosted  # type: ignore[attr-defined]
    response = render(request, fragment if asks_for_part else page, context, status=status)
    response["Vary"] = "HX-Request, Accept-Language, Cookie"
    return response


def url_or_none(name: str, *args: Any) -> str | None:
    """The address of a page of an app above this one, or None while that app has none."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return None


class Entry(NamedTuple):
    """One line of a study's menu; `active` where the page that is shown belongs to it."""

    url: str
    label: str
    icon: str
    active: bool


def menu(request: HttpRequest, study: Study, held: frozenset[Permission]) -> tuple[Entry, ...]:
    overview, here = reverse("registry:study", args=[study.code]), request.path
    return tuple(
        Entry(url, str(place.label), place.icon, here == url or (url != overview and here.startswith(url)))
        for place, url in _open_to(study.code, held)
    )


@lru_cache(maxsize=256)
def _open_to(code: str, held: frozenset[Permission]) -> tuple[tuple[Place, str], ...]:
    urls = ((place, url_or_none(place.url_name, code)) for place in MENU if place.needs in held)
    return tuple((place, url) for place, url in urls if url)


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the study that `study_or_404` found, what the user may do in it, and its menu."""
    study = getattr(request, "study", None)
    if study is None:
        return {}
    held = rights(request.user, study=study)
    return {
        "study": study,
        "rights": frozenset(permission.name for permission in held),
        "navigation": menu(request, study, held),
    }
