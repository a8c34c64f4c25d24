"""Follow a plan on a cohort: every predictor set, nested cross-validation, then the holdout, then the final model."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analytics.learning.cohort import Cohort
from analytics.learning.development import FrozenModel, Learner
from analytics.learning.plan import Plan
from analytics.learning.validation import (
    FoldReport,
    Validated,
    leave_one_site_out,
    nested_cv,
    selection_frequency,
    temporal_holdout,
)

OnFold = Callable[[str], None]


@dataclass(frozen=True)
class PlanResult:
    """Predictions of all sets and splits, what each fold developed, and one frozen model per set."""

    predictions: pd.DataFrame
    folds: tuple[FoldReport, ...]
    models: dict[str, FrozenModel]
    frequency: pd.DataFrame
    plan_sha256: str


def selected(cohort: Cohort, plan: Plan) -> Cohort:
    """The groups and sites that the plan names."""
    chosen = [not plan.cohort.groups or group in plan.cohort.groups for group in cohort.groups]
    wanted = [not plan.cohort.sites or site in plan.cohort.sites for site in cohort.sites]
    return cohort.rows(pd.Series(chosen).to_numpy(dtype=bool) & pd.Series(wanted).to_numpy(dtype=bool))


def steps(cohort: Cohort, plan: Plan) -> int:
    """How many times `run` will call `on_fold`, for a progress bar."""
    holdout = plan.validation.holdout
    extra = 0 if holdout is None else 1 if holdout.group else len(set(selected(cohort, plan).sites))
    final = 0 if holdout and holdout.group else 1
    return len(plan.predictors) * (plan.validation.outer * plan.validation.repeats + extra + final)


def run(cohort: Cohort, plan: Plan, on_fold: OnFold | None = None) -> PlanResult:
    """Raises BadPlan where a column is missing and BadCohort where the subjects are too few."""
    people = selected(cohort, plan)
    columns = {name: plan.columns(name, people.frame.columns) for name in plan.predictors}
    results = {name: _one_set(people.only(own), plan, name, on_fold) for name, own in columns.items()}
    folds = tuple(fold for _, parts in results.values() for part in parts for fold in part.folds)
    tables = [part.predictions for _, parts in results.values() for part in parts]
    return PlanResult(
        predictions=pd.concat(tables, ignore_index=True),
        folds=folds,
        models={name: model for name, (model, _) in results.items()},
        frequency=selection_frequency(folds),
        plan_sha256=plan.sha256(),
    )


def _one_set(cohort: Cohort, plan: Plan, name: str, on_fold: OnFold | None) -> tuple[FrozenModel, list[Validated]]:
    learner = Learner(plan.pipeline, plan.threshold, plan.validation.inner, plan.seed)
    holdout = plan.validation.holdout
    development = cohort.rows(cohort.groups != holdout.group) if holdout and holdout.group else cohort
    parts = [
        nested_cv(
            development,
            learner,
            name,
            outer=plan.validation.outer,
            repeats=plan.validation.repeats,
            on_fold=on_fold,
        )
    ]
    if holdout and holdout.group:
        model, read = temporal_holdout(cohort, learner, name, evaluate=holdout.group, on_fold=on_fold)
        return model, [*parts, read]
    if holdout and holdout.site:
        parts.append(leave_one_site_out(cohort, learner, name, on_fold=on_fold))
    model = learner.develop(cohort)
    if on_fold:
        on_fold(f"{name}: final model")
    return model, parts
