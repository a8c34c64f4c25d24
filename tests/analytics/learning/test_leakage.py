"""What must never reach a model, and that it doesn't."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import SelectKBest

from analytics.learning import (
    HoldoutWasRead,
    LeakageRefused,
    Learner,
    SealedHoldout,
    cohort,
    leave_one_site_out,
    nested_cv,
    pipelines,
    refuse_leaks,
    temporal_holdout,
)
from analytics.learning.development import derived_seed, subject_folds
from analytics.learning.plan import PipelineSettings, ThresholdRule
from analytics.stats.roc import auc, youden_threshold
from tests.analytics.learning.conftest import SMALL, made_up


def test_a_predictor_after_time_zero_is_refused_by_name():
    dates = pd.DataFrame(
        {"LB.afp": ["2025-01-10", "2025-03-02"], "MRI.date": ["2025-01-01", None]}, index=["01-0001", "01-0002"]
    )
    zero = pd.Series({"01-0001": "2025-01-10", "01-0002": "2025-03-01"})
    with pytest.raises(
        LeakageRefused, match=r"subject 01-0002: LB\.afp is dated 2025-03-02, after time zero 2025-03-01"
    ) as refused:
        refuse_leaks(dates, zero)
    assert [(leak.subject, leak.predictor) for leak in refused.value.leaks] == [("01-0002", "LB.afp")]


def test_a_predictor_of_the_same_day_or_missing_is_no_leak():
    dates = pd.DataFrame({"LB.afp": [pd.Timestamp("2025-01-10 17:30"), pd.NaT]}, index=["a", "b"])
    refuse_leaks(dates, pd.Series({"a": pd.Timestamp("2025-01-10"), "b": pd.Timestamp("2025-01-01")}))


def test_a_dated_predictor_without_time_zero_is_refused():
    dates = pd.DataFrame({"LB.afp": ["2025-01-10"]}, index=["a"])
    with pytest.raises(LeakageRefused, match="no time zero"):
        refuse_leaks(dates, pd.Series({"a": None}))


def test_repeated_series_of_a_subject_stay_on_one_side(learner):
    people = made_up(60, 8)
    twice = [f"{name}" for name in people.frame.index for _ in range(2)]
    frame = people.frame.loc[twice].reset_index(drop=True)
    outcome = pd.Series(np.repeat(people.outcome, 2))
    doubled = cohort(frame, outcome, subjects=pd.Series(twice))
    found = nested_cv(doubled, learner, "all", outer=4)
    assert found.predictions["subject"].is_unique
    assert len(found.predictions) == 60
    for fold in found.folds:
        assert fold.developed_on + fold.predicted == 60


def test_a_test_subject_is_predicted_the_same_whatever_the_others_are(people, learner):
    """Imputation, scaling and selection come from development: absurd neighbours in the test set change nothing."""
    test = people.groups == "PROSP"
    model = learner.develop(people.rows(~test))
    held = people.rows(test)
    spoiled = held.frame.copy()
    spoiled.iloc[1:, spoiled.columns.get_loc("LB.afp")] = 1e6
    clean, odd = model.predict(held), model.predict(replace(held, frame=spoiled, outcome=1 - held.outcome))
    assert odd["probability"][0] == pytest.approx(clean["probability"][0], rel=1e-12)
    assert (odd["probability"][1:] != clean["probability"][1:]).all()
    assert odd["threshold"].equals(clean["threshold"])


def test_flipping_the_holdouts_outcomes_changes_no_prediction_and_no_cut(people, learner):
    flipped = replace(people, outcome=np.where(people.groups == "PROSP", 1 - people.outcome, people.outcome))
    columns = ["subject", "probability", "threshold", "positive", "risk_group"]
    (_, clean), (_, odd) = (temporal_holdout(p, learner, "all", evaluate="PROSP") for p in (people, flipped))
    assert clean.predictions[columns].equals(odd.predictions[columns])
    assert not clean.predictions["outcome"].equals(odd.predictions["outcome"])


def test_the_threshold_is_youdens_on_development_and_not_on_the_test(people, learner):
    model, found = temporal_holdout(people, learner, "all", evaluate="PROSP")
    development = model.development
    assert set(development["subject"]) == set(people.subjects[people.groups == "RETRO"])
    assert model.threshold == youden_threshold(development["outcome"], development["probability"]).value
    assert model.threshold != youden_threshold(found.predictions["outcome"], found.predictions["probability"]).value


def test_cuts_are_set_on_predictions_for_subjects_that_were_left_out(people, learner):
    model = learner.develop(people)
    left_out = np.empty(len(people.outcome))
    for train, test in subject_folds(people, learner.inner, derived_seed(learner.seed, "inner")):
        pipeline = pipelines.build(people.frame, learner.settings, learner.seed).set_params(**model.chosen)
        pipeline.fit(people.frame[train], people.outcome[train])
        left_out[test] = pipeline.predict_proba(people.frame[test])[:, 1]
    assert model.development["probability"].to_numpy() == pytest.approx(left_out, abs=1e-9)


def test_a_fixed_sensitivity_is_reached_on_development(people, learner):
    rule = ThresholdRule.model_validate({"sensitivity": 0.9})
    model = replace(learner, threshold=rule).develop(people)
    events = model.development.query("outcome == 1")["probability"]
    assert (events >= model.threshold).mean() >= 0.9


def test_risk_groups_are_cut_at_the_median_of_development(people, learner):
    model, found = temporal_holdout(people, learner, "all", evaluate="PROSP")
    assert model.risk_cut == model.development["probability"].median()
    high = found.predictions["risk_group"] == "high"
    assert high.equals(found.predictions["probability"] > model.risk_cut)


def test_a_holdout_is_read_once_per_model(people, learner):
    holdout = SealedHoldout(people, "PROSP")
    model = learner.develop(holdout.development)
    holdout.read(model, "clinical")
    holdout.read(model, "radiomics")
    with pytest.raises(HoldoutWasRead, match="PROSP has already been read for clinical"):
        holdout.read(model, "clinical")
    assert [name for name, _ in holdout.readings] == ["clinical", "radiomics"]


def test_a_left_out_site_is_in_no_development(people, learner):
    found = leave_one_site_out(people, learner, "all")
    for fold in found.folds:
        assert fold.predicted == (people.sites == fold.fold).sum()
        assert fold.developed_on == (people.sites != fold.fold).sum()
    assert (found.predictions["subject"].str[:2] == found.predictions["fold"]).all()


def test_a_permuted_outcome_gives_an_auc_of_one_half():
    areas = []
    for seed in range(4):
        people = made_up(100, 20, seed=seed)
        shuffled = replace(people, outcome=np.random.default_rng(seed).permutation(people.outcome))
        found = nested_cv(shuffled, Learner(SMALL, ThresholdRule(), inner=3, seed=seed), "all", outer=3).predictions
        areas.append(auc(found["outcome"], found["probability"]).value)
    # cross-validated AUCs of noise scatter by 0.1 around one half, the mean of four by 0.05
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_noise_predicts_nothing_although_selection_before_the_split_would_predict_well():
    """The classic leak: of 300 noise features, the best ten of all subjects look like a model."""
    settings = PipelineSettings(features=(10,), penalty=(0.1,), l1_ratio=(0.0,), correlation=None)
    learner = Learner(settings, ThresholdRule(), inner=2, seed=1)
    outcome = np.repeat([0, 1], 40)

    def area(frame: pd.DataFrame) -> float:
        found = nested_cv(cohort(frame, pd.Series(outcome)), learner, "noise", outer=3).predictions
        return auc(found["outcome"], found["probability"]).value

    honest, leaking = [], []
    for seed in range(3):
        noise = pd.DataFrame(np.random.default_rng(seed).normal(size=(80, 300))).add_prefix("f")
        honest.append(area(noise))
        leaking.append(area(noise.loc[:, SelectKBest(k=10).fit(noise, outcome).get_support()]))
    assert np.mean(leaking) > 0.75
    assert np.mean(honest) < 0.6
