"""From raw predictors to a probability: one scikit-learn Pipeline that holds every learned step."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from analytics.learning.plan import PipelineSettings
from analytics.learning.transformers import CorrelationFilter, LassoFilter, UnivariateFilter, VarianceFilter

FINAL = {"model__tol": 1e-7, "model__max_iter": 50_000}  # the model that is kept is solved to the digits


def build(frame: pd.DataFrame, settings: PipelineSettings, seed: int) -> Pipeline:
    """Unfitted pipeline for these columns; only their names and types are looked at."""
    steps: list[tuple[str, Any]] = [
        ("columns", _columns(frame, settings)),
        ("varies", VarianceFilter()),
        ("scale", StandardScaler()),
    ]
    if settings.correlation is not None:
        steps.append(("uncorrelated", CorrelationFilter(settings.correlation)))
    if settings.select == "univariate":
        steps.append(("select", UnivariateFilter()))
    if settings.select == "lasso":
        steps.append(("select", LassoFilter(random_state=seed)))
    # saga is the solver that is glmnet's model: elastic net, intercept not penalised
    model = LogisticRegression(solver="saga", l1_ratio=0.5, tol=1e-3, max_iter=2000, random_state=seed)
    return Pipeline([*steps, ("model", model)])


def grid(columns: int, settings: PipelineSettings) -> list[dict[str, Any]]:
    """What the inner folds choose from, the simplest first, so that ties go to the simplest."""
    penalties = product(sorted(settings.penalty), settings.l1_ratio)
    models = [{"model__C": c, "model__l1_ratio": ratio} for c, ratio in penalties]
    choices: list[dict[str, Any]] = [{}]
    if settings.select == "univariate":
        # with 6 columns, the best 10 and the best 20 are the same model
        sizes = sorted({min(k, max(columns, 1)) for k in settings.features})
        choices = [{"select__k": k} for k in sizes]
    if settings.select == "lasso":
        choices = [{"select__C": c} for c in sorted(settings.lasso)]
    return [choice | model for choice, model in product(choices, models)]


def settle(model: LogisticRegression, outcome: np.ndarray) -> LogisticRegression:
    """The fitted model; where the penalty left no coefficient, its intercept is the log-odds of the outcome.

    saga judges by the coefficients whether it has arrived: with none of them it stops with the intercept on its way.
    """
    if not model.coef_.any():
        model.intercept_ = np.array([logit(outcome.mean())])
    return model


def coefficients(pipeline: Pipeline) -> dict[str, float]:
    """Non-zero coefficients per standard deviation, by column (`column=code` for a category)."""
    names = pipeline[:-1].get_feature_names_out()
    return {str(name): float(value) for name, value in zip(names, pipeline[-1].coef_[0], strict=True) if value}


def _columns(frame: pd.DataFrame, settings: PipelineSettings) -> ColumnTransformer:
    numeric = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    categorical = [name for name in frame.columns if name not in set(numeric)]
    impute = SimpleImputer(strategy=settings.impute, add_indicator=settings.indicator, keep_empty_features=True)
    encode = Pipeline(
        [
            ("missing", SimpleImputer(strategy="constant", fill_value="missing")),
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False, feature_name_combiner=_equals)),
        ]
    )
    parts = [("numbers", impute, numeric), ("categories", encode, categorical)]
    return ColumnTransformer([part for part in parts if part[2]], verbose_feature_names_out=False)


def _equals(column: str, code: object) -> str:
    return f"{column}={code}"
