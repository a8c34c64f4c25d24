"""Discrimination: area under the ROC curve with DeLong's interval, its paired comparison, the curve, thresholds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, scored_outcome


@dataclass(frozen=True, slots=True)
class AucComparison:
    """AUC of two scores in the same subjects; `difference` is first minus second, so z > 0 favours the first."""

    first: Estimate
    second: Estimate
    difference: Estimate
    z: float
    p: float
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class RocCurve:
    """From the strictest threshold (nobody positive) to the laxest; positive means score >= threshold."""

    thresholds: tuple[float, ...]
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """An observed score used as cut-off (positive: score >= value), and the rule that chose it."""

    value: float
    rule: str
    sensitivity: float
    specificity: float
    n: int
    events: int


def auc(outcome: ArrayLike, score: ArrayLike, *, interval: str = "delong", level: float = 0.95) -> Estimate:
    """AUC with DeLong's standard error; `interval` is "delong" (Wald, cut to 0-1) or "logit" (stays inside 0-1)."""
    y, s = scored_outcome(outcome, score)
    areas, covariance = _delong(y, s[None, :])
    return _estimate(float(areas[0]), float(np.sqrt(covariance[0, 0])), y, interval, level)


def compare_auc(outcome: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> AucComparison:
    """Paired test of two AUCs (DeLong 1988), as R pROC roc.test(paired=TRUE)."""
    y, a = scored_outcome(outcome, first, "first score")
    _, b = scored_outcome(outcome, second, "second score")
    areas, covariance = _delong(y, np.stack([a, b]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-16:
        raise DegenerateInput(
            "the two scores rank the subjects in the same way (or both perfectly); there is nothing to compare",
            "两个评分对受试者的排序相同(或均完全区分),无法比较",
        )
    se = float(np.sqrt(variance))
    z, half = difference / se, confidence(level) * se
    n, events = y.size, int(y.sum())
    gap = Estimate(difference, difference - half, difference + half, "delong", n, events, se, level)
    one, two = (_estimate(float(areas[i]), float(np.sqrt(covariance[i, i])), y, "delong", level) for i in (0, 1))
    return AucComparison(one, two, gap, z, float(2 * norm.sf(abs(z))), n, events)


def hanley_mcneil_se(area: float, *, events: int, non_events: int) -> float:
    """Standard error of an AUC known only as a number (Hanley and McNeil 1982)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (events - 1) * (q1 - area**2) + (non_events - 1) * (q2 - area**2)
    return float(np.sqrt(spread / (events * non_events)))


def roc_curve(outcome: ArrayLike, score: ArrayLike) -> RocCurve:
    """Every distinct operating point; the first threshold is infinity."""
    y, s = scored_outcome(outcome, score)
    cuts, tp, fp = _counts(y, s)
    events, others = int(y.sum()), int((~y).sum())
    sensitivity, specificity = np.r_[0.0, tp / events], np.r_[1.0, 1 - fp / others]
    return RocCurve(
        tuple([np.inf, *cuts.tolist()]), tuple(sensitivity.tolist()), tuple(specificity.tolist()), y.size, events
    )


def youden_threshold(outcome: ArrayLike, score: ArrayLike) -> Threshold:
    """The observed score that maximises sensitivity + specificity - 1; the highest of them where several do."""
    y, s = scored_outcome(outcome, score)
    cuts, tp, fp = _counts(y, s)
    # In whole numbers, so that ties are ties.
    best = int(np.argmax(tp * (~y).sum() - fp * y.sum()))
    return _threshold(cuts, tp, fp, best, "youden", y)


def threshold_at_sensitivity(outcome: ArrayLike, score: ArrayLike, sensitivity: float) -> Threshold:
    """The highest observed score whose sensitivity is at least that asked for."""
    y, s = scored_outcome(outcome, score)
    _share(sensitivity, "sensitivity")
    cuts, tp, fp = _counts(y, s)
    index = int(np.argmax(tp >= sensitivity * y.sum() - 1e-9))
    return _threshold(cuts, tp, fp, index, f"sensitivity >= {sensitivity:g}", y)


def threshold_at_specificity(outcome: ArrayLike, score: ArrayLike, specificity: float) -> Threshold:
    """The lowest observed score whose specificity is at least that asked for."""
    y, s = scored_outcome(outcome, score)
    _share(specificity, "specificity")
    cuts, tp, fp = _counts(y, s)
    allowed = np.flatnonzero(fp <= (1 - specificity) * (~y).sum() + 1e-9)
    if not allowed.size:
        raise DegenerateInput(
            f"no observed score reaches specificity {specificity:g}", f"没有任何评分能达到特异度{specificity:g}"
        )
    return _threshold(cuts, tp, fp, int(allowed[-1]), f"specificity >= {specificity:g}", y)


def sensitivity_at_specificity(outcome: ArrayLike, score: ArrayLike, specificity: float) -> float:
    """Sensitivity on the ROC curve, linearly interpolated, as R pROC coords()."""
    _share(specificity, "specificity")
    curve = roc_curve(outcome, score)
    spec, sens = np.array(curve.specificity), np.array(curve.sensitivity)
    above, below = np.flatnonzero(spec >= specificity)[-1], np.flatnonzero(spec <= specificity)[0]
    if spec[above] == specificity:
        return float(sens[above])
    weight = (specificity - spec[below]) / (spec[above] - spec[below])
    return float(sens[below] + weight * (sens[above] - sens[below]))


def _delong(y: np.ndarray, scores: Floats) -> tuple[Floats, Floats]:
    """Areas and their covariance in O(n log n) by midranks (Sun and Xu 2014)."""
    m, k = int(y.sum()), int((~y).sum())
    all_ranks = rankdata(scores, axis=1)
    own_events, own_others = rankdata(scores[:, y], axis=1), rankdata(scores[:, ~y], axis=1)
    v10 = (all_ranks[:, y] - own_events) / k
    v01 = 1 - (all_ranks[:, ~y] - own_others) / m
    areas = v10.mean(axis=1)
    return areas, _covariance(v10, areas) / m + _covariance(v01, areas) / k


def _covariance(components: Floats, areas: Floats) -> Floats:
    """Of one subject there is no spread to see: the DeLong variance does not exist then."""
    if components.shape[1] < 2:
        raise DegenerateInput(
            "DeLong's interval needs at least two events and two non-events", "DeLong区间至少需要两例事件和两例非事件"
        )
    centred = components - areas[:, None]
    return centred @ centred.T / (components.shape[1] - 1)


def _estimate(area: float, se: float, y: np.ndarray, interval: str, level: float) -> Estimate:
    if interval not in ("delong", "logit"):
        raise DegenerateInput(
            f"interval {interval!r} is unknown; use 'delong' or 'logit'", f"未知的区间类型{interval!r}"
        )
    z, events, note = confidence(level), int(y.sum()), ""
    if se == 0:
        lo = hi = float("nan")
        note = "perfect separation: DeLong's variance is zero and gives no interval"
    elif interval == "delong":
        lo, hi = max(0.0, area - z * se), min(1.0, area + z * se)
    else:
        half = z * se / (area * (1 - area))
        lo, hi = float(expit(logit(area) - half)), float(expit(logit(area) + half))
    return Estimate(area, lo, hi, interval, y.size, events, se, level, note)


def _counts(y: np.ndarray, s: Floats) -> tuple[Floats, np.ndarray, np.ndarray]:
    """Distinct scores from high to low with true and false positives at score >= cut."""
    order = np.argsort(-s, kind="stable")
    ordered = s[order]
    last = np.r_[np.flatnonzero(np.diff(ordered)), ordered.size - 1]
    tp = np.cumsum(y[order])[last]
    return ordered[last], tp, last + 1 - tp


def _threshold(cuts: Floats, tp: np.ndarray, fp: np.ndarray, index: int, rule: str, y: np.ndarray) -> Threshold:
    events, others = int(y.sum()), int((~y).sum())
    sensitivity, specificity = float(tp[index] / events), float(1 - fp[index] / others)
    return Threshold(float(cuts[index]), rule, sensitivity, specificity, y.size, events)


def _share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise DegenerateInput(f"{name} must lie in 0-1, not {value:g}", f"{name}应在0-1之间,而不是{value:g}")
