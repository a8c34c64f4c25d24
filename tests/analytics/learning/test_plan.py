"""analysis.yaml: what it may say, and what it is told when it says something else."""

import json

import pytest

from analytics.learning import BadPlan, load_plans, parse_plans, radiomics_column

PLAN = """
plans:
  - code: RESPONSE
    title: {zh: 客观缓解, en: Objective response}
    outcome: ORR
    cohort: {groups: [HCC]}
    time_zero: LEN.start_date
    predictors:
      clinical: [DM.age, LB.afp]
      radiomics: {sequences: [T2, AP], roi: tumour, image_types: [original, wavelet], classes: [glcm, shape]}
      combined: [clinical, radiomics]
    validation: {outer: 5, inner: 5, repeats: 1, holdout: {site: leave-one-site-out}}
    pipeline: {select: univariate, features: [5, 10]}
    threshold: youden
    survival: [PFS, OS]
    seed: 20260401
"""


@pytest.fixture
def folder(tmp_path):
    def write(text: str):
        path = tmp_path / "analysis.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_plan_is_read_and_keeps_its_hash_through_json(folder):
    plans = load_plans(folder(PLAN))
    plan = plans.plan("RESPONSE")
    again = parse_plans(json.loads(plans.model_dump_json())).plan("RESPONSE")
    shorter = parse_plans(json.loads(plans.model_dump_json(exclude_unset=True))).plan("RESPONSE")
    assert again.sha256() == plan.sha256() == shorter.sha256()
    assert plan.validation.holdout.site == "leave-one-site-out"
    assert plan.primary_set == "combined"


def test_another_seed_is_another_plan(folder):
    first = load_plans(folder(PLAN)).plans[0]
    second = load_plans(folder(PLAN.replace("20260401", "7"))).plans[0]
    assert first.sha256() != second.sha256()


def test_columns_of_sets_are_found_in_their_order(folder):
    plan = load_plans(folder(PLAN)).plans[0]
    features = [
        "original_shape_Elongation",
        "original_glcm_Contrast",
        "original_glrlm_RunEntropy",
        "wavelet-LLH_glcm_Contrast",
        "log-sigma-1-0-mm-3D_glcm_Contrast",
    ]
    radiomics = [radiomics_column(s, "tumour", f) for s in ("T2", "AP", "PVP") for f in features]
    available = ["LB.afp", "DM.age", "DM.sex", *radiomics]
    kept = [features[0], features[1], features[3]]
    own = [radiomics_column(sequence, "tumour", feature) for sequence in ("T2", "AP") for feature in kept]
    assert plan.columns("clinical", available) == ["DM.age", "LB.afp"]
    assert plan.columns("radiomics", available) == own
    assert plan.columns("combined", available) == ["DM.age", "LB.afp", *own]


def test_a_column_that_is_not_there_is_named_with_the_remedy(folder):
    plan = load_plans(folder(PLAN)).plans[0]
    with pytest.raises(BadPlan, match=r"clinical: no column LB\.afp; add them"):
        plan.columns("clinical", ["DM.age"])
    with pytest.raises(BadPlan, match=r"no radiomics column T2/tumour/\*; extract"):
        plan.columns("radiomics", ["DM.age"])
    with pytest.raises(BadPlan, match="deep: this predictor set isn't defined; defined: clinical, radiomics, combined"):
        plan.columns("deep", ["DM.age"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "[clinical, radiomics]",
            "[clinical, radiomic]",
            "combined names the predictor set 'radiomic', which isn't defined",
        ),
        ("[clinical, radiomics]", "[combined, radiomics]", "'combined' contains itself"),
        ("[clinical, radiomics]", "[a]\n      a: [b]\n      b: [combined]", "'combined' contains itself"),
        ("    seed: 20260401\n", "", r"plans\.0\.seed: Field required; add it"),
        ("threshold: youden", "treshold: youden", r"plans\.0\.treshold: .*; remove it, or correct its spelling"),
        ("threshold: youden", "threshold: best", r"plans\.0\.threshold"),
        ("select: univariate", "select: boruta", r"plans\.0\.pipeline\.select: .*'univariate', 'lasso' or 'none'"),
        ("{site: leave-one-site-out}", "{site: leave-one-site-out, group: PROSP}", "either by site or by group"),
        ("outer: 5", "outer: 1", r"plans\.0\.validation\.outer"),
        ("roi: tumour, ", "", "radiomics need both sequences and roi"),
        ("plans:", "plan:", "plans: Field required"),
        ("  - code", " - - code", "analysis.yaml"),
    ],
)
def test_a_bad_plan_names_the_item(folder, old, new, says):
    assert old in PLAN
    with pytest.raises(BadPlan, match=says) as refused:
        load_plans(folder(PLAN.replace(old, new)))
    assert str(refused.value).startswith("analysis.yaml: ")


def test_two_plans_with_one_code_are_refused(folder):
    with pytest.raises(BadPlan, match="two plans have the code RESPONSE"):
        load_plans(folder(PLAN + PLAN.replace("\nplans:\n", "")))


def test_a_threshold_may_fix_the_sensitivity(folder):
    plan = load_plans(folder(PLAN.replace("threshold: youden", "threshold: {sensitivity: 0.9}"))).plans[0]
    assert (plan.threshold.rule, plan.threshold.value) == ("sensitivity", 0.9)
