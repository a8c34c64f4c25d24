"""The results of an evaluation as one JSON document, with the statistics behind it for the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analytics.learning.plan import Plan
from analytics.learning.run import PlanResult
from analytics.results import summary
from analytics.stats.evaluation import Evaluation
from analytics.stats.inputs import DegenerateInput
from analytics.stats.plain import as_plain
from analytics.stats.survival import SurvivalReport

FREQUENT = 30  # features listed by how often they were selected


@dataclass(frozen=True)
class Built:
    results: dict[str, Any]
    evaluations: dict[str, Evaluation]
    survival: dict[str, SurvivalReport]


def build(plan: Plan, result: PlanResult, survival: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> Built:
    """`facts` (outcome, flow, readers, missing values …) go into the document as they are."""
    sets = list(plan.predictors)
    splits = summary.splits_of(result.predictions)
    found = {split: summary.evaluated(summary.subjects(result.predictions, split), sets) for split in splits}
    curves, reports = _survival(plan, result, survival, splits)
    results = {
        **facts,
        "sets": sets,
        "primary": {"set": plan.primary_set, "split": splits[-1]},
        "splits": {split: _split(result, split, one) for split, one in found.items()},
        "survival": reports,
        "models": summary.models(result),
        "frequency": result.frequency.groupby("predictor_set").head(FREQUENT).to_dict("records"),
        "folds": as_plain(result.folds),
    }
    results["headline"] = summary.headline(results)
    return Built(as_plain(results), found, curves)


def _split(result: PlanResult, split: str, found: Evaluation) -> dict[str, Any]:
    return {"evaluation": as_plain(found), "parts": summary.parts(result.predictions, split)}


def _survival(
    plan: Plan, result: PlanResult, endpoints: Mapping[str, pd.DataFrame], splits: list[str]
) -> tuple[dict[str, SurvivalReport], dict[str, Any]]:
    """By the risk that models gave to subjects they had not seen: the group of each subject is known at time zero."""
    curves, reports = {}, {}
    split = "site" if "site" in splits else splits[-1]
    for code, endpoint in endpoints.items():
        try:
            report, more = summary.survival(result.predictions, endpoint, plan.primary_set, split)
        except DegenerateInput as reason:
            reports[code] = {"unavailable": reason.en, "unavailable_zh": reason.zh}
            continue
        curves[code] = report
        reports[code] = {"split": split, "set": plan.primary_set, "report": as_plain(report), **more}
    return curves, reports
