"""Clinical utility: net benefit (Vickers and Elkin 2006) and clinical impact over threshold probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import DegenerateInput, Floats, numbers, predicted_outcome

PER = 1000


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit per subject of acting by the model, on all, on none; positive means probability >= threshold.

    `avoided` is the net reduction of interventions per 100 subjects against acting on all.
    """

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    treat_all: tuple[float, ...]
    treat_none: tuple[float, ...]
    avoided: tuple[float, ...]
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class ClinicalImpact:
    """Per 1,000 subjects: how many are called high risk at a threshold, and how many of these have the event."""

    thresholds: tuple[float, ...]
    high_risk: tuple[float, ...]
    high_risk_with_event: tuple[float, ...]
    per: int
    n: int
    events: int


def threshold_grid(lowest: float = 0.01, highest: float = 0.99, step: float = 0.01) -> tuple[float, ...]:
    """Thresholds as decimals, free of binary residue, so that 0.3 is 0.3."""
    count = round((highest - lowest) / step) + 1
    return tuple(np.round(lowest + step * np.arange(count), 6).tolist())


def decision_curve(outcome: ArrayLike, probability: ArrayLike, *, thresholds: ArrayLike | None = None) -> DecisionCurve:
    """Net benefit = TP/n - FP/n * t/(1-t), as R dcurves."""
    y, p = predicted_outcome(outcome, probability)
    t = _thresholds(thresholds)
    tp, fp = _positives(p[y], t) / y.size, _positives(p[~y], t) / y.size
    odds, prevalence = t / (1 - t), y.mean()
    model, everybody = tp - fp * odds, prevalence - (1 - prevalence) * odds
    return DecisionCurve(
        thresholds=tuple(t.tolist()),
        model=tuple(model.tolist()),
        treat_all=tuple(everybody.tolist()),
        treat_none=(0.0,) * t.size,
        avoided=tuple((100 * (model - everybody) / odds).tolist()),
        n=y.size,
        events=int(y.sum()),
    )


def clinical_impact(
    outcome: ArrayLike, probability: ArrayLike, *, thresholds: ArrayLike | None = None
) -> ClinicalImpact:
    """Clinical impact curve (Kerr 2016), per 1,000 subjects."""
    y, p = predicted_outcome(outcome, probability)
    t = _thresholds(thresholds)
    high, true = PER * _positives(p, t) / y.size, PER * _positives(p[y], t) / y.size
    return ClinicalImpact(
        tuple(t.tolist()), tuple(high.tolist()), tuple(true.tolist()), PER, n=y.size, events=int(y.sum())
    )


def _positives(p: Floats, thresholds: Floats) -> Floats:
    """How many reach each threshold, by one sort."""
    return (p.size - np.searchsorted(np.sort(p), thresholds, side="left")).astype(float)


def _thresholds(values: ArrayLike | None) -> Floats:
    grid = numbers(threshold_grid() if values is None else values, "thresholds")
    if np.any((grid <= 0) | (grid >= 1)):
        raise DegenerateInput(
            "threshold probabilities must lie strictly between 0 and 1, where the odds exist",
            "阈概率必须严格在0与1之间,优势才存在",
        )
    return grid
