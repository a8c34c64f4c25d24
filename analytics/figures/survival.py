"""Kaplan-Meier curves with confidence bands, censoring marks and the numbers at risk beneath."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analytics.figures import canvas
from analytics.figures.labels import SurvivalLabels
from analytics.stats.kaplan_meier import SurvivalCurve
from analytics.stats.log_rank import LogRank
from analytics.stats.survival import AtRisk, SurvivalReport


def draw_survival(report: SurvivalReport, labels: SurvivalLabels) -> Figure:
    """One curve per group, and a row of the at-risk table for each, in the same colour."""
    names = dict(labels.names)
    with canvas.style():
        rows = len(report.groups)
        figure = Figure(figsize=(canvas.SIZE_INCHES[0] * 1.1, canvas.SIZE_INCHES[1] + 0.2 * rows), layout="constrained")
        plot, table = figure.subplots(2, 1, sharex=True, height_ratios=[4.2, 0.35 + 0.28 * rows])
        plot.set_title(labels.title, fontsize=10)
        plot.set_ylabel(labels.y)
        for i, (group, curve) in enumerate(report.groups.items()):
            _curve(plot, curve, i, names.get(group, group))
        plot.plot([], [], "k+", markersize=6, label=labels.censored)
        _finish(plot, report, labels)
        _at_risk_table(table, report.at_risk, {group: names.get(group, group) for group in report.groups}, labels)
    return figure


def survival_svg(report: SurvivalReport, labels: SurvivalLabels) -> str:
    return canvas.svg(draw_survival(report, labels), labels.title)


def _curve(axes: Axes, curve: SurvivalCurve, index: int, name: str) -> None:
    drawn, colour = canvas.line(index), canvas.COLOURS[index % len(canvas.COLOURS)]
    times, survival = np.array(curve.times), np.array(curve.survival)
    axes.step(times, survival, where="post", label=name, **drawn)
    axes.fill_between(times, curve.lo, curve.hi, step="post", color=colour, alpha=0.15, linewidth=0)
    marked = np.array(curve.censored) > 0
    axes.plot(times[marked], survival[marked], "+", color=colour, markersize=5, markeredgewidth=0.8)


def _finish(axes: Axes, report: SurvivalReport, labels: SurvivalLabels) -> None:
    if isinstance(report.log_rank, LogRank):
        p = report.log_rank.p
        text = labels.log_rank.format(p="< 0.001" if p < 0.001 else f"= {p:.3f}")
        axes.text(0.02, 0.04, text, transform=axes.transAxes)
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, max(max(curve.times[-1] for curve in report.groups.values()), 1e-9) * 1.02)
    axes.set_xticks(report.at_risk.times)
    axes.legend(loc="upper right")


def _at_risk_table(axes: Axes, at_risk: AtRisk, names: Mapping[str, str], labels: SurvivalLabels) -> None:
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names.values())
    for i, group in enumerate(names):
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        axes.get_yticklabels()[i].set_color(colour)
        for time, count in zip(at_risk.times, at_risk.rows[group], strict=True):
            axes.text(time, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_title(labels.at_risk, loc="left", fontsize=8)
    axes.set_xlabel(labels.x)
    axes.tick_params(length=0)
    # Room for the first count, which is centred on time 0.
    axes.tick_params(axis="y", pad=14)
    axes.spines["left"].set_visible(False)
