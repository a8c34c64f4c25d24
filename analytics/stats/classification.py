"""A prediction cut at a threshold: the 2 x 2 table and what is read from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import Estimate, binary_outcome, confidence, numbers, same_length
from analytics.stats.intervals import Proportion, proportion


@dataclass(frozen=True, slots=True)
class ConfusionTable:
    """Counts at a threshold; positive means score >= threshold."""

    tp: int
    fp: int
    fn: int
    tn: int
    threshold: float | None = None

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def events(self) -> int:
        return self.tp + self.fn


@dataclass(frozen=True, slots=True)
class Classification:
    """Accuracy of a 2 x 2 table; a number that does not exist there (nobody test-positive, say) is None."""

    table: ConfusionTable
    sensitivity: Proportion | None
    specificity: Proportion | None
    ppv: Proportion | None
    npv: Proportion | None
    accuracy: Proportion
    balanced_accuracy: float | None
    youden: float | None
    f1: float | None
    mcc: float | None
    lr_positive: Estimate | None
    lr_negative: Estimate | None
    diagnostic_odds_ratio: Estimate | None
    n: int
    events: int


def confusion_table(outcome: ArrayLike, score: ArrayLike, threshold: float) -> ConfusionTable:
    """Count true and false positives and negatives; both classes must occur."""
    y, s = binary_outcome(outcome), numbers(score, "score")
    same_length(outcome=y.astype(float), score=s)
    positive = s >= float(numbers([threshold], "threshold")[0])
    tp, fp = int((y & positive).sum()), int((~y & positive).sum())
    return ConfusionTable(tp, fp, int(y.sum()) - tp, int((~y).sum()) - fp, threshold=float(threshold))


def classify(table: ConfusionTable, *, level: float = 0.95) -> Classification:
    """Every rate of the table, proportions with exact and Wilson intervals, ratios with log intervals."""
    t = table
    sensitivity, specificity = _rate(t.tp, t.tp + t.fn, level), _rate(t.tn, t.tn + t.fp, level)
    balanced = (sensitivity.value + specificity.value) / 2 if sensitivity and specificity else None
    return Classification(
        table=t,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=_rate(t.tp, t.tp + t.fp, level),
        npv=_rate(t.tn, t.tn + t.fn, level),
        accuracy=proportion(t.tp + t.tn, t.n, level=level),
        balanced_accuracy=balanced,
        youden=None if balanced is None else 2 * balanced - 1,
        f1=_quotient(2 * t.tp, 2 * t.tp + t.fp + t.fn),
        mcc=_mcc(t),
        lr_positive=_likelihood_ratio(t.tp, t.fp, t, level),
        lr_negative=_likelihood_ratio(t.fn, t.tn, t, level),
        diagnostic_odds_ratio=_odds_ratio(t, level),
        n=t.n,
        events=t.events,
    )


def _rate(count: int, total: int, level: float) -> Proportion | None:
    return proportion(count, total, level=level) if total else None


def _quotient(above: float, below: float) -> float | None:
    return above / below if below else None


def _mcc(t: ConfusionTable) -> float | None:
    """Matthews correlation; without a value where a row or column of the table is empty."""
    product = float(t.tp + t.fp) * (t.tp + t.fn) * (t.tn + t.fp) * (t.tn + t.fn)
    return _quotient(float(t.tp) * t.tn - float(t.fp) * t.fn, float(np.sqrt(product)))


def _likelihood_ratio(with_event: int, without: int, t: ConfusionTable, level: float) -> Estimate | None:
    """P(result | event) / P(result | no event), log interval (Simel 1991); needs no empty cell in the result's row."""
    events, others = t.tp + t.fn, t.fp + t.tn
    if not (with_event and without and events and others):
        return None
    ratio = (with_event / events) / (without / others)
    se = float(np.sqrt(1 / with_event - 1 / events + 1 / without - 1 / others))
    return _log_estimate(ratio, se, "simel", t, level)


def _odds_ratio(t: ConfusionTable, level: float) -> Estimate | None:
    if not (t.tp and t.fp and t.fn and t.tn):
        return None
    se = float(np.sqrt(1 / t.tp + 1 / t.fp + 1 / t.fn + 1 / t.tn))
    return _log_estimate(t.tp * t.tn / (t.fp * t.fn), se, "woolf", t, level)


def _log_estimate(ratio: float, se: float, method: str, t: ConfusionTable, level: float) -> Estimate:
    factor = float(np.exp(confidence(level) * se))
    return Estimate(ratio, ratio / factor, ratio * factor, method, t.n, t.events, se, level)
