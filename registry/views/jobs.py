"""Long work under way and done."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from registry.models import Job
from registry.permissions import Permission
from registry.web import render_page, study_or_404

PER_PAGE = 20


@require_safe
def jobs(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.JOB_VIEW)
    found = Job.objects.visible_to(request.user).filter(study=study).select_related("study", "requested_by")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return render_page(request, "registry/jobs.html", {"page": page})


@require_safe
def job(request: HttpRequest, code: str, job_id: int) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.JOB_VIEW)
    found = Job.objects.visible_to(request.user).select_related("study", "requested_by")
    job = get_object_or_404(found, study=study, pk=job_id)
    facts = [(name, value) for name, value in job.result.items() if isinstance(value, str | int | float)]
    return render_page(request, "registry/job.html", {"job": job, "result": facts}, fragment="_components/job.html")
