"""ROC, calibration, decision and clinical impact curves."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analytics.figures import canvas
from analytics.figures.labels import CalibrationLabels, DecisionLabels, ImpactLabels, RocLabels
from analytics.stats.calibration import CalibrationCurve
from analytics.stats.inputs import Estimate
from analytics.stats.roc import RocCurve
from analytics.stats.utility import ClinicalImpact, DecisionCurve


def draw_roc(curves: Mapping[str, tuple[RocCurve, Estimate]], labels: RocLabels) -> Figure:
    """Curves by model name, each with its AUC, as steps between observed thresholds."""
    with canvas.style():
        figure, axes = canvas.blank(labels.title, labels.x, labels.y)
        for i, (name, (curve, area)) in enumerate(curves.items()):
            text = labels.auc.format(name=name, value=area.value, lo=_or_dash(area.lo), hi=_or_dash(area.hi))
            axes.plot(1 - np.array(curve.specificity), curve.sensitivity, label=text, **canvas.line(i))
        axes.plot([0, 1], [0, 1], color=canvas.GREY, linewidth=0.8, linestyle=":", label=labels.chance)
        _unit_square(axes)
        axes.legend(loc="lower right")
    return figure


def draw_calibration(curve: CalibrationCurve, labels: CalibrationLabels) -> Figure:
    """Smoothed curve, risk groups with Wilson intervals, and where the predictions lie (ticks at the bottom)."""
    with canvas.style():
        figure, axes = canvas.blank(labels.title, labels.x, labels.y)
        axes.plot([0, 1], [0, 1], color=canvas.GREY, linewidth=0.8, linestyle=":", label=labels.ideal)
        axes.plot(curve.predicted, np.clip(curve.observed, 0, 1), label=labels.smooth, **canvas.line(0))
        x = np.array([group.predicted_mean for group in curve.groups])
        y = np.array([group.observed.value for group in curve.groups])
        lo = np.array([group.observed.wilson.lo for group in curve.groups])
        hi = np.array([group.observed.wilson.hi for group in curve.groups])
        axes.errorbar(
            x,
            y,
            yerr=[y - lo, hi - y],
            fmt="o",
            color=canvas.COLOURS[1],
            markersize=4,
            linewidth=1,
            label=labels.groups,
        )
        axes.vlines(curve.predicted, -0.03, 0, color=canvas.GREY, linewidth=0.4)
        _unit_square(axes)
        axes.legend(loc="upper left")
    return figure


def draw_decision(curves: Mapping[str, DecisionCurve], labels: DecisionLabels) -> Figure:
    """Net benefit by model name, with acting on all and on none (taken from the first curve)."""
    with canvas.style():
        figure, axes = canvas.blank(labels.title, labels.x, labels.y)
        for i, (name, curve) in enumerate(curves.items()):
            axes.plot(curve.thresholds, curve.model, label=name, **canvas.line(i))
        first = next(iter(curves.values()))
        axes.plot(first.thresholds, first.treat_all, color=canvas.GREY, linewidth=1, label=labels.treat_all)
        axes.plot(first.thresholds, first.treat_none, color="black", linewidth=1, label=labels.treat_none)
        prevalence = first.events / first.n
        # Acting on all falls without bound; what lies far below zero is of no interest.
        axes.set_ylim(-0.15 * prevalence, 1.05 * max(prevalence, *(max(curve.model) for curve in curves.values())))
        axes.set_xlim(0, 1)
        axes.legend(loc="upper right")
    return figure


def draw_impact(impact: ClinicalImpact, labels: ImpactLabels) -> Figure:
    """Numbers called high risk, and those of them with the event, over the threshold."""
    with canvas.style():
        figure, axes = canvas.blank(labels.title, labels.x, labels.y.format(per=impact.per))
        axes.plot(impact.thresholds, impact.high_risk, label=labels.high_risk, **canvas.line(0))
        axes.plot(impact.thresholds, impact.high_risk_with_event, label=labels.high_risk_with_event, **canvas.line(1))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, impact.per * 1.02)
        axes.legend(loc="upper right")
    return figure


def roc_svg(curves: Mapping[str, tuple[RocCurve, Estimate]], labels: RocLabels) -> str:
    return canvas.svg(draw_roc(curves, labels), labels.title)


def calibration_svg(curve: CalibrationCurve, labels: CalibrationLabels) -> str:
    return canvas.svg(draw_calibration(curve, labels), labels.title)


def decision_svg(curves: Mapping[str, DecisionCurve], labels: DecisionLabels) -> str:
    return canvas.svg(draw_decision(curves, labels), labels.title)


def impact_svg(impact: ClinicalImpact, labels: ImpactLabels) -> str:
    return canvas.svg(draw_impact(impact, labels), labels.title)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")


class _Dash(float):
    """A limit that does not exist prints as a dash under any number format."""

    def __format__(self, _: str) -> str:
        return "–"


def _or_dash(value: float) -> float:
    return _Dash(0.0) if math.isnan(value) else value
