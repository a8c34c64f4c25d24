"""An evaluation's numbers as rows that pages and reports print, each with what it is and its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import get_language, gettext_lazy

from analytics.results.summary import estimate, proportion

SPLIT_NAMES = {
    "cv": gettext_lazy("Nested cross-validation"),
    "site": gettext_lazy("Leave one site out"),
    "group": gettext_lazy("Held-out group, read once"),
}
METRIC_NAMES = {
    "auc": gettext_lazy("AUC (DeLong)"),
    "sensitivity": gettext_lazy("Sensitivity"),
    "specificity": gettext_lazy("Specificity"),
    "accuracy": gettext_lazy("Accuracy"),
    "ppv": gettext_lazy("Positive predictive value"),
    "npv": gettext_lazy("Negative predictive value"),
}
FIGURE_NAMES = {
    "roc": gettext_lazy("ROC curve"),
    "calibration": gettext_lazy("Calibration curve"),
    "decision": gettext_lazy("Decision curve"),
    "impact": gettext_lazy("Clinical impact curve"),
}
# Predictor sets as most plans call them; a set of another name is shown by that.
SET_NAMES = {
    "clinical": gettext_lazy("clinical"),
    "radiomics": gettext_lazy("radiomics"),
    "combined": gettext_lazy("combined"),
}
RULE_NAMES = {"youden": gettext_lazy("Youden index"), "sensitivity": gettext_lazy("fixed sensitivity")}
STEP_NAMES = {
    "locked": gettext_lazy("Subjects in the locked dataset"),
    "cohort": gettext_lazy("In the groups and sites of the plan"),
    "outcome": gettext_lazy("With an evaluable outcome"),
    "images": gettext_lazy("With features of every sequence"),
}
REASON_NAMES = {
    "other_group_or_site": gettext_lazy("other group or site"),
    "no_features": gettext_lazy("no features"),
    "no_start": gettext_lazy("no time zero"),
    "no_follow_up": gettext_lazy("no follow-up"),
    "event_before_start": gettext_lazy("event before time zero"),
    "before_landmark": gettext_lazy("ended before the landmark"),
    "not_assessed": gettext_lazy("not assessed"),
    "not_in_population": gettext_lazy("not in the endpoint's population"),
    "no_assessment": gettext_lazy("no assessment"),
    "no_baseline_sum": gettext_lazy("no baseline sum"),
    "no_baseline": gettext_lazy("no baseline value"),
    "not_measured": gettext_lazy("not measured in the window"),
    "other_cause": gettext_lazy("other cause"),
    "competing_event": gettext_lazy("competing event"),
    "bad_date": gettext_lazy("unreadable date"),
}
# The outcome may be a good one (response), so a high probability is not called a high risk.
RISK_NAMES = {"low": gettext_lazy("Low predicted probability"), "high": gettext_lazy("High predicted probability")}


def language() -> str:
    return "zh" if (get_language() or "zh").startswith("zh") else "en"


def of(text: Mapping[str, str]) -> str:
    """The text of {zh, en} in the active language."""
    return text[language()]


def set_name(name: str) -> str:
    """A predictor set in words."""
    return str(SET_NAMES.get(name, name))


def plan_title(title: Mapping[str, str] | None, code: str) -> str:
    """What a plan is called: its title in the active language, else its code."""
    return of(title) if title else code


def reason(found: Mapping[str, Any] | None) -> str:
    """Why a number is not there."""
    if not found:
        return ""
    return str(found.get("unavailable_zh" if language() == "zh" else "unavailable", ""))


def presented(results: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a page or report prints of an evaluation."""
    return {
        "title": plan_title(results["plan"]["title"], results["plan"]["code"]),
        "outcome": of(results["endpoints"][0]["name"]),
        "flow": [_step(step) for step in results["flow"]],
        "splits": [_split(name, results["splits"][name]) for name in SPLIT_NAMES if name in results["splits"]],
        "survival": [_survival(results, code, results["survival"][code]) for code in results["plan"]["survival"]],
        "models": [_model(name, results["models"][name]) for name in results["sets"]],
        "assumptions": [of(said) for said in results["assumptions"]],
        "headline": results["headline"],
        "headline_split": SPLIT_NAMES[results["headline"]["split"]],
        "primary": set_name(results["primary"]["set"]),
    }


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    left = [(REASON_NAMES.get(why, why), count) for why, count in step["left"].items() if count]
    return {"name": STEP_NAMES.get(step["code"], step["code"]), "remaining": step["remaining"], "left": left}


def _split(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    found = about["evaluation"]
    notes = [note["zh" if language() == "zh" else "en"] for note in found["notes"]]
    return {
        "code": name,
        "name": SPLIT_NAMES[name],
        "n": found["n"],
        "events": found["events"],
        "notes": notes,
        "models": [_accuracy(model) for model in found["models"]],
        "calibration": [row for model in found["models"] if (row := _calibration(model))],
        "comparisons": [_comparison(pair) for pair in found["comparisons"]],
        "parts": [part | {"set": set_name(part["set"]), "auc": estimate(part["auc"])} for part in about["parts"]],
    }


def _accuracy(model: Mapping[str, Any]) -> dict[str, Any]:
    called = model["classification"] or {}
    rates = [proportion(called.get(name)) for name in METRIC_NAMES if name != "auc"]
    table = called.get("table") or {}
    why = reason(model["auc"])
    return {"name": set_name(model["name"]), "auc": estimate(model["auc"]), "why": why, "rates": rates, "table": table}


def _calibration(model: Mapping[str, Any]) -> dict[str, Any] | None:
    found = model["calibration"]
    if not found:
        return None
    again, test = found["recalibration"], found["hosmer_lemeshow"]
    brier = found["brier"]
    return {
        "name": set_name(model["name"]),
        "intercept": estimate(again.get("intercept")),
        "slope": estimate(again.get("slope")),
        "ratio": estimate(found["observed_expected"]),
        "brier": estimate(brier.get("brier")),
        "scaled": brier.get("scaled"),
        "ici": found["curve"].get("ici"),
        "test": test if "p" in test else None,
        "why": reason(again) or reason(test),
    }


def _comparison(pair: Mapping[str, Any]) -> dict[str, Any]:
    found = pair["auc"]
    about = {"first": set_name(pair["first"]), "second": set_name(pair["second"]), "why": reason(found)}
    return about | {"difference": estimate(found.get("difference")), "p": found.get("p")}


def _survival(results: Mapping[str, Any], code: str, about: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = next(one for one in results["endpoints"] if one["code"] == code)
    if "report" not in about:
        return {"code": code, "name": of(endpoint["name"]), "why": reason(about), "groups": []}
    report = about["report"]
    return {
        "code": code,
        "name": of(endpoint["name"]),
        "split": SPLIT_NAMES[about["split"]],
        "set": set_name(about["set"]),
        "n": report["n"],
        "events": report["events"],
        "groups": [_curve(name, curve) for name, curve in report["groups"].items()],
        "at_risk": report["at_risk"],
        "follow_up": estimate(report["median_follow_up"]),
        "log_rank": report["log_rank"] if (report["log_rank"] or {}).get("p") is not None else None,
        "hazards": list(_hazards(report["hazard_ratios"])),
        "per_tenth": list(_hazards(about["per_tenth"].get("model"))),
        "proportional": (about["per_tenth"].get("proportional_hazards") or {}).get("overall"),
        "concordance": estimate(about["concordance"]),
        "why": reason(report["log_rank"]) or reason(report["hazard_ratios"]),
    }


def _curve(name: str, curve: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": RISK_NAMES.get(name, name), "code": name, "n": curve["n"], "events": curve["n_events"]}
    return about | {"median": estimate(curve["median"])}


def _hazards(model: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    for one in (model or {}).get("coefficients", ()):
        yield {"name": one["name"], "ratio": estimate(one["hazard_ratio"]), "p": one["p"]}


def _model(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": set_name(name),
        "threshold": about["threshold"],
        "rule": RULE_NAMES.get(about["threshold_rule"], about["threshold_rule"]),
        "chosen": ", ".join(f"{key.split('__')[-1]} = {value}" for key, value in about["chosen"].items()),
        "coefficients": sorted(about["coefficients"].items(), key=lambda pair: -abs(pair[1])),
        "developed_on": about["developed_on"],
        "sha256": about["sha256"],
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparison with the last run, named."""
    return [row | {"split_name": SPLIT_NAMES[row["split"]], "metric_name": METRIC_NAMES[row["metric"]]} for row in rows]
