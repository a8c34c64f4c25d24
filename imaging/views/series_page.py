"""What the page of one series is made of; the views that answer with it share it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from crf.selectors import definition_of
from imaging import selectors
from imaging.forms import AddSegmentation, MatchSubject
from imaging.models import Series
from registry.models import Study
from registry.permissions import Permission, authorise, rights
from registry.web import study_or_404


def series_or_404(request: HttpRequest, code: str, series_id: int) -> Series:
    """The series of this page: in scope, and with the right to see images at its site."""
    study = study_or_404(request, code, needs=Permission.IMAGE_VIEW)
    one = get_object_or_404(selectors.series_of(study, request.user), pk=series_id)
    authorise(request.user, Permission.IMAGE_VIEW, site=one.site)
    return one


def series_context(request: HttpRequest, one: Series) -> dict[str, Any]:
    held = rights(request.user, site=one.site)
    sees_subjects = Permission.SUBJECT_VIEW in held
    may_match = Permission.IMAGE_UPLOAD in held
    suggested = selectors.suggestions([one]).get(one.pk) if may_match else None
    initial = {"subject": suggested.number if suggested else ""}
    may_draw = Permission.SEGMENTATION_UPLOAD in held and one.is_usable
    return {
        "series": one,
        "sees_subjects": sees_subjects,
        "suggested": suggested,
        "match_form": MatchSubject(initial=initial, site=one.site, user=request.user) if may_match else None,
        "mask_form": mask_form(one.study) if may_draw else None,
        "siblings": selectors.series_of(one.study, request.user)
        .filter(study_instance_uid=one.study_instance_uid, instances__gt=0)
        .exclude(pk=one.pk),
    }


def mask_form(study: Study, *data: Any) -> AddSegmentation:
    return AddSegmentation(*data, definition=definition_of(study))
