"""Reads of datasets, and what an evaluation comes to in a few numbers."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy

from analytics.models import Dataset, Evaluation
from analytics.selectors import storage
from analytics.snapshots import manifest
from analytics.snapshots.manifest import Fault
from registry.models import Study


def faults(dataset: Dataset) -> list[Fault]:
    """What is not as it was locked: files, tables, or the hash that the signature binds."""
    found = manifest.verify(storage.folder(dataset.folder), dataset.manifest)
    if {dataset.hash, dataset.signature.digest} != {dataset.manifest["hash"]}:
        found.append(Fault("database", "hash", "the signed hash is not the manifest's"))
    return found


FAULT_NAMES = {
    "missing": gettext_lazy("the file is gone"),
    "altered": gettext_lazy("the file is not the one that was locked"),
    "extra": gettext_lazy("this file was not locked"),
    "unreadable": gettext_lazy("it can't be read"),
    "content": gettext_lazy("its content is not what was locked"),
    "hash": gettext_lazy("the hash is not the one that was signed"),
    "manifest": gettext_lazy("it is not the manifest that was signed"),
}


def listed(evaluations: QuerySet[Evaluation]) -> QuerySet[Evaluation]:
    """With `headline` and `title` and without the whole results, which are hundreds of kilobytes each."""
    found = evaluations.select_related("dataset")
    found = found.annotate(headline=F("results__headline"), title=F("results__plan__title"))
    return found.defer("results", "dataset__manifest")


def newest(study: Study) -> list[Dataset]:
    """The latest version of each dataset of the study."""
    found: dict[str, Dataset] = {}
    for one in Dataset.objects.filter(study=study).select_related("study", "build", "rules").order_by("version"):
        found[one.name] = one
    return list(found.values())


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation's headline: AUC with its interval, sensitivity, specificity, and the dataset they come from."""
    about = evaluation.results["headline"]
    return {
        "evaluation": evaluation.pk,
        "plan": evaluation.plan,
        "dataset": {"id": evaluation.dataset_id, "name": str(evaluation.dataset), "hash": evaluation.dataset.hash},
        **about,
    }
