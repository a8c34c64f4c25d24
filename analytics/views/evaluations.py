"""Evaluations: the list, the re-evaluate button, the numbers with their curves, the report."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from analytics.learning.plan import BadPlan
from analytics.models import Dataset, Evaluation
from analytics.results.compare import changes
from analytics.selectors import plans, presentation, reports, storage
from analytics.selectors.charts import charts
from analytics.selectors.datasets import listed
from analytics.services import evaluations
from registry.models import Job
from registry.permissions import Permission
from registry.web import render_page, study_or_404

LANGUAGES = evaluations.LANGUAGES


@require_safe
def list_evaluations(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.EVALUATION_VIEW)
    found = listed(Evaluation.objects.visible_to(request.user).filter(study=study))
    newest = Dataset.objects.visible_to(request.user).filter(study=study).select_related("rules").first()
    under_way = Job.objects.visible_to(request.user).filter(
        study=study, kind=evaluations.KIND, state__in=[Job.State.QUEUED, Job.State.RUNNING]
    )
    context = {
        "evaluations": found,
        "dataset": newest,
        "plans": plans.plans(newest.rules) if newest else (),
        "jobs": under_way.select_related("study", "requested_by"),
    }
    return render_page(request, "analytics/evaluation_list.html", context)


@require_POST
def start_evaluation(request: HttpRequest, code: str, dataset_id: int) -> HttpResponse:
    """Queue the run and go to its progress."""
    study = study_or_404(request, code, needs=Permission.EVALUATION_RUN)
    visible = Dataset.objects.visible_to(request.user).select_related("study", "build", "rules")
    dataset = get_object_or_404(visible, study=study, pk=dataset_id)
    try:
        evaluations.start(dataset=dataset, plan=request.POST.get("plan", ""), by=request.user)
    except BadPlan as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("The evaluation has started; it goes on when you leave this page."))
    return redirect("analytics:evaluations", code)


@require_safe
def evaluation(request: HttpRequest, code: str, evaluation_id: int) -> HttpResponse:
    found = _evaluation_or_404(request, code, evaluation_id)
    context = reports.context(found, storage.folder(found.folder), _language())
    drawn = charts(found.results)
    for split in context["splits"]:
        split["charts"] = drawn[split["code"]]
    for one in context["survival"]:
        one["charts"] = [chart for chart in drawn["survival"] if chart["code"] == one["code"]]
    return render_page(request, "analytics/evaluation.html", context | _comparison(found))


def _comparison(found: Evaluation) -> dict[str, Any]:
    previous = found.previous
    if previous is None:
        return {}
    what = {
        _("another dataset"): previous.dataset.hash != found.dataset.hash,
        _("another plan"): previous.plan_hash != found.plan_hash,
        _("other software"): previous.software != found.software,
    }
    changed = [name for name, differs in what.items() if differs] or [_("same dataset, plan and software")]
    rows = presentation.compared(changes(found.results, previous.results))
    primary = found.results["primary"]
    return {
        "changes": rows,
        "primary_changes": [row for row in rows if (row["set"], row["split"]) == (primary["set"], primary["split"])],
        "what_changed": changed,
        "previous_hash": previous.dataset.hash,
        "previous_source": f"{previous.dataset} · sha256 {previous.dataset.short_hash}",
    }


@require_safe
def report(request: HttpRequest, code: str, evaluation_id: int) -> HttpResponse:
    """The report inside the site: figures as images, style as a file, as the CSP asks."""
    found = _evaluation_or_404(request, code, evaluation_id)
    return HttpResponse(reports.render(found, storage.folder(found.folder), _language(), standalone=False))


@require_safe
def report_file(request: HttpRequest, code: str, evaluation_id: int, language: str) -> FileResponse:
    """The report as it was written when the evaluation ended: one file, complete in itself."""
    found = _evaluation_or_404(request, code, evaluation_id)
    name = f"{code.lower()}-evaluation-{found.pk}-{language}.html"
    return _file(found, language, f"report.{language}.html", as_attachment=True, filename=name)


@require_safe
def figure(request: HttpRequest, code: str, evaluation_id: int, language: str, name: str) -> FileResponse:
    found = _evaluation_or_404(request, code, evaluation_id)
    return _file(found, language, f"figures/{language}/{name}.svg", content_type="image/svg+xml")


def _file(found: Evaluation, language: str, name: str, **options: Any) -> FileResponse:
    path = storage.folder(found.folder) / name
    if language not in LANGUAGES or not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), **options)


def _language() -> str:
    return "en" if (get_language() or "").startswith("en") else "zh-hans"


def _evaluation_or_404(request: HttpRequest, code: str, evaluation_id: int) -> Evaluation:
    study = study_or_404(request, code, needs=Permission.EVALUATION_VIEW)
    related = ("dataset__signature", "dataset__build", "study", "previous__dataset")
    visible = Evaluation.objects.visible_to(request.user).select_related(*related)
    return get_object_or_404(visible, study=study, pk=evaluation_id)
