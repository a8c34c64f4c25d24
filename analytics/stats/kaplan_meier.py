"""Kaplan-Meier survival, its median, numbers at risk and follow-up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, follow_up, numbers

INTERVALS = ("log-log", "log", "plain")
# Two survival probabilities this close are one: 1 - 0.5 computed along different products.
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """Product-limit estimate with Greenwood's SE; one entry per distinct time, from time 0.

    Who is censored at an event time is still at risk then. `interval` names the confidence
    interval (R's default is "log"); limits are NaN once survival is 0. `median` is the time at which
    survival falls to 0.5, NaN where it is not reached.
    """

    times: tuple[float, ...]
    survival: tuple[float, ...]
    se: tuple[float, ...]
    lo: tuple[float, ...]
    hi: tuple[float, ...]
    at_risk: tuple[int, ...]
    events: tuple[int, ...]
    censored: tuple[int, ...]
    median: Estimate
    interval: str
    level: float
    n: int
    n_events: int


@dataclass(frozen=True, slots=True)
class SurvivalAt:
    """Survival at one time; `at_risk` counts follow-up of at least that time."""

    time: float
    survival: Estimate
    at_risk: int


@dataclass(frozen=True, slots=True)
class RestrictedMean:
    """Mean survival time up to `horizon`, interval normal with the Greenwood-type SE."""

    estimate: Estimate
    horizon: float


def kaplan_meier(time: ArrayLike, event: ArrayLike, *, interval: str = "log-log", level: float = 0.95) -> SurvivalCurve:
    """Survival curve, as R survfit(conf.type=interval)."""
    t, e = follow_up(time, event)
    if interval not in INTERVALS:
        raise DegenerateInput(
            f"interval {interval!r}: use one of {', '.join(INTERVALS)}", f"未知的区间类型{interval!r}"
        )
    times = np.union1d([0.0], t)
    at_risk, deaths, censored = _counts(t, e, times)
    left = np.maximum(at_risk, 1)
    survival = np.cumprod(1 - deaths / left)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_se = np.sqrt(np.cumsum(deaths / (left * (left - deaths))))
        lo, hi = _limits(survival, log_se, interval, confidence(level))
        se = survival * log_se
    middle, earliest, latest = (_quantile(times, curve, 0.5) for curve in (survival, lo, hi))
    n, n_events = t.size, int(e.sum())
    return SurvivalCurve(
        times=tuple(times.tolist()),
        survival=tuple(survival.tolist()),
        se=tuple(se.tolist()),
        lo=tuple(lo.tolist()),
        hi=tuple(hi.tolist()),
        at_risk=tuple(at_risk.tolist()),
        events=tuple(deaths.tolist()),
        censored=tuple(censored.tolist()),
        median=Estimate(middle, earliest, latest, f"brookmeyer-crowley/{interval}", n, n_events, level=level),
        interval=interval,
        level=level,
        n=n,
        n_events=n_events,
    )


def survival_at(curve: SurvivalCurve, time: float) -> SurvivalAt:
    """Read the curve at `time`; beyond the last follow-up survival is unknown and refused."""
    if not 0 <= time <= curve.times[-1]:
        raise DegenerateInput(
            f"time {time:g} lies outside the follow-up (0 to {curve.times[-1]:g}); choose a time inside it",
            f"时间{time:g}超出随访范围(0至{curve.times[-1]:g});请选择范围内的时间",
        )
    k = int(np.searchsorted(curve.times, time, side="right")) - 1
    later = int(np.searchsorted(curve.times, time, side="left"))
    value = Estimate(
        curve.survival[k], curve.lo[k], curve.hi[k], curve.interval, curve.n, curve.n_events, curve.se[k], curve.level
    )
    return SurvivalAt(float(time), value, curve.at_risk[later])


def numbers_at_risk(time: ArrayLike, event: ArrayLike, at: ArrayLike) -> tuple[int, ...]:
    """How many have follow-up of at least each time of `at`: the row under a survival plot."""
    t, _ = follow_up(time, event)
    return tuple((t.size - np.searchsorted(np.sort(t), numbers(at, "at"), side="left")).tolist())


def median_follow_up(time: ArrayLike, event: ArrayLike, *, interval: str = "log-log") -> Estimate:
    """Reverse Kaplan-Meier (Schemper and Smith 1996): censoring is the event; NaN where not reached."""
    t, e = follow_up(time, event)
    return kaplan_meier(t, (~e).astype(float), interval=interval).median


def restricted_mean(time: ArrayLike, event: ArrayLike, horizon: float, *, level: float = 0.95) -> RestrictedMean:
    """Area under the curve up to `horizon`, as R print(survfit, rmean=); the last follow-up must reach it."""
    curve = kaplan_meier(time, event)
    last_is_event = curve.survival[-1] == 0
    if not horizon > 0 or (horizon > curve.times[-1] and not last_is_event):
        raise DegenerateInput(
            f"horizon {horizon:g} lies beyond the follow-up of {curve.times[-1]:g}",
            f"时间界{horizon:g}超出随访{curve.times[-1]:g}",
        )
    times, survival = np.array(curve.times), np.array(curve.survival)
    inside = times < horizon
    steps = np.diff(np.r_[times[inside], horizon])
    area = steps * survival[inside]
    after = area[::-1].cumsum()[::-1]
    deaths, left = np.array(curve.events)[inside], np.array(curve.at_risk)[inside]
    # Area still to come after each death time, times Greenwood's increment there.
    increment = np.divide(deaths, left * (left - deaths), out=np.zeros(deaths.size), where=left > deaths)
    se = float(np.sqrt(np.sum(after**2 * increment)))
    value, half = float(area.sum()), confidence(level) * se
    return RestrictedMean(
        Estimate(value, value - half, value + half, "greenwood", curve.n, curve.n_events, se, level), float(horizon)
    )


def curves_by_group(
    time: ArrayLike, event: ArrayLike, group: Sequence[object], *, interval: str = "log-log"
) -> dict[str, SurvivalCurve]:
    """One curve per group, in the order of first appearance."""
    t, e = follow_up(time, event)
    labels = np.array([str(label) for label in group])
    if labels.size != t.size:
        raise DegenerateInput(
            f"lengths differ: time {t.size}, group {labels.size}", f"长度不一致:{t.size}与{labels.size}"
        )
    return {
        name: kaplan_meier(t[labels == name], e[labels == name].astype(float), interval=interval)
        for name in dict.fromkeys(labels.tolist())
    }


def _counts(t: Floats, e: np.ndarray, times: Floats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at_risk = t.size - np.searchsorted(np.sort(t), times, side="left")
    index = np.searchsorted(times, t)
    deaths = np.bincount(index[e], minlength=times.size)
    return at_risk, deaths, np.bincount(index[~e], minlength=times.size)


def _limits(survival: Floats, log_se: Floats, interval: str, z: float) -> tuple[Floats, Floats]:
    if interval == "plain":
        half = z * survival * log_se
        lo, hi = survival - half, survival + half
    elif interval == "log":
        lo, hi = survival * np.exp(-z * log_se), survival * np.exp(z * log_se)
    else:
        half = z * log_se / np.log(survival)
        centre = np.log(-np.log(survival))
        lo, hi = np.exp(-np.exp(centre - half)), np.exp(-np.exp(centre + half))
    certain = survival == 1
    unknown = survival <= 0
    lo, hi = np.where(certain, 1.0, np.clip(lo, 0, 1)), np.where(certain, 1.0, np.clip(hi, 0, 1))
    return np.where(unknown, np.nan, lo), np.where(unknown, np.nan, hi)


def _quantile(times: Floats, curve: Floats, level: float) -> float:
    """First time at or below `level`; the middle of the step where the curve rests exactly on it, as R."""
    reached = np.flatnonzero(curve <= level + SAME)
    if not reached.size:
        return float("nan")
    below = np.flatnonzero(curve < level - SAME)
    end = (
        times[below[0]] if below.size else (times[-1] if abs(curve[reached[0]] - level) <= SAME else times[reached[0]])
    )
    return float((times[reached[0]] + end) / 2) if abs(curve[reached[0]] - level) <= SAME else float(times[reached[0]])
