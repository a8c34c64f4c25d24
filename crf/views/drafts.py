"""What the entry page says between saves: its unsaved fields, and that somebody has it open."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from crf import forms
from crf.services import drafts, presence
from crf.views import entry_page
from crf.views.places import Place, place_or_404
from registry.permissions import Permission, authorise
from registry.web import render_page


@require_POST
def keep_draft(request: HttpRequest, **address: Any) -> HttpResponse:
    """Keep the fields as they are posted; answers when, and the revision that is saved now.

    409 where another account is signed in than the one that opened the page: a draft is its author's alone.
    """
    place = _place(request, address)
    authorise(request.user, Permission.RECORD_ENTER, subject=place.subject)
    if entry_page.is_anothers(request):
        return JsonResponse({"problem": _("Somebody else is signed in by now; this was not kept.")}, status=409)
    try:
        draft = drafts.keep(
            **place.marker,
            revision=forms.revision_of(request.POST),
            fields={name: texts for name, texts in request.POST.lists() if isinstance(name, str)},
            by=request.user,
        )
    except drafts.DraftRefused as refusal:
        return JsonResponse({"problem": str(refusal)}, status=422)
    at = timezone.localtime(draft.saved_at).strftime("%H:%M:%S")
    return JsonResponse({"at": at, "kept": draft.saved_at.isoformat(), "revision": entry_page.revision_now(place)})


@require_POST
def discard_draft(request: HttpRequest, **address: Any) -> HttpResponse:
    """Back to what is saved; what was typed is forgotten."""
    place = _place(request, address)
    authorise(request.user, Permission.RECORD_ENTER, subject=place.subject)
    drafts.discard(**place.marker, by=request.user)
    return redirect(place.form_url)


@require_POST
def tell_presence(request: HttpRequest, **address: Any) -> HttpResponse:
    """Note that the page is open (or, `leaving=yes`, closed); answers who else has it open, and the saved revision."""
    place = _place(request, address, always_blind=True)
    where = {"visit": place.visit, "form": place.form.oid, "repeat": place.repeat}
    if request.POST.get("leaving") == "yes":
        presence.left(**where, by=request.user)
        return HttpResponse(status=204)
    others = presence.seen(**where, typing=request.POST.get("typing") == "yes", by=request.user)
    shown = forms.revision_of(request.POST)
    is_newer = place.record is not None and place.record.revision > shown
    saved = entry_page.last_saved(place.record) if place.record and is_newer else None
    return render_page(request, "crf/_presence.html", {"others": others, "newer": saved, "place": place})


def _place(request: HttpRequest, address: dict[str, Any], *, always_blind: bool = False) -> Place:
    is_second = request.GET.get("second") == "yes"
    place = place_or_404(request, **address, blind=is_second or always_blind)
    return place.for_second_entry() if is_second else place
