"""Source data verification on pages: how far it is, what is due, what changed afterwards, and one record's answers."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.forms import revision_of
from crf.models import Record, SdvPlan, SourceVerification
from crf.selectors import definition_of
from crf.selectors import sdv as reads
from crf.selectors.queries import shown_value
from crf.services import sdv
from crf.views.entry_page import language
from crf.views.places import Place, form_choices, form_name, place_or_404, record_url, visit_name
from registry.models import Study, User, Visit
from registry.permissions import Permission
from registry.web import render_page, study_or_404, subject_or_404

PER_PAGE = 50
SEEN = re.compile(r"(?P<key>\d{1,18})-(?P<revision>\d{1,9})\Z")


@require_safe
def overview(request: HttpRequest, code: str) -> HttpResponse:
    """Progress by site and form, the records that are due, and what changed after it was verified."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    plan, definition = reads.plan_of(study), definition_of(study)
    filters = SdvFilter(request.GET, study=study, user=request.user)
    site, form = filters.chosen()
    due = reads.records_to_verify(study, request.user, plan, subject__site=site, form=form)
    changed = reads.changed_after_sdv(study, request.user, record__subject__site=site, record__form=form)
    page = Paginator(due, PER_PAGE).get_page(request.GET.get("page"))
    changes = Paginator(changed, PER_PAGE).get_page(request.GET.get("changes"))
    context = {
        "plan": plan,
        "filters": filters,
        "progress": _progress(study, request.user, plan, definition),
        "page": page,
        "due": [_due(definition, record, study) for record in page.object_list],
        "changes": changes,
        "changed": _changed(definition, list(changes.object_list), study),
    }
    return render_page(request, "crf/sdv.html", context)


class SdvFilter(forms.Form):
    """Which records: a wrong value filters nothing."""

    site = forms.ChoiceField(label=gettext_lazy("Site"), required=False)
    form = forms.ChoiceField(label=gettext_lazy("Form"), required=False)

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sites = {site.code: site for site in study.sites.visible_to(user, needs=Permission.RECORD_VIEW)}
        sites = [(site.code, f"{site.code} {site.name}") for site in self.sites.values()]
        self.fields["site"].choices = [("", _("all")), *sites]
        self.fields["form"].choices = form_choices(definition_of(study), self.data.get("form", ""))

    def chosen(self) -> tuple[Any, str]:
        self.is_valid()
        return self.sites.get(self.cleaned_data.get("site", "")), self.cleaned_data.get("form", "")


def _progress(study: Study, user: User, plan: SdvPlan, definition: StudyDefinition) -> list[dict[str, Any]]:
    sites = {site.pk: site for site in study.sites.all()}
    order = {form.oid: position for position, form in enumerate(definition.forms)}
    rows = sorted(
        reads.progress(study, user, plan),
        key=lambda row: (sites[row.site_id].code, order.get(row.form, len(order)), row.form),
    )
    return [{"row": row, "site": sites[row.site_id], "name": form_name(definition, row.form)} for row in rows]


def _visit_name(definition: StudyDefinition, visit: Visit) -> str:
    try:
        return visit_name(definition, visit)
    except NotInDefinition:
        return visit.event


def _due(definition: StudyDefinition, record: Record, study: Study) -> dict[str, Any]:
    record.subject.study = study
    held = getattr(record, "source_verification", None)
    return {
        "record": record,
        "visit": _visit_name(definition, record.visit),
        "form": form_name(definition, record.form, record.repeat),
        "verified": held.verified_count if held else 0,
        "changed": held.changed_count if held else 0,
        "is_whole": held is not None and held.is_complete,
        "url": record_url("crf:edit-record", record.visit, record.form, record.repeat, record.subject),
        "sdv_url": record_url("crf:sdv-record", record.visit, record.form, record.repeat, record.subject),
    }


def _changed(definition: StudyDefinition, found: list[SourceVerification], study: Study) -> list[dict[str, Any]]:
    """One line per changed value: what was verified, what stands there now."""
    then = reads.values_then(found)
    lines = []
    for held in found:
        record = held.record
        record.subject.study = study
        now = reads.entered_values(record)
        for path, one in held.changed.items():
            before = then.get((record.pk, one["revision"]), {}).get(path)
            lines.append(
                {
                    "record": record,
                    "visit": _visit_name(definition, record.visit),
                    "form": form_name(definition, record.form, record.repeat),
                    "item": item_name(record.study_definition, record.form, path),
                    "old": shown_value(record.study_definition, record.form, path, before, language()),
                    "new": shown_value(record.study_definition, record.form, path, now.get(path), language()),
                    "one": one,
                    "url": record_url("crf:edit-record", record.visit, record.form, record.repeat, record.subject)
                    + f"#item-{path}",
                    "sdv_url": record_url("crf:sdv-record", record.visit, record.form, record.repeat, record.subject),
                }
            )
    return lines


def item_name(definition: StudyDefinition, form: str, path: str) -> str:
    """An item's label, with the row's number in a group; the path where the build has no such item."""
    try:
        label = definition.form(form).item(path).label.of(language())
    except NotInDefinition:
        return path
    return f"{label} [{path.partition('[')[2].partition(']')[0]}]" if "[" in path else label


@require_POST
def verify_records(request: HttpRequest, code: str) -> HttpResponse:
    """Say of the ticked records that they agree with their source."""
    study = study_or_404(request, code, needs=Permission.RECORD_VERIFY)
    report = sdv.verify_many(study=study, seen=_seen(request), by=request.user)
    _tell(request, report)
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return redirect(f"{reverse('crf:sdv', args=[study.code])}{query}")


@require_POST
def verify_visit(request: HttpRequest, code: str, number: str, event: str, visit: int) -> HttpResponse:
    """Say of every complete form of a visit that it agrees with its source."""
    subject = subject_or_404(request, code, number, needs=Permission.RECORD_VERIFY)
    the_visit = get_object_or_404(subject.visits, event=event, repeat=visit)
    the_visit.subject = subject
    _tell(request, sdv.verify_visit(visit=the_visit, seen=_seen(request), by=request.user))
    return redirect("crf:subject", code, number)


def _seen(request: HttpRequest) -> dict[int, int]:
    """The records that the page showed, by key, with the revision that it showed."""
    found = [SEEN.match(one) for one in request.POST.getlist("record")]
    return {int(one["key"]): int(one["revision"]) for one in found if one}


def _tell(request: HttpRequest, report: sdv.Report) -> None:
    if report.done:
        messages.success(request, _("Verified against the source: %(count)s forms.") % {"count": report.done})
    elif not report.refused:
        messages.info(request, _("There was nothing to verify."))
    for where, why in report.refused.items():
        messages.warning(request, f"{where}: {why}")


@require_http_methods(["GET", "POST"])
def record_sdv(request: HttpRequest, **address: Any) -> HttpResponse:
    """One record answer by answer: verify those that are ticked, or take verifications back."""
    place = place_or_404(request, **address)
    if place.record is None or place.is_second:
        raise Http404("nothing was saved here yet")
    if request.method == "POST":
        return _act(request, place, place.record)
    return _record(request, place, place.record)


def _act(request: HttpRequest, place: Place, record: Record) -> HttpResponse:
    items = request.POST.getlist("item")
    act, by = request.POST.get("act", ""), request.user
    try:
        if act == "withdraw":
            sdv.withdraw(record=record, items=items, reason=request.POST.get("reason", ""), by=by)
            messages.success(request, _("The verification is taken back."))
        else:
            chosen = None if act == "all" else items
            sdv.verify(record=record, items=chosen, expected_revision=revision_of(request.POST), by=by)
            messages.success(request, _("What you compared is marked as verified."))
    except sdv.SdvRefused as refusal:
        return _record(request, place, record, problem=str(refusal), status=422)
    return redirect(place.url_of("crf:sdv-record"))


def _record(request: HttpRequest, place: Place, record: Record, *, status: int = 200, **more: Any) -> HttpResponse:
    found = reads.standing(record, place.subject, place.visit, reads.plan_of(place.subject.study))
    context = {
        "place": place,
        "record": record,
        "subject": place.subject,
        "form_name": form_name(place.study, record.form, record.repeat),
        "visit_name": place.visit_name,
        "lines": [_line(place, one) for one in found],
        "may_verify": Permission.RECORD_VERIFY in place.held and record.status != Record.Status.IN_PROGRESS,
        "address": place.url_of("crf:sdv-record"),
    }
    return render_page(request, "crf/sdv_record.html", context | more, status=status)


def _line(place: Place, one: reads.ItemStanding) -> dict[str, Any]:
    shown = shown_value(place.study, place.form.oid, one.path, one.value, language())
    return {"one": one, "name": item_name(place.study, place.form.oid, one.path), "value": shown}


@require_http_methods(["GET", "POST"])
def plan(request: HttpRequest, code: str) -> HttpResponse:
    """How much of the study is compared with its source, and when a missing form is asked for."""
    study = study_or_404(request, code, needs=Permission.SDV_PLAN)
    form = PlanForm(request.POST or None, instance=reads.plan_of(study))
    if form.is_valid():
        given = {name: form.cleaned_data[name] for name in PlanForm.Meta.fields}
        sdv.save_plan(study=study, **given, reason=form.cleaned_data["reason"], by=request.user)
        messages.success(request, _("The plan is in force."))
        return redirect("crf:sdv", study.code)
    history = SdvPlan.history.filter(study=study).select_related("history_user")
    context = {"form": form, "versions": history, "critical": reads.forms_with_critical_items(study)}
    return render_page(request, "crf/sdv_plan.html", context, status=422 if form.is_bound else 200)


class PlanForm(forms.ModelForm):
    """The plan as its page asks for it."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2}), required=True
    )

    class Meta:
        model = SdvPlan
        fields = ("scope", "percentage", "critical_always", "overdue_days")
