"""The subject list, and who a subject is. A subject's own page is the casebook, in crf."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from registry.forms import SubjectFilter
from registry.permissions import Permission
from registry.selectors import enrolment
from registry.services import identities
from registry.web import render_page, study_or_404, subject_or_404

PER_PAGE = 25


@require_safe
def subjects(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.SUBJECT_VIEW)
    filters = SubjectFilter(request.GET, study=study, user=request.user)
    found = enrolment.subjects(study, request.user, **filters.chosen())
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {"filters": filters, "page": page, "is_filtered": any(filters.chosen().values())}
    return render_page(request, "registry/subjects.html", context, fragment="registry/_subjects_table.html")


@require_POST
def identity(request: HttpRequest, code: str, number: str) -> HttpResponse:
    """Asked for by a button, never by a link: each view is written to the audit trail."""
    subject = subject_or_404(request, code, number, needs=Permission.IDENTITY_VIEW)
    person = identities.view(subject=subject, by=request.user)
    response = render_page(
        request, "registry/identity.html", {"subject": subject, "person": person}, fragment="registry/_identity.html"
    )
    response["Cache-Control"] = "no-store"
    return response
