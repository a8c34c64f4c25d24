"""Calibration: do predicted probabilities agree with what was observed?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import chi2, norm

from analytics.stats import logistic
from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, predicted_outcome
from analytics.stats.intervals import Proportion, proportion
from analytics.stats.smoothing import loess, lowess


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Logistic recalibration. `intercept` is calibration-in-the-large (slope fixed at 1; ideal 0), `slope` ideal 1.

    `joint_intercept` belongs to `slope`; the likelihood-ratio test asks intercept = 0 and slope = 1 at once (2 df).
    """

    intercept: Estimate
    slope: Estimate
    joint_intercept: float
    likelihood_ratio: float
    p: float
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class BrierScore:
    """Mean squared error of the probabilities; `scaled` is 1 - Brier / (prevalence (1 - prevalence))."""

    brier: Estimate
    scaled: float
    log_loss: float
    spiegelhalter_z: float
    spiegelhalter_p: float


@dataclass(frozen=True, slots=True)
class RiskGroup:
    """Subjects of one quantile group of predicted risk; the bounds include `upper`, and `lower` in the first group."""

    lower: float
    upper: float
    n: int
    events: int
    expected: float
    predicted_mean: float
    observed: Proportion


@dataclass(frozen=True, slots=True)
class HosmerLemeshow:
    """`df` is groups - 2 where the model was developed on these data, and groups on external data."""

    chi2: float
    df: int
    p: float
    dataset: str
    groups: tuple[RiskGroup, ...]


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Smoothed observed risk (loess, span 0.75, degree 2) at the sorted predictions, with its distances.

    ICI, E50, E90, Emax: mean, median, 90th percentile, maximum of |smoothed - predicted| (Austin and Steyerberg 2019).
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    ici: float
    e50: float
    e90: float
    emax: float
    smoother: str
    groups: tuple[RiskGroup, ...]
    n: int
    events: int


def recalibration(outcome: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> Recalibration:
    """Intercept and slope with Wald intervals, as glm and rms::val.prob; needs probabilities strictly inside 0-1."""
    y, p = predicted_outcome(outcome, probability)
    certain = int(((p == 0) | (p == 1)).sum())
    if certain:
        raise DegenerateInput(
            f"{certain} predictions are exactly 0 or 1, whose log-odds are infinite; intercept and slope do not exist",
            f"{certain}个预测值恰为0或1,其对数优势为无穷大,校准截距与斜率不存在",
        )
    lp, ones = logit(p), np.ones((p.size, 1))
    large = logistic.fit(y, ones, lp)
    joint = logistic.fit(y, np.column_stack([ones, lp]), np.zeros_like(lp))
    statistic = 2 * (joint.log_likelihood - logistic.log_likelihood(y, p))
    shared = {"n": y.size, "events": int(y.sum())}
    return Recalibration(
        intercept=_wald(large, 0, level, **shared),
        slope=_wald(joint, 1, level, **shared),
        joint_intercept=float(joint.coefficients[0]),
        likelihood_ratio=float(statistic),
        p=float(chi2.sf(statistic, 2)),
        **shared,
    )


def observed_expected(outcome: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Observed over expected events, interval on the log scale (Debray 2017); ideal 1."""
    y, p = predicted_outcome(outcome, probability)
    if p.sum() == 0:
        raise DegenerateInput("no event is expected: every probability is 0", "期望事件数为0:所有概率均为0")
    events = int(y.sum())
    ratio, se = events / float(p.sum()), float(np.sqrt((1 - events / y.size) / events))
    factor = float(np.exp(confidence(level) * se))
    return Estimate(ratio, ratio / factor, ratio * factor, "log", y.size, events, se, level)


def brier_score(outcome: ArrayLike, probability: ArrayLike, *, level: float = 0.95) -> BrierScore:
    """Brier score with a normal interval, log loss (infinite where a certain prediction was wrong), Spiegelhalter z."""
    y, p = predicted_outcome(outcome, probability)
    error, prevalence, events = (y - p) ** 2, y.mean(), int(y.sum())
    brier, se = float(error.mean()), float(error.std(ddof=1) / np.sqrt(y.size))
    half = confidence(level) * se
    spread = float(np.sum((1 - 2 * p) ** 2 * p * (1 - p)))
    z = float(np.sum((y - p) * (1 - 2 * p)) / np.sqrt(spread)) if spread > 0 else float("nan")
    return BrierScore(
        Estimate(brier, max(0.0, brier - half), brier + half, "normal", y.size, events, se, level),
        scaled=float(1 - brier / (prevalence * (1 - prevalence))),
        log_loss=-logistic.log_likelihood(y, p) / y.size,
        spiegelhalter_z=z,
        spiegelhalter_p=float(2 * norm.sf(abs(z))),
    )


def risk_groups(outcome: ArrayLike, probability: ArrayLike, *, groups: int = 10) -> tuple[RiskGroup, ...]:
    """Quantile groups of predicted risk (R quantile type 7, right-closed); ties may leave fewer than asked for."""
    y, p = predicted_outcome(outcome, probability)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, groups + 1)))
    if edges.size < 2:
        raise DegenerateInput(
            "every subject has the same probability; there are no risk groups", "所有概率相同,无法分组"
        )
    index = _bins(p, edges)
    return tuple(
        _risk_group(y[index == k], p[index == k], edges[k], edges[k + 1])
        for k in range(edges.size - 1)
        if (index == k).any()
    )


def hosmer_lemeshow(
    outcome: ArrayLike, probability: ArrayLike, *, dataset: str = "external", groups: int = 10
) -> HosmerLemeshow:
    """Hosmer-Lemeshow test, as R ResourceSelection::hoslem.test; `dataset` "development" or "external" sets the df."""
    if dataset not in ("development", "external"):
        raise DegenerateInput(f"dataset {dataset!r}: use 'development' or 'external'", f"数据集类型{dataset!r}无效")
    table = risk_groups(outcome, probability, groups=groups)
    if len(table) < 3:
        raise DegenerateInput(
            f"ties leave {len(table)} risk groups; the Hosmer-Lemeshow test needs at least 3",
            f"并列值使风险分组仅剩{len(table)}组;Hosmer-Lemeshow检验至少需要3组",
        )
    n, events, expected = (
        np.array([getattr(g, key) for g in table], dtype=float) for key in ("n", "events", "expected")
    )
    if np.any(expected <= 0) or np.any(expected >= n):
        raise DegenerateInput(
            "a risk group expects no event or no non-event; the Hosmer-Lemeshow statistic does not exist",
            "某一风险组的期望事件数或非事件数为0,Hosmer-Lemeshow统计量不存在",
        )
    statistic = float(np.sum((events - expected) ** 2 * (1 / expected + 1 / (n - expected))))
    df = len(table) - 2 if dataset == "development" else len(table)
    return HosmerLemeshow(statistic, df, float(chi2.sf(statistic, df)), dataset, table)


def calibration_curve(
    outcome: ArrayLike, probability: ArrayLike, *, groups: int = 10, smoother: str = "loess"
) -> CalibrationCurve:
    """Grouped points and a smooth curve; `smoother` "loess" (Austin-Steyerberg) or "lowess" (rms::val.prob)."""
    y, p = predicted_outcome(outcome, probability)
    table = risk_groups(y, p, groups=groups)
    if smoother not in ("loess", "lowess"):
        raise DegenerateInput(f"smoother {smoother!r}: use 'loess' or 'lowess'", f"未知的平滑方法{smoother!r}")
    smooth = loess(p, y.astype(float)) if smoother == "loess" else lowess(p, y.astype(float))
    distance = np.abs(smooth - p)
    order = np.argsort(p, kind="stable")
    return CalibrationCurve(
        predicted=tuple(p[order].tolist()),
        observed=tuple(smooth[order].tolist()),
        ici=float(distance.mean()),
        e50=float(np.median(distance)),
        e90=float(np.quantile(distance, 0.9)),
        emax=float(distance.max()),
        smoother=smoother,
        groups=table,
        n=y.size,
        events=int(y.sum()),
    )


def expected_calibration_error(
    outcome: ArrayLike, probability: ArrayLike, *, bins: int = 10, equal: str = "width"
) -> float:
    """Mean distance of predicted and observed over bins of equal "width" or "frequency", weighted by their size."""
    y, p = predicted_outcome(outcome, probability)
    share = np.linspace(0, 1, bins + 1)
    index = _bins(p, share if equal == "width" else np.unique(np.quantile(p, share)))
    gaps = np.bincount(index, y - p)
    return float(np.abs(gaps).sum() / y.size)


def _wald(fit: logistic.LogisticFit, index: int, level: float, *, n: int, events: int) -> Estimate:
    value, se = float(fit.coefficients[index]), float(fit.standard_errors[index])
    half = confidence(level) * se
    return Estimate(value, value - half, value + half, "wald", n, events, se, level)


def _bins(p: Floats, edges: Floats) -> NDArray[np.intp]:
    """Right-closed bins, the first closed on both sides."""
    return np.clip(np.searchsorted(edges, p, side="left") - 1, 0, max(edges.size - 2, 0))


def _risk_group(y: NDArray[np.bool_], p: Floats, lower: float, upper: float) -> RiskGroup:
    events = int(y.sum())
    return RiskGroup(
        float(lower), float(upper), y.size, events, float(p.sum()), float(p.mean()), proportion(events, y.size)
    )
