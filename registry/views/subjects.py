"""The subject list and enrolment. A subject's own page is the casebook, in crf."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from registry.forms import EnrolSubject, SubjectFilter
from registry.models import Subject, User
from registry.permissions import Permission
from registry.selectors import enrolment
from registry.services import subjects as enrolling
from registry.web import render_page, study_or_404

PER_PAGE = 25


@require_safe
def subjects(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.SUBJECT_VIEW)
    filters = SubjectFilter(request.GET, study=study, user=request.user)
    found = enrolment.subjects(study, request.user, **filters.chosen())
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {"filters": filters, "page": page, "is_filtered": any(filters.chosen().values())}
    return render_page(request, "registry/subjects.html", context, fragment="registry/_subjects_table.html")


@require_http_methods(["GET", "POST"])
def enrol_subject(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.SUBJECT_ENROL)
    form = EnrolSubject(request.POST or None, study=study, user=request.user)
    if form.is_valid() and (subject := _enrolled(form, request.user)):
        messages.success(request, _("Subject %(number)s is enrolled.") % {"number": subject.number})
        return redirect("crf:subject", study.code, subject.number)
    status = 422 if form.is_bound else 200
    return render_page(request, "registry/enrol_subject.html", {"form": form}, status=status)


def _enrolled(form: EnrolSubject, user: User) -> Subject | None:
    try:
        return enrolling.enrol(**form.cleaned_data, by=user)
    except enrolling.EnrolmentRefused as refusal:
        form.add_error(None, str(refusal))
        return None
