"""The images of a study: the list and inbox, one series, its picture, its files; a subject's images."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from imaging import selectors
from imaging.dicom import nifti
from imaging.dicom.reasons import Refused
from imaging.forms import MatchSubject, SeriesFilter
from imaging.models import Intake, Segmentation, Series, blobs
from imaging.selectors import volumes
from imaging.services import series as matching
from imaging.views.series_page import series_context, series_or_404
from registry.permissions import Permission, authorise
from registry.web import render_page, study_or_404, subject_or_404

PER_PAGE = 25
LATEST = 5


@require_safe
def images(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.IMAGE_VIEW)
    sites_of_known = {site.pk for site in study.sites.visible_to(request.user, needs=Permission.SUBJECT_VIEW)}
    found = selectors.series_of(study, request.user).filter(instances__gt=0)
    kinds = list(found.order_by("kind").values_list("kind", flat=True).distinct())
    sites = selectors.sites_for(study, request.user)
    filters = SeriesFilter(request.GET, sites=sites, kinds=kinds, with_subjects=bool(sites_of_known))
    conditions = filters.conditions()
    if "subject__number__icontains" in conditions:
        found = found.filter(site__in=sites_of_known)
    page = Paginator(found.filter(**conditions), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "filters": filters,
        "page": page,
        "is_filtered": bool(conditions),
        "waiting": found.filter(subject__isnull=True).count(),
        "sites_of_known_subjects": sites_of_known,
        "intakes": Intake.objects.visible_to(request.user, needs=Permission.SUBJECT_VIEW)
        .filter(study=study)
        .select_related("by", "site")[:LATEST],
    }
    return render_page(request, "imaging/images.html", context, fragment="imaging/_series_table.html")


@require_safe
def series(request: HttpRequest, code: str, series_id: int) -> HttpResponse:
    one = series_or_404(request, code, series_id)
    return render_page(request, "imaging/series.html", series_context(request, one))


@require_POST
def match(request: HttpRequest, code: str, series_id: int) -> HttpResponse:
    one = series_or_404(request, code, series_id)
    authorise(request.user, Permission.IMAGE_UPLOAD, site=one.site)
    form = MatchSubject(request.POST, site=one.site, user=request.user)
    if form.is_valid() and (moved := _matched(form, one, request)):
        text = ngettext("%(count)s series belongs to %(number)s.", "%(count)s series belong to %(number)s.", moved)
        messages.success(request, text % {"count": moved, "number": form.cleaned_data["subject"].number})
        return redirect("imaging:series", code, series_id)
    return render_page(request, "imaging/series.html", series_context(request, one) | {"match_form": form}, status=422)


@require_safe
def thumbnail(request: HttpRequest, code: str, series_id: int) -> HttpResponse:
    one = series_or_404(request, code, series_id)
    if not one.thumbnail_key:
        raise Http404("this series has no picture")
    response = HttpResponse(blobs.get(one.thumbnail_key), content_type="image/png")
    response["Cache-Control"] = "private, max-age=86400"
    return response


@require_safe
def download(request: HttpRequest, code: str, series_id: int) -> HttpResponse:
    """The volume as NIfTI, for drawing: voxels and geometry, nothing else."""
    one = series_or_404(request, code, series_id)
    try:
        content = nifti.write(volumes.volume(one))
    except Refused:
        raise Http404("this series is no usable volume") from None
    return _attachment(content, f"{one.study.code}-series-{one.pk}.nii.gz")


@require_safe
def mask(request: HttpRequest, code: str, mask_id: int) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.IMAGE_VIEW)
    visible = Segmentation.objects.visible_to(request.user).select_related("series__site")
    one = get_object_or_404(visible, series__study=study, pk=mask_id)
    authorise(request.user, Permission.IMAGE_VIEW, site=one.series.site)
    content = blobs.get(one.storage_key, one.sha256)
    return _attachment(content, f"{code}-series-{one.series_id}-{one.roi}-round{one.round}.nii.gz")


@require_safe
def subject_series(request: HttpRequest, code: str, number: str) -> HttpResponse:
    """For those who may know whose images these are; a blinded reader comes by the list of images."""
    subject = subject_or_404(request, code, number)
    authorise(request.user, Permission.IMAGE_VIEW, subject=subject)
    context = {"subject": subject, "series_list": selectors.subject_series(subject, request.user)}
    return render_page(request, "imaging/subject_series.html", context, fragment="imaging/_subject_series.html")


def _matched(form: MatchSubject, one: Series, request: HttpRequest) -> int:
    try:
        return len(matching.match(series=one, **form.cleaned_data, by=request.user))
    except matching.CannotMatch as refusal:
        form.add_error(None, str(refusal))
        return 0


def _attachment(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/gzip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
