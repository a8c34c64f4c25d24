"""Datasets: the list, the lock with what stands in its way, one dataset and its verification."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from analytics.forms import LockForm
from analytics.models import Dataset
from analytics.selectors import plans, readiness
from analytics.selectors.datasets import FAULT_NAMES, listed
from analytics.services import datasets
from registry.models import Study
from registry.permissions import Permission
from registry.services.signatures import WrongPassword
from registry.web import render_page, study_or_404


@require_safe
def list_datasets(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.DATASET_VIEW)
    found = Dataset.objects.visible_to(request.user).filter(study=study).select_related("locked_by", "build")
    return render_page(request, "analytics/dataset_list.html", {"datasets": found})


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("password")
def lock_dataset(request: HttpRequest, code: str) -> HttpResponse:
    """What is open, then the signature. A refusal comes back on the same page and nothing is locked."""
    study = study_or_404(request, code, needs=Permission.DATASET_LOCK)
    ready = datasets.preflight(study=study, by=request.user)
    form = LockForm(request.POST or None, readiness=ready)
    if form.is_valid() and (dataset := _locked(request, study, form)):
        messages.success(request, _("%(dataset)s is locked and signed.") % {"dataset": dataset})
        return redirect("analytics:dataset", code, dataset.pk)
    kinds = [(kind, readiness.KINDS[kind], ready.of(kind)) for kind in ready.counts]
    context = {"form": form, "ready": ready, "kinds": kinds}
    return render_page(request, "analytics/dataset_lock.html", context, status=422 if form.errors else 200)


def _locked(request: HttpRequest, study: Study, form: LockForm) -> Dataset | None:
    name, password = form.cleaned_data["name"], form.cleaned_data["password"]
    try:
        return datasets.lock(study=study, name=name, password=password, exceptions=form.exceptions, by=request.user)
    except WrongPassword as problem:
        form.add_error("password", str(problem))
    except datasets.LockRefused as problem:
        form.add_error(None, str(problem))
    return None


@require_safe
def dataset(request: HttpRequest, code: str, dataset_id: int) -> HttpResponse:
    found = _dataset_or_404(request, code, dataset_id)
    context = {
        "dataset": found,
        "tables": found.manifest["content"]["tables"],
        "counts": found.manifest["content"]["counts"],
        "files": dict(sorted(found.manifest["files"].items())),
        "exceptions": [(readiness.KINDS.get(kind, kind), why) for kind, why in found.exceptions.items()],
        "software": dict(sorted(found.manifest["origin"]["software"].items())),
        "plans": plans.plans(found.rules),
        "evaluations": listed(found.evaluations.visible_to(request.user)),
    }
    return render_page(request, "analytics/dataset.html", context)


@require_safe
def dataset_manifest(request: HttpRequest, code: str, dataset_id: int) -> HttpResponse:
    found = _dataset_or_404(request, code, dataset_id)
    return JsonResponse(found.manifest, json_dumps_params={"indent": 1, "ensure_ascii": False})


@require_POST
def verify_dataset(request: HttpRequest, code: str, dataset_id: int) -> HttpResponse:
    found = _dataset_or_404(request, code, dataset_id)
    faults = datasets.verify(dataset=found, by=request.user)
    for fault in faults:
        messages.error(request, f"{fault.file}: {FAULT_NAMES[fault.code]}")
    if not faults:
        messages.success(request, _("Every file has the hash that was signed."))
    return redirect("analytics:dataset", code, found.pk)


def _dataset_or_404(request: HttpRequest, code: str, dataset_id: int) -> Dataset:
    study = study_or_404(request, code, needs=Permission.DATASET_VIEW)
    visible = Dataset.objects.visible_to(request.user).select_related(
        "study", "build", "rules", "locked_by", "signature"
    )
    return get_object_or_404(visible, study=study, pk=dataset_id)
