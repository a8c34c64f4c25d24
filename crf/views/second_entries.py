"""The second entry of a form from the same paper, and what to do where it differs from the first."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from crf import forms
from crf.definitions.merge import Difference
from crf.definitions.values import display_value
from crf.models import SecondEntry
from crf.services import drafts, records, second_entry
from crf.views import entry_page, files
from crf.views.places import Place, place_or_404
from registry.models import User
from registry.permissions import Permission, authorise
from registry.web import render_page

CHOICE = "choice-"


@require_http_methods(["GET", "POST"])
def enter_second(request: HttpRequest, **address: Any) -> HttpResponse:
    """The empty form for the second person; sent, it is compared with the first."""
    first = place_or_404(request, **address, blind=True)
    authorise(request.user, Permission.RECORD_ENTER, subject=first.subject)
    if first.record is None or not second_entry.is_blind(first.record, request.user):
        messages.info(request, _("No second entry of yours is awaited here."))
        return redirect(first.url)
    place = first.for_second_entry()
    if request.method == "POST" and entry_page.is_anothers(request):
        return entry_page.turned_away(request, place)
    if request.method == "POST":
        return _sent(request, first, place)
    answers, draft = kept(first, request.user), drafts.own_draft(**place.marker, user=request.user)
    if draft is None:
        return entry_page.show(request, place, answers=answers, comments={})
    fields = entry_page.fields_of(draft.fields)
    answers, section = answers | forms.typed(place.form, fields), fields.get("section")
    return entry_page.show(request, place, answers=answers, comments={}, draft=draft, section=section)


@require_http_methods(["GET", "POST"])
def compare_entries(request: HttpRequest, **address: Any) -> HttpResponse:
    """Where the two entries differ, and the decision of the second or a third person."""
    place = place_or_404(request, **address, blind=True)
    authorise(request.user, Permission.RECORD_ENTER, subject=place.subject)
    second = SecondEntry.objects.filter(record=place.record).select_related("entered_by").first()
    if place.record is None or second is None or second.status != SecondEntry.Status.DIFFERS:
        return redirect(place.url)
    choices = {name.removeprefix(CHOICE): request.POST[name] for name in request.POST if name.startswith(CHOICE)}
    context = {
        "place": place,
        "form_name": place.form.name.of(entry_page.language()),
        "second": second,
        "rows": _rows(place, second_entry.differences(place.record, second), choices),
        "may_decide": request.user.pk not in second_entry.first_people(place.record),
        "reason": request.POST.get("reason", ""),
    }
    if request.method == "POST":
        try:
            second_entry.resolve(
                record=place.record,
                choices=choices,
                reason=context["reason"],
                language=entry_page.language(),
                by=request.user,
            )
        except records.RecordRefused as refusal:
            context["problem"] = " ".join(dict.fromkeys(message for _item, message in refusal.problems))
            return render_page(request, "crf/second_entry_compare.html", context, status=422)
        messages.success(request, _("Both entries agree; the form is complete."))
        return redirect(place.url)
    return render_page(request, "crf/second_entry_compare.html", context)


def kept(first: Place, user: User) -> dict[str, Any]:
    """What was typed of the second entry on the other pages of a long form, as typed; for who makes it only."""
    if first.record is None or not second_entry.is_blind(first.record, user):
        return {}
    second = SecondEntry.objects.get(record=first.record)
    shown = forms.as_typed(first.form, first.study, second.data)
    return {name: answer for name, answer in shown.items() if first.form.items[name].is_entered}


def _sent(request: HttpRequest, first: Place, place: Place) -> HttpResponse:
    """Compared with the first entry; a page of a long form that is not the last is kept."""
    typed = kept(first, request.user) | forms.typed(place.form, request.POST)
    problem = files.take(place, request, typed)
    finished = not forms.page_asked(place.form, request.POST) or request.POST.get("act") == "second"
    try:
        if problem:
            raise records.RecordRefused([("", problem)])
        made = second_entry.enter(
            record=first.record,  # type: ignore[arg-type]
            data=typed,
            finished=finished,
            language=entry_page.language(),
            by=request.user,
        )
    except records.RecordRefused as refusal:
        told = " ".join(dict.fromkeys(message for _item, message in refusal.problems))
        return entry_page.show(request, place, answers=typed, comments={}, status=422, problem=told)
    drafts.discard(**place.marker, until=entry_page.draft_seen(request), by=request.user)
    if not finished:
        return redirect(place.form_url + forms.page_asked(place.form, request.POST))
    if made.status == SecondEntry.Status.AGREED:
        messages.success(request, _("Both entries agree; the form is complete."))
        return redirect(first.url)
    messages.warning(request, _("The entries differ. Look at the paper and decide."))
    return redirect(first.url_of("crf:compare-entries"))


def _rows(place: Place, differences: list[Difference], choices: dict[str, str]) -> list[dict[str, Any]]:
    """In the order of the form."""
    in_order = sorted(differences, key=lambda one: forms.position_of(place.form, one.address))
    return [_shown(place, one, choices) for one in in_order]


def _shown(place: Place, one: Difference, choices: dict[str, str]) -> dict[str, Any]:
    item = place.form.item(one.address)
    codelist = place.study.codelist(item)
    return {
        "address": one.address,
        "label": forms.label_of(place.form, one.address, entry_page.language()),
        "first": display_value(item, codelist, one.theirs, entry_page.language(), unit=True),
        "second": display_value(item, codelist, one.mine, entry_page.language(), unit=True),
        "choice": choices.get(one.address, ""),
    }
