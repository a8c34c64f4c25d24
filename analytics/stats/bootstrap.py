"""Percentile bootstrap of any statistic of an outcome and its predictions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import DegenerateInput, Estimate, binary_outcome, numbers, same_length


def percentile_interval(
    statistic: Callable[..., float],
    outcome: ArrayLike,
    *columns: ArrayLike,
    replicates: int = 2000,
    seed: int = 20240101,
    level: float = 0.95,
) -> Estimate:
    """`statistic(outcome, *columns)` with a stratified percentile interval; replicates that do not exist are refused.

    Sampling is within events and within non-events, so every replicate keeps both classes.
    """
    y = binary_outcome(outcome)
    data = [numbers(column, f"column {i}") for i, column in enumerate(columns, 1)]
    same_length(outcome=y.astype(float), **{f"column {i}": column for i, column in enumerate(data, 1)})
    rng, strata = np.random.default_rng(seed), [np.flatnonzero(y), np.flatnonzero(~y)]
    draws = np.empty(replicates)
    for b in range(replicates):
        rows = np.concatenate([rng.choice(stratum, stratum.size) for stratum in strata])
        draws[b] = _replicate(statistic, y[rows], [column[rows] for column in data])
    if np.isnan(draws).mean() > 0.05:
        raise DegenerateInput(
            "the statistic does not exist in more than 5% of the bootstrap samples; the sample is too small",
            "超过5%的自助样本中该统计量不存在;样本量过小",
        )
    lo, hi = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    note = "" if not np.isnan(draws).any() else f"{int(np.isnan(draws).sum())} of {replicates} replicates undefined"
    value = float(statistic(y, *data))
    return Estimate(value, float(lo), float(hi), "bootstrap-percentile", y.size, int(y.sum()), level=level, note=note)


def _replicate(statistic: Callable[..., float], y: np.ndarray, columns: list[np.ndarray]) -> float:
    try:
        return float(statistic(y, *columns))
    except DegenerateInput:
        return float("nan")
