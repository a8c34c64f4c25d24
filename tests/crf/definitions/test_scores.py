"""Scores against values computed in R 4.2, published cut points, and their own definitions."""

from __future__ import annotations

import csv
import inspect
import json
import math
import re
from pathlib import Path

import pytest

from crf.definitions import response, scores
from crf.definitions.functions import ARITY, FUNCTIONS, NoValue
from crf.definitions.score_table import SCORES, BadCell, available, score_row


def test_every_reference_value_is_reproduced(shared: Path):
    references = json.loads((shared / "data/reference/clinical_scores.json").read_text())["refs"]
    wanted = {one["id"]: one for one in references if one["id"].startswith("case")}
    with (shared / "data/cohorts/clinical_cases.csv").open() as file:
        for row in csv.DictReader(file):
            for name, value in score_row(row).items():
                reference = wanted.pop(f"case{int(row['case']):02d}.{name}", None)
                if reference is None:
                    assert value is None, f"{name} has no reference"
                elif isinstance(value, str):
                    assert value == reference["value"], reference["id"]
                else:
                    assert abs(value - reference["value"]) <= reference["tol"], reference["id"]
    assert wanted == {}


def test_mrecist_references_are_reproduced(shared: Path):
    references = json.loads((shared / "data/reference/clinical_scores.json").read_text())["refs"]
    seen = 0
    for one in references:
        name = one["id"].removeprefix("mrecist.")
        if "nadir" in name:
            sums = [float(text) for text in re.findall(r"(?:base|nadir|cur)([\d.]+)", name)]
            assert response.mrecist_target(*sums) == one["value"], name
            seen += 1
    assert seen == 11
    assert response.mrecist("CR", "IR/SD", "N") == "PR"
    assert response.mrecist("SD", "CR", "Y") == "PD"


@pytest.mark.parametrize(
    ("baseline", "nadir", "current", "floor", "expected"),
    [
        (100, 100, 70, 5, "PR"),
        (100, 100, 70.1, 5, "SD"),
        (10, 10, 12, 0, "PD"),
        (10, 10, 12, 5, "SD"),
        (50, 0, 0.1, 0, "PD"),
    ],
)
def test_response_at_its_cut_points(baseline, nadir, current, floor, expected):
    assert response.mrecist_target(baseline, nadir, current, floor) == expected


@pytest.mark.parametrize(
    ("bilirubin", "albumin", "inr", "points"),
    [(34.1, 35.1, 1.69, 5), (34.2, 35.1, 1.69, 6), (51.3, 35, 1.7, 8), (51.4, 28, 2.3, 9), (51.4, 27.9, 2.31, 11)],
)
def test_child_pugh_counts_at_its_cut_points(bilirubin, albumin, inr, points):
    assert scores.child_pugh(bilirubin, albumin, inr, "NONE", "0") == points


def test_the_two_clotting_tests_can_disagree():
    assert scores.child_pugh(150, 31, 1.5, "MILD", "1") == 10
    assert scores.child_pugh_pt(150, 31, 4.5, "MILD", "1") == 11


@pytest.mark.parametrize(("raw", "rounded"), [(2.5, 3), (3.5, 4), (-2.5, -3), (2.4999, 2)])
def test_halves_are_rounded_away_from_zero(raw, rounded):
    assert scores.half_up(raw) == rounded


def test_dialysis_counts_as_the_highest_creatinine():
    assert scores.meld(20, 1.2, 90, "Y") == scores.meld(20, 1.2, 4 * 88.4)
    assert scores.meld3("M", 20, 1.2, 90, 137, 35, "Y") == scores.meld3("M", 20, 1.2, 3 * 88.4, 137, 35)


@pytest.mark.parametrize("name", sorted(name for name, (_, needs) in SCORES.items() if needs))
def test_nothing_in_nothing_out(name):
    function, _ = SCORES[name]
    least = sum(1 for one in inspect.signature(function).parameters.values() if one.default is one.empty)
    for position in range(least):
        values = [1.0] * least
        values[position] = None
        assert function(*values) is None
    assert function(*([math.nan] * least)) is None


@pytest.mark.parametrize(
    "call", [lambda: scores.albi(-1, 40), lambda: scores.nlr(4, 0), lambda: scores.child_pugh(20, 40, 1, "?", "0")]
)
def test_a_value_outside_the_definition_is_refused_by_name(call):
    with pytest.raises(scores.NotAScoreInput, match=r"bilirubin|lymphocytes|ascites"):
        call()


def test_conventional_units_become_the_laboratories_units():
    assert scores.to_si("bilirubin", 1, "mg/dL") == 17.1
    assert scores.to_si("creatinine", 1, "mg/dL") == 88.4
    assert scores.to_si("glucose", 180.0, "mg/dL") == pytest.approx(10)
    assert scores.to_si("afp", None, "IU/mL") is None
    with pytest.raises(scores.NotAScoreInput, match="known: bilirubin mg/dL"):
        scores.to_si("prothrombin_activity", 70, "%")


def test_a_table_gives_only_the_scores_its_columns_allow():
    assert available({"Bili_umol", "alb_gL"}) == ["albi", "albi_grade", "malbi"]
    row = score_row({"bilirubin": "20", "albumin": "", "weight_kg": "70", "height_cm": "172"})
    assert row["albi"] is None
    assert row["bmi"] == pytest.approx(23.6614386)


def test_a_cell_that_is_no_number_names_its_column():
    with pytest.raises(BadCell, match="column bili_umol: '<5' is not a number"):
        score_row({"bili_umol": "<5"})


def test_expressions_say_no_value_where_a_score_says_none():
    with pytest.raises(NoValue):
        FUNCTIONS["albi"](0.0, 40.0)
    assert ARITY["meld3"] == (6, 7)
    assert ARITY["ln"] == (1, 1)
