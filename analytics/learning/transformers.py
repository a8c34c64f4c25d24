"""Selection steps of the pipeline; each learns from the rows it is fitted on and nothing else."""

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from analytics.learning.cohort import BadCohort


class _Selector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's selector contract: `_support` decides which columns stay."""

    support_: np.ndarray

    def fit(self, X: Any, y: Any = None) -> "_Selector":
        values = validate_data(self, X, dtype=float)
        self.support_ = self._support(values, None if y is None else np.asarray(y))
        return self

    @abstractmethod
    def _support(self, values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
        """Which columns stay, one truth value each."""

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_


class VarianceFilter(_Selector):
    """Drops what is constant; raises BadCohort where nothing else is left."""

    def _support(self, values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
        varies = np.ptp(values, axis=0) > 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0))
        if not varies.any():
            raise BadCohort("no predictor of this set varies among the development subjects; check the dataset")
        return varies


class CorrelationFilter(_Selector):
    """Of two columns with |r| above `threshold`, keeps the one that separates the outcome better."""

    def __init__(self, threshold: float = 0.9):
        self.threshold = threshold

    def _support(self, values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
        related = np.abs(np.atleast_2d(np.corrcoef(values, rowvar=False))) > self.threshold
        strength = _separation(values, outcome) if outcome is not None else np.zeros(values.shape[1])
        kept = np.zeros(values.shape[1], dtype=bool)
        for column in np.argsort(-strength, kind="stable"):
            kept[column] = not (related[column] & kept).any()
        return kept


class UnivariateFilter(_Selector):
    """Keeps the `k` columns that separate the outcome best (F test), or all where there are fewer."""

    def __init__(self, k: int = 10):
        self.k = k

    def _support(self, values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
        kept = np.zeros(values.shape[1], dtype=bool)
        kept[np.argsort(-_separation(values, outcome), kind="stable")[: self.k]] = True
        return kept


class LassoFilter(_Selector):
    """Keeps the columns with a coefficient in an L1-penalised logistic model; at least the strongest one."""

    def __init__(self, C: float = 0.3, random_state: int = 0):
        self.C = C
        self.random_state = random_state

    def _support(self, values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
        # saga, because liblinear penalises the intercept
        model = LogisticRegression(
            C=self.C, l1_ratio=1.0, solver="saga", tol=1e-4, max_iter=5000, random_state=self.random_state
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            kept = model.fit(values, outcome).coef_[0] != 0
        if not kept.any():
            kept[np.argmax(_separation(values, outcome))] = True
        return kept


def _separation(values: np.ndarray, outcome: np.ndarray | None) -> np.ndarray:
    with np.errstate(all="ignore"):
        strength = f_classif(values, outcome)[0]
    return np.where(np.isnan(strength), 0.0, strength)
