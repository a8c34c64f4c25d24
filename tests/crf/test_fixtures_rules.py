"""The two studies' endpoints and analysis plans: they read what exists, and decide as their sentences say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from analytics.endpoints import Row, SubjectRows, load_endpoints
from analytics.endpoints import evaluate as decide
from analytics.learning.plan import load_plans
from tests.crf.test_fixtures import FIXTURES, HCC, LT, STUDIES

NAMING = ("item", "date", "target_sum", "non_target", "new_lesion", "response")


def sources(rule: Any) -> Any:
    """Every form and item that an endpoint file names, with the values it compares them with."""
    if isinstance(rule, dict):
        if "form" in rule and isinstance(rule["form"], str):
            yield rule["form"], [rule[key] for key in NAMING if rule.get(key)], rule.get("where") or {}
        if "forms" in rule and "item" in rule:
            for form in rule["forms"]:
                yield form, [rule["item"], *([rule["date"]] if rule.get("date") else [])], rule.get("where") or {}
        for inner in rule.values():
            yield from sources(inner)
    elif isinstance(rule, list | tuple):
        for inner in rule:
            yield from sources(inner)


@pytest.mark.parametrize("code", [HCC, LT])
def test_endpoints_read_items_and_codes_that_exist(code: str) -> None:
    study = STUDIES[code]
    rules = load_endpoints(FIXTURES / code / "endpoints.yaml").model_dump(by_alias=True)
    named = list(sources(rules))
    assert len(named) > 10
    for oid, items, where in named:
        for name in (*items, *where):
            assert name in study.form(oid).items, f"{oid}.{name}"
        for name, test in where.items():
            codelist = study.codelist(study.form(oid).item(name))
            compared = [test["eq"]] if test["eq"] is not None else list(test["in"] or [])
            assert codelist and set(compared) <= set(codelist.codes()), f"{oid}.{name}: {compared}"


@pytest.mark.parametrize("code", [HCC, LT])
def test_predictors_are_known_before_time_zero_and_are_no_outcomes(code: str) -> None:
    study = STUDIES[code]
    plans, endpoints = load_plans(FIXTURES / code / "analysis.yaml"), load_endpoints(FIXTURES / code / "endpoints.yaml")
    early = {HCC: "BASELINE", LT: "PREOP"}[code]
    for plan in plans.plans:
        assert endpoints[plan.outcome]
        assert all(endpoints[name] for name in plan.survival)
        for name in plan.predictors["clinical"].items:
            oid, item = name.split(".")
            assert study.form(oid).item(item).role == "predictor", name
            assert oid in study.event(early).forms, name
        assert study.imaging is not None
        required = {one.code for one in study.imaging.sequences if one.required}
        assert set(plan.predictors["radiomics"].sequences) <= required
        assert plan.predictors["radiomics"].roi in {one.code for one in study.imaging.rois}


def subject(*pages: tuple[str, dict[str, Any]]) -> SubjectRows:
    return SubjectRows("01-0001", tuple(Row(at, 1, form, values) for at, (form, values) in enumerate(pages, 1)))


def endpoint(code: str, name: str) -> Any:
    return load_endpoints(FIXTURES / code / "endpoints.yaml")[name]


START = ("ELIG", {"index_treatment_date": "2026-02-01"})
TRANSPLANT = ("OPER", {"transplant_date": "2026-02-01"})
SIX_MONTHS = {
    "sample_date": "2026-07-20", "platelets": 82, "wbc": 4.6, "ct_date": "2026-07-22", "spleen_length": 14.1,
    "alternative_cause": "N",
}  # fmt: skip
REPEATED = {"repeat_date": "2026-07-30", "repeat_platelets": 88, "repeat_wbc": 4.4}


def test_the_best_response_before_surgery_counts() -> None:
    visits = [
        (
            "RESP",
            {"assessment_date": "2026-03-30", "target_sum": 52.0, "new_lesion": "N", "nontarget_response": "NONE"},
        ),
        ("RESP", {"assessment_date": "2026-09-30", "target_sum": 0.0, "new_lesion": "N", "nontarget_response": "NONE"}),
    ]
    case = subject(START, ("TB", {"target_sum": 70.0}), *visits, ("CONV", {"surgery_date": "2026-06-01"}))
    assert decide(endpoint(HCC, "OBJRESP"), case).value["response"] == "SD"
    assert decide(endpoint(HCC, "OBJRESP"), subject(START, ("TB", {"target_sum": 80.0}), *visits)).value["label"] == 1


def test_progression_on_imaging_ends_progression_free_survival() -> None:
    case = subject(
        START,
        ("RESP", {"assessment_date": "2026-04-02", "overall_response": "SD"}),
        ("RESP", {"assessment_date": "2026-05-22", "overall_response": "PD"}),
        ("FU", {"vital_status": "DEAD", "progression_date": "2026-06-10", "death_date": "2026-08-01"}),
    )
    pfs, overall = decide(endpoint(HCC, "PFS"), case), decide(endpoint(HCC, "OS"), case)
    assert (pfs.value["days"], pfs.value["event_code"]) == (110, "progression")
    assert (overall.value["days"], overall.value["event"]) == (181, 1)


def test_pathological_complete_response_shows_both_denominators() -> None:
    none, yes = (
        subject(START, ("CONV", {"surgery_done": "N"})),
        subject(START, ("CONV", {"surgery_done": "Y", "pcr": "Y"})),
    )
    assert decide(endpoint(HCC, "PCR"), none).status == "not_in_population"
    assert decide(endpoint(HCC, "PCR_ALL"), none).value["label"] == 0
    assert decide(endpoint(HCC, "PCR"), yes).value["label"] == decide(endpoint(HCC, "PCR_ALL"), yes).value["label"] == 1


@pytest.mark.parametrize(
    ("pages", "status", "label"),
    [
        ([("SP6M", {**SIX_MONTHS, **REPEATED})], "evaluable", 1),
        ([("SP6M", {**SIX_MONTHS, **REPEATED, "spleen_length": 11.8})], "evaluable", 0),
        ([("SP6M", {**SIX_MONTHS, **REPEATED, "repeat_platelets": 118})], "evaluable", 0),
        ([("SP6M", SIX_MONTHS)], "not_evaluable", None),
        ([("SP6M", {**SIX_MONTHS, **REPEATED, "alternative_cause": "Y"})], "not_evaluable", None),
        ([("SP6M", {**SIX_MONTHS, "platelets": 160})], "evaluable", 0),
        ([("STATUS", {"death_date": "2026-04-01"})], "competing", None),
        (
            [("HSEV", {"event_type": "EMBOLISATION", "because_hypersplenism": "Y", "event_date": "2026-05-01"})],
            "evaluable",
            1,
        ),
        (
            [("HSEV", {"event_type": "SPLENECTOMY", "because_hypersplenism": "N", "event_date": "2026-05-01"})],
            "competing",
            None,
        ),
    ],
)
def test_refractory_hypersplenism_follows_its_rule(pages: list[Any], status: str, label: int | None) -> None:
    result = decide(endpoint(LT, "RHS6"), subject(TRANSPLANT, *pages))
    assert (result.status, result.value.get("label")) == (status, label)


def test_what_the_registration_leaves_open_is_marked_assumed() -> None:
    for rule in load_endpoints(FIXTURES / LT / "endpoints.yaml").endpoints:
        assert rule.origin == "assumed"
    note = endpoint(LT, "RHS6").note
    assert note and "confirmed by the PI" in note.en and "待 PI 确认" in note.zh


@pytest.mark.parametrize("code", [HCC, LT])
def test_the_synthetic_recipe_names_items_and_codes_that_exist(code: str) -> None:
    recipe = yaml.safe_load((FIXTURES / code / "synthetic.yaml").read_text(encoding="utf-8"))
    for name, rule in recipe["items"].items():
        oid, item_name = name.split(".")
        item = STUDIES[code].form(oid).items.get(item_name)
        assert item is not None and item.is_entered, name
        codelist = STUDIES[code].codelist(item)
        drawn = [rule["value"]] if "value" in rule else list(rule.get("choice", {}))
        assert codelist is None or set(drawn) <= set(codelist.codes()), name
