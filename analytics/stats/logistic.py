"""Unpenalised logistic regression of a few columns, for recalibration."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, xlogy

from analytics.stats.inputs import DegenerateInput, Floats

ITERATIONS = 50


@dataclass(frozen=True, slots=True)
class LogisticFit:
    coefficients: Floats
    standard_errors: Floats
    log_likelihood: float


def log_likelihood(y: np.ndarray, probability: Floats) -> float:
    """Bernoulli log-likelihood; minus infinity where a certain prediction was wrong."""
    return float(np.sum(xlogy(y, probability) + xlogy(1 - y, 1 - probability)))


def fit(y: np.ndarray, design: Floats, offset: Floats) -> LogisticFit:
    """Maximum likelihood by Newton's method; refuses separated or collinear data, which have no maximum."""
    beta = np.zeros(design.shape[1])
    for _ in range(ITERATIONS):
        p = expit(design @ beta + offset)
        information = design.T @ (design * (p * (1 - p))[:, None])
        step = _solve(information, design.T @ (y - p))
        # A full Newton step can overshoot from a bad start; a log-odds step above 5 is never needed at once.
        beta = beta + step * min(1.0, 5 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-10:
            return _finished(y, design, offset, beta)
    raise _no_maximum()


def _finished(y: np.ndarray, design: Floats, offset: Floats, beta: Floats) -> LogisticFit:
    p = expit(design @ beta + offset)
    information = design.T @ (design * (p * (1 - p))[:, None])
    variance = _solve(information, np.eye(len(beta)))
    return LogisticFit(beta, np.sqrt(np.diag(variance)), log_likelihood(y, p))


def _solve(information: Floats, right: Floats) -> Floats:
    if not np.all(np.isfinite(information)) or np.linalg.cond(information) > 1e14:
        raise _no_maximum()
    return np.asarray(np.linalg.solve(information, right), dtype=float)


def _no_maximum() -> DegenerateInput:
    return DegenerateInput(
        "the logistic recalibration has no finite solution: the predictions separate events from non-events, "
        "or do not vary",
        "逻辑回归再校准无有限解:预测值完全区分了事件与非事件,或没有变化",
    )
