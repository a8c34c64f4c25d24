"""How far capture has come and what the rules found, with figures that lead to their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crf.definitions.model import StudyDefinition
from crf.models import QualityFinding, QualityRun, Record
from crf.quality import words
from crf.selectors import definition_of
from crf.selectors import progress as figures
from crf.selectors.queries import waits_for_second_entry
from crf.services import quality
from crf.views.entry_page import language
from crf.views.places import form_choices, form_name, record_url, visit_name
from registry.models import Job, Study, Subject, User, Visit
from registry.permissions import Permission, authorise
from registry.web import render_page, study_or_404, url_or_none

PER_PAGE = 50
SHOWN = ("study", "site", "subject__study", "visit")  # what a line on a finding reads
COLOURS = {"checked": "#1d5c39", "complete": "#6fae86", "in_progress": "#6aa3c8", "missing": "#d5dde4"}


@require_safe
def dashboard(request: HttpRequest, code: str) -> HttpResponse:
    """Completeness and queries by site and form; findings by rule."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    definition = definition_of(study)
    table = figures.progress(study, request.user, language())
    found = _findings(study, request.user)
    counts = found.filter(state=QualityFinding.State.OPEN).order_by().values_list("rule").annotate(n=Count("pk"))
    context = {
        "progress": table,
        "chart": _chart(table),
        "rules": [(rule, text.of(language()), dict(counts).get(rule, 0)) for rule, text in words.RULES.items()],
        "off": definition.quality.off,
        "last": QualityRun.objects.filter(study=study).first(),
        "jobs": _under_way(study, request.user),
        "queries_url": url_or_none("crf:queries", study.code),
    }
    return render_page(request, "crf/quality.html", context)


@require_safe
def rows(request: HttpRequest, code: str) -> HttpResponse:
    """The records, or the forms of due visits, behind a figure of the dashboard."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    definition = definition_of(study)
    filters = RowFilter(request.GET, study=study, user=request.user, definition=definition)
    chosen = filters.chosen()
    number = request.GET.get("page")
    if chosen["state"] in (figures.DUE, figures.MISSING):
        only_missing = chosen.pop("state") == figures.MISSING
        due = figures.due_forms(study, request.user, **chosen, only_missing=only_missing)
        page = Paginator(due, PER_PAGE).get_page(number)
        page.object_list = [_row(definition, *one) for one in figures.due_rows(page.object_list)]
    else:
        page = Paginator(figures.records_in(study, request.user, **chosen), PER_PAGE).get_page(number)
        page.object_list = [
            _row(one.study_definition, one.visit, one.form, one.status, one.repeat) for one in page.object_list
        ]
    return render_page(request, "crf/quality_rows.html", {"filters": filters, "page": page})


@require_safe
def findings(request: HttpRequest, code: str) -> HttpResponse:
    """What the rules found, newest rules' words, with the way to the record."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    filters = FindingFilter(request.GET, study=study, user=request.user)
    found = filters.applied_to(_findings(study, request.user))
    page = Paginator(found.order_by("rule", "site__code", "pk"), PER_PAGE).get_page(request.GET.get("page"))
    others = _others(page.object_list, study, request.user)
    definition = definition_of(study)
    page.object_list = [_finding(definition, one, others) for one in page.object_list]
    return render_page(request, "crf/quality_findings.html", {"filters": filters, "page": page})


@require_POST
def run(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.QUALITY_RUN)
    quality.start(study=study, by=request.user)
    messages.success(request, _("The rules are running; they go on when you leave this page."))
    return redirect("crf:quality", study.code)


@require_http_methods(["GET", "POST"])
def dismiss(request: HttpRequest, code: str, finding_id: int) -> HttpResponse:
    """Set a finding aside, with the reason."""
    study = study_or_404(request, code)
    visible = QualityFinding.objects.visible_to(request.user).filter(~waits_for_second_entry(request.user))
    finding = get_object_or_404(visible.select_related(*SHOWN), study=study, pk=finding_id)
    authorise(request.user, Permission.QUALITY_RUN, site=finding.site)
    form = Explanation(request.POST or None)
    if form.is_valid() and _dismissed(finding, form, request.user):
        messages.success(request, _("The finding is set aside."))
        return redirect("crf:quality-findings", study.code)
    shown = _finding(definition_of(study), finding, _others([finding], study, request.user))
    return render_page(
        request, "crf/quality_dismiss.html", {"finding": shown, "form": form}, status=422 if form.is_bound else 200
    )


def _dismissed(finding: QualityFinding, form: Explanation, user: User) -> bool:
    try:
        quality.dismiss(finding=finding, explanation=form.cleaned_data["explanation"], by=user)
    except quality.ExplanationMissing as refusal:
        form.add_error("explanation", str(refusal))
    return form.is_valid()


class Explanation(forms.Form):
    explanation = forms.CharField(
        label=gettext_lazy("Why it is no error"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3})
    )


class _Filter(forms.Form):
    """Choices of a list; a wrong one filters nothing."""

    site = forms.ChoiceField(label=gettext_lazy("Site"), required=False)

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        sites = study.sites.visible_to(user, needs=Permission.RECORD_VIEW)
        self.fields["site"].choices = [("", _("all")), *((one.code, f"{one.code} {one.name}") for one in sites)]

    def chosen(self) -> dict[str, str]:
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class RowFilter(_Filter):
    form = forms.ChoiceField(label=gettext_lazy("Form"), required=False)
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False)

    def __init__(self, *args: Any, definition: StudyDefinition, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["form"].choices = form_choices(definition, self.data.get("form", ""))
        self.fields["state"].choices = [
            ("", _("all")),
            (figures.DUE, _("visits due")),
            (figures.MISSING, _("due, not begun")),
            *Record.Status.choices,
            ("entered", _("complete and beyond")),
            ("checked", _("verified and beyond")),
        ]


class FindingFilter(_Filter):
    rule = forms.ChoiceField(label=gettext_lazy("Rule"), required=False)
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False)
    subject = forms.CharField(
        label=gettext_lazy("Subject"), required=False, widget=forms.TextInput(attrs={"type": "search"})
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        rules = [(rule, text.of(language())) for rule, text in words.RULES.items()]
        self.fields["rule"].choices = [("", _("all")), *rules]
        self.fields["state"].choices = [*QualityFinding.State.choices, ("all", _("all"))]

    def applied_to(self, found: Any) -> Any:
        chosen = self.chosen()
        state = chosen["state"] or QualityFinding.State.OPEN
        found = found if state == "all" else found.filter(state=state)
        for name, path in (("rule", "rule"), ("site", "site__code"), ("subject", "subject__number")):
            if chosen[name]:
                found = found.filter(**{path: chosen[name].strip()})
        return found


@dataclass(frozen=True)
class FindingView:
    """A finding in the reader's language, and where it is."""

    finding: QualityFinding
    rule: str
    text: str
    place: str
    url: str


def _findings(study: Study, user: User) -> Any:
    found = QualityFinding.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(study=study)
    return found.filter(~waits_for_second_entry(user)).select_related(*SHOWN)


def _others(found: Any, study: Study, user: User) -> dict[int, str]:
    """The numbers of the other subjects of pairs, where the reader may see them."""
    keys = {one.details["other_subject"] for one in found if one.rule == "duplicate_subject"}
    visible = Subject.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(study=study, pk__in=keys)
    return dict(visible.values_list("pk", "number"))


def _finding(definition: StudyDefinition, one: QualityFinding, others: dict[int, str]) -> FindingView:
    label = quality.label_of(definition, one.form, one.item)
    other = others.get(one.details.get("other_subject", 0), "")
    text = words.told(one.rule, one.details, label=label, other=other).of(language())
    place = visit_name(definition, one.visit) if one.visit else ""
    url = _place_of(one)
    return FindingView(one, words.RULES[one.rule].of(language()), text, place, url)


def _place_of(one: QualityFinding) -> str:
    """The page that the finding is about: the item, the visit, or all records of the form at the site."""
    if one.visit and one.subject:
        if one.form:
            return f"{_url(one.visit, one.form, one.repeat, one.subject)}#item-{one.item}"
        casebook = reverse("crf:subject", args=[one.study.code, one.subject.number])
        return f"{casebook}#visit-{one.visit.event}-{one.visit.repeat}"
    rows = reverse("crf:quality-rows", args=[one.study.code])
    return f"{rows}?site={quote(one.site.code)}&form={one.form}" if one.form else ""


def _row(definition: StudyDefinition, visit: Visit, form: str, status: str, repeat: int = 1) -> dict[str, Any]:
    return {
        "subject": visit.subject,
        "visit": visit,
        "visit_name": visit_name(definition, visit),
        "form_name": form_name(definition, form, repeat),
        "state": str(Record.Status(status).label) if status else _("due, not begun"),
        "url": _url(visit, form, repeat, visit.subject),
    }


def _url(visit: Visit, form: str, repeat: int, subject: Subject) -> str:
    return record_url("crf:edit-record", visit, form, repeat, subject)


def _under_way(study: Study, user: User) -> Any:
    waiting = [Job.State.QUEUED, Job.State.RUNNING]
    found = Job.objects.visible_to(user, needs=Permission.JOB_VIEW).filter(study=study, kind=quality.KIND)
    return found.filter(state__in=waiting).select_related("study", "requested_by")


def _chart(table: list[figures.Progress]) -> dict[str, Any]:
    """One bar per site: what is verified, complete, in progress and not begun, over all forms."""
    sites: dict[str, dict[str, int]] = {}
    for one in table:
        sums = sites.setdefault(f"{one.site.code} {one.site.name}", dict.fromkeys(COLOURS, 0))
        sums["checked"] += one.checked
        sums["complete"] += one.states[Record.Status.COMPLETE]
        sums["in_progress"] += one.states[Record.Status.IN_PROGRESS]
        sums["missing"] += one.missing
    names = {
        "checked": _("verified and beyond"),
        "complete": str(Record.Status.COMPLETE.label),
        "in_progress": str(Record.Status.IN_PROGRESS.label),
        "missing": _("due, not begun"),
    }
    codes = list(sites)[::-1]
    return {
        "grid": {"left": 8, "right": 24, "top": 56, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "left": 0},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "value", "minInterval": 1},
        "yAxis": {"type": "category", "data": codes, "axisLabel": {"width": 160, "overflow": "truncate"}},
        "series": [
            {
                "name": names[state],
                "type": "bar",
                "stack": "all",
                "barWidth": 18,
                "data": [sites[code][state] for code in codes],
                "color": colour,
            }
            for state, colour in COLOURS.items()
        ],
    }
