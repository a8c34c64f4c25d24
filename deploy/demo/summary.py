"""What the demo made, counted in the database and read from the reports."""

from __future__ import annotations

from typing import Any

from analytics.models import Dataset, Evaluation, FeatureSet
from crf.models import Record
from imaging.models import Instance, Segmentation, Series
from registry.models import Study, Subject
from registry.services import seals


def summary(studies: list[Study], seconds: dict[str, float]) -> dict[str, Any]:
    """The JSON of `demo --json`: counts, datasets with hash, evaluations with AUC, the audit's verification."""
    return {
        "synthetic": True,
        "studies": {study.code: _study(study) for study in studies},
        "audit": seals.verify().as_json(),
        "seconds": seconds,
    }


def _study(study: Study) -> dict[str, Any]:
    features = FeatureSet.objects.filter(study=study)
    return {
        "subjects": Subject.objects.filter(study=study).count(),
        "records": Record.objects.filter(subject__study=study).count(),
        "series": Series.objects.filter(study=study).count(),
        "instances": Instance.objects.filter(study=study).count(),
        "segmentations": Segmentation.objects.current().filter(series__study=study).count(),
        "feature_sets": features.count(),
        "features": sum(len(values) for values in features.values_list("values", flat=True)),
        "datasets": [_dataset(one) for one in Dataset.objects.filter(study=study).order_by("pk")],
        "evaluations": [_evaluation(one) for one in Evaluation.objects.filter(study=study).order_by("pk")],
    }


def _dataset(one: Dataset) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "hash": one.hash, "exceptions": one.exceptions}


def _evaluation(one: Evaluation) -> dict[str, Any]:
    about = {"plan": one.plan, "dataset": one.dataset.hash, "outcome": one.results["plan"]["outcome"]}
    auc = {
        split: {model["name"]: _value(model["auc"]) for model in found["evaluation"]["models"]}
        for split, found in one.results["splits"].items()
    }
    return about | one.results["headline"] | {"auc_by_split": auc}


def _value(estimate: dict[str, Any] | None) -> float | None:
    return estimate.get("value") if estimate else None
