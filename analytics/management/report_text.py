"""Statistical reports as lines of text for a terminal, in the active language."""

import math
from collections.abc import Iterator

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from analytics.stats.cox import CoxModel, ProportionalHazards
from analytics.stats.evaluation import Calibration, Evaluation, ModelEvaluation, Note
from analytics.stats.inputs import DegenerateInput, Estimate, Unavailable
from analytics.stats.intervals import Proportion
from analytics.stats.kaplan_meier import SurvivalAt, SurvivalCurve
from analytics.stats.log_rank import LogRank
from analytics.stats.survival import Regression, SurvivalReport


def reason(problem: DegenerateInput | Note) -> str:
    """The message that the core gives in both languages."""
    return problem.zh if (get_language() or "").startswith("zh") else problem.en


def evaluation_lines(report: Evaluation) -> Iterator[str]:
    yield _("%(n)d subjects, %(events)d events (%(percent).1f%%), %(dataset)s data") % {
        "n": report.n,
        "events": report.events,
        "percent": 100 * report.prevalence,
        "dataset": _("development") if report.dataset == "development" else _("external"),
    }
    for model in report.models:
        yield from ("", model.name, *(f"  {line}" for line in _model_lines(model)))
    for pair in report.comparisons:
        yield ""
        if isinstance(pair.auc, Unavailable):
            yield f"{pair.first} / {pair.second}: {_missing(pair.auc)}"
        else:
            difference = _("AUC difference, paired DeLong test")
            test = f"z {pair.auc.z:.3f}, {_p(pair.auc.p)}"
            yield f"{pair.first} - {pair.second}: {difference} {_estimate(pair.auc.difference)}, {test}"
    yield from (line for note in report.notes for line in ("", reason(note)))


def survival_lines(report: SurvivalReport, regression: Regression | None) -> Iterator[str]:
    yield _("%(n)d subjects, %(events)d events") % {"n": report.n, "events": report.events}
    yield _labelled(
        _("Median follow-up (reverse Kaplan-Meier)"), _estimate(report.median_follow_up, without=_("not reached"))
    )
    for name, curve in report.groups.items():
        label = _("All subjects") if name == "all" and len(report.groups) == 1 else name
        yield from _curve_lines(label, curve, report.survival_at[name])
    if report.log_rank is not None:
        yield _labelled(_("Log-rank test"), _log_rank(report.log_rank))
    if isinstance(report.hazard_ratios, CoxModel):
        yield from _cox_lines(report.hazard_ratios)
    elif report.hazard_ratios is not None:
        yield _missing(report.hazard_ratios)
    if regression is not None:
        yield from ("", _("Cox regression"), *_cox_lines(regression.model))
        yield _labelled(_("Proportional hazards, score test"), _assumption(regression.proportional_hazards))


def _curve_lines(label: str, curve: SurvivalCurve, read: tuple[SurvivalAt, ...]) -> Iterator[str]:
    counts = _("%(n)d subjects, %(events)d events") % {"n": curve.n, "events": curve.n_events}
    middle = _estimate(curve.median, without=_("not reached"))
    median = _("median %(value)s, %(method)s interval") % {"value": middle, "method": curve.interval}
    yield _labelled(label, f"{counts}; {median}")
    for at in read:
        values = {"time": f"{at.time:g}", "survival": _estimate(at.survival), "count": at.at_risk}
        yield "  " + _("time %(time)s: survival %(survival)s, %(count)d at risk") % values


def _model_lines(model: ModelEvaluation) -> Iterator[str]:
    yield _labelled(_("AUC"), _value(model.auc))
    if model.classification and model.threshold:
        yield _labelled(_("Threshold"), f"{model.threshold.value:.4g} ({_rule(model.threshold.rule)})")
        found = model.classification
        rates = {
            _("Sensitivity"): found.sensitivity,
            _("Specificity"): found.specificity,
            _("Positive predictive value"): found.ppv,
            _("Negative predictive value"): found.npv,
            _("Accuracy"): found.accuracy,
        }
        yield from (_labelled(label, _proportion(rate)) for label, rate in rates.items())
    if model.calibration:
        yield from _calibration_lines(model.calibration)


def _calibration_lines(found: Calibration) -> Iterator[str]:
    if isinstance(found.recalibration, Unavailable):
        yield _labelled(_("Calibration intercept and slope"), _missing(found.recalibration))
    else:
        yield _labelled(_("Calibration intercept (in the large)"), _estimate(found.recalibration.intercept))
        yield _labelled(_("Calibration slope"), _estimate(found.recalibration.slope))
    yield _labelled(_("Observed / expected"), _value(found.observed_expected))
    brier = found.brier if isinstance(found.brier, Unavailable) else found.brier.brier
    yield _labelled(_("Brier score"), _value(brier))
    test = found.hosmer_lemeshow
    if isinstance(test, Unavailable):
        yield _labelled("Hosmer-Lemeshow", _missing(test))
    else:
        yield _labelled("Hosmer-Lemeshow", f"χ² {test.chi2:.3f}, df {test.df}, {_p(test.p)}")


def _cox_lines(model: CoxModel) -> Iterator[str]:
    for row in model.coefficients:
        yield _labelled(row.name, _("hazard ratio %s") % _estimate(row.hazard_ratio) + f", {_p(row.p)}")
    yield _labelled(_("Concordance"), _estimate(model.concordance))
    yield _labelled(_("Likelihood-ratio test"), _p(model.likelihood_ratio.p))


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}"


def _rule(rule: str) -> str:
    return {"given": _("given"), "youden": _("Youden, on these data"), "default": _("default")}[rule]


def _assumption(test: ProportionalHazards | Unavailable) -> str:
    if isinstance(test, Unavailable):
        return _missing(test)
    terms = [f"{name} {_p(result.p)}" for name, result in test.terms]
    return "; ".join([*terms, _("overall %s") % _p(test.overall.p)])


def _log_rank(test: LogRank | Unavailable) -> str:
    return _missing(test) if isinstance(test, Unavailable) else f"χ² {test.chi2:.4f}, df {test.df}, {_p(test.p)}"


def _value(found: Estimate | Unavailable) -> str:
    return _missing(found) if isinstance(found, Unavailable) else _estimate(found)


def _estimate(found: Estimate, *, without: str = "–") -> str:
    """Value and interval; `without` stands for what does not exist."""
    numbers = (without if math.isnan(value) else f"{value:.4g}" for value in (found.value, found.lo, found.hi))
    return "{} ({:g}% CI {} - {})".format(next(numbers), 100 * found.level, *numbers)


def _proportion(found: Proportion | None) -> str:
    if found is None:
        return _("does not exist (nobody to count)")
    exact = found.exact
    return f"{found.value:.4f} ({found.count}/{found.total}; {100 * exact.level:g}% CI {exact.lo:.4f} - {exact.hi:.4f})"


def _p(value: float) -> str:
    return "p < 0.0001" if value < 0.0001 else f"p {value:.4f}"


def _missing(found: Unavailable) -> str:
    return found.unavailable_zh if (get_language() or "").startswith("zh") else found.unavailable
