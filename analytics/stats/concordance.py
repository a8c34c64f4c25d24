"""Concordance of a risk score with survival."""

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, follow_up, numbers, same_length


def harrell_c(time: ArrayLike, event: ArrayLike, risk: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Harrell's C, higher `risk` meaning earlier events; infinitesimal-jackknife SE, as R survival::concordance."""
    t, e, r = _columns(time, event, risk)
    return _estimate(t, e, r, np.ones(t.size), "harrell", level)


def uno_c(time: ArrayLike, event: ArrayLike, risk: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Uno's C: event times weighted by 1/G(t-)^2, G the censoring distribution, as concordance(timewt="n/G2").

    The SE treats G as known.
    """
    t, e, r = _columns(time, event, risk)
    return _estimate(t, e, r, _censoring_survival_before(t, e) ** -2.0, "uno", level)


def _columns(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> tuple[Floats, np.ndarray, Floats]:
    t, e = follow_up(time, event)
    r = numbers(risk, "risk")
    same_length(time=t, risk=r)
    return t, e, r


def _estimate(t: Floats, e: np.ndarray, r: Floats, weight: Floats, method: str, level: float) -> Estimate:
    score, pairs = np.zeros(t.size), np.zeros(t.size)
    for i in np.flatnonzero(e):
        # Comparable with an event: who lives longer, or is censored at the same time.
        later = (t > t[i]) | ((t == t[i]) & ~e)
        concordant = np.where(r[i] > r, 1.0, np.where(r[i] == r, 0.5, 0.0)) * later
        score += weight[i] * concordant
        pairs += weight[i] * later
        score[i] += weight[i] * concordant.sum()
        pairs[i] += weight[i] * later.sum()
    total = pairs.sum() / 2
    if total == 0:
        raise DegenerateInput(
            "no two subjects can be compared: no event precedes another follow-up",
            "没有可比较的受试者对:无事件早于其他人的随访",
        )
    value = float(score.sum() / 2 / total)
    se = float(np.sqrt((((score - value * pairs) / total) ** 2).sum()))
    half = confidence(level) * se
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), method, t.size, int(e.sum()), se, level)


def _censoring_survival_before(t: Floats, e: np.ndarray) -> Floats:
    """Kaplan-Meier of censoring just before each subject's time; deaths leave before censorings at tied times."""
    times = np.unique(t)
    at_risk = t.size - np.searchsorted(np.sort(t), times, side="left")
    index = np.searchsorted(times, t)
    deaths, censored = np.bincount(index[e], minlength=times.size), np.bincount(index[~e], minlength=times.size)
    after = np.cumprod(1 - censored / np.maximum(at_risk - deaths, 1))
    return np.r_[1.0, after[:-1]][index]
