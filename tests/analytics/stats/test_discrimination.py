from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from analytics.stats import classification, intervals, roc
from analytics.stats.bootstrap import percentile_interval
from analytics.stats.inputs import DegenerateInput

Y = [0, 0, 1, 1]
SMALL = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(
    lambda rows: 2 <= sum(y for y, _ in rows) <= len(rows) - 2 and len({s for _, s in rows}) > 1
)


@given(SMALL)
def test_auc_is_the_share_of_ordered_pairs_with_ties_as_half(rows: list[tuple[bool, int]]) -> None:
    y, s = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    pairs = np.sign(np.subtract.outer(s[y == 1], s[y == 0]))
    assert roc.auc(y, s).value == pytest.approx((1 + pairs.mean()) / 2, abs=1e-12)
    assert roc.auc(y, s).value == pytest.approx(roc_auc_score(y, s), abs=1e-12)


@given(SMALL)
def test_the_roc_curve_encloses_the_auc_and_ends_at_all_positive(rows: list[tuple[bool, int]]) -> None:
    y, s = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    curve = roc.roc_curve(y, s)
    area = np.trapezoid(curve.sensitivity, 1 - np.array(curve.specificity))
    assert area == pytest.approx(roc.auc(y, s).value, abs=1e-12)
    assert (curve.sensitivity[0], curve.specificity[0]) == (0, 1)
    assert (curve.sensitivity[-1], curve.specificity[-1]) == (1, 0)


@given(SMALL)
def test_no_threshold_beats_youdens(rows: list[tuple[bool, int]]) -> None:
    y, s = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    best = roc.youden_threshold(y, s)
    curve = roc.roc_curve(y, s)
    reached = max(a + b - 1 for a, b in zip(curve.sensitivity, curve.specificity, strict=True))
    table = classification.classify(classification.confusion_table(y, s, best.value))
    assert table.sensitivity is not None and table.specificity is not None
    assert table.sensitivity.value == pytest.approx(best.sensitivity)
    assert table.specificity.value == pytest.approx(best.specificity)
    assert best.sensitivity + best.specificity - 1 == pytest.approx(reached, abs=1e-12)


def test_delong_stays_fast_for_a_hundred_thousand_subjects() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(100_000) < 0.3
    start = time.perf_counter()
    roc.compare_auc(y, y + rng.normal(size=y.size), y + rng.normal(size=y.size))
    assert time.perf_counter() - start < 5  # the textbook O(n²) form needs minutes and 50 GB


def test_swapping_the_models_changes_the_sign_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    y = rng.random(80) < 0.4
    a, b = y + rng.normal(size=80), y + 2 * rng.normal(size=80)
    there, back = roc.compare_auc(y, a, b), roc.compare_auc(y, b, a)
    assert there.z == pytest.approx(-back.z)
    assert there.p == pytest.approx(back.p)
    assert there.difference.value == pytest.approx(there.first.value - there.second.value)


def test_a_perfect_model_has_no_delong_interval_and_says_so() -> None:
    area = roc.auc(Y, [0.1, 0.2, 0.8, 0.9])
    assert area.value == 1
    assert math.isnan(area.lo) and math.isnan(area.hi)
    assert "perfect separation" in area.note


def test_a_fixed_sensitivity_picks_the_highest_threshold_that_reaches_it() -> None:
    y, s = [0, 0, 1, 1, 1, 1], [1, 4, 2, 3, 5, 6]
    assert roc.threshold_at_sensitivity(y, s, 0.75).value == 3
    assert roc.threshold_at_sensitivity(y, s, 1).value == 2
    assert roc.threshold_at_specificity(y, s, 0.5).value == 2
    assert roc.threshold_at_specificity(y, s, 1).value == 5


@pytest.mark.parametrize(
    ("outcome", "score", "says"),
    [
        ([1, 1, 1], [1, 2, 3], "one class only"),
        ([0, 0], [1, 2], "one class only"),
        ([1], [0.5], "one class only"),
        (Y, [2, 2, 2, 2], "ranks nobody"),
        (Y, [1, 2, np.nan, 3], "first at position 3"),
        (Y, [1, 2, np.inf, 3], "first at position 3"),
        ([0, 1, np.nan, 1], [1, 2, 3, 4], "first at position 3"),
        (Y, [1, 2, 3], "lengths differ: outcome 4, score 3"),
        ([0, 1, 2, 1], [1, 2, 3, 4], "position 3 is 2"),
        ([], [], "empty"),
        (Y, ["a", "b", "c", "d"], "must be numbers"),
        ([[0, 1]], [1, 2], "one column"),
        ([0, 0, 0, 1], [1, 2, 3, 4], "at least two events"),
    ],
)
def test_auc_refuses_data_without_one(outcome: list, score: list, says: str) -> None:
    with pytest.raises(DegenerateInput, match=says) as refusal:
        roc.auc(outcome, score)
    assert any("\u4e00" <= character <= "\u9fff" for character in refusal.value.zh)


def test_the_comparison_refuses_models_that_rank_alike() -> None:
    with pytest.raises(DegenerateInput, match="same way"):
        roc.compare_auc([0, 1, 0, 1], [1, 2, 3, 4], [10, 20, 30, 40])


def test_the_exact_interval_of_eight_in_nine_is_that_of_the_protocol() -> None:
    exact = intervals.clopper_pearson(8, 9)  # research/statistics.md: .52-.997
    assert (round(exact.lo, 2), round(exact.hi, 3)) == (0.52, 0.997)


@pytest.mark.parametrize("count", [0, 7])
def test_intervals_reach_the_end_where_all_or_none_have_it(count: int) -> None:
    found = intervals.proportion(count, 7)
    for interval in (found.exact, found.wilson):
        assert (interval.lo == 0) == (count == 0)
        assert (interval.hi == 1) == (count == 7)


def test_a_rate_without_anybody_to_count_is_none_and_not_a_number() -> None:
    nobody_positive = classification.classify(classification.confusion_table(Y, [0.1, 0.2, 0.3, 0.4], 0.9))
    assert nobody_positive.ppv is None
    assert nobody_positive.mcc is None
    assert nobody_positive.lr_positive is None
    assert nobody_positive.f1 == 0
    assert nobody_positive.specificity is not None and nobody_positive.specificity.value == 1


def test_a_prediction_on_the_threshold_is_positive() -> None:
    assert classification.confusion_table([0, 1], [0.3, 0.3], 0.3) == classification.ConfusionTable(1, 1, 0, 0, 0.3)


def test_the_bootstrap_interval_repeats_and_agrees_with_delong() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(150) < 0.4).astype(float)
    s = y + rng.normal(size=150)

    def area(outcome: np.ndarray, score: np.ndarray) -> float:
        return roc.auc(outcome, score).value

    first, again = (percentile_interval(area, y, s, replicates=400, seed=5) for _ in range(2))
    assert first == again
    delong = roc.auc(y, s)
    assert first.lo == pytest.approx(delong.lo, abs=0.02)
    assert first.hi == pytest.approx(delong.hi, abs=0.02)
