"""Nested cross-validation: complete, repeatable, and equal to the plain way of writing it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from analytics.learning import (
    BadCohort,
    BadPlan,
    Learner,
    UntrustedModel,
    cohort,
    leave_one_site_out,
    load,
    nested_cv,
    parse_plans,
    pipelines,
    run,
    save,
    selection_frequency,
    steps,
)
from analytics.learning.development import aucs, derived_seed, search, subject_folds
from analytics.learning.plan import PipelineSettings, ThresholdRule
from analytics.stats.roc import auc
from tests.analytics.learning.conftest import SMALL, made_up

PLAN = {
    "code": "RESPONSE",
    "outcome": "ORR",
    "predictors": {
        "clinical": ["DM.age", "DM.sex", "DM.aetiology", "LB.afp"],
        "radiomics": {"sequences": ["T2"], "roi": "tumour"},
        "combined": ["clinical", "radiomics"],
    },
    "validation": {"outer": 2, "inner": 2, "repeats": 2},
    "pipeline": {"features": [5], "penalty": [0.1], "l1_ratio": [0.5]},
    "seed": 5,
}


def plan(**changes):
    return parse_plans({"plans": [PLAN | changes]}).plan("RESPONSE")


def test_every_subject_is_predicted_once_per_repeat(people, learner):
    found = nested_cv(people, learner, "all", outer=3, repeats=2).predictions
    assert (found.groupby(["repeat", "subject"]).size() == 1).all()
    assert len(found) == 2 * 120
    assert found["probability"].between(0, 1).all()
    assert (found["positive"] == (found["probability"] >= found["threshold"])).all()


def test_signal_is_found(people, learner):
    found = nested_cv(people, learner, "all", outer=5).predictions
    assert auc(found["outcome"], found["probability"]).value > 0.75


def test_the_same_seed_gives_the_same_digits_in_any_row_order(people, learner):
    order = np.random.default_rng(1).permutation(120)
    shuffled = cohort(people.frame.iloc[order], pd.Series(people.outcome[order]))
    plain = cohort(people.frame, pd.Series(people.outcome))
    first, again, other = (nested_cv(p, learner, "all", outer=3).predictions for p in (plain, plain, shuffled))
    assert first.equals(again)
    assert first.equals(other)
    changed = nested_cv(plain, replace(learner, seed=12), "all", outer=3).predictions
    assert not first[["subject", "fold"]].equals(changed[["subject", "fold"]])


def test_the_inner_search_is_grid_search_of_scikit_learn(people):
    settings = PipelineSettings(features=(4, 8), penalty=(0.05, 0.5), l1_ratio=(0.0, 1.0))
    pipeline = pipelines.build(people.frame, settings, 1)
    grid = pipelines.grid(people.frame.shape[1], settings)
    scores, _ = search(pipeline, grid, people, 3, 9)
    folds = list(subject_folds(people, 3, derived_seed(9, "inner")))
    plain = GridSearchCV(
        pipeline, [{k: [v] for k, v in choice.items()} for choice in grid], scoring="roc_auc", cv=folds
    )
    plain.fit(people.frame, people.outcome)
    assert scores == pytest.approx(plain.cv_results_["mean_test_score"], abs=1e-12)


def test_rank_sums_give_the_auc():
    outcome, scores = np.array([0, 1, 0, 1, 1]), np.array([[0.1, 0.4, 0.4, 0.9, 0.2], [3, 1, 2, 0, -1]])
    assert aucs(outcome, scores) == pytest.approx([auc(outcome, row).value for row in scores])


def test_selection_frequency_counts_folds(people, learner):
    found = nested_cv(people, learner, "all", outer=4)
    table = selection_frequency(found.folds).set_index("feature")
    assert (table["folds"] == 4).all()
    assert table.loc["LB.afp", "share"] == 1.0
    assert table.loc["LB.afp", "mean_coefficient"] > 0
    assert table["times"].max() <= 4


@pytest.mark.parametrize("select", ["univariate", "lasso", "none"])
def test_each_way_of_selecting_works(people, select):
    settings = SMALL.model_copy(update={"select": select, "indicator": True})
    found = nested_cv(people, Learner(settings, ThresholdRule(), inner=3, seed=2), "all", outer=3).predictions
    assert auc(found["outcome"], found["probability"]).value > 0.7


def test_one_of_two_correlated_columns_stays(people, learner):
    frame = people.frame.assign(copy=people.frame["LB.afp"] * 2 + 1)
    model = learner.develop(replace(people, frame=frame))
    assert len({"LB.afp", "copy"} & set(model.pipeline[:-1].get_feature_names_out())) == 1


def test_missing_columns_unknown_codes_and_constants_do_not_stop_it(people, learner):
    frame = people.frame.assign(empty=np.nan, constant=1.0, void=None)
    model = learner.develop(replace(people, frame=frame))
    new = frame.head(3).assign(**{"DM.aetiology": "NEVER SEEN", "LB.afp": np.nan})
    assert np.isfinite(model.probabilities(new)).all()
    assert not {"empty", "constant"} & set(model.coefficients())


def test_a_missing_predictor_column_is_named(people, learner):
    with pytest.raises(BadCohort, match=r"needs the column LB\.afp"):
        learner.develop(people).probabilities(people.frame.drop(columns="LB.afp"))


def test_too_few_events_are_refused_with_the_remedy(learner):
    few = made_up(40, 5)
    outcome = np.zeros(40, dtype=int)
    outcome[:3] = 1
    with pytest.raises(BadCohort, match=r"5 outer folds need .* has 3; lower validation.outer"):
        nested_cv(replace(few, outcome=outcome), learner, "all", outer=5)


def test_one_class_and_constant_predictors_are_refused(people, learner):
    with pytest.raises(BadCohort, match="with and 2 without"):
        learner.develop(replace(people, outcome=np.ones(120, dtype=int)))
    with pytest.raises(BadCohort, match="no predictor of this set varies"):
        learner.develop(replace(people, frame=people.frame[["DM.age"]] * 0))


def test_one_site_cannot_be_left_out(people, learner):
    with pytest.raises(BadCohort, match="needs two sites"):
        leave_one_site_out(people.rows(people.sites == "01"), learner, "all")


def test_perfect_separation_ends_with_a_model(learner):
    frame = pd.DataFrame({"x": np.arange(40.0)})
    found = nested_cv(cohort(frame, pd.Series((np.arange(40) >= 20).astype(int))), learner, "x", outer=4).predictions
    assert auc(found["outcome"], found["probability"]).value == 1.0


def test_without_signal_everybody_is_predicted_the_share_with_the_outcome():
    settings = PipelineSettings(select="none", penalty=(0.001,), l1_ratio=(1.0,))
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 5))).add_prefix("x")
    people = cohort(noise, pd.Series(np.tile([0, 1, 0], 20)))
    model = Learner(settings, ThresholdRule(), inner=4, seed=1).develop(people)
    assert not model.coefficients()
    assert model.probabilities(people.frame) == pytest.approx(1 / 3, abs=1e-12)
    assert model.development["probability"].to_numpy() == pytest.approx(1 / 3, abs=1e-12)
    assert model.threshold == pytest.approx(1 / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f, y: (f, y.mask(y.index == "01-0004")), "outcome of subject 01-0004 is nan, not 0 or 1"),
        (lambda f, y: (f, y.replace({1: 2})), "not 0 or 1"),
        (lambda f, y: (f.assign(day=pd.Timestamp("2025-01-01")), y), "column day holds dates"),
        (lambda f, y: (f.assign(ratio=np.inf), y), "column ratio holds an infinite value"),
        (lambda f, y: (f, y.iloc[1:]), "119 rows"),
    ],
)
def test_rows_that_cannot_be_analysed_are_named(people, change, says):
    frame, outcome = change(people.frame, pd.Series(people.outcome, index=people.frame.index))
    with pytest.raises(BadCohort, match=says):
        cohort(frame, outcome)


def test_a_subject_with_two_outcomes_is_refused():
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(BadCohort, match="subject a has more than one outcome"):
        cohort(frame, pd.Series([0, 1]), subjects=pd.Series(["a", "a"]))


def test_a_model_survives_the_disk_with_its_predictions(people, learner, tmp_path):
    model = learner.develop(people)
    save(model, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert again.predict(people).equals(model.predict(people))
    assert again.sha256() == model.sha256()


def test_a_file_with_other_types_is_not_loaded(tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    skops.io.dump({"pipeline": FunctionTransformer(made_up)}, tmp_path / "odd.skops")
    with pytest.raises(UntrustedModel, match="made_up"):
        load(tmp_path / "odd.skops")


def test_a_plan_runs_every_set_and_the_sites(people):
    wanted = plan(validation=PLAN["validation"] | {"holdout": {"site": "leave-one-site-out"}})
    seen: list[str] = []
    result = run(people, wanted, seen.append)
    sizes = result.predictions.groupby(["predictor_set", "split"]).size()
    assert sizes.to_dict() == {(s, k): n for s in PLAN["predictors"] for k, n in (("cv", 240), ("site", 120))}
    assert len(seen) == steps(people, wanted)
    assert set(result.models) == set(PLAN["predictors"])
    folds = result.predictions.query("split == 'cv'").pivot(
        index=["subject", "repeat"], columns="predictor_set", values="fold"
    )
    assert (folds["clinical"] == folds["combined"]).all()


def test_the_prospective_group_is_in_no_cross_validation(people):
    wanted = plan(validation=PLAN["validation"] | {"holdout": {"group": "PROSP"}})
    seen: list[str] = []
    result = run(people, wanted, seen.append)
    retro = set(people.subjects[people.groups == "RETRO"])
    assert set(result.predictions.query("split == 'cv'")["subject"]) == retro
    assert set(result.predictions.query("split == 'group'")["subject"]) == set(people.subjects) - retro
    assert all(set(model.development["subject"]) == retro for model in result.models.values())
    assert len(seen) == steps(people, wanted)
    read = {fold.predictor_set: fold.model_sha256 for fold in result.folds if fold.split == "group"}
    assert read == {name: model.sha256() for name, model in result.models.items()}


def test_a_plan_for_columns_that_are_not_there_is_refused_before_anything_runs(people):
    with pytest.raises(BadPlan, match="no radiomics column AP/tumour"):
        run(people, plan(predictors={"radiomics": {"sequences": ["AP"], "roi": "tumour"}}))


def test_real_patients_with_primary_biliary_cirrhosis_are_told_apart(shared, learner):
    """418 patients, death by follow-up's end from six baseline values; R's `pbc`, with its own missing values."""
    pbc = pd.read_csv(shared / "data/cohorts/pbc.csv")
    frame = pbc[["age", "bili", "albumin", "protime", "platelet", "stage"]].set_index(pbc["id"].astype(str))
    outcome = pd.Series((pbc["status"] == 2).astype(int).to_numpy(), index=frame.index)
    found = nested_cv(cohort(frame, outcome), learner, "baseline", outer=5).predictions
    assert len(found) == 418
    assert 0.80 < auc(found["outcome"], found["probability"]).value < 0.88
