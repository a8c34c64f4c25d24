"""Log-rank comparison of survival between groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from analytics.stats.inputs import DegenerateInput, Floats, follow_up
from analytics.stats.multiplicity import adjust


@dataclass(frozen=True, slots=True)
class GroupEvents:
    name: str
    n: int
    observed: float
    expected: float


@dataclass(frozen=True, slots=True)
class LogRank:
    """`rho` 0 is the log-rank test, 1 Peto-Peto; observed and expected carry that weight."""

    chi2: float
    df: int
    p: float
    rho: float
    stratified: bool
    groups: tuple[GroupEvents, ...]


@dataclass(frozen=True, slots=True)
class PairwiseLogRank:
    first: str
    second: str
    test: LogRank
    p_adjusted: float
    adjustment: str


def log_rank(
    time: ArrayLike,
    event: ArrayLike,
    group: Sequence[object],
    *,
    rho: float = 0.0,
    strata: Sequence[object] | None = None,
) -> LogRank:
    """G-rho family test (Harrington and Fleming 1982), stratified where `strata` is given, as R survdiff."""
    t, e = follow_up(time, event)
    labels = _labels(group, t.size, "group")
    names = list(dict.fromkeys(labels.tolist()))
    if len(names) < 2:
        raise DegenerateInput(
            f"the log-rank test needs two groups or more, not only {names[0]!r}",
            f"对数秩检验至少需要两组,目前仅有{names[0]!r}",
        )
    if not e.any():
        raise DegenerateInput(
            "no event was observed; the log-rank test does not exist", "未观察到事件,无法进行对数秩检验"
        )
    strata_labels = np.zeros(t.size, dtype=int) if strata is None else _labels(strata, t.size, "strata")
    codes = np.array([names.index(label) for label in labels])
    parts = [
        _stratum(t[rows], e[rows], codes[rows], len(names), rho)
        for rows in (strata_labels == s for s in np.unique(strata_labels))
    ]
    observed, expected, variance = (np.sum(column, axis=0) for column in zip(*parts, strict=True))
    statistic = _statistic(observed - expected, variance)
    counts = np.bincount(codes)
    groups = (
        GroupEvents(n, int(c), float(o), float(x)) for n, c, o, x in zip(names, counts, observed, expected, strict=True)
    )
    df = len(names) - 1
    return LogRank(statistic, df, float(chi2.sf(statistic, df)), rho, strata is not None, tuple(groups))


def pairwise_log_rank(
    time: ArrayLike, event: ArrayLike, group: Sequence[object], *, adjustment: str = "holm"
) -> tuple[PairwiseLogRank, ...]:
    """Every pair of groups, p values adjusted ("holm" or "bh"), as R survminer::pairwise_survdiff."""
    t, e = follow_up(time, event)
    labels = _labels(group, t.size, "group")
    pairs = list(combinations(dict.fromkeys(labels.tolist()), 2))
    tests = []
    for pair in pairs:
        rows = np.isin(labels, pair)
        tests.append(log_rank(t[rows], e[rows].astype(float), labels[rows].tolist()))
    adjusted = adjust([test.p for test in tests], method=adjustment).tolist() if tests else []
    return tuple(
        PairwiseLogRank(a, b, test, p, adjustment) for (a, b), test, p in zip(pairs, tests, adjusted, strict=True)
    )


def _labels(values: Sequence[object], size: int, name: str) -> np.ndarray:
    labels = np.array([str(value) for value in values])
    if labels.size != size:
        raise DegenerateInput(
            f"lengths differ: time {size}, {name} {labels.size}", f"长度不一致:时间{size},{name} {labels.size}"
        )
    return labels


def _stratum(t: Floats, e: np.ndarray, codes: np.ndarray, k: int, rho: float) -> tuple[Floats, Floats, Floats]:
    """Weighted observed, expected and covariance over the event times of one stratum."""
    times = np.unique(t[e])
    if not times.size:
        return np.zeros(k), np.zeros(k), np.zeros((k, k))
    at_risk = np.stack([_at_risk(t[codes == g], times) for g in range(k)])
    index = np.searchsorted(times, t[e])
    deaths = np.stack([np.bincount(index[codes[e] == g], minlength=times.size) for g in range(k)])
    n, d = at_risk.sum(axis=0), deaths.sum(axis=0)
    # Survival just before each event time, so that the weight does not depend on the deaths it weights.
    weight = np.r_[1.0, np.cumprod(1 - d / n)[:-1]] ** rho
    share = at_risk / n
    spread = weight**2 * np.divide(d * (n - d), n - 1, out=np.zeros(times.size), where=n > 1)
    variance = np.diag(share @ spread) - (share * spread) @ share.T
    return deaths @ weight, share @ (weight * d), variance


def _at_risk(t: Floats, times: Floats) -> np.ndarray:
    return t.size - np.searchsorted(np.sort(t), times, side="left")


def _statistic(difference: Floats, variance: Floats) -> float:
    """Quadratic form over all groups but the last, which the others determine."""
    v, u = variance[:-1, :-1], difference[:-1]
    if np.linalg.matrix_rank(v) < len(u):
        raise DegenerateInput(
            "a group is never at risk together with another at an event time; leave it out",
            "某组在事件时间上从未与其他组同时处于风险中;请剔除该组",
        )
    return float(u @ np.linalg.solve(v, u))
