"""Readers upload their masks."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from imaging.dicom.reasons import Refused
from imaging.forms import AddSegmentation
from imaging.models import Segmentation, Series
from imaging.services import segmentations
from imaging.views.memory import files_in_memory
from imaging.views.series_page import mask_form, series_context, series_or_404
from registry.permissions import Permission, authorise
from registry.web import render_page


@files_in_memory
@require_POST
def add_segmentation(request: HttpRequest, code: str, series_id: int) -> HttpResponse:
    one = series_or_404(request, code, series_id)
    authorise(request.user, Permission.SEGMENTATION_UPLOAD, site=one.site)
    form = mask_form(one.study, request.POST, request.FILES)
    if form.is_valid() and (added := _added(form, one, request)):
        values = {"roi": added.roi, "volume": f"{added.volume_ml:.1f}", "voxels": added.voxels}
        messages.success(request, _("Mask of %(roi)s stored: %(volume)s mL, %(voxels)s voxels.") % values)
        return redirect("imaging:series", code, series_id)
    return render_page(request, "imaging/series.html", series_context(request, one) | {"mask_form": form}, status=422)


def _added(form: AddSegmentation, one: Series, request: HttpRequest) -> Segmentation | None:
    chosen = form.cleaned_data
    try:
        return segmentations.add(
            series=one,
            reader=request.user,
            round=chosen["round"],
            roi=chosen["roi"],
            file=chosen["file"].read(),
            label=chosen["label"],
            by=request.user,
        )
    except Refused as refused:
        form.add_error("file", refused.en if (get_language() or "").startswith("en") else refused.zh)
        return None
