"""Enter a record: show it, weigh what is typed, save it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from crf import forms
from crf.services import records
from crf.views import conflicts, entry_page
from crf.views.places import Place, place_or_404
from registry.web import render_page


@require_http_methods(["GET", "POST"])
def edit_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    if request.method == "POST":
        return _save(request, place)
    comments = place.record.comments if place.record else {}
    return entry_page.show(request, place, answers=entry_page.stored(place), comments=comments)


@require_POST
def evaluate_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    answers = forms.typed(place.form, request.POST)
    found = entry_page.evaluate(place, answers, names_required=request.POST.get("names-required") == "yes")
    return render_page(request, "crf/_record_state.html", {"evaluation": found})


def _save(request: HttpRequest, place: Place) -> HttpResponse:
    typed, comments = forms.typed(place.form, request.POST), forms.comments(place.form, request.POST)
    reason = forms.reason(request.POST)
    kept: dict[str, Any] = {"answers": typed, "comments": comments, "reason": reason}
    try:
        result = _saved(request, place, typed, comments, reason)
    except records.EditConflict as conflict:
        told = conflicts.differences(place, typed, conflict.current)
        return entry_page.show(request, place, status=409, conflict=told, **kept)
    except records.ReasonNeeded as refusal:
        problem = _told(place, refusal)
        return entry_page.show(request, place, status=422, problem=problem, reason_missing=True, **kept)
    except records.RecordRefused as refusal:
        problem = _told(place, refusal)
        return entry_page.show(request, place, status=422, problem=problem, names_required=True, **kept)
    _tell(request, place, result)
    after = entry_page.next_form(place) if request.POST.get("act") == "next" else None
    return redirect(after["url"] if after else place.url)


def _saved(
    request: HttpRequest, place: Place, typed: dict[str, Any], comments: dict[str, str], reason: forms.Reason
) -> records.SaveResult:
    return records.save(
        subject=place.subject,
        visit=place.visit,
        form=place.form.oid,
        repeat=place.repeat,
        data=typed,
        comments=comments,
        reason=str(reason),
        complete=request.POST.get("act") in ("complete", "next"),
        expected_revision=forms.revision_of(request.POST),
        language=entry_page.language(),
        by=request.user,
    )


def _tell(request: HttpRequest, place: Place, result: records.SaveResult) -> None:
    if not result.changed:
        messages.info(request, _("Nothing had changed; nothing was written."))
        return
    words = {"form": place.form.name.of(entry_page.language()), "revision": result.record.revision}
    messages.success(request, _("%(form)s is saved, revision %(revision)s.") % words)


def _told(place: Place, refusal: records.RecordRefused) -> str:
    """The refusal in words; items say beside themselves what is wrong with them."""
    general = [message for item, message in refusal.problems if not item]
    if general:
        return " ".join(general)
    if isinstance(refusal, records.ReasonNeeded):
        labels = [place.form.items[item].label.of(entry_page.language()) for item, _message in refusal.problems]
        return _("A saved answer changes and no reason is given: %(items)s.") % {"items": ", ".join(labels)}
    return _("Items that need your attention: %(count)s. They are listed below.") % {"count": len(refusal.problems)}
