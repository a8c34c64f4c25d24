"""Upload a folder or zip, and what became of each file."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from imaging import selectors
from imaging.forms import UploadImages
from imaging.models import Intake
from imaging.services import uploads
from imaging.views.memory import MAX_BYTES, files_in_memory
from registry.models import Job, Study
from registry.permissions import Permission, authorise
from registry.web import render_page, study_or_404


@files_in_memory
@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.IMAGE_UPLOAD)
    posted = (request.POST, request.FILES) if request.method == "POST" else ()
    form = UploadImages(*posted, initial=request.GET.dict(), study=study, user=request.user)
    if getattr(request, "upload_was_too_large", False):
        form.add_error("files", _("More than %(size)s MB at once; upload in parts.") % {"size": MAX_BYTES // 2**20})
    elif form.is_valid():
        return _received(request, study, form)
    return render_page(request, "imaging/upload.html", {"form": form}, status=422 if form.is_bound else 200)


@require_safe
def intake(request: HttpRequest, code: str, intake_id: int) -> HttpResponse:
    """For those who may know subjects: why a file was refused can name one."""
    study = study_or_404(request, code, needs=Permission.SUBJECT_VIEW)
    one = get_object_or_404(Intake.objects.visible_to(request.user), study=study, pk=intake_id)
    authorise(request.user, Permission.SUBJECT_VIEW, site=one.site)
    uids = one.instances.values("series_instance_uid")
    found = selectors.series_of(study, request.user).filter(series_instance_uid__in=uids)
    return render_page(request, "imaging/intake.html", {"intake": one, "series_list": found})


def _received(request: HttpRequest, study: Study, form: UploadImages) -> HttpResponse:
    chosen = form.cleaned_data
    files = [(file.name, file.read()) for file in chosen["files"]]
    received = uploads.receive(files=files, site=chosen["site"], subject=chosen["subject"], by=request.user)
    if isinstance(received, Job):
        messages.info(request, _("The upload is complete; the images are being taken in. You may leave this page."))
        return redirect("registry:job", study.code, received.pk)
    return redirect("imaging:intake", study.code, received.pk)
