"""The state of a study's records, for its overview."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from crf.models import Record
from crf.selectors import count_by_status, definition_of
from crf.views.places import visit_name
from registry.models import Study, User, Visit
from registry.permissions import Permission
from registry.web import render_page, study_or_404

OVERDUE_SHOWN = 8
COLOURS = {
    "in_progress": "#6aa3c8",
    "complete": "#2e7d4f",
    "verified": "#1d5c39",
    "signed": "#0b5c8a",
    "locked": "#5b6b7c",
}


@require_safe
def study_records(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    visible = Record.objects.visible_to(request.user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    counts = count_by_status(visible)
    overdue = _overdue(study, request.user)
    context = {
        "states": [(status, Record.Status(status).label, count) for status, count in counts.items()],
        "total": sum(counts.values()),
        "chart": _chart(counts),
        "overdue": [_late(study, visit) for visit in overdue[:OVERDUE_SHOWN]],
        "overdue_count": overdue.count(),
    }
    return render_page(request, "crf/study_records.html", context, fragment="crf/_study_records.html")


def _overdue(study: Study, user: User) -> Any:
    """Visits whose window has closed and of which nothing was entered."""
    visible = Visit.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    closed = visible.filter(window_to__lt=timezone.localdate())
    waiting = closed.filter(records__isnull=True, subject__status="enrolled")
    return waiting.select_related("subject").order_by("window_to", "subject__number")


def _late(study: Study, visit: Visit) -> dict[str, Any]:
    days = (timezone.localdate() - visit.window_to).days
    return {"subject": visit.subject, "name": visit_name(definition_of(study), visit), "visit": visit, "days": days}


def _chart(counts: dict[str, int]) -> dict[str, Any]:
    """One stacked bar: records by state."""
    return {
        "grid": {"left": 8, "right": 8, "top": 36, "bottom": 4, "containLabel": False},
        "legend": {"top": 0, "left": 0, "itemWidth": 14},
        "tooltip": {"trigger": "item"},
        "xAxis": {"type": "value", "show": False, "max": sum(counts.values()) or 1},
        "yAxis": {"type": "category", "data": [_("records")], "show": False},
        "series": [
            {
                "name": str(Record.Status(status).label),
                "type": "bar",
                "stack": "all",
                "barWidth": 22,
                "data": [count],
                "color": COLOURS[status],
            }
            for status, count in counts.items()
        ],
    }
