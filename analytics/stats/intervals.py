"""Confidence intervals of proportions."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from analytics.stats.inputs import DegenerateInput, confidence


@dataclass(frozen=True, slots=True)
class Interval:
    lo: float
    hi: float
    method: str
    level: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """`count` of `total`, with the exact (Clopper-Pearson) and the Wilson interval."""

    value: float
    count: int
    total: int
    exact: Interval
    wilson: Interval


def clopper_pearson(count: int, total: int, *, level: float = 0.95) -> Interval:
    """Exact interval (Clopper and Pearson 1934), as R binom.test."""
    _check(count, total)
    alpha = 1 - level
    lo = 0.0 if count == 0 else float(beta.ppf(alpha / 2, count, total - count + 1))
    hi = 1.0 if count == total else float(beta.ppf(1 - alpha / 2, count + 1, total - count))
    return Interval(lo, hi, "clopper-pearson", level)


def wilson(count: int, total: int, *, level: float = 0.95) -> Interval:
    """Score interval (Wilson 1927) without continuity correction, as R prop.test(correct=FALSE)."""
    _check(count, total)
    z, p = confidence(level), count / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    # At 0 and n the limits are 0 and 1 exactly; rounding would miss them by an ulp.
    lo = 0.0 if count == 0 else float(centre - half)
    hi = 1.0 if count == total else float(centre + half)
    return Interval(lo, hi, "wilson", level)


def proportion(count: int, total: int, *, level: float = 0.95) -> Proportion:
    """`count` / `total` with both intervals."""
    exact = clopper_pearson(count, total, level=level)
    return Proportion(count / total, int(count), int(total), exact, wilson(count, total, level=level))


def _check(count: int, total: int) -> None:
    if total <= 0:
        raise DegenerateInput("a proportion needs at least one subject", "比例至少需要一名受试者")
    if not 0 <= count <= total:
        raise DegenerateInput(f"count {count} does not lie in 0-{total}", f"计数{count}不在0-{total}之内")
