"""Efron's partial likelihood and its derivatives, event time by event time."""

from dataclasses import dataclass

import numpy as np

from analytics.stats.inputs import Floats


@dataclass(frozen=True, slots=True)
class Derivatives:
    """At each distinct event time: sum of Schoenfeld residuals (k x p) and information (k x p x p)."""

    log_likelihood: float
    times: Floats
    residuals: Floats
    information: Floats


def derivatives(t: Floats, e: np.ndarray, x: Floats, beta: Floats) -> Derivatives:
    """Log partial likelihood at `beta` with its first and second derivatives (Efron 1977)."""
    order = np.argsort(t, kind="stable")
    t, e, x = t[order], e[order], x[order] - x.mean(axis=0)
    eta = x @ beta
    hazard = np.exp(eta)
    times = np.unique(t[e])
    first = np.searchsorted(t, times, side="left")
    moments = _moments(hazard, x)
    s0, s1, s2 = (_tail_sums(values)[first] for values in moments)
    likelihood, residuals, information = 0.0, np.empty_like(s1), np.empty_like(s2)
    for k, time in enumerate(times):
        dead = (t == time) & e
        d0, d1, d2 = (values[dead].sum(axis=0) for values in moments)
        share = np.arange(dead.sum()) / dead.sum()
        a0 = s0[k] - share * d0
        mean = (s1[k] - share[:, None] * d1) / a0[:, None]
        second = (s2[k] - share[:, None, None] * d2) / a0[:, None, None]
        likelihood += float(eta[dead].sum() - np.log(a0).sum())
        residuals[k] = x[dead].sum(axis=0) - mean.sum(axis=0)
        information[k] = (second - mean[:, :, None] * mean[:, None, :]).sum(axis=0)
    return Derivatives(likelihood, times, residuals, information)


def _moments(hazard: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    weighted = hazard[:, None] * x
    return hazard, weighted, weighted[:, :, None] * x[:, None, :]


def _tail_sums(values: Floats) -> Floats:
    return np.cumsum(values[::-1], axis=0)[::-1]
