"""Change what a study asks: upload a version, review it, publish it, release it at sites, bring records to it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crf.definitions import DefinitionErrors, StudyDefinition, display_value
from crf.definitions.rows import value_at
from crf.exchange.loss import FATES, Loss, as_csv
from crf.models import BuildDraft, StudyBuild
from crf.selectors import NoBuild, current_build
from crf.selectors import builds as reads
from crf.services import build_uploads, builds, migrate
from crf.services import release as releases
from crf.views.build_pages import build_or_404, difference_page, draft_or_404, kind_word, weight_page
from crf.views.entry_page import language
from registry.models import Job, Study, Subject
from registry.permissions import Permission
from registry.web import render_page, study_or_404

MAX_UPLOAD = 40_000_000
SHOWN = 200
SHOWN_VERSIONS = 20
SUBJECTS_PER_PAGE = 10
BOX = {"class": "form-check-input"}


class UploadBuild(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("Definition"),
        help_text=gettext_lazy(
            "A zip of the YAML folder, CDISC ODM (XML), REDCap (CSV or XML) or XLSForm; up to 40 MB."
        ),
    )
    version = forms.CharField(
        label=gettext_lazy("Version"),
        required=False,
        max_length=32,
        help_text=gettext_lazy("Needed for ODM, REDCap and XLSForm; a YAML folder names its own."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD:
            raise forms.ValidationError(_("The file is larger than 40 MB; use the command import_study."))
        return file


@require_http_methods(["GET", "POST"])
def upload_build(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.BUILD_IMPORT)
    form = UploadBuild(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        try:
            draft = _uploaded(study, form, request)
        except DefinitionErrors as faults:
            context["faults"] = [_fault(fault) for fault in faults.errors[:SHOWN]]
            context["faults_more"] = max(len(faults.errors) - SHOWN, 0)
        except builds.VersionTaken as taken:
            form.add_error("version", str(taken))
        else:
            return redirect("crf:build-draft", code, draft.pk)
    return render_page(request, "crf/build_upload.html", context, status=422 if form.is_bound else 200)


def _uploaded(study: Study, form: UploadBuild, request: HttpRequest) -> BuildDraft:
    file = form.cleaned_data["file"]
    version = form.cleaned_data["version"]
    return build_uploads.upload(study=study, file_name=file.name, content=file.read(), version=version, by=request.user)


def _fault(fault: Any) -> dict[str, Any]:
    zh = language().startswith("zh")
    return {
        "file": fault.file,
        "line": fault.line,
        "item": fault.item,
        "reason": fault.message_zh if zh else fault.message,
        "remedy": fault.remedy_zh if zh else fault.remedy,
    }


@require_http_methods(["GET", "POST"])
def build_draft(request: HttpRequest, code: str, draft_id: int) -> HttpResponse:
    """A version under review: what it loses, changes and means for the records; then publish or discard it."""
    draft = draft_or_404(request, code, draft_id)
    if request.method == "POST":
        return _act(request, draft)
    definition = draft.study_definition
    old = _compared(draft.study, request.GET.get("from", ""))
    losses = [Loss(**loss) for loss in draft.losses]
    context: dict[str, Any] = {
        "draft": draft,
        "old": old,
        "others": StudyBuild.objects.filter(study=draft.study).order_by("-pk")[:SHOWN_VERSIONS] if old else [],
        "items": sum(len(form.questions) for form in definition.forms),
        "forms": len(definition.forms),
        "losses": [_loss(loss) for loss in losses[:SHOWN]],
        "losses_total": len(losses),
        "job": draft.weighing,
        **weight_page(definition, draft.weighing.result if draft.weighing else {}),
    }
    if old:
        changes = reads.changes_between(old, draft)
        context |= difference_page(definition, changes, request.GET.get("of", ""), request.GET.get("page"))
    return render_page(request, "crf/build_draft.html", context)


@require_safe
def draft_records(request: HttpRequest, code: str, draft_id: int) -> HttpResponse:
    """What the version under review would make of each record, value by value; nothing is written."""
    draft = draft_or_404(request, code, draft_id)
    context = {"draft": draft, **_preview(request, draft.study, draft.study_definition, draft.weighing)}
    return render_page(request, "crf/build_draft_records.html", context)


def _present(study: Study) -> StudyBuild | None:
    try:
        return current_build(study)
    except NoBuild:
        return None


def _compared(study: Study, wanted: str) -> StudyBuild | None:
    """The version that the address names, else the one released last: sites may have different ones."""
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) < 12
    found = StudyBuild.objects.filter(study=study, pk=int(wanted)).first() if is_number else None
    return found or _present(study)


def _act(request: HttpRequest, draft: BuildDraft) -> HttpResponse:
    act, code = request.POST.get("act", ""), draft.study.code
    if act == "discard":
        build_uploads.discard(draft=draft, by=request.user)
        messages.success(request, _("The upload is thrown away; no record was touched."))
        return redirect("crf:builds", code)
    if act == "weigh":
        build_uploads.weigh(draft=draft, by=request.user)
        return redirect("crf:build-draft", code, draft.pk)
    if act != "publish":
        return redirect("crf:build-draft", code, draft.pk)
    try:
        build = build_uploads.publish(draft=draft, by=request.user)
    except builds.VersionTaken as taken:
        messages.error(request, str(taken))
        return redirect("crf:build-draft", code, draft.pk)
    messages.success(
        request, _("Version %(version)s is published. No site uses it yet: release it.") % {"version": build.version}
    )
    return redirect("crf:build", code, build.pk)


def _loss(loss: Loss) -> dict[str, Any]:
    zh = language().startswith("zh")
    return {
        "fate": FATES[loss.fate][0 if zh else 1],
        "place": f"{loss.element} {loss.place}".strip(),
        "line": loss.line or "",
        "what": loss.what[:300],
        "why": loss.zh if zh else loss.en,
    }


@require_safe
def draft_losses(request: HttpRequest, code: str, draft_id: int) -> HttpResponse:
    """The whole loss report as a table."""
    draft = draft_or_404(request, code, draft_id)
    name = f"{draft.study.code}_{draft.version}_losses.csv"
    content = as_csv(Loss(**loss) for loss in draft.losses)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)


class ReleaseBuild(forms.Form):
    sites = forms.ModelMultipleChoiceField(
        queryset=None, widget=forms.CheckboxSelectMultiple(attrs=BOX), label=gettext_lazy("Sites")
    )
    approved_on = forms.DateField(
        label=gettext_lazy("Approved on"),
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The date of these sites' approval of this version."),
    )
    document = forms.CharField(
        label=gettext_lazy("Approval document"),
        max_length=releases.MAX_DOCUMENT,
        required=False,
        help_text=gettext_lazy("Its number or name, for example of the ethics committee's letter."),
    )

    def __init__(self, *args: Any, study: Study, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["sites"]
        field.queryset = study.sites.all()
        field.label_from_instance = lambda site: f"{site.code} {site.name}"


@require_http_methods(["GET", "POST"])
def release_build(request: HttpRequest, code: str, build_id: int) -> HttpResponse:
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_RELEASE)
    form = ReleaseBuild(request.POST or None, study=build.study)
    if form.is_valid():
        try:
            made = releases.release(build=build, by=request.user, **form.cleaned_data)
        except releases.ReleaseRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            words = {"version": build.version, "sites": ", ".join(one.site.code for one in made) or "—"}
            messages.success(request, _("Version %(version)s is released at: %(sites)s.") % words)
            return redirect("crf:build", code, build.pk)
    held = reads.in_force(build.study)
    context = {"build": build, "form": form, "in_force": [(s, held.get(s.pk)) for s in build.study.sites.all()]}
    return render_page(request, "crf/build_release.html", context, status=422 if form.is_bound else 200)


# -- migration ---------------------------------------------------------------------------------------------------------


class MigrateRecords(forms.Form):
    sites = forms.ModelMultipleChoiceField(
        queryset=None, widget=forms.CheckboxSelectMultiple(attrs=BOX), label=gettext_lazy("Sites")
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=migrate.MOST_REASON,
        help_text=gettext_lazy("It stands in the audit trail of every record."),
    )

    def __init__(self, *args: Any, build: StudyBuild, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["sites"]
        sites = [site.pk for site in build.study.sites.all() if migrate.is_in_force(build, site)]
        field.queryset = build.study.sites.filter(pk__in=sites)
        field.label_from_instance = lambda site: f"{site.code} {site.name}"


@require_http_methods(["GET", "POST"])
def migrate_records(request: HttpRequest, code: str, build_id: int) -> HttpResponse:
    """What bringing the records to this build would do, record by record; and do it, as a job."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_MIGRATE)
    form = MigrateRecords(request.POST or None, build=build)
    if form.is_valid():
        try:
            job = migrate.start(build=build, by=request.user, **form.cleaned_data)
        except migrate.MigrationRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("registry:job", code, job.pk)
    weighed = _weighed(request, build)
    context = {
        "build": build,
        "form": form,
        "waiting": _waiting(build),
        "job": weighed,
        **weight_page(build.study_definition, weighed.result if weighed else {}),
        **_preview(request, build.study, build.study_definition, weighed, build=build),
    }
    return render_page(request, "crf/build_migrate.html", context, status=422 if form.is_bound else 200)


def _waiting(build: StudyBuild) -> list[dict[str, Any]]:
    counts = reads.waiting_at_sites(build.study, build)
    return [
        {"site": site, "in_force": migrate.is_in_force(build, site), **counts.get(site.pk, {"records": 0})}
        for site in build.study.sites.all()
    ]


def _weighed(request: HttpRequest, build: StudyBuild) -> Job | None:
    """The weighing that the address names, if it is one of this study."""
    wanted = request.GET.get("weighing", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 12):
        return None
    found = Job.objects.visible_to(request.user).filter(study=build.study, kind="build.weigh", pk=int(wanted))
    return found.select_related("study", "requested_by").first()


def _preview(
    request: HttpRequest,
    study: Study,
    definition: StudyDefinition,
    weighed: Job | None,
    build: StudyBuild | None = None,
) -> dict[str, Any]:
    """Some subjects' records with what becomes of each, worked out as the page is asked for.

    Once they were weighed, of the subjects with something to look at unless the address asks for all.
    """
    visible = Subject.objects.visible_to(request.user, needs=Permission.RECORD_VIEW).filter(study=study)
    waiting = visible.filter(pk__in=migrate.subjects_waiting(study, build)).select_related("site", "group")
    touched = weighed.result.get("touched") if weighed else None
    chosen = touched is not None and "all" not in request.GET
    waiting = waiting.filter(pk__in=touched or []) if chosen else waiting
    page = Paginator(waiting.order_by("number"), SUBJECTS_PER_PAGE).get_page(request.GET.get("page"))
    steps: list[migrate.Step] = []
    for subject in page.object_list:
        subject.study = study
        steps += migrate.plan(subject=subject, definition=definition, build=build)
    return {"page": page, "steps": [_step(step) for step in steps], "may_choose": touched is not None, "chosen": chosen}


def _step(step: migrate.Step) -> dict[str, Any]:
    record, carried = step.record, step.carried
    return {
        "record": record,
        "left": step.left.of(language()) if step.left else "",
        "status": type(record).Status(step.status).label,
        "was": record.get_status_display(),
        "is_clean": carried is not None and carried.is_clean,
        "ends_signature": step.ends_signature,
        "ends_verification": step.ends_verification,
        "facts": _facts(step) if carried else [],
    }


def _facts(step: migrate.Step) -> list[dict[str, str]]:
    """What is not simply kept, one line a value."""
    carried, record = step.carried, step.record
    assert carried
    found = [("orphaned", place, _said(record, place, value), "") for place, value in carried.orphaned.items()]
    found += [("failed", place, _said(record, place), bad.of(language())) for place, bad in carried.failed.items()]
    found += [("reread", place, str(old), str(new)) for place, (old, new) in carried.reread.items()]
    found += [("derived", place, _plain(old), _plain(new)) for place, (old, new) in carried.derived.items()]
    found += [("finding", one.item, _said(record, one.item), one.message.of(language())) for one in carried.findings]
    return [{"kind": kind_word(kind), "item": item, "old": old, "new": new} for kind, item, old, new in found[:SHOWN]]


def _plain(value: Any) -> str:
    return "—" if value is None else str(value)


def _said(record: Any, place: str, value: Any = None) -> str:
    """A stored value in words, by the form that it was entered in."""
    value = value_at(record.data, place) if value is None else value
    form, study = record.study_definition.form(record.form), record.study_definition
    if not form.has(place):
        return _plain(value)
    item = form.item(place)
    return _plain(value) if item.type == "group" else display_value(item, study.codelist(item), value, language())


@require_POST
def weigh_build(request: HttpRequest, code: str, build_id: int) -> HttpResponse:
    """Work out what migrating all records would do; a job, whose result comes back to the page."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_MIGRATE)
    job = migrate.start_weighing(study=build.study, build=build, by=request.user)
    response = redirect("crf:migrate-records", code, build.pk)
    response["Location"] += f"?weighing={job.pk}"
    return response
