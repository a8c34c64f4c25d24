from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from analytics.figures import canvas, labels, prediction, survival
from analytics.stats import calibration, roc, utility
from analytics.stats.survival import summarise

RNG = np.random.default_rng(11)
Y = (RNG.random(120) < 0.4).astype(float)
P = np.clip(0.4 + 0.25 * (Y - 0.4) + RNG.normal(0, 0.15, 120), 0.01, 0.99)
TIME, EVENT = np.ceil(RNG.exponential(24, 120)), (RNG.random(120) < 0.6).astype(float)
GROUP = np.where(P > 0.4, "high", "low").tolist()


def _figures(words: labels.FigureLabels) -> dict[str, Callable[[], str]]:
    return {
        "roc": lambda: prediction.roc_svg({"combined": (roc.roc_curve(Y, P), roc.auc(Y, P))}, words.roc),
        "calibration": lambda: prediction.calibration_svg(calibration.calibration_curve(Y, P), words.calibration),
        "decision": lambda: prediction.decision_svg({"combined": utility.decision_curve(Y, P)}, words.decision),
        "impact": lambda: prediction.impact_svg(utility.clinical_impact(Y, P), words.impact),
        "survival": lambda: survival.survival_svg(summarise(TIME, EVENT, group=GROUP), words.survival),
    }


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("kind", ["roc", "calibration", "decision", "impact", "survival"])
def test_a_figure_is_named_dateless_svg_and_the_same_twice(kind: str, language: str) -> None:
    words = labels.for_language(language)
    first, again = _figures(words)[kind](), _figures(words)[kind]()
    assert first == again
    root = ET.fromstring(first.encode())
    assert root.get("role") == "img"
    assert root.get("aria-label") == getattr(words, kind).title
    assert "<dc:date>" not in first


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import sys; from tests.analytics.figures.test_figures import _figures, labels;"
        "sys.stdout.buffer.write(_figures(labels.ZH)['survival']().encode())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode()
    assert other == _figures(labels.ZH)["survival"]()


def test_chinese_labels_are_drawn_with_chinese_glyphs() -> None:
    if len(canvas._fonts()) < 2:
        pytest.skip("no Chinese font is installed here")
    svg = _figures(labels.ZH)["roc"]()
    # Matplotlib names glyphs after their font; a missing glyph would be DejaVu's empty box.
    assert "CJK" in svg or "Sans-SC" in svg or "SimHei" in svg


def test_the_at_risk_table_shows_the_numbers_of_the_report() -> None:
    report = summarise(TIME, EVENT, group=GROUP)
    figure = survival.draw_survival(report, labels.EN.survival)
    shown = [text.get_text() for text in figure.axes[1].texts]
    assert shown == [str(count) for row in report.at_risk.rows.values() for count in row]
    assert [tick.get_text() for tick in figure.axes[1].get_yticklabels()] == list(report.groups)


def test_groups_are_printed_by_their_names_and_the_test_by_its_p() -> None:
    report = summarise(TIME, EVENT, group=GROUP)
    words = labels.SurvivalLabels(
        "t", "x", "y", "at risk", "censored", "p {p}", (("high", "高风险"), ("low", "低风险"))
    )
    plot = survival.draw_survival(report, words).axes[0]
    legend = plot.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["高风险", "低风险", "censored"]
    assert plot.texts[0].get_text().startswith(("p = ", "p < "))


def test_the_drawn_roc_curve_is_the_computed_one() -> None:
    curve = roc.roc_curve(Y, P)
    figure = prediction.draw_roc({"combined": (curve, roc.auc(Y, P))}, labels.EN.roc)
    drawn = figure.axes[0].lines[0]
    assert list(drawn.get_ydata()) == list(curve.sensitivity)
    assert list(drawn.get_xdata()) == pytest.approx([1 - value for value in curve.specificity])


def test_a_perfect_model_shows_a_dash_for_the_interval_it_has_not() -> None:
    perfect = (roc.roc_curve([0, 0, 1, 1], [1, 2, 3, 4]), roc.auc([0, 0, 1, 1], [1, 2, 3, 4]))
    legend = prediction.draw_roc({"m": perfect}, labels.EN.roc).axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "m: AUC 1.000 (–––)"


def test_png_has_the_resolution_asked_for() -> None:
    figure = prediction.draw_impact(utility.clinical_impact(Y, P), labels.EN.impact)
    png = canvas.png(figure, dots_per_inch=100)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == 500


def test_series_differ_by_style_as_well_as_by_colour() -> None:
    lines = [canvas.line(i) for i in range(4)]
    assert len({line["linestyle"] for line in lines}) == len({line["color"] for line in lines}) == 4
