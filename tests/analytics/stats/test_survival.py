from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import concordance_index

from analytics.stats.concordance import harrell_c
from analytics.stats.cox import cox, proportional_hazards
from analytics.stats.inputs import DegenerateInput, Unavailable
from analytics.stats.kaplan_meier import (
    kaplan_meier,
    median_follow_up,
    numbers_at_risk,
    restricted_mean,
    survival_at,
)
from analytics.stats.log_rank import log_rank
from analytics.stats.survival import ordered_levels, round_times, summarise

# Freireich 1963, 6-mercaptopurine arm: remission in weeks, 1 relapse.
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSE = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("week", "survival", "se"), [(6, 0.857, 0.0764), (7, 0.807, 0.0869), (10, 0.753, 0.0963), (23, 0.448, 0.1346)]
)
def test_matches_the_published_table(week: int, survival: float, se: float) -> None:
    found = survival_at(kaplan_meier(WEEKS, RELAPSE), week).survival
    assert found.value == pytest.approx(survival, abs=5e-4)
    assert found.se == pytest.approx(se, abs=5e-5)
    assert kaplan_meier(WEEKS, RELAPSE).median.value == 23


def test_the_curve_and_its_default_interval_are_lifelines_too() -> None:
    rng = np.random.default_rng(1)
    time, event = np.ceil(rng.exponential(20, 300)), rng.random(300) < 0.6
    fitted = KaplanMeierFitter().fit(time, event)
    curve = kaplan_meier(time, event)
    assert list(curve.survival) == pytest.approx(fitted.survival_function_.iloc[:, 0].tolist(), abs=1e-12)
    inside = ~np.isnan(curve.lo)
    assert np.array(curve.lo)[inside] == pytest.approx(fitted.confidence_interval_.iloc[inside, 0].to_numpy(), abs=1e-9)


def test_who_is_censored_at_an_event_time_is_still_at_risk_then() -> None:
    curve = kaplan_meier([5, 5, 8], [1, 0, 1])
    assert curve.at_risk == (3, 3, 1)
    assert curve.survival == (1, pytest.approx(2 / 3), 0)


def test_a_median_that_is_not_reached_is_not_a_number() -> None:
    assert math.isnan(kaplan_meier([1, 2, 3, 4], [1, 0, 0, 0]).median.value)


def test_survival_beyond_the_follow_up_is_refused() -> None:
    with pytest.raises(DegenerateInput, match="outside the follow-up"):
        survival_at(kaplan_meier([1, 2], [1, 0]), 3)
    with pytest.raises(DegenerateInput, match="beyond the follow-up"):
        restricted_mean([1, 2], [1, 0], 3)


def test_one_subject_has_a_curve() -> None:
    curve = kaplan_meier([4], [1])
    assert (curve.times, curve.survival, curve.median.value) == ((0, 4), (1, 0), 4)


def test_follow_up_counts_deaths_as_censored() -> None:
    assert median_follow_up([1, 2, 3, 4], [1, 1, 0, 0]).value == 3.5  # rests on one half between 3 and 4


def test_numbers_at_risk_count_follow_up_of_at_least_that_time() -> None:
    assert numbers_at_risk([1, 2, 2, 5], [1, 0, 1, 1], [0, 2, 3, 6]) == (4, 3, 1, 0)


@pytest.mark.parametrize(
    ("time", "event", "says"),
    [
        ([1, -2], [1, 0], "negative at position 2"),
        ([1, 2], [1, 2], "position 2 is 2"),
        ([1, 2, 3], [1, 0], "lengths differ"),
        ([1, np.nan], [1, 0], "first at position 2"),
        ([], [], "empty"),
    ],
)
def test_bad_follow_up_is_refused(time: list, event: list, says: str) -> None:
    with pytest.raises(DegenerateInput, match=says):
        kaplan_meier(time, event)


def test_the_log_rank_test_refuses_one_group_and_no_event() -> None:
    with pytest.raises(DegenerateInput, match="two groups"):
        log_rank([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(DegenerateInput, match="no event"):
        log_rank([1, 2], [0, 0], ["a", "b"])


def test_observed_and_expected_events_sum_to_the_same(shared: Path) -> None:
    lung = pd.read_csv(shared / "data" / "cohorts" / "lung.csv")
    test = log_rank(lung.time, lung.event, lung.sex)
    assert sum(group.observed for group in test.groups) == lung.event.sum()
    assert sum(group.expected for group in test.groups) == pytest.approx(lung.event.sum())


def test_real_liver_patients_of_the_pbc_trial_agree_with_lifelines(shared: Path) -> None:
    pbc = pd.read_csv(shared / "data" / "cohorts" / "pbc.csv").dropna(subset=["albumin", "bili", "protime"])
    data = pbc.assign(event=(pbc.status == 2).astype(int))[["time", "event", "bili", "albumin", "protime"]]
    oracle = CoxPHFitter().fit(data, "time", "event")
    ours = cox(data.time, data.event, {name: data[name] for name in ("bili", "albumin", "protime")})
    assert [row.beta for row in ours.coefficients] == pytest.approx(oracle.params_.tolist(), abs=1e-4)
    assert ours.concordance.value == pytest.approx(oracle.concordance_index_, abs=1e-9)


def test_harrell_c_is_lifelines_with_the_sign_turned(shared: Path) -> None:
    veteran = pd.read_csv(shared / "data" / "cohorts" / "veteran.csv")
    ours = harrell_c(veteran.time, veteran.status, veteran.karno)
    assert ours.value == pytest.approx(concordance_index(veteran.time, -veteran.karno, veteran.status), abs=1e-12)


def _cohort(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    x = rng.normal(size=n)
    return rng.exponential(np.exp(-0.7 * x)), rng.random(n) < 0.7, x


def test_a_change_of_unit_changes_the_coefficient_and_not_the_test() -> None:
    time, event, x = _cohort()
    one, thousand = (cox(time, event, {"x": x * scale}) for scale in (1, 1000))
    assert one.coefficients[0].beta == pytest.approx(1000 * thousand.coefficients[0].beta, rel=1e-9)
    assert one.coefficients[0].z == pytest.approx(thousand.coefficients[0].z, rel=1e-9)
    assert one.log_likelihood == pytest.approx(thousand.log_likelihood, abs=1e-9)


def test_cox_names_the_covariate_it_cannot_fit() -> None:
    time, event, x = _cohort()
    with pytest.raises(DegenerateInput, match="covariate c is the same for everybody"):
        cox(time, event, {"x": x, "c": np.ones(x.size)})
    with pytest.raises(DegenerateInput, match="covariate twice is a linear combination"):
        cox(time, event, {"x": x, "twice": 2 * x})
    with pytest.raises(DegenerateInput, match="no finite solution for early"):
        cox([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0], {"early": [1, 1, 1, 0, 0, 0]})
    with pytest.raises(DegenerateInput, match="no event"):
        cox([1, 2], [0, 0], {"x": [1, 2]})
    with pytest.raises(DegenerateInput, match="2 events cannot estimate 3"):
        cox([1, 2, 3, 4, 5], [1, 1, 0, 0, 0], {"g": list("abcda")})
    with pytest.raises(DegenerateInput, match="x is missing or infinite"):
        cox(time, event, {"x": np.r_[np.nan, x[1:]]})


def test_text_covariates_are_compared_with_their_first_level(shared: Path) -> None:
    veteran = pd.read_csv(shared / "data" / "cohorts" / "veteran.csv")
    model = cox(veteran.time, veteran.status, {"celltype": veteran.celltype})
    assert [row.name for row in model.coefficients] == [
        "celltype[large]", "celltype[smallcell]", "celltype[squamous]",
    ]  # fmt: skip


def test_the_proportional_hazards_test_finds_an_effect_that_fades() -> None:
    rng = np.random.default_rng(12)
    x = np.r_[np.zeros(300), np.ones(300)]
    early = rng.exponential(1 / np.where(x == 1, 4.0, 1.0))
    time = np.where(early < 0.3, early, 0.3 + rng.exponential(1 / np.where(x == 1, 0.5, 1.0)))
    assert proportional_hazards(time, np.ones(600), {"x": x}).overall.p < 1e-4


def test_a_group_without_events_leaves_the_curves_standing() -> None:
    report = summarise([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0], group=list("aaabbb"))
    assert set(report.groups) == {"a", "b"}
    assert isinstance(report.hazard_ratios, Unavailable)


def test_levels_are_ordered_as_numbers_where_they_are_numbers() -> None:
    assert ordered_levels(["10", "9", "1"]) == ["1", "9", "10"]
    assert ordered_levels(["b", "a", "c"], "b") == ["b", "a", "c"]
    with pytest.raises(DegenerateInput, match="does not occur"):
        ordered_levels(["a"], "z")


@pytest.mark.parametrize("longest", [0.7, 3, 59, 365.25, 1022, 4795])
def test_at_risk_times_are_few_round_and_inside_the_follow_up(longest: float) -> None:
    times = round_times(longest)
    assert 4 <= len(times) <= 8
    assert times[0] == 0 and times[-1] <= longest
