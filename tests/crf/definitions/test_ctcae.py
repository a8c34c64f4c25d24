"""Grades at the boundaries of the published table (CTCAE v5.0, NCI, 27 November 2017), each from its own words."""

# ruff: noqa: E501 (a line of the published table is a line here)
from __future__ import annotations

import re

import pytest

from crf.definitions import ctcae
from crf.definitions.expressions import ExpressionFailed, evaluate_expression

TERMS = sorted({term.name for term in ctcae.table().values()})


def graded(name: str, value: float, **more) -> int | None:
    term = ctcae.table()[name.lower()]
    unit = more.pop("unit", term.units[0] if term.units else "")
    return ctcae.grade(term, value, unit=unit, **more)


# Term, unit, normal limit, then results just inside and outside of each published limit with their grades.
# ULN 40, LLN as usual in adults; the boundaries themselves belong to the milder grade in the table.
LOW = [
    ("Anemia", "g/L", 130, [(130, 0), (129.9, 1), (100, 1), (99.9, 2), (80, 2), (79.9, 3), (10, 3)]),
    ("Anemia", "g/dL", 13, [(13, 0), (12.9, 1), (10, 1), (9.9, 2), (8, 2), (7.9, 3)]),
    ("Anemia", "mmol/L", 8.1, [(8.1, 0), (8, 1), (6.2, 1), (6.1, 2), (4.9, 2), (4.8, 3)]),
    ("White blood cell decreased", "10^9/L", 3.5, [(3.5, 0), (3.4, 1), (3, 1), (2.9, 2), (2, 2), (1.9, 3), (1, 3), (0.9, 4)]),
    ("White blood cell decreased", "/mm3", 3500, [(3500, 0), (3000, 1), (2999, 2), (2000, 2), (1999, 3), (999, 4)]),
    ("Neutrophil count decreased", "10^9/L", 1.8, [(1.8, 0), (1.7, 1), (1.5, 1), (1.4, 2), (1, 2), (0.9, 3), (0.5, 3), (0.4, 4)]),
    ("Neutrophil count decreased", "/mm3", 1800, [(1500, 1), (1499, 2), (1000, 2), (999, 3), (500, 3), (499, 4)]),
    ("Lymphocyte count decreased", "10^9/L", 1.1, [(1.1, 0), (1, 1), (0.8, 1), (0.7, 2), (0.5, 2), (0.4, 3), (0.2, 3), (0.1, 4)]),
    ("Lymphocyte count decreased", "/mm3", 1100, [(800, 1), (799, 2), (500, 2), (499, 3), (200, 3), (199, 4)]),
    ("CD4 lymphocytes decreased", "/mm3", 550, [(550, 0), (500, 1), (499, 2), (200, 2), (199, 3), (50, 3), (49, 4)]),
    ("CD4 lymphocytes decreased", "10^9/L", 0.55, [(0.5, 1), (0.49, 2), (0.2, 2), (0.19, 3), (0.05, 3), (0.04, 4)]),
    ("Platelet count decreased", "10^9/L", 125, [(125, 0), (124, 1), (75, 1), (74.9, 2), (50, 2), (49.9, 3), (25, 3), (24.9, 4)]),
    ("Platelet count decreased", "/mm3", 125000, [(75000, 1), (74999, 2), (50000, 2), (49999, 3), (25000, 3), (24999, 4)]),
    ("Hypoalbuminemia", "g/L", 40, [(40, 0), (39.9, 1), (30, 1), (29.9, 2), (20, 2), (19.9, 3)]),
    ("Hypoalbuminemia", "g/dL", 4, [(4, 0), (3, 1), (2.9, 2), (2, 2), (1.9, 3)]),
    ("Hyponatremia", "mmol/L", 137, [(137, 0), (136, 1), (130, 1), (129, 2), (125, 2), (124, 3), (120, 3), (119, 4)]),
    ("Hypokalemia", "mmol/L", 3.5, [(3.5, 0), (3.4, 1), (3, 1), (2.9, 3), (2.5, 3), (2.4, 4)]),
    ("Hypocalcemia", "mmol/L", 2.11, [(2.11, 0), (2.1, 1), (2, 1), (1.99, 2), (1.75, 2), (1.74, 3), (1.5, 3), (1.49, 4)]),
    ("Hypocalcemia", "mg/dL", 8.5, [(8, 1), (7.9, 2), (7, 2), (6.9, 3), (6, 3), (5.9, 4)]),
    ("Hypocalcemia (ionized)", "mmol/L", 1.12, [(1.12, 0), (1, 1), (0.99, 2), (0.9, 2), (0.89, 3), (0.8, 3), (0.79, 4)]),
    ("Hypomagnesemia", "mmol/L", 0.75, [(0.75, 0), (0.5, 1), (0.49, 2), (0.4, 2), (0.39, 3), (0.3, 3), (0.29, 4)]),
    ("Hypomagnesemia", "mg/dL", 1.8, [(1.2, 1), (1.1, 2), (0.9, 2), (0.8, 3), (0.7, 3), (0.6, 4)]),
    ("Hypoglycemia", "mmol/L", 3.9, [(3.9, 0), (3.8, 1), (3, 1), (2.9, 2), (2.2, 2), (2.1, 3), (1.7, 3), (1.6, 4)]),
    ("Hypoglycemia", "mg/dL", 70, [(55, 1), (54, 2), (40, 2), (39, 3), (30, 3), (29, 4)]),
    ("Haptoglobin decreased", "*", 0.3, [(0.3, 0), (0.29, 1), (0.01, 1)]),
]  # fmt: skip
HIGH = [
    ("Hemoglobin increased", "g/dL", 17.5, [(17.5, 0), (17.6, 1), (19.5, 1), (19.6, 2), (21.5, 2), (21.6, 3)]),
    ("Hemoglobin increased", "g/L", 175, [(175, 0), (176, 1), (195, 1), (196, 2), (215, 2), (216, 3)]),
    ("Leukocytosis", "/mm3", None, [(100000, 0), (100001, 3)]),
    ("Leukocytosis", "10^9/L", None, [(100, 0), (100.1, 3)]),
    ("Lymphocyte count increased", "/mm3", None, [(4000, 0), (4001, 2), (20000, 2), (20001, 3)]),
    ("Lymphocyte count increased", "10^9/L", None, [(4, 0), (4.1, 2), (20, 2), (20.1, 3)]),
    ("INR increased", "", None, [(1.2, 0), (1.21, 1), (1.5, 1), (1.51, 2), (2.5, 2), (2.51, 3)]),
    ("Activated partial thromboplastin time prolonged", "", 40, [(40, 0), (41, 1), (60, 1), (61, 2), (100, 2), (101, 3)]),
    ("Alanine aminotransferase increased", "", 40, [(40, 0), (41, 1), (120, 1), (121, 2), (200, 2), (201, 3), (800, 3), (801, 4)]),
    ("Aspartate aminotransferase increased", "", 40, [(40, 0), (41, 1), (120, 1), (121, 2), (200, 2), (201, 3), (800, 3), (801, 4)]),
    ("Alkaline phosphatase increased", "", 40, [(40, 0), (41, 1), (100, 1), (101, 2), (200, 2), (201, 3), (800, 3), (801, 4)]),
    ("GGT increased", "", 40, [(40, 0), (41, 1), (100, 1), (101, 2), (200, 2), (201, 3), (800, 3), (801, 4)]),
    ("Blood bilirubin increased", "", 20, [(20, 0), (20.1, 1), (30, 1), (30.1, 2), (60, 2), (60.1, 3), (200, 3), (200.1, 4)]),
    ("Creatinine increased", "", 100, [(100, 0), (101, 1), (150, 1), (151, 2), (300, 2), (301, 3), (600, 3), (601, 4)]),
    ("Lipase increased", "", 40, [(40, 0), (41, 1), (60, 1), (61, 2), (80, 2), (81, 2), (200, 2), (201, 3)]),
    ("Serum amylase increased", "", 40, [(40, 0), (41, 1), (60, 1), (61, 2), (80, 2), (81, 2), (200, 2), (201, 3)]),
    ("CPK increased", "", 200, [(200, 0), (201, 1), (500, 1), (501, 2), (1000, 2), (1001, 3), (2000, 3), (2001, 4)]),
    ("Cholesterol high", "mmol/L", 5.2, [(5.2, 0), (5.3, 1), (7.75, 1), (7.76, 2), (10.34, 2), (10.35, 3), (12.92, 3), (12.93, 4)]),
    ("Cholesterol high", "mg/dL", 200, [(300, 1), (301, 2), (400, 2), (401, 3), (500, 3), (501, 4)]),
    ("Hypertriglyceridemia", "mmol/L", None, [(1.7, 0), (1.71, 1), (3.42, 1), (3.43, 2), (5.7, 2), (5.71, 3), (11.4, 3), (11.41, 4)]),
    ("Hypertriglyceridemia", "mg/dL", None, [(149, 0), (150, 1), (300, 1), (301, 2), (500, 2), (501, 3), (1000, 3), (1001, 4)]),
    ("Hypernatremia", "mmol/L", 147, [(147, 0), (148, 1), (150, 1), (151, 2), (155, 2), (156, 3), (160, 3), (161, 4)]),
    ("Hyperkalemia", "mmol/L", 5.3, [(5.3, 0), (5.4, 1), (5.5, 1), (5.6, 2), (6, 2), (6.1, 3), (7, 3), (7.1, 4)]),
    ("Hypercalcemia", "mmol/L", 2.52, [(2.52, 0), (2.6, 1), (2.9, 1), (2.91, 2), (3.1, 2), (3.11, 3), (3.4, 3), (3.41, 4)]),
    ("Hypercalcemia", "mg/dL", 10.5, [(11.5, 1), (11.6, 2), (12.5, 2), (12.6, 3), (13.5, 3), (13.6, 4)]),
    ("Hypercalcemia (ionized)", "mmol/L", 1.32, [(1.32, 0), (1.5, 1), (1.51, 2), (1.6, 2), (1.61, 3), (1.8, 3), (1.81, 4)]),
    ("Hypermagnesemia", "mmol/L", 1.02, [(1.02, 0), (1.1, 1), (1.23, 1), (1.24, 3), (3.3, 3), (3.31, 4)]),
    ("Hypermagnesemia", "mg/dL", 2.5, [(2.6, 1), (3, 1), (3.1, 3), (8, 3), (8.1, 4)]),
]  # fmt: skip
BOUNDARIES = [
    pytest.param(term, unit, limit, value, grade, id=f"{term}, {value} {unit}")
    for term, unit, limit, results in [*LOW, *HIGH]
    for value, grade in results
]


@pytest.mark.parametrize(("term", "unit", "limit", "value", "grade"), BOUNDARIES)
def test_a_result_at_a_published_boundary_has_the_published_grade(term, unit, limit, value, grade):
    assert graded(term, value, unit=unit, limit=limit) == grade


def test_every_term_and_every_unit_of_it_is_tried_at_its_boundaries():
    tried = {(term, unit) for term, unit, _limit, _results in [*LOW, *HIGH]}
    for name in TERMS:
        term = ctcae.table()[name.lower()]
        assert {(name, unit) for unit in (*term.cut, *term.over_uln) or ("",)} <= tried


@pytest.mark.parametrize("name", TERMS)
def test_the_numbers_of_a_grade_stand_in_its_published_words(name):
    """A slip of the keyboard in the machine's half of the table is found by the table's own text."""
    term = ctcae.table()[name.lower()]
    for limits in (*term.cut.values(), term.uln, term.baseline, term.or_baseline, term.on_request):
        for number, limit in enumerate(limits, start=1):
            if limit is not None and limit.number not in (None, 1):
                # Hyponatremia's grade 2 begins where grade 1 ends: "<LLN - 130", then "125-129".
                words = " ".join(term.published.get(one, "") for one in (number - 1, number)).replace(",", "")
                said = {float(text) for text in re.findall(r"\d+(?:\.\d+)?", words)}
                assert {float(limit.number), float(limit.number) / 1000, float(limit.number) * 1000} & said, (
                    number,
                    words,
                )


@pytest.mark.parametrize(
    ("name", "value", "grade"),
    [
        ("ALT increased", 149, 0), ("ALT increased", 150, 1), ("ALT increased", 300, 1), ("ALT increased", 301, 2),
        ("ALT increased", 500, 2), ("ALT increased", 501, 3), ("ALT increased", 2000, 3), ("ALT increased", 2001, 4),
        ("AST increased", 149, 0), ("AST increased", 150, 1), ("AST increased", 301, 2), ("AST increased", 2001, 4),
        ("ALP increased", 199, 0), ("ALP increased", 200, 1), ("ALP increased", 250, 1), ("ALP increased", 251, 2),
        ("ALP increased", 501, 3), ("ALP increased", 2001, 4),
        ("GGT increased", 199, 0), ("GGT increased", 200, 1), ("GGT increased", 251, 2), ("GGT increased", 2001, 4),
        ("Bilirubin increased", 100, 0), ("Bilirubin increased", 101, 1), ("Bilirubin increased", 150, 1),
        ("Bilirubin increased", 151, 2), ("Bilirubin increased", 301, 3), ("Bilirubin increased", 1001, 4),
    ],
)  # fmt: skip
def test_an_abnormal_baseline_is_what_multiples_are_of(name, value, grade):
    assert graded(name, value, limit=40, baseline=100) == grade


@pytest.mark.parametrize("baseline", [None, 39, 40])
def test_a_normal_or_unknown_baseline_leaves_the_multiples_to_the_upper_limit(baseline):
    assert graded("ALT increased", 121, limit=40, baseline=baseline) == 2


@pytest.mark.parametrize(("value", "grade"), [(75, 0), (76, 2), (150, 2), (151, 3), (301, 3), (601, 4)])
def test_creatinine_counts_from_baseline_and_from_the_upper_limit_whichever_is_worse(value, grade):
    assert graded("Creatinine increased", value, limit=100, baseline=50) == grade


@pytest.mark.parametrize(("value", "grade"), [(2, 0), (2.1, 1), (3, 1), (3.1, 2), (5, 2), (5.1, 3)])
def test_inr_counts_from_baseline_only_where_the_study_says_so(value, grade):
    assert graded("INR increased", value, baseline=2, multiples_of_baseline=True) == grade
    assert graded("INR increased", 2, baseline=2) == 2


@pytest.mark.parametrize(
    ("name", "value", "grade"),
    [("Anemia", 101, None), ("Anemia", 99, 2), ("ALT increased", 5000, None), ("Hyperkalemia", 5.4, None)],
)
def test_without_a_normal_limit_only_what_does_not_need_it_is_graded(name, value, grade):
    assert graded(name, value) == grade


def test_multiples_are_exact():
    assert 3 * 1.1 > 3.3  # in binary; a result of exactly three times ULN is grade 1
    assert graded("ALT increased", 3.3, limit=1.1) == 1


@pytest.mark.parametrize(
    ("written", "known"),
    [("10⁹/L", True), ("×10⁹/L", True), ("x 10^9/L", True), ("10*9/L", True), ("10E9/L", True), ("/mm³", True),
     ("10^12/L", False), ("g/L", False), (None, False)],
)  # fmt: skip
def test_a_unit_is_known_in_its_usual_spellings(written, known):
    assert (ctcae.unit_of(ctcae.table()["platelet count decreased"], written) is not None) is known


def test_what_v5_grades_by_treatment_is_not_graded_and_says_so():
    assert "treatment" in ctcae.not_graded()["hyperglycemia"].en
    assert "hyperglycemia" not in ctcae.table()


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("ctcae('ALT increased', 121, 40)", 2), ("ctcae('ALT increased', 121, 40, 100)", 0),
        ("ctcae('alanine aminotransferase increased', 801, 40)", 4), ("ctcae('Leukocytosis', 101)", 3),
        ("ctcae('Platelet count decreased', unknown, 125)", None), ("ctcae('Anemia', 120)", None),
    ],
)  # fmt: skip
def test_expressions_grade_too(text, grade):
    assert evaluate_expression(text, {}) == grade


def test_an_unknown_term_in_an_expression_is_a_failure_not_an_unknown():
    with pytest.raises(ExpressionFailed, match="ALT up"):
        evaluate_expression("ctcae('ALT up', 100, 40)", {})
