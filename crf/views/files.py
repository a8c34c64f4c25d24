"""Files that answer items: uploaded beside the form, served as downloads only."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crf.definitions.model import Item, NotInDefinition
from crf.definitions.values import BadValue
from crf.services import attachments
from crf.views.entry_page import language
from crf.views.places import Place, place_or_404
from registry.permissions import Permission, authorise

FIELD = "file-"


@require_POST
def add_file(request: HttpRequest, item: str, **address: Any) -> HttpResponse:
    """Store one file for one item; answers the item's value, which the form then carries, or why not (422)."""
    place = place_or_404(request, **address, blind=True)
    authorise(request.user, Permission.RECORD_ENTER, subject=place.subject)
    if not place.may_enter:
        told = _("This record is locked in a dataset; it must be unlocked first.")
        return JsonResponse({"problem": told}, status=422)
    upload, asked = request.FILES.get("file"), _file_item(place, item)
    if upload is None or asked is None:
        return JsonResponse({"problem": _("No file was chosen.")}, status=422)
    try:
        value = _stored(request, place, asked, upload)
    except BadValue as bad:
        return JsonResponse({"problem": bad.of(language())}, status=422)
    url = place.url_of("crf:file", value["file"])
    return JsonResponse({"value": json.dumps(value, ensure_ascii=False), "name": value["name"], "url": url})


@require_safe
def serve_file(request: HttpRequest, file: uuid.UUID, **address: Any) -> HttpResponse | StreamingHttpResponse:
    """The file as a download, never to be run or shown inside a page of ours."""
    place = place_or_404(request, **address)
    row = attachments.find(subject=place.subject, public_id=file)
    if row is None:
        raise Http404(f"{place.subject} has no file {file}")
    response = StreamingHttpResponse(attachments.content(row), content_type="application/octet-stream")
    response["Content-Length"] = str(row.size)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=row.name)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def take(place: Place, request: HttpRequest, typed: dict[str, Any]) -> str:
    """Files that came with the form itself, where no script sent them before; what is wrong with one, or nothing."""
    if not request.FILES or not place.may_enter:
        return ""
    for name, upload in request.FILES.items():
        item = _file_item(place, str(name).removeprefix(FIELD)) if str(name).startswith(FIELD) else None
        if item is None or item.name not in place.form.items:
            continue
        try:
            typed[item.name] = _stored(request, place, item, upload)
        except BadValue as bad:
            return f"{item.label.of(language())}: {bad.of(language())}"
    return ""


def _stored(request: HttpRequest, place: Place, item: Item, upload: Any) -> dict[str, Any]:
    return attachments.add(subject=place.subject, form=place.form.oid, item=item, upload=upload, by=request.user)


def _file_item(place: Place, name: str) -> Item | None:
    try:
        item = place.form.questions.get(name) or place.form.item(name)
    except NotInDefinition:
        return None
    return item if item.type == "file" else None
