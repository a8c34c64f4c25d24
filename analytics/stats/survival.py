"""Everything a reviewer asks of a survival comparison, in one result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.cox import Covariates, CoxModel, ProportionalHazards, cox, proportional_hazards
from analytics.stats.inputs import DegenerateInput, Estimate, Floats, Unavailable, attempt, follow_up
from analytics.stats.kaplan_meier import (
    SurvivalAt,
    SurvivalCurve,
    curves_by_group,
    median_follow_up,
    numbers_at_risk,
    survival_at,
)
from analytics.stats.log_rank import LogRank, PairwiseLogRank, log_rank, pairwise_log_rank


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Numbers at risk under the plot, a row per group."""

    times: tuple[float, ...]
    rows: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class SurvivalReport:
    """All curves, the comparison of groups, and follow-up. `groups` is {"all": curve} without a grouping."""

    groups: dict[str, SurvivalCurve]
    at_risk: AtRisk
    survival_at: dict[str, tuple[SurvivalAt, ...]]
    median_follow_up: Estimate
    log_rank: LogRank | Unavailable | None
    pairwise: tuple[PairwiseLogRank, ...] | Unavailable
    hazard_ratios: CoxModel | Unavailable | None
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class Regression:
    """A Cox model and the test of its assumption."""

    model: CoxModel
    proportional_hazards: ProportionalHazards | Unavailable


def summarise(
    time: ArrayLike,
    event: ArrayLike,
    *,
    group: Sequence[object] | None = None,
    group_name: str = "group",
    order: Sequence[str] = (),
    times: Sequence[float] = (),
    interval: str = "log-log",
) -> SurvivalReport:
    """Kaplan-Meier by group with log-rank test and hazard ratios against the first group of `order`.

    `times` are those of the at-risk table and of survival; by default about six round ones.
    """
    t, e = follow_up(time, event)
    y = e.astype(float)
    labels = ["all"] * t.size if group is None else [str(label) for label in group]
    unsorted = curves_by_group(t, y, labels, interval=interval)
    groups = {name: unsorted[name] for name in _ordered(unsorted, order)}
    ticks = np.array(times, dtype=float) if len(times) else round_times(t.max())
    at_risk = {name: numbers_at_risk(t[m], y[m], ticks) for name in groups if (m := np.array(labels) == name).any()}
    several = len(groups) > 1
    return SurvivalReport(
        groups=groups,
        at_risk=AtRisk(tuple(ticks.tolist()), at_risk),
        survival_at={name: _read(curve, ticks) for name, curve in groups.items()},
        median_follow_up=median_follow_up(t, y, interval=interval),
        log_rank=attempt(log_rank, t, y, labels) if several else None,
        pairwise=attempt(pairwise_log_rank, t, y, labels) if len(groups) > 2 else (),
        hazard_ratios=attempt(cox, t, y, {group_name: labels}, levels={group_name: list(groups)}) if several else None,
        n=t.size,
        events=int(e.sum()),
    )


def regress(
    time: ArrayLike,
    event: ArrayLike,
    covariates: Covariates,
    *,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Regression:
    """Cox model of the covariates and the score test of proportional hazards (km transform)."""
    model = cox(time, event, covariates, levels=levels)
    return Regression(model, attempt(proportional_hazards, time, event, covariates, levels=levels))


def ordered_levels(labels: Sequence[str], reference: str | None = None) -> list[str]:
    """Levels in numeric order where all are numbers, else alphabetical; `reference` first."""
    found = set(labels)
    if reference is not None and reference not in found:
        raise DegenerateInput(
            f"reference {reference!r} does not occur; found {', '.join(sorted(found))}",
            f"参照水平{reference!r}不存在;现有{', '.join(sorted(found))}",
        )
    try:
        order = sorted(found, key=float)
    except ValueError:
        order = sorted(found)
    return order if reference is None else [reference, *(label for label in order if label != reference)]


def round_times(longest: float, *, count: int = 6) -> Floats:
    """About `count` round times from 0 to the longest follow-up."""
    if longest <= 0:
        return np.array([0.0])
    raw = longest / count
    scale = 10 ** np.floor(np.log10(raw))
    step = next(scale * m for m in (1, 2, 2.5, 3, 5, 6, 10) if scale * m >= raw * 0.999)
    return np.arange(0, longest + step * 1e-9, step)


def _ordered(groups: Mapping[str, SurvivalCurve], order: Sequence[str]) -> list[str]:
    return list(order) if set(order) == set(groups) else ordered_levels(list(groups))


def _read(curve: SurvivalCurve, times: Floats) -> tuple[SurvivalAt, ...]:
    """Survival at the times that this group's follow-up reaches."""
    return tuple(survival_at(curve, float(time)) for time in times if time <= curve.times[-1])
