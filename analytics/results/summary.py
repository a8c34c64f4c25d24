"""The numbers of one evaluation, computed from its stored predictions and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analytics.learning.development import FrozenModel
from analytics.learning.run import PlanResult
from analytics.stats import classification, roc
from analytics.stats.concordance import harrell_c
from analytics.stats.evaluation import Cutoff, Evaluation, ModelEvaluation, evaluate
from analytics.stats.inputs import DegenerateInput, attempt
from analytics.stats.plain import as_plain
from analytics.stats.survival import SurvivalReport, regress, summarise

# Splits in the order of what they prove: resampling, then other hospitals, then later patients.
SPLITS = ("cv", "site", "group")
LOW, HIGH = "low", "high"


def subjects(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """One row per subject and predictor set of a split: repeats averaged, the frozen thresholds' calls kept."""
    rows = predictions[predictions["split"] == split]
    grouped = rows.groupby(["predictor_set", "subject"], sort=True, as_index=False)
    means = grouped.agg(
        outcome=("outcome", "first"),
        probability=("probability", "mean"),
        positive=("positive", "mean"),
        high=("risk_group", lambda groups: (groups == HIGH).mean()),
        fold=("fold", "first"),
    )
    means["positive"] = (means["positive"] >= 0.5).astype(int)
    means["risk_group"] = means["high"].ge(0.5).map({True: HIGH, False: LOW})
    return means.drop(columns="high")


def splits_of(predictions: pd.DataFrame) -> list[str]:
    present = set(predictions["split"])
    return [split for split in SPLITS if split in present]


def evaluated(table: pd.DataFrame, sets: list[str]) -> Evaluation:
    """All predictor sets in the same subjects. Accuracy is at the thresholds that development fixed, never searched."""
    wide = table.pivot(index="subject", columns="predictor_set", values="probability")[sets]
    outcome = table.drop_duplicates("subject").set_index("subject")["outcome"].reindex(wide.index)
    found = evaluate(outcome.to_numpy(), {name: wide[name].to_numpy() for name in sets}, threshold=0.5)
    models = tuple(_at_fixed_thresholds(model, table) for model in found.models)
    return replace(found, models=models)


def _at_fixed_thresholds(model: ModelEvaluation, table: pd.DataFrame) -> ModelEvaluation:
    own = table[table["predictor_set"] == model.name]
    counted = classification.confusion_table(own["outcome"].to_numpy(), own["positive"].to_numpy(dtype=float), 0.5)
    called = classification.classify(replace(counted, threshold=None))
    return replace(model, classification=called, threshold=Cutoff(float("nan"), "fixed on development, fold by fold"))


def parts(predictions: pd.DataFrame, split: str) -> list[dict[str, Any]]:
    """AUC of each predictor set in each site or fold of a split, with its n: heterogeneity at a glance."""
    rows = predictions[(predictions["split"] == split) & (predictions["repeat"] == 1)]
    found = []
    for (name, fold), own in rows.groupby(["predictor_set", "fold"], sort=True):
        area = attempt(roc.auc, own["outcome"].to_numpy(), own["probability"].to_numpy())
        counts = {"n": len(own), "events": int(own["outcome"].sum()), "threshold": float(own["threshold"].iloc[0])}
        found.append({"set": name, "part": str(fold), **counts, "auc": as_plain(area)})
    return found


def survival(
    predictions: pd.DataFrame, endpoint: pd.DataFrame, predictor_set: str, split: str
) -> tuple[SurvivalReport, dict[str, Any]]:
    """Kaplan-Meier, log-rank and Cox by predicted risk. Raises DegenerateInput where nobody has follow-up."""
    table = subjects(predictions, split)
    own = table[table["predictor_set"] == predictor_set].set_index("subject")
    joined = own.join(endpoint, how="inner").dropna(subset=["months"])
    if joined.empty:
        raise DegenerateInput("no subject has follow-up for this endpoint", "没有受试者具有该终点的随访")
    time, event = joined["months"].to_numpy(), joined["event"].to_numpy()
    order = [name for name in (LOW, HIGH) if name in set(joined["risk_group"])]
    report = summarise(time, event, group=joined["risk_group"].tolist(), group_name="risk", order=order)
    probability = joined["probability"].to_numpy()
    more = {
        "per_tenth": as_plain(attempt(regress, time, event, {"risk_per_0.1": probability * 10})),
        "concordance": as_plain(attempt(harrell_c, time, event, probability)),
    }
    return report, more


def models(result: PlanResult) -> dict[str, Any]:
    return {name: _model(model) for name, model in result.models.items()}


def _model(model: FrozenModel) -> dict[str, Any]:
    return {
        "threshold": model.threshold,
        "threshold_rule": model.threshold_rule,
        "risk_cut": model.risk_cut,
        "columns": len(model.columns),
        "chosen": dict(model.chosen),
        "coefficients": dict(sorted(model.coefficients().items(), key=lambda pair: -abs(pair[1]))),
        "developed_on": len(model.development),
        "sha256": model.sha256(),
    }


def headline(results: Mapping[str, Any]) -> dict[str, Any]:
    """The primary set's AUC with CI, sensitivity and specificity in the strongest split there is."""
    split, name = results["primary"]["split"], results["primary"]["set"]
    found = results["splits"][split]["evaluation"]
    model = next(one for one in found["models"] if one["name"] == name)
    called = model["classification"] or {}
    about = {"set": name, "split": split, "n": found["n"], "events": found["events"]}
    return about | {
        "auc": estimate(model["auc"]),
        "sensitivity": proportion(called.get("sensitivity")),
        "specificity": proportion(called.get("specificity")),
        "accuracy": proportion(called.get("accuracy")),
    }


def estimate(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """{value, lo, hi} of an estimate, None where it could not be computed."""
    if not found or "value" not in found:
        return None
    return {name: found[name] for name in ("value", "lo", "hi")}


def proportion(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """{value, lo, hi} of a proportion with its exact (Clopper-Pearson) interval."""
    if not found:
        return None
    return {"value": found["value"], "lo": found["exact"]["lo"], "hi": found["exact"]["hi"]}
