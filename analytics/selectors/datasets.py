"""Reads of datasets, and what an evaluation comes to in a few numbers."""

from __future__ import annotations

from typing import Any

from analytics.models import Dataset, Evaluation
from registry.models import Study


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
