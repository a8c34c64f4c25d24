"""The two studies' forms at work: skip logic, derived values and checks."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from crf.definitions import Form, Item, StudyDefinition, evaluate
from crf.definitions.expressions import compile_expression
from tests.crf.test_fixtures import EXCLUSIONS, HCC, LT, STUDIES


def specimens(study: StudyDefinition, item: Item) -> list[Any]:
    kind = item.value_kind
    codelist = study.codelist(item)
    if codelist:
        return [None, *([code] if kind == "choices" else code for code in codelist.codes())]
    if kind in ("integer", "decimal"):
        return [None, 0, 1, 2, 3, 4, 5, 50]
    return [None, "2026-02-01" if kind == "date" else "x"]


def conditions(form: Form, name: str) -> set[str]:
    """The names that decide whether an item is shown, also by way of items that it hangs on."""
    own = form.items.get(name)
    if own is None or not own.show_if:
        return set()
    names = set(compile_expression(own.show_if).names)
    return names.union(*(conditions(form, inner) for inner in names))


def settings(study: StudyDefinition, form: Form, names: list[str]) -> Any:
    def item(name: str) -> Item:
        head, *rest = name.split(".")
        return study.form(rest[0]).item(rest[1]) if rest else form.item(head)

    # Derived values come from what they are derived of, and cannot be set.
    return itertools.product(*(specimens(study, item(name)) for name in names))


def shown(form: Form, name: str, setting: dict[str, Any]) -> bool:
    context: dict[str, Any] = {"today": "2026-04-01", "forms": {}}
    for dotted, value in setting.items():
        if "." in dotted:
            _, oid, item = dotted.split(".")
            context["forms"].setdefault(oid, {})[item] = value
    values = {inner: value for inner, value in setting.items() if "." not in inner and value is not None}
    return name in evaluate(form, values, context).visible


SKIPPED = [
    pytest.param(code, form.oid, item.name, id=f"{form.oid}.{item.name}-{code[-4:]}")
    for code, study in STUDIES.items()
    for form, item in study.items()
    if item.show_if and (form.oid, item.name) != ("RESP", "response_comment")
]


@pytest.mark.parametrize(("code", "oid", "name"), SKIPPED)
def test_every_skipped_item_can_be_shown_and_hidden(code: str, oid: str, name: str) -> None:
    study, form = STUDIES[code], STUDIES[code].form(oid)
    names = sorted(conditions(form, name))
    outcomes = set()
    for values in settings(study, form, names):
        outcomes.add(shown(form, name, dict(zip(names, values, strict=True))))
        if outcomes == {True, False}:
            return
    pytest.fail(f"{oid}.{name} is always {'shown' if True in outcomes else 'hidden'}: {form.item(name).show_if}")


def test_a_difference_between_rule_and_investigator_asks_for_a_reason() -> None:
    agreed, differing = response(investigator_response="PR"), response(investigator_response="SD")
    assert "response_comment" not in agreed.visible
    assert "response_comment" in differing.visible
    assert "RESP3" in {finding.check for finding in differing.findings}


LABS = {"ascites": "NONE", "encephalopathy": "NONE", "dialysis": "N"}
T0 = {"ELIG": {"index_treatment_date": "2026-02-01"}, "OPER": {"transplant_date": "2026-02-01"}}


def with_forms(**forms: dict[str, Any]) -> dict[str, Any]:
    return {"today": "2026-12-01", "forms": {**T0, **forms}}


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Rows of the shared clinical cases with R's values for them."""
    shared: Path = request.getfixturevalue("shared")
    reference = json.loads((shared / "data" / "reference" / "clinical_scores.json").read_text(encoding="utf-8"))
    values: dict[str, dict[str, Any]] = {}
    for one in reference["refs"]:
        case, _, name = one["id"].partition(".")
        values.setdefault(case, {})[name] = one["value"]
    with (shared / "data" / "cohorts" / "clinical_cases.csv").open(encoding="utf-8") as file:
        return [(row, values[f"case{int(row['case']):02d}"]) for row in csv.DictReader(file)]


def laboratory(row: dict[str, str]) -> dict[str, Any]:
    grade = {"0": "NONE", "1": "G1_2", "2": "G1_2", "3": "G3_4", "4": "G3_4"}
    return {
        "bilirubin": float(row["bili_umol"]),
        "albumin": float(row["alb_gL"]),
        "inr": float(row["inr"]),
        "creatinine": float(row["cr_umol"]),
        "sodium": float(row["na"]),
        "dialysis": {"0": "N", "1": "Y"}[row["dialysis"]],
        "ascites": {"none": "NONE", "mild": "MILD"}.get(row["ascites"], "MODERATE_SEVERE"),
        "encephalopathy": grade[row["enceph"]],
    }


def test_scores_on_the_forms_are_those_r_computed(cases: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    assert len(cases) == 7
    for row, expected in cases:
        answers = laboratory(row)
        sex = with_forms(DM={"sex": row["sex"]})
        before = evaluate(STUDIES[LT].form("LBPRE"), answers, sex).values
        baseline = evaluate(STUDIES[HCC].form("LB"), answers, with_forms()).values
        assert before["meld_score"] == expected["meld"], row
        assert before["meld_na_score"] == expected["meld_na"], row
        assert before["meld3_score"] == expected["meld3"], row
        assert before["child_pugh_points"] == baseline["child_pugh_points"] == expected["cp_inr"], row
        assert baseline["child_pugh_grade"] == expected["cp_class_inr"], row
        assert baseline["albi_score"] == pytest.approx(expected["albi"], abs=0.005001), row
        assert baseline["albi_class"] == expected["albi_grade"], row


def test_ratios_and_logarithms_come_from_the_blood_count() -> None:
    answers = {"neutrophils": 4.2, "lymphocytes": 1.4, "platelets": 168, "afp": 400.0, "pivka": 0.4}
    values = evaluate(STUDIES[HCC].form("LB"), answers).values
    assert (values["nlr_ratio"], values["plr_ratio"]) == (3.0, 120.0)
    assert (values["afp_log10"], values["afp_high"], values["pivka_log10"]) == (2.602, "Y", 0.0)


@pytest.mark.parametrize(("birth", "age"), [("1966-02-01", 60), ("1966-02-02", 59), ("1966-02-UK", None)])
@pytest.mark.parametrize("code", [HCC, LT])
def test_age_counts_completed_years_at_time_zero(code: str, birth: str, age: int | None) -> None:
    values = evaluate(STUDIES[code].form("DM"), {"birth_date": birth}, with_forms()).values
    assert values.get("age") == age


def test_spleen_size_and_its_change_come_from_the_diameters() -> None:
    size = {"spleen_length": 16.0, "spleen_width": 10.0, "spleen_thickness": 6.0, "spleen_volume_ct": 620.0}
    ct = evaluate(STUDIES[LT].form("CT"), size, with_forms(LBPRE={"platelets": 48}, DM={"bsa": 1.6})).values
    assert (ct["spleen_index_value"], ct["spleen_volume_formula"]) == (960.0, 586.8)
    assert (ct["platelet_spleen"], ct["spleen_volume_bsa"]) == (300, 387.5)
    later = {"spleen_length": 13.5, "spleen_volume_ct": 465.0, "platelets": 96, "wbc": 3.9, "haemoglobin": 121}
    before = with_forms(CT=ct, LBPRE={"platelets": 48, "wbc": 2.4, "haemoglobin": 98})
    values = evaluate(STUDIES[LT].form("SP6M"), later, before).values
    assert (values["platelets_change"], values["platelets_change_pct"], values["wbc_change"]) == (48, 100.0, 1.5)
    assert (values["spleen_length_change"], values["spleen_volume_change_pct"]) == (-2.5, -25.0)


def test_graft_to_recipient_weight_ratio_is_in_per_cent() -> None:
    values = evaluate(STUDIES[LT].form("OPER"), {"graft_weight": 1260}, with_forms(DM={"weight": 70.0})).values
    assert values["grwr"] == 1.8


def test_the_recommended_dose_of_lenvatinib_follows_the_weight() -> None:
    form = STUDIES[HCC].form("LEN")
    assert [evaluate(form, {"weight": weight}).values["recommended_dose"] for weight in (59.9, 60.0)] == [8, 12]
    findings = evaluate(form, {"weight": 72.0, "initial_dose": "8"}).findings
    assert "LEN3" in {finding.check for finding in findings}


BASELINE = {"target_count": 2, "target_sum": 80.0, "nontarget_present": "N"}


def response(first: float = 30.0, second: float = 20.0, **answers: Any) -> Any:
    given = {
        "assessment_date": "2026-04-01",
        "target_evaluable": "Y",
        "target1_diameter": first,
        "target2_diameter": second,
        "nontarget_response": "NONE",
        "new_lesion": "N",
        **answers,
    }
    return evaluate(STUDIES[HCC].form("RESP"), given, with_forms(TB=BASELINE))


@pytest.mark.parametrize(
    ("sizes", "answers", "expected"),
    [
        ((0.0, 0.0), {}, "CR"),
        ((0.0, 0.0), {"nontarget_response": "NONCR"}, "PR"),
        ((36.0, 20.0), {}, "PR"),
        ((36.1, 20.0), {}, "SD"),
        ((56.0, 40.0), {}, "PD"),
        ((30.0, 20.0), {"previous_nadir": 40.0}, "PD"),
        ((0.0, 4.0), {"previous_nadir": 0.0}, "PD"),
        ((0.0, 0.0), {"new_lesion": "Y"}, "PD"),
        ((30.0, 20.0), {"nontarget_response": "PD"}, "PD"),
        ((30.0, 20.0), {"target_evaluable": "N"}, "NE"),
    ],
)
def test_response_follows_from_the_sums(sizes: tuple[float, float], answers: dict[str, Any], expected: str) -> None:
    assert response(*sizes, **answers).values["overall_response"] == expected


def test_a_target_that_was_not_measured_gives_no_response() -> None:
    state = response(second=None)  # type: ignore[arg-type]
    assert "overall_response" not in state.values
    assert "target2_diameter" in {finding.item for finding in state.findings if finding.check == "required"}


@pytest.mark.parametrize(
    ("viable", "adequate", "nodes", "expected"),
    [(0.0, "Y", "N", "Y"), (0.1, "Y", "N", "N"), (0.0, "N", "N", "NE"), (0.0, "Y", "Y", "N"), (60.0, "N", "N", "N")],
)
def test_pathological_complete_response_needs_no_viable_tumour(
    viable: float, adequate: str, nodes: str, expected: str
) -> None:
    answers = {"surgery_done": "Y", "pathology_available": "Y", "residual_viable": viable}
    state = evaluate(STUDIES[HCC].form("CONV"), {**answers, "sampling_adequate": adequate, "nodes_positive_any": nodes})
    assert state.values["pcr"] == expected
    assert "pcr" not in evaluate(STUDIES[HCC].form("CONV"), {"surgery_done": "N"}).values


@pytest.mark.parametrize(("code", "wrong"), [(code, name) for code, names in EXCLUSIONS.items() for name in names])
def test_one_exclusion_makes_a_subject_ineligible(code: str, wrong: str) -> None:
    form = STUDIES[code].form("ELIG")
    answers = {name: "Y" for name in form.items if name.startswith("inc_")}
    answers |= {name: "N" for name in EXCLUSIONS[code]}
    assert evaluate(form, answers).values["eligible"] == "Y"
    state = evaluate(form, {**answers, wrong: "Y"})
    assert state.values["eligible"] == "N"
    assert "ELIG1" in {finding.check for finding in state.findings}


@pytest.mark.parametrize(
    ("code", "oid", "answers", "check"),
    [
        (HCC, "FU", {"progression": "Y", "progression_date": "2026-01-15"}, "FU1"),
        (HCC, "FU", {"vital_status": "DEAD", "death_date": "2026-01-15"}, "FU2"),
        (HCC, "AE", {"grade": "5", "outcome": "RECOVERED"}, "AE2"),
        (HCC, "LB", {"bilirubin": 20.0, "bilirubin_direct": 30.0}, "LB4"),
        (HCC, "TB", {"imaging_date": "2025-12-01"}, "TB3"),
        (HCC, "MRI", {"sequences": ["T2", "DWI"]}, "MRI2"),
        (LT, "OPER", {"splenic_artery_ligation": "Y"}, "OPER2"),
        (LT, "SP6M", {"sample_date": "2026-07-20", "repeat_date": "2026-07-24"}, "SP6M1"),
        (LT, "SP6M", {"sample_date": "2026-05-20"}, "SP6M2"),
        (LT, "SP6M", {"sample_date": "2026-12-02"}, "SP6M8"),
        (LT, "SP6M", {"repeat_date": "2026-12-02"}, "SP6M9"),
        (LT, "SP6M", {"ct_date": "2026-12-02"}, "SP6M10"),
        (LT, "STATUS", {"vital_status": "DEAD", "death_date": "2026-02-20"}, "STATUS4"),
    ],
)
def test_what_does_not_fit_together_is_found(code: str, oid: str, answers: dict[str, Any], check: str) -> None:
    found = {finding.check for finding in evaluate(STUDIES[code].form(oid), answers, with_forms()).findings}
    assert check in found
