"""Enter a record: show it, weigh what is typed, save it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from crf import forms
from crf.definitions.pages import page_of
from crf.models import Record
from crf.services import drafts, records, second_entry
from crf.views import conflicts, entry_page, files, second_entries
from crf.views.places import Place, is_locked, place_or_404
from registry.permissions import Permission, authorise
from registry.web import render_page


@require_http_methods(["GET", "POST"])
def edit_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address, blind=True)
    if place.record and second_entry.is_blind(place.record, request.user):
        return redirect(place.url_of("crf:second-entry"))
    if request.method == "POST":
        return entry_page.turned_away(request, place) if entry_page.is_anothers(request) else _save(request, place)
    return _opened(request, place)


@require_POST
def evaluate_record(request: HttpRequest, **address: Any) -> HttpResponse:
    is_second = request.GET.get("second") == "yes"
    place = place_or_404(request, **address, blind=is_second)
    answers = forms.typed(place.form, request.POST)
    if is_second:
        answers, place = second_entries.kept(place, request.user) | answers, place.for_second_entry()
    page = page_of(place.form, request.POST.get("section"))
    found = entry_page.evaluate(place, answers, names_required=request.POST.get("names-required") == "yes", page=page)
    return render_page(request, "crf/_record_state.html", {"evaluation": found})


def _opened(request: HttpRequest, place: Place) -> HttpResponse:
    """What is saved, or what its author typed and did not save yet."""
    draft = drafts.own_draft(**place.marker, user=request.user) if place.may_enter else None
    if draft is None:
        comments = place.record.comments if place.record else {}
        return entry_page.show(request, place, answers=entry_page.stored(place), comments=comments)
    fields = entry_page.fields_of(draft.fields)
    typed, comments = forms.typed(place.form, fields), forms.comments(place.form, fields)
    kept: dict[str, Any] = {"reason": forms.reason(fields), "draft": draft, "revision": draft.revision}
    kept["section"] = fields.get("section")
    if place.record and draft.revision != place.record.revision:
        chosen = conflicts.choices(fields)
        found = conflicts.between(place, draft.revision, typed, comments, current=place.record, choices=chosen)
        if found.is_settled:
            drafts.discard(**place.marker, by=request.user)
            return entry_page.show(
                request, place, answers=entry_page.stored(place), comments=place.record.comments, reason=kept["reason"]
            )
        return entry_page.show(
            request, place, answers=found.answers(), comments=found.remarks(), conflict=found, **kept
        )
    return entry_page.show(request, place, answers=typed, comments=comments, **kept)


def _save(request: HttpRequest, place: Place) -> HttpResponse:
    """Save what was typed; on top of another person's save only what was decided item by item."""
    authorise(request.user, Permission.RECORD_ENTER, subject=place.subject)
    typed, comments = forms.typed(place.form, request.POST), forms.comments(place.form, request.POST)
    problem = files.take(place, request, typed)
    kept: dict[str, Any] = {"reason": forms.reason(request.POST)}
    expected, found = forms.revision_of(request.POST), None
    if place.record and not is_locked(place.record) and expected != place.record.revision:
        chosen = conflicts.choices(request.POST)
        found = conflicts.between(place, expected, typed, comments, current=place.record, choices=chosen)
        kept |= {"conflict": found, "revision": expected}
        is_seen = request.POST.get("compared") == str(found.revision) or found.is_same
        if not (found.is_decided and is_seen):
            return _refused(request, place, found.answers(), found.remarks(), status=409, **kept)
        typed, comments, expected = found.data(), found.remarks(), found.revision
    if problem:
        return _refused(request, place, typed, comments, problem=problem, **kept)
    return _saved(request, place, typed, comments, expected, kept)


def _saved(
    request: HttpRequest,
    place: Place,
    typed: dict[str, Any],
    comments: dict[str, str],
    expected: int,
    kept: dict[str, Any],
) -> HttpResponse:
    """The page after the save, or the page with why there was none."""
    shown = kept["conflict"].answers() if "conflict" in kept else typed
    try:
        result = records.save(
            subject=place.subject,
            visit=place.visit,
            form=place.form.oid,
            repeat=place.repeat,
            data=typed,
            comments=comments,
            reason=str(kept["reason"]),
            complete=request.POST.get("act") in ("complete", "next"),
            explained=True,
            expected_revision=expected,
            language=entry_page.language(),
            by=request.user,
        )
    except records.EditConflict as conflict:
        # Saved in the moment between our look and our save.
        now = replace(place, record=conflict.current)
        found = conflicts.between(now, expected, typed, comments, current=conflict.current)
        kept |= {"conflict": found, "revision": expected}
        return _refused(request, now, found.answers(), found.remarks(), status=409, **kept)
    except records.ReasonNeeded as refusal:
        return _refused(request, place, shown, comments, problem=_told(place, refusal), reason_missing=True, **kept)
    except records.RecordRefused as refusal:
        trouble = {"problem": _told(place, refusal), "refused": refusal.problems}
        return _refused(request, place, shown, comments, names_required=True, **trouble, **kept)
    drafts.discard(**place.marker, until=entry_page.draft_seen(request), by=request.user)
    _tell(request, place, result)
    after = entry_page.next_form(place) if request.POST.get("act") == "next" else None
    return redirect(after["url"] if after else place.url + forms.page_asked(place.form, request.POST))


def _refused(
    request: HttpRequest, place: Place, answers: dict[str, Any], comments: dict[str, str], **trouble: Any
) -> HttpResponse:
    status = trouble.pop("status", 422)
    return entry_page.show(request, place, answers=answers, comments=comments, status=status, **trouble)


def _tell(request: HttpRequest, place: Place, result: records.SaveResult) -> None:
    waits = request.POST.get("act") in ("complete", "next") and result.record.status == Record.Status.IN_PROGRESS
    if waits:
        messages.success(request, _("The first entry is finished. Another person enters the form a second time."))
    elif not result.changed:
        messages.info(request, _("Nothing had changed; nothing was written."))
    else:
        words = {"form": place.form.name.of(entry_page.language()), "revision": result.record.revision}
        messages.success(request, _("%(form)s is saved, revision %(revision)s.") % words)
        if place.record and place.record.status in (Record.Status.VERIFIED, Record.Status.SIGNED):
            told = {"state": place.record.get_status_display()}
            messages.warning(request, _("The form was %(state)s; after this change it is not any more.") % told)


def _told(place: Place, refusal: records.RecordRefused) -> str:
    """The refusal in words; items say beside themselves what is wrong with them."""
    general = [message for item, message in refusal.problems if not item]
    if general:
        return " ".join(general)
    if isinstance(refusal, records.ReasonNeeded):
        labels = [place.form.item(item).label.of(entry_page.language()) for item, _message in refusal.problems]
        return _("A saved answer changes and no reason is given: %(items)s.") % {"items": ", ".join(labels)}
    return _("Items that need your attention: %(count)s. They are listed below.") % {"count": len(refusal.problems)}
