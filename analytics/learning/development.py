"""Develop a model on some subjects: search, threshold and risk cut from predictions for subjects it hadn't seen."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from analytics.learning import pipelines
from analytics.learning.cohort import BadCohort, Cohort, tidy
from analytics.learning.plan import PipelineSettings, ThresholdRule
from analytics.stats.roc import threshold_at_sensitivity, youden_threshold


@dataclass(frozen=True)
class FrozenModel:
    """A fitted pipeline with its threshold and risk cut: nothing about it changes when it reads new subjects."""

    pipeline: Pipeline
    columns: tuple[str, ...]
    threshold: float  # positive: probability >= threshold
    threshold_rule: str
    risk_cut: float  # high risk: probability > risk_cut, the median of development
    chosen: dict[str, float]
    inner_auc: float
    inner_folds: int
    development: pd.DataFrame  # subject, outcome, probability out of fold

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray:
        """One per row; raises BadCohort where a column is missing."""
        if missing := [name for name in self.columns if name not in frame.columns]:
            raise BadCohort(f"the model needs the column {missing[0]}; add it, empty where unknown")
        return expit(self.pipeline.decision_function(tidy(frame[list(self.columns)])))

    def predict(self, cohort: Cohort) -> pd.DataFrame:
        """One row per subject (the mean of its rows): probability, outcome, positive, risk group."""
        table = per_subject(cohort, self.probabilities(cohort.frame))
        table["linear_predictor"] = logit(table["probability"].clip(1e-15, 1 - 1e-15))
        table["threshold"] = self.threshold
        table["positive"] = (table["probability"] >= self.threshold).astype(int)
        table["risk_group"] = np.where(table["probability"] > self.risk_cut, "high", "low")
        return table

    def coefficients(self) -> dict[str, float]:
        return pipelines.coefficients(self.pipeline)

    def sha256(self) -> str:
        """Of the specification and of what it predicts for its development subjects."""
        content = {
            "columns": self.columns,
            "cuts": [self.threshold, self.threshold_rule, self.risk_cut],
            "intercept": float(self.pipeline[-1].intercept_[0]),
            "coefficients": self.coefficients(),
            "chosen": self.chosen,
            "development": self.development.to_dict("list"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Learner:
    """How a model is developed; the same for every part of a validation."""

    settings: PipelineSettings
    threshold: ThresholdRule
    inner: int
    seed: int

    def develop(self, cohort: Cohort) -> FrozenModel:
        """Search the grid in inner folds, set the cuts from their predictions, fit on all of `cohort`."""
        folds = min(self.inner, smallest_class(cohort))
        if folds < 2:
            raise BadCohort("development needs at least 2 subjects with and 2 without the outcome; add subjects")
        pipeline = pipelines.build(cohort.frame, self.settings, self.seed)
        grid = pipelines.grid(cohort.frame.shape[1], self.settings)
        with threadpool_limits(1), warnings.catch_warnings(), config_context(skip_parameter_validation=True):
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores, unseen = search(pipeline, grid, cohort, folds, self.seed)
            best = int(np.argmax(scores))
            pipeline = clone(pipeline).set_params(**grid[best], **pipelines.FINAL)
            pipelines.settle(pipeline.fit(cohort.frame, cohort.outcome)[-1], cohort.outcome)
        development = per_subject(cohort, expit(unseen[best]))
        value, rule = self._cut(development)
        return FrozenModel(
            pipeline=pipeline,
            columns=tuple(cohort.frame.columns),
            threshold=value,
            threshold_rule=rule,
            risk_cut=float(development["probability"].median()),
            chosen=grid[best],
            inner_auc=float(scores[best]),
            inner_folds=folds,
            development=development,
        )

    def _cut(self, development: pd.DataFrame) -> tuple[float, str]:
        outcome, probability = development["outcome"].to_numpy(), development["probability"].to_numpy()
        if np.ptp(probability) == 0:
            return float(probability[0]), "constant"
        if self.threshold.rule == "sensitivity":
            found = threshold_at_sensitivity(outcome, probability, self.threshold.value or 0.0)
        else:
            found = youden_threshold(outcome, probability)
        return float(found.value), found.rule


def search(
    pipeline: Pipeline, grid: list[dict[str, Any]], cohort: Cohort, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean AUC of each choice over the inner folds, and its log-odds for each row when that row was left out."""
    areas = np.zeros((len(grid), folds))
    unseen = np.zeros((len(grid), len(cohort.outcome)))
    for fold, (train, test) in enumerate(subject_folds(cohort, folds, derived_seed(seed, "inner"))):
        prepared = _Prepared(pipeline, cohort.frame[train], cohort.outcome[train], cohort.frame[test])
        for index, choice in enumerate(grid):
            unseen[index, test] = prepared.scores(choice)
        areas[:, fold] = aucs(cohort.outcome[test], unseen[:, test])
    return areas.mean(axis=1), unseen


def aucs(outcome: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUC of each row of `scores`, from rank sums; many at once, where one call per choice would take half the time."""
    events = outcome == 1
    ranks = rankdata(scores, axis=1)[:, events].sum(axis=1)
    return (ranks - events.sum() * (events.sum() + 1) / 2) / (events.sum() * (~events).sum())


class _Prepared:
    """One inner fold. Steps that several choices share are fitted once, on its development rows only."""

    def __init__(self, pipeline: Pipeline, train: pd.DataFrame, outcome: np.ndarray, test: pd.DataFrame):
        self._pipeline, self._train, self._outcome, self._test = pipeline, train, outcome, test
        self._done: dict[tuple, tuple[Any, Any]] = {}

    def scores(self, choice: dict[str, Any]) -> np.ndarray:
        """Log-odds of the test rows."""
        train, test, key = self._train, self._test, ()
        for name, step in self._pipeline.steps[:-1]:
            own = _own(name, choice)
            key = (*key, name, *own.items())
            if key not in self._done:
                fresh = clone(step).set_params(**own)
                self._done[key] = (fresh.fit_transform(train, self._outcome), fresh.transform(test))
            train, test = self._done[key]
        name, model = self._pipeline.steps[-1]
        fitted = clone(model).set_params(**_own(name, choice)).fit(train, self._outcome)
        return pipelines.settle(fitted, self._outcome).decision_function(test)


def _own(step: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(f"{step}__"): value for key, value in choice.items() if key.startswith(f"{step}__")}


def subject_folds(cohort: Cohort, folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Development and test rows of each fold; all rows of a subject fall on one side. Row order doesn't matter."""
    table = cohort.per_subject()
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for _, test in splitter.split(table, table["outcome"]):
        chosen = np.isin(cohort.subjects, table["subject"].to_numpy()[test])
        yield ~chosen, chosen


def per_subject(cohort: Cohort, probabilities: np.ndarray) -> pd.DataFrame:
    """Mean probability and outcome of each subject, in the order of their numbers."""
    table = pd.DataFrame({"subject": cohort.subjects, "outcome": cohort.outcome, "probability": probabilities})
    return table.groupby("subject", as_index=False).agg({"outcome": "first", "probability": "mean"})


def smallest_class(cohort: Cohort) -> int:
    """Subjects in the rarer class; 0 where there is only one."""
    counts = cohort.per_subject()["outcome"].value_counts()
    return int(counts.min()) if len(counts) == 2 else 0


def derived_seed(seed: int, *parts: object) -> int:
    """A seed for one part of the work, the same on every machine and in any order of the parts."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
