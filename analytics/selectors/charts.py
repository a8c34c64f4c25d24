"""An evaluation's curves as ECharts options: plain dicts that the page draws; hovering reads the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from analytics.selectors.presentation import FIGURE_NAMES, RISK_NAMES, SPLIT_NAMES, of, set_name

Option = dict[str, Any]


def charts(results: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By split (and `survival`), the figures with id, label and option."""
    primary = results["primary"]["set"]
    found = {}
    for split, about in results["splits"].items():
        models = about["evaluation"]["models"]
        drawn = [_roc(models), _calibration(models, primary), _decision(models), _impact(models, primary)]
        name = str(SPLIT_NAMES[split])
        found[split] = [
            {"id": f"{split}-{one['code']}", "label": f"{one['name']}, {name}", **one} for one in drawn if one
        ]
    names = {one["code"]: of(one["name"]) for one in results["endpoints"]}
    found["survival"] = [
        {"id": f"survival-{code}", "code": code, "name": names[code], "label": names[code], "option": _curves(about)}
        for code, about in results["survival"].items()
        if "report" in about
    ]
    return found


def _plot(names: tuple[str, str], series: list[Option], x_axis: Option, y_axis: Option) -> Option:
    """Axes named (x, y), a legend above, and a tooltip that reads all series at once."""
    named = {"type": "value", "nameLocation": "middle"}
    return {
        "grid": {"left": 56, "right": 16, "top": 48, "bottom": 48},
        "legend": {"top": 0, "type": "scroll"},
        "tooltip": {"trigger": "axis"},
        "xAxis": {**named, "name": names[0], "nameGap": 28, "min": 0, **x_axis},
        "yAxis": {**named, "name": names[1], "nameGap": 40, **y_axis},
        "series": series,
    }


def _line(name: str, points: list[list[float | None]], **more: Any) -> Option:
    return {"type": "line", "name": name, "data": points, "showSymbol": False, "lineStyle": {"width": 2}, **more}


def _reference(name: str, points: list[list[float]]) -> Option:
    return _line(name, points, lineStyle={"type": "dashed", "width": 1, "color": "#6E6E6E"}, color="#6E6E6E")


def _pairs(x: list[float], y: list[float]) -> list[list[float | None]]:
    return [[_short(a), _short(b)] for a, b in zip(x, y, strict=True)]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _roc(models: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    series = []
    for model in models:
        if "sensitivity" not in model["roc"] or "value" not in model["auc"]:
            continue
        name = f"{set_name(model['name'])} AUC {model['auc']['value']:.3f}"
        falsely = [1 - value for value in model["roc"]["specificity"]]
        series.append(_line(name, _pairs(falsely, model["roc"]["sensitivity"])))
    if not series:
        return None
    series.append(_reference(_("chance"), [[0, 0], [1, 1]]))
    option = _plot((_("1 − specificity"), _("Sensitivity")), series, {"max": 1}, {"min": 0, "max": 1})
    return {"code": "roc", "name": FIGURE_NAMES["roc"], "option": option}


def _primary(models: list[Mapping[str, Any]], primary: str) -> Mapping[str, Any]:
    return next(model for model in models if model["name"] == primary)


def _calibration(models: list[Mapping[str, Any]], primary: str) -> dict[str, Any] | None:
    curve = (_primary(models, primary)["calibration"] or {}).get("curve", {})
    if "predicted" not in curve:
        return None
    groups = [[_short(one["predicted_mean"]), _short(one["observed"]["value"])] for one in curve["groups"]]
    series = [
        _line(_("smoothed"), _pairs(curve["predicted"], curve["observed"])),
        {"type": "scatter", "name": _("risk groups"), "data": groups, "symbolSize": 8},
        _reference(_("ideal"), [[0, 0], [1, 1]]),
    ]
    names = (_("Predicted probability"), _("Observed proportion"))
    option = _plot(names, series, {"max": 1}, {"min": 0, "max": 1})
    return {"code": "calibration", "name": FIGURE_NAMES["calibration"], "option": option}


def _decision(models: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    useful = [(model["name"], model["utility"]["decision_curve"]) for model in models if model["utility"]]
    if not useful:
        return None
    series = [_line(set_name(name), _pairs(one["thresholds"], one["model"])) for name, one in useful]
    first = useful[0][1]
    prevalence = first["events"] / first["n"]
    everybody = [pair for pair in _pairs(first["thresholds"], first["treat_all"]) if (pair[1] or 0) > -0.2 * prevalence]
    series.append(_reference(_("treat all"), everybody))
    series.append(_reference(_("treat none"), [[0, 0], [1, 0]]))
    low = {"min": round(-0.2 * prevalence, 2)}
    option = _plot((_("Threshold probability"), _("Net benefit")), series, {"max": 1}, low)
    return {"code": "decision", "name": FIGURE_NAMES["decision"], "option": option}


def _impact(models: list[Mapping[str, Any]], primary: str) -> dict[str, Any] | None:
    found = (_primary(models, primary)["utility"] or {}).get("clinical_impact")
    if not found:
        return None
    series = [
        _line(_("predicted positive"), _pairs(found["thresholds"], found["high_risk"])),
        _line(_("predicted positive with the outcome"), _pairs(found["thresholds"], found["high_risk_with_event"])),
    ]
    of = _("Of %(per)s subjects") % {"per": found["per"]}
    option = _plot((_("Threshold probability"), of), series, {"max": 1}, {"min": 0, "max": found["per"]})
    return {"code": "impact", "name": FIGURE_NAMES["impact"], "option": option}


def _curves(about: Mapping[str, Any]) -> Option:
    series = []
    for group, curve in about["report"]["groups"].items():
        name = str(RISK_NAMES.get(group, group))
        points = _pairs(curve["times"], curve["survival"])
        series.append(_line(name, points, step="end"))
        censored = list(_censored(curve))
        series.append({"type": "scatter", "name": name, "data": censored, "symbol": "rect", "symbolSize": [1.5, 9]})
    return _plot((_("Months"), _("Survival probability")), series, {}, {"min": 0, "max": 1})


def _censored(curve: Mapping[str, Any]) -> Iterator[list[float | None]]:
    for time, survival, count in zip(curve["times"], curve["survival"], curve["censored"], strict=True):
        if count:
            yield [_short(time), _short(survival)]
