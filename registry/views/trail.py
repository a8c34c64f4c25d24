"""The audit trail of a study: look at it, take it along as CSV."""

from __future__ import annotations

import io
import tempfile
from collections import deque
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.text import slugify
from django.views.decorators.http import require_POST, require_safe

from registry.forms import AuditFilter
from registry.models import Study
from registry.permissions import Permission
from registry.services import audit_export
from registry.web import render_page, study_or_404

SHOWN = 100


@require_safe
def audit(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.AUDIT_VIEW)
    filters = _filters(request, study)
    lines = deque(audit_export.lines(study=study, filters=filters.chosen(), by=request.user), maxlen=SHOWN)
    context = {"filters": filters, "lines": [_shown(line) for line in reversed(lines)], "is_cut": len(lines) == SHOWN}
    return render_page(
        request, "registry/audit.html", context | {"limit": SHOWN}, fragment="registry/_audit_lines.html"
    )


@require_POST
def export_audit(request: HttpRequest, code: str) -> FileResponse:
    """The lines that the filters of the address choose, as CSV that spreadsheets open in the right encoding."""
    study = study_or_404(request, code, needs=Permission.AUDIT_EXPORT)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    audit_export.export(study=study, file=text, filters=_filters(request, study).chosen(), by=request.user)
    text.detach()  # flushes, and leaves the file open for the response
    file.seek(0)
    name = f"{slugify(study.code)}-audit-{timezone.now():%Y%m%dT%H%MZ}.csv"
    return FileResponse(file, as_attachment=True, filename=name, content_type="text/csv; charset=utf-8")


def _filters(request: HttpRequest, study: Study) -> AuditFilter:
    return AuditFilter(request.GET or None, study=study, user=request.user)


def _shown(line: audit_export.Line) -> dict[str, Any]:
    return {"line": line, "at": parse_datetime(line.at)}
