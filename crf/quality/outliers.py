"""Values and sites that stand apart from the rest of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# 0.6745 is the 0.75 quantile of the normal distribution: MAD / 0.6745 estimates its standard deviation.
MAD_TO_SD = 0.6744897501960817
MEAN_DEVIATION_TO_SD = 1.2533141373155001  # sqrt(pi / 2)


@dataclass(frozen=True)
class Outlier:
    """One value far from the others: its index, its modified z-score, and where most values lie (as entered)."""

    index: int
    score: float
    low: float
    high: float
    is_log: bool


def outliers(values: Sequence[float], *, limit: float = 5.0, least: int = 20) -> list[Outlier]:
    """Values whose modified z-score exceeds `limit`; none where there are fewer than `least` values.

    Positive values are compared on the log scale where that makes them less skewed, as laboratory values are.
    `low` and `high` are the middle 95 % of the others by the same scale. Iglewicz & Hoaglin, How to Detect and Handle
    Outliers (1993), formula 3.10; where more than half of the values are equal the mean absolute deviation stands in.
    """
    entered = np.asarray(values, dtype=float)
    if entered.size < least:
        return []
    is_log = _is_log(entered)
    scale = np.log(entered) if is_log else entered
    centre, spread = float(np.median(scale)), _spread(scale)
    if spread == 0:
        return []
    scores = (scale - centre) / spread
    low, high = centre - 1.96 * spread, centre + 1.96 * spread
    limits = (float(np.exp(low)), float(np.exp(high))) if is_log else (low, high)
    return [Outlier(int(at), float(scores[at]), *limits, is_log) for at in np.flatnonzero(np.abs(scores) > limit)]


def _is_log(values: NDArray[Any]) -> bool:
    if values.min() <= 0 or values.min() == values.max():
        return False
    return bool(abs(stats.skew(np.log(values))) < abs(stats.skew(values)))


def _spread(values: NDArray[Any]) -> float:
    """The standard deviation as outliers can't bend it."""
    from_centre = np.abs(values - np.median(values))
    spread = float(np.median(from_centre)) / MAD_TO_SD
    return spread or float(np.mean(from_centre)) * MEAN_DEVIATION_TO_SD


@dataclass(frozen=True)
class SiteShift:
    """A site whose values lie elsewhere than those of the other sites."""

    site: str
    n: int
    median: float
    others_median: float
    p: float
    probability: float


def site_shifts(values: Sequence[float], sites: Sequence[str], *, p: float = 0.001, least: int = 20) -> list[SiteShift]:
    """Sites that differ from all others together: Mann-Whitney, Bonferroni over the sites tested.

    `probability` is that of a value of the site being above one of the others (0.5: no difference). Only clear shifts
    count: below 0.25 or above 0.75, since with many values every hospital differs a little.
    """
    entered, place = np.asarray(values, dtype=float), np.asarray(sites)
    counts = {str(site): int((place == site).sum()) for site in np.unique(place)}
    tested = [site for site, n in counts.items() if n >= least and entered.size - n >= least]
    found = []
    for site in tested:
        own, others = entered[place == site], entered[place != site]
        test = stats.mannwhitneyu(own, others, alternative="two-sided")
        above = float(test.statistic) / (own.size * others.size)
        corrected = min(1.0, float(test.pvalue) * len(tested))
        if corrected < p and not 0.25 <= above <= 0.75:
            found.append(SiteShift(site, own.size, float(np.median(own)), float(np.median(others)), corrected, above))
    return found
