"""Predictions for subjects that a model has not seen: nested cross-validation, site by site, and a sealed holdout.

Every split passes raw rows to `Learner.develop`, which learns everything again: there is no way to hand over
something fitted beforehand, and no way to give a threshold.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analytics.learning.cohort import BadCohort, Cohort
from analytics.learning.development import FrozenModel, Learner, derived_seed, smallest_class, subject_folds

OnFold = Callable[[str], None]

PREDICTION_COLUMNS = [
    "subject",
    "predictor_set",
    "split",
    "fold",
    "repeat",
    "probability",
    "outcome",
    "linear_predictor",
    "threshold",
    "positive",
    "risk_group",
]


class HoldoutWasRead(RuntimeError):
    """A holdout is read once by each model; a second reading would let it be chosen by its result."""


@dataclass(frozen=True)
class Split:
    """Which rows develop and which are predicted; `kind` is cv, site or group."""

    kind: str
    fold: str
    repeat: int
    development: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class FoldReport:
    """What one split developed."""

    predictor_set: str
    split: str
    fold: str
    repeat: int
    developed_on: int
    events: int
    predicted: int
    inner_folds: int
    inner_auc: float
    threshold: float
    threshold_rule: str
    risk_cut: float
    chosen: dict[str, Any]
    coefficients: dict[str, float]  # of the selected features, per SD
    model_sha256: str


@dataclass(frozen=True)
class Validated:
    predictions: pd.DataFrame
    folds: tuple[FoldReport, ...]


def nested_cv(
    cohort: Cohort,
    learner: Learner,
    predictor_set: str,
    *,
    outer: int = 5,
    repeats: int = 1,
    on_fold: OnFold | None = None,
) -> Validated:
    """Each subject is predicted once per repeat, by a model developed on the other folds."""
    return validate(cohort, cv_splits(cohort, outer, repeats, learner.seed), learner, predictor_set, on_fold)


def leave_one_site_out(
    cohort: Cohort, learner: Learner, predictor_set: str, *, on_fold: OnFold | None = None
) -> Validated:
    """Each site is predicted by a model developed on all others."""
    return validate(cohort, site_splits(cohort), learner, predictor_set, on_fold)


def validate(
    cohort: Cohort, splits: Iterable[Split], learner: Learner, predictor_set: str, on_fold: OnFold | None = None
) -> Validated:
    """Evaluate the splits one after another; a worker may take any of them alone with `evaluate_split`."""
    parts = []
    for split in splits:
        parts.append(evaluate_split(cohort, split, learner, predictor_set))
        if on_fold:
            on_fold(f"{predictor_set}: {split.kind} {split.fold}")
    return Validated(pd.concat([table for table, _ in parts], ignore_index=True), tuple(fold for _, fold in parts))


def evaluate_split(
    cohort: Cohort, split: Split, learner: Learner, predictor_set: str
) -> tuple[pd.DataFrame, FoldReport]:
    """Develop on one side, predict the other."""
    development, test = cohort.rows(split.development), cohort.rows(split.test)
    if shared := set(development.subjects) & set(test.subjects):
        raise BadCohort(f"subject {min(shared)} is on both sides of the {split.kind} split {split.fold}")
    seed = derived_seed(learner.seed, split.kind, split.fold, split.repeat)
    model = replace(learner, seed=seed).develop(development)
    return predicted(model, test, split, predictor_set), report(model, split, predictor_set, len(set(test.subjects)))


def predicted(model: FrozenModel, test: Cohort, split: Split, predictor_set: str) -> pd.DataFrame:
    table = model.predict(test).assign(
        predictor_set=predictor_set, split=split.kind, fold=split.fold, repeat=split.repeat
    )
    return table[PREDICTION_COLUMNS]


def report(model: FrozenModel, split: Split, predictor_set: str, subjects: int) -> FoldReport:
    return FoldReport(
        predictor_set=predictor_set,
        split=split.kind,
        fold=split.fold,
        repeat=split.repeat,
        developed_on=len(model.development),
        events=int(model.development["outcome"].sum()),
        predicted=subjects,
        inner_folds=model.inner_folds,
        inner_auc=model.inner_auc,
        threshold=model.threshold,
        threshold_rule=model.threshold_rule,
        risk_cut=model.risk_cut,
        chosen=model.chosen,
        coefficients=model.coefficients(),
        model_sha256=model.sha256(),
    )


def cv_splits(cohort: Cohort, outer: int, repeats: int, seed: int) -> Iterator[Split]:
    """The same for every predictor set, so that their predictions can be compared pairwise."""
    if (rarer := smallest_class(cohort)) < outer:
        raise BadCohort(
            f"{outer} outer folds need {outer} subjects with and without the outcome, the rarer kind has {rarer}; "
            "lower validation.outer in the plan or wait for more subjects"
        )
    for repeat in range(1, repeats + 1):
        folds = subject_folds(cohort, outer, derived_seed(seed, "outer", repeat))
        for fold, (development, test) in enumerate(folds, start=1):
            yield Split("cv", str(fold), repeat, development, test)


def site_splits(cohort: Cohort) -> Iterator[Split]:
    sites = sorted(set(cohort.sites))
    if len(sites) < 2:
        raise BadCohort(f"leaving one site out needs two sites, there is {len(sites)}; use another validation")
    for site in sites:
        test = cohort.sites == site
        yield Split("site", str(site), 1, ~test, test)


class SealedHoldout:
    """A group kept apart from development. Opened only for a frozen model, once each, and every reading is counted."""

    def __init__(self, cohort: Cohort, group: str):
        chosen = cohort.groups == group
        if not chosen.any() or chosen.all():
            found = ", ".join(sorted(set(cohort.groups)))
            raise BadCohort(f"holdout group {group!r} must be a part of the cohort; its groups are: {found}")
        self.group = group
        self.development = cohort.rows(~chosen)
        self.readings: list[tuple[str, str]] = []  # predictor set, SHA-256 of the model that read
        self._split = Split("group", group, 1, ~chosen, chosen)
        self._sealed = cohort.rows(chosen)

    def read(self, model: FrozenModel, predictor_set: str) -> pd.DataFrame:
        """Predictions of `model` for the group; raises HoldoutWasRead at a second attempt for the same set."""
        if predictor_set in {name for name, _ in self.readings}:
            raise HoldoutWasRead(f"{self.group} has already been read for {predictor_set}; its result stands")
        self.readings.append((predictor_set, model.sha256()))
        return predicted(model, self._sealed, self._split, predictor_set)

    def report(self, model: FrozenModel, predictor_set: str) -> FoldReport:
        return report(model, self._split, predictor_set, len(set(self._sealed.subjects)))


def temporal_holdout(
    cohort: Cohort, learner: Learner, predictor_set: str, *, evaluate: str, on_fold: OnFold | None = None
) -> tuple[FrozenModel, Validated]:
    """Develop on everybody but the group `evaluate`, freeze model and threshold, then read that group once."""
    holdout = SealedHoldout(cohort, evaluate)
    model = learner.develop(holdout.development)
    predictions = holdout.read(model, predictor_set)
    if on_fold:
        on_fold(f"{predictor_set}: group {evaluate}")
    return model, Validated(predictions, (holdout.report(model, predictor_set),))


def selection_frequency(folds: Iterable[FoldReport], split: str = "cv") -> pd.DataFrame:
    """How often each feature was selected over the folds, with the mean of its coefficients where it was."""
    chosen = [fold for fold in folds if fold.split == split]
    rows = [
        {"predictor_set": fold.predictor_set, "feature": feature, "coefficient": value}
        for fold in chosen
        for feature, value in fold.coefficients.items()
    ]
    table = pd.DataFrame(rows, columns=["predictor_set", "feature", "coefficient"])
    counted = table.groupby(["predictor_set", "feature"], as_index=False).agg(
        times=("coefficient", "size"), mean_coefficient=("coefficient", "mean")
    )
    of = pd.Series([fold.predictor_set for fold in chosen], dtype=object).value_counts()
    counted["folds"] = counted["predictor_set"].map(of).astype(int)
    counted["share"] = counted["times"] / counted["folds"]
    order = ["predictor_set", "share", "feature"]
    return counted.sort_values(order, ascending=[True, False, True], ignore_index=True)
