"""Export records: choose, see what will be left out and moved, have it made, fetch the file while it is kept."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from crf.exports.rules import TYPED_FREELY, WORDS, Rule, Wanted
from crf.models import RecordExport
from crf.selectors import NoBuild, definition_of
from crf.services import exports
from crf.services.export_files import FORMATS
from crf.views.entry_page import language
from registry.models import Site, Study
from registry.permissions import Permission, rights
from registry.services.signatures import WrongPassword
from registry.web import render_page, study_or_404

SHOWN = 20
SUBJECTS = (
    ("pseudonym", gettext_lazy("keyed pseudonym (the PatientID of the subject's images)")),
    ("number", gettext_lazy("subject number")),
)


class ExportForm(forms.Form):
    """What to take out; nothing chosen in a list is: all of it."""

    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=list(FORMATS.items()))
    labels = forms.ChoiceField(label=gettext_lazy("Language of labels"), choices=[("zh", "中文"), ("en", "English")])
    forms_ = forms.MultipleChoiceField(
        label=gettext_lazy("Forms (none: all)"), required=False, widget=forms.CheckboxSelectMultiple
    )
    sites = forms.MultipleChoiceField(
        label=gettext_lazy("Sites (none: all of yours)"), required=False, widget=forms.CheckboxSelectMultiple
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Visits (none: all)"), required=False, widget=forms.CheckboxSelectMultiple
    )
    subjects = forms.ChoiceField(
        label=gettext_lazy("Subjects are named by"), choices=SUBJECTS, widget=forms.RadioSelect, initial="pseudonym"
    )
    keep_text = forms.MultipleChoiceField(
        label=gettext_lazy("Free text to keep, because it says nothing about a person"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    identified = forms.BooleanField(label=gettext_lazy("Identified: nothing is left out or moved"), required=False)
    blinded = forms.BooleanField(label=gettext_lazy("With blinded items"), required=False)
    password = forms.CharField(
        label=gettext_lazy("Your password, as signature"),
        help_text=gettext_lazy("Needed for an identified or unblinded export."),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        strip=False,
        required=False,
    )

    def __init__(self, *args: Any, study: Study, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        definition, shown = definition_of(study), language()
        self.fields["labels"].initial = "zh" if shown.startswith("zh") else "en"
        given = {
            "forms_": [(form.oid, f"{form.oid} {form.name.of(shown)}") for form in definition.forms],
            "events": [(event.oid, event.name.of(shown)) for event in definition.events],
            "sites": [
                (site.code, f"{site.code} {site.name}")
                for site in study.sites.all()
                if Permission.RECORD_EXPORT in rights(user, site=site)
            ],
            "keep_text": [
                (f"{form.oid}.{item.name}", f"{form.oid} {item.label.of(shown)}")
                for form in definition.forms
                for item in form.questions.values()
                if item.value_kind in TYPED_FREELY and item.role != "identifier"
            ],
        }
        for name, choices in given.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]
        if Permission.RECORD_EXPORT_IDENTIFIED not in rights(user, study=study):
            for name in ("identified", "blinded", "password"):
                del self.fields[name]

    @property
    def wanted(self) -> Wanted:
        asked = self.cleaned_data
        return Wanted(
            forms=tuple(asked["forms_"]),
            sites=tuple(asked["sites"]),
            events=tuple(asked["events"]),
            language=asked["labels"],
            identified=asked.get("identified", False),
            subjects=asked["subjects"],
            keep_text=tuple(asked["keep_text"]),
            blinded=asked.get("blinded", False),
        )


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("password")
def export_records(request: HttpRequest, code: str) -> HttpResponse:
    """The choice, its preview, and the exports made so far; POST `make` starts one."""
    study = study_or_404(request, code, needs=Permission.RECORD_EXPORT)
    try:
        form = ExportForm(request.POST or None, study=study, user=request.user)
    except NoBuild:
        return render_page(request, "crf/export_records.html", {"exports": _made(request, study)})
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        if "make" in request.POST and _started(request, study, form):
            return redirect("crf:export-records", code)
        context |= _preview(request, study, form)
    context["exports"] = _made(request, study)
    return render_page(request, "crf/export_records.html", context, status=422 if form.errors else 200)


def _started(request: HttpRequest, study: Study, form: ExportForm) -> bool:
    password = form.cleaned_data.get("password", "")
    try:
        exports.start(
            study=study, format=form.cleaned_data["format"], wanted=form.wanted, password=password, by=request.user
        )
    except WrongPassword as problem:
        form.add_error("password", str(problem))
        return False
    except exports.ExportRefused as problem:
        form.add_error(None, str(problem))
        return False
    messages.success(request, _("The export is being made; its file will be here to fetch."))
    return True


def _preview(request: HttpRequest, study: Study, form: ExportForm) -> dict[str, Any]:
    """What the export will hold, and what happens to which items."""
    preview, shown = exports.preview(study=study, wanted=form.wanted, by=request.user), language()
    treated = [
        (rule.value, WORDS[rule].of(shown), [(one.path, one.item.label.of(shown)) for one in preview.items(rule)])
        for rule in Rule
        if rule is not Rule.KEEP
    ]
    kept = len(preview.items(Rule.KEEP))
    return {"preview": preview, "treated": [one for one in treated if one[2]], "kept": kept}


def _made(request: HttpRequest, study: Study) -> list[dict[str, Any]]:
    found = RecordExport.objects.visible_to(request.user, needs=Permission.RECORD_EXPORT).filter(study=study)
    found = found.select_related("study", "job__study", "job__requested_by", "requested_by")[:SHOWN]
    return [
        {"export": made, "format": FORMATS.get(made.format, made.format), "open": made.is_ready}
        for made in found
        if exports.may_fetch(made=made, by=request.user)
    ]


@require_safe
def fetch_export(request: HttpRequest, code: str, export_id: int) -> HttpResponse:
    """The file, for whoever may export what it holds; no copy stays in a cache."""
    study = study_or_404(request, code, needs=Permission.RECORD_EXPORT)
    visible = RecordExport.objects.visible_to(request.user, needs=Permission.RECORD_EXPORT)
    made = get_object_or_404(visible.select_related("study"), study=study, pk=export_id)
    seen = Site.objects.visible_to(request.user).filter(study=study).values_list("code", flat=True)
    if not set(made.sites) <= set(seen):
        raise Http404
    try:
        path = exports.fetch(made=made, by=request.user)
    except exports.ExportRefused as problem:
        messages.error(request, str(problem))
        return redirect("crf:export-records", code)
    name = f"{study.code.lower()}-records-{made.pk}.zip"
    response = FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/zip")
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response
