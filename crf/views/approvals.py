"""Say of a record that it agrees with its source, or sign it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from crf.forms import revision_of
from crf.models import Record
from crf.services import records
from crf.views.entry_page import language
from crf.views.places import Place, place_or_404
from registry.permissions import Permission, authorise
from registry.services.signatures import WrongPassword
from registry.web import render_page


class Password(forms.Form):
    """The signer proves again who they are (21 CFR 11.200), and says which revision they saw."""

    revision = forms.IntegerField(widget=forms.HiddenInput)
    password = forms.CharField(
        label=gettext_lazy("Your password"), widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class Unlocking(forms.Form):
    """Why a locked record must change."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))


@require_POST
def verify_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    try:
        records.verify(record=_saved(place), expected_revision=revision_of(request.POST), by=request.user)
        messages.success(request, _("The record is marked as verified against its source."))
    except records.RecordRefused as refusal:
        messages.error(request, str(refusal))
    return redirect(place.url)


@require_http_methods(["GET", "POST"])
def sign_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    record = _saved(place)
    authorise(request.user, Permission.RECORD_SIGN, subject=place.subject)
    form = Password(request.POST or None)
    if form.is_valid() and _signed(form, record, request):
        messages.success(request, _("The record is signed."))
        return redirect(place.url)
    context = {"place": place, "record": record, "form": form, "form_name": place.form.name.of(language())}
    return render_page(request, "crf/record_sign.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
def unlock_record(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    record = _saved(place)
    authorise(request.user, Permission.DATASET_LOCK, study=place.subject.study)
    form = Unlocking(request.POST or None)
    if form.is_valid() and _unlocked(form, record, request):
        messages.success(request, _("The record is open again; datasets that hold it stay as they are."))
        return redirect(place.url)
    context = {"place": place, "record": record, "form": form, "form_name": place.form.name.of(language())}
    return render_page(request, "crf/record_unlock.html", context, status=422 if form.is_bound else 200)


def _unlocked(form: Unlocking, record: Record, request: HttpRequest) -> bool:
    try:
        records.unlock(record=record, reason=form.cleaned_data["reason"], by=request.user)
    except records.RecordRefused as refusal:
        form.add_error("reason", str(refusal))
        return False
    return True


def _saved(place: Place) -> Record:
    if place.record is None:
        raise Http404("nothing was saved here yet")
    return place.record


def _signed(form: Password, record: Record, request: HttpRequest) -> bool:
    given = form.cleaned_data
    try:
        records.sign(record=record, password=given["password"], expected_revision=given["revision"], by=request.user)
    except (WrongPassword, records.RecordRefused) as refusal:
        form.add_error("password", str(refusal))
        return False
    return True
