"""The figures of an evaluation as SVG, by name, in one language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analytics.figures.labels import for_language
from analytics.figures.prediction import calibration_svg, decision_svg, impact_svg, roc_svg
from analytics.figures.survival import survival_svg
from analytics.stats.calibration import CalibrationCurve
from analytics.stats.evaluation import Evaluation
from analytics.stats.inputs import Estimate
from analytics.stats.roc import RocCurve
from analytics.stats.survival import SurvivalReport

# The outcome may be a good one (response), so a positive prediction is not called a high risk.
POSITIVE = {
    "en": {"high_risk": "Predicted positive", "high_risk_with_event": "Predicted positive with the outcome"},
    "zh": {"high_risk": "预测阳性", "high_risk_with_event": "预测阳性且出现结局"},
}


def prediction_figures(found: Evaluation, split: str, primary: str, language: str) -> dict[str, str]:
    """ROC and decision curves of all models; calibration and clinical impact of the primary one."""
    labels = for_language(language)
    curves = {
        model.name: (model.roc, model.auc)
        for model in found.models
        if isinstance(model.roc, RocCurve) and isinstance(model.auc, Estimate)
    }
    drawn = {f"{split}-roc": roc_svg(curves, labels.roc)} if curves else {}
    useful = {model.name: model.utility for model in found.models if model.utility}
    if useful:
        drawn[f"{split}-decision"] = decision_svg(
            {name: one.decision_curve for name, one in useful.items()}, labels.decision
        )
    chosen = next(model for model in found.models if model.name == primary)
    if chosen.calibration and isinstance(chosen.calibration.curve, CalibrationCurve):
        drawn[f"{split}-calibration"] = calibration_svg(chosen.calibration.curve, labels.calibration)
    if chosen.utility:
        worded = replace(labels.impact, **POSITIVE["zh" if language.startswith("zh") else "en"])
        drawn[f"{split}-impact"] = impact_svg(chosen.utility.clinical_impact, worded)
    return drawn


def survival_figure(report: SurvivalReport, title: str, names: Mapping[str, str], unit: str, language: str) -> str:
    """Kaplan-Meier curves by predicted probability, time in `unit`."""
    labels = for_language(language).survival
    worded = replace(labels, title=title, x=f"{labels.x} ({unit})", names=tuple(names.items()))
    return survival_svg(report, worded)
