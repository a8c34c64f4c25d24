from __future__ import annotations

import numpy as np
import pytest

from analytics.stats import calibration, utility
from analytics.stats.evaluation import Unavailable, evaluate
from analytics.stats.inputs import DegenerateInput
from analytics.stats.smoothing import loess


def _cohort(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    p = rng.uniform(0.05, 0.95, n)
    return (rng.random(n) < p).astype(float), p


def test_recalibration_finds_the_distortion_that_was_put_in() -> None:
    y, p = _cohort(20_000)
    distorted = 1 / (1 + np.exp(-(0.5 + 2 * np.log(p / (1 - p)))))
    found = calibration.recalibration(y, distorted)
    assert found.slope.value == pytest.approx(0.5, abs=0.03)
    assert found.joint_intercept == pytest.approx(-0.25, abs=0.05)
    assert found.p < 1e-10


def test_sound_predictions_have_slope_one_and_intercept_zero_inside_the_interval() -> None:
    found = calibration.recalibration(*_cohort())
    assert found.slope.lo < 1 < found.slope.hi
    assert found.intercept.lo < 0 < found.intercept.hi


def test_hosmer_lemeshow_loses_two_degrees_on_development_data_only() -> None:
    y, p = _cohort()
    assert calibration.hosmer_lemeshow(y, p, dataset="development").df == 8
    assert calibration.hosmer_lemeshow(y, p, dataset="external").df == 10


def test_ties_reduce_the_groups_and_the_degrees_of_freedom() -> None:
    y, p = _cohort()
    coarse = np.round(p * 4) / 4 * 0.9 + 0.05
    test = calibration.hosmer_lemeshow(y, coarse)
    assert test.df == len(test.groups) < 10
    assert sum(group.n for group in test.groups) == y.size


@pytest.mark.parametrize(
    ("probability", "says"),
    [
        ([0.2, 0.4, 1.2, 0.5], "position 3 is 1.2"),
        ([0.2, -0.1, 0.2, 0.5], "position 2 is -0.1"),
        ([0.2, 0.4, 0.3], "lengths differ"),
        ([0.2, 0.4, np.nan, 0.3], "first at position 3"),
    ],
)
@pytest.mark.parametrize(
    "compute",
    [
        calibration.recalibration,
        calibration.brier_score,
        calibration.observed_expected,
        calibration.hosmer_lemeshow,
        calibration.calibration_curve,
        calibration.expected_calibration_error,
        utility.decision_curve,
        utility.clinical_impact,
    ],
)
def test_what_is_no_probability_is_refused_everywhere(compute, probability: list, says: str) -> None:
    with pytest.raises(DegenerateInput, match=says):
        compute([0, 1, 0, 1], probability)


def test_certain_predictions_have_no_slope() -> None:
    with pytest.raises(DegenerateInput, match="2 predictions are exactly 0 or 1"):
        calibration.recalibration([0, 1, 0, 1], [0, 0.5, 0.2, 1])


def test_separated_or_constant_predictions_have_no_slope() -> None:
    with pytest.raises(DegenerateInput, match="no finite solution"):
        calibration.recalibration([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    with pytest.raises(DegenerateInput, match="no finite solution"):
        calibration.recalibration([0, 1, 0, 1], [0.4, 0.4, 0.4, 0.4])


def test_loess_returns_a_parabola_as_it_is() -> None:
    x = np.linspace(0, 1, 60)
    assert loess(x, 1 + 2 * x - 3 * x**2) == pytest.approx(1 + 2 * x - 3 * x**2, abs=1e-9)


def test_loess_of_thousands_is_interpolated_and_stays_close() -> None:
    x = np.sort(np.random.default_rng(1).uniform(0, 1, 3000))
    y, few = np.sin(5 * x), slice(None, None, 100)
    assert loess(x, y, span=0.3)[few] == pytest.approx(loess(x, y, at=x[few], span=0.3), abs=1e-4)


def test_net_benefit_by_hand() -> None:
    curve = utility.decision_curve([1, 1, 0, 0], [0.9, 0.2, 0.6, 0.1], thresholds=[0.5])
    assert curve.model == (0.25 - 0.25 * 1,)
    assert curve.treat_all == (0.5 - 0.5 * 1,)
    assert curve.treat_none == (0.0,)


def test_acting_on_all_is_what_the_model_does_below_its_lowest_prediction() -> None:
    y, p = _cohort()
    curve = utility.decision_curve(y, p, thresholds=[0.01])
    assert curve.model == pytest.approx(curve.treat_all)


def test_clinical_impact_counts_per_thousand() -> None:
    impact = utility.clinical_impact([1, 1, 0, 0], [0.9, 0.2, 0.6, 0.1], thresholds=[0.15, 0.5])
    assert impact.high_risk == (750, 500)
    assert impact.high_risk_with_event == (500, 250)


@pytest.mark.parametrize("threshold", [0, 1, -0.2])
def test_thresholds_without_odds_are_refused(threshold: float) -> None:
    with pytest.raises(DegenerateInput, match="strictly between 0 and 1"):
        utility.decision_curve([0, 1], [0.2, 0.6], thresholds=[threshold])


def test_one_missing_number_does_not_take_the_others_with_it() -> None:
    report = evaluate([0, 0, 1, 1, 0, 1], {"perfect": [0.1, 0.2, 0.8, 0.9, 0.3, 0.7]})
    (model,) = report.models
    assert model.calibration is not None
    assert isinstance(model.calibration.recalibration, Unavailable)
    assert not isinstance(model.calibration.brier, Unavailable)
    assert model.utility is not None


def test_external_data_are_never_searched_for_a_threshold() -> None:
    y, p = _cohort()
    cutoff = {data: evaluate(y, {"p": p}, dataset=data).models[0].threshold for data in ("external", "development")}
    assert cutoff["external"] is not None and (cutoff["external"].value, cutoff["external"].rule) == (0.5, "default")
    assert cutoff["development"] is not None and cutoff["development"].rule == "youden"


def test_a_small_set_is_marked_as_precision_limited() -> None:
    rng = np.random.default_rng(4)
    y = np.r_[np.ones(9), np.zeros(21)]  # the 30 prospective subjects of the hypersplenism study
    report = evaluate(y, {"p": np.clip(0.3 + 0.3 * y + rng.normal(0, 0.1, 30), 0.01, 0.99)}, threshold=0.5)
    assert [note.code for note in report.notes] == ["precision_limited"]
