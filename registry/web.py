"""What every page shares: the study it is about, the menu of that study, and page or fragment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
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
    study = study_or_404(request, code)
    visible = Subject.objects.visible_to(request.user).select_related("site", "group")
    subject = get_object_or_404(visible, study=study, number=number)
    subject.study = study
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
    urls = {place: url_or_none(place.url_name, study.code) for place in MENU if place.needs in held}
    return tuple(
        Entry(url, str(place.label), place.icon, here == url or (url != overview and here.startswith(url)))
        for place, url in urls.items()
        if url
    )


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
