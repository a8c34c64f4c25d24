"""Which evaluations there are of a plan, and whether its inputs have changed since."""

from __future__ import annotations

from analytics.learning.plan import Plan
from analytics.models import Dataset, Evaluation
from analytics.selectors import features
from analytics.snapshots import manifest
from analytics.snapshots.software import versions


def inputs(dataset: Dataset, plan: Plan) -> str:
    """The hash of all that the numbers depend on: content, plan, features (their keys name the engine), software."""
    return manifest.digest([dataset.hash, plan.sha256(), features.keys_for(dataset, plan), versions()])


def is_current(dataset: Dataset, plan: Plan) -> bool:
    """Whether an evaluation of these very inputs exists."""
    runs = Evaluation.objects.filter(study=dataset.study, plan=plan.code)
    return runs.filter(inputs=inputs(dataset, plan)).exists()


def last(dataset: Dataset, plan: Plan) -> Evaluation | None:
    """The run before: of the same plan, on any version of the same dataset."""
    return Evaluation.objects.filter(study=dataset.study, plan=plan.code, dataset__name=dataset.name).first()
