"""The user's studies, and one study at a glance."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from registry.models import Job, Study
from registry.permissions import Permission, rights
from registry.selectors import enrolment
from registry.views.next_steps import next_steps
from registry.web import study_or_404, url_or_none

LATEST = 4


@require_safe
def studies(request: HttpRequest) -> HttpResponse:
    return render(request, "registry/studies.html", {"studies": enrolment.overviews(request.user)})


@require_safe
def study(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code)
    numbers = enrolment.enrolment(study, request.user)
    context = {
        "enrolment": numbers,
        "chart": enrolment_chart(numbers),
        "chart_css": "chart-xs" if len(numbers.rows) < 3 else "chart-sm",
        "steps": next_steps(request.user, study),
        "jobs": latest_jobs(request, study),
        "records_url": records_url(request, study),
    }
    return render(request, "registry/study.html", context)


def records_url(request: HttpRequest, study: Study) -> str | None:
    """Where the state of the records is told, to those who may see records."""
    allowed = Permission.RECORD_VIEW in rights(request.user, study=study)
    return url_or_none("crf:study-records", study.code) if allowed else None


def latest_jobs(request: HttpRequest, study: Study) -> list[Job]:
    found = Job.objects.visible_to(request.user).filter(study=study)
    return list(found.select_related("study", "requested_by")[:LATEST])


def enrolment_chart(numbers: enrolment.Enrolment) -> dict[str, Any]:
    """Horizontal bars: enrolled in colour over the target in grey, one per site and group."""
    rows = numbers.rows[::-1]
    enrolled, target = _("enrolled"), _("target")
    return {
        "grid": {"left": 8, "right": 24, "top": 32, "bottom": 8, "containLabel": True},
        "legend": {"data": [enrolled, target], "top": 0, "left": 0},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "value", "minInterval": 1},
        "yAxis": {
            "type": "category",
            "data": [f"{row.code} {row.name}" for row in rows],
            "axisLabel": {"width": 180, "overflow": "truncate"},
        },
        "series": [
            {
                "name": target,
                "type": "bar",
                "barGap": "-100%",
                "barWidth": 16,
                "data": [row.target for row in rows],
                "color": "#d5dde4",
            },
            {
                "name": enrolled,
                "type": "bar",
                "barWidth": 16,
                "data": [row.enrolled for row in rows],
                "color": "#0b5c8a",
            },
        ],
    }
