"""Reads of datasets, and what an evaluation comes to in a few numbers."""

from __future__ import annotations

from typing import Any

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
