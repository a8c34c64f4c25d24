"""The synthetic cohort is repeatable, passes the forms' checks, and has an outcome that can be predicted in part."""

import datetime as dt
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analytics.endpoints.evaluate import evaluate as evaluate_endpoint
from analytics.endpoints.evaluate import load_endpoints
from analytics.endpoints.rows import Row, SubjectRows
from crf.definitions import evaluate, is_missing
from deploy.demo import cohort, recipe

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
STUDIES = {"chictr2600121791": "OBJRESP", "chictr2600121618": "RHS6"}


@cache
def made(study):
    plan = cohort.plan(FIXTURES / study)
    return plan, list(cohort.make(plan))


@cache
def casebooks(study):
    """Every subject with its pages and what their forms make of them."""
    plan, subjects = made(study)
    return [(subject, states(plan, subject)) for subject in subjects]


def states(plan, subject):
    """Each page as its form sees it once the whole casebook is there."""
    pages = subject.pages
    forms, events = {}, {}
    for page in reversed(pages):
        forms[page.form] = page.values
    for _ in range(2):
        found = []
        for page in pages:
            facts = {"group": subject.group, "site": subject.site}
            context = {"today": plan.recipe.as_of.isoformat(), "subject": facts, "forms": forms, "events": events}
            state = evaluate(plan.definition.form(page.form), page.values, context)
            found.append((page, state))
        for page, state in reversed(found):
            forms[page.form] = state.effective
            events.setdefault(page.event, {})[page.form] = state.effective
    return found


@pytest.mark.parametrize("study", STUDIES)
def test_the_same_recipe_gives_the_same_subjects_and_another_seed_gives_others(study):
    plan, subjects = made(study)
    again = list(cohort.make(plan))
    assert again == subjects
    other = cohort.Plan(plan.definition, plan.recipe.model_copy(update={"seed": 1}))
    assert next(cohort.make(other)).pages != subjects[0].pages


def test_the_cohorts_are_as_large_as_the_issue_asks():
    sizes = {study: Counter(subject.site + subject.group for subject in made(study)[1]) for study in STUDIES}
    assert sum(sizes["chictr2600121791"].values()) == 120 and len(sizes["chictr2600121791"]) == 4
    assert sizes["chictr2600121618"] == {"01RETRO": 60, "01PROSP": 10}
    full = {study: sum(cohort.plan(FIXTURES / study).recipe.size.full.values()) for study in STUDIES}
    assert full == {"chictr2600121791": 400, "chictr2600121618": 230}


@pytest.mark.parametrize("study", STUDIES)
def test_no_page_has_a_hard_finding_or_an_open_required_item_and_few_have_a_soft_one(study):
    blocking, soft, pages = Counter(), 0, 0
    for _, casebook in casebooks(study):
        for page, state in casebook:
            pages += 1
            blocking.update((page.form, f.item, f.check) for f in state.findings if f.blocks_completion)
            soft += bool(state.findings)
    assert not blocking
    assert soft < 0.03 * pages


@pytest.mark.parametrize("study", STUDIES)
def test_values_are_entered_only_where_the_form_shows_the_item(study):
    for subject, casebook in casebooks(study):
        for page, state in casebook:
            assert set(page.values) <= state.visible, (subject.number, page.form)


@pytest.mark.parametrize(("study", "outcome"), STUDIES.items())
def test_the_studys_own_endpoint_rule_finds_the_outcome_that_was_drawn(study, outcome):
    plan, subjects = made(study)
    rule = load_endpoints(FIXTURES / study / "endpoints.yaml")[outcome]
    agree, evaluable = 0, 0
    for subject, casebook in casebooks(study):
        rows = [
            Row(n, 1, page.form, state.effective, page.event, page.visit, page.on)
            for n, (page, state) in enumerate(casebook)
        ]
        result = evaluate_endpoint(rule, SubjectRows(str(subject.number), tuple(rows)), plan.recipe.as_of)
        if result.status == "evaluable":
            evaluable += 1
            agree += bool(result.value["label"]) == subject.positive
    assert evaluable >= 0.8 * len(subjects)
    assert agree >= 0.95 * evaluable


@pytest.mark.parametrize("study", STUDIES)
def test_clinic_and_image_each_tell_something_of_the_outcome_and_together_more_but_not_all(study):
    plan, subjects = made(study)
    outcome = [subject.positive for subject in subjects]
    scores = {
        name: np.array([w * s.latents[name] for s in subjects]) for name, w in plan.recipe.outcome.weights.items()
    }
    alone = [roc_auc_score(outcome, score) for score in scores.values()]
    assert all(0.6 < auc < 0.87 for auc in alone)
    assert max(alone) < roc_auc_score(outcome, sum(scores.values())) < 0.95


@pytest.mark.parametrize("study", STUDIES)
def test_some_values_are_missing_and_some_dates_are_partial_as_in_real_studies(study):
    values = [value for subject in made(study)[1] for page in subject.pages for value in page.values.values()]
    assert 20 < sum(map(is_missing, values)) < 0.05 * len(values)
    if study == "chictr2600121791":
        assert any(isinstance(value, str) and value.endswith("-UK") for value in values)


@pytest.mark.parametrize("study", STUDIES)
def test_nothing_is_dated_after_the_cut_off_which_is_never_in_the_future(study):
    for today in (dt.date(2027, 1, 1), dt.date(2025, 5, 20)):
        plan = cohort.plan(FIXTURES / study, today)
        assert plan.recipe.as_of <= today
        subjects = [subject for subject, _ in zip(cohort.make(plan), range(12), strict=False)]
        dates = [page.on for subject in subjects for page in subject.pages if page.on]
        assert max(dates) <= plan.recipe.as_of
        assert all(subject.scanned_on <= plan.recipe.as_of for subject in subjects)


@pytest.mark.parametrize("study", STUDIES)
def test_nobody_can_be_taken_for_a_person(study):
    plan, subjects = made(study)
    assert plan.definition.synthetic
    assert len({subject.person.hospital_number for subject in subjects}) == len(subjects)
    for subject in subjects:
        assert subject.person.hospital_number.startswith("SYN") and "合成" in subject.person.name


def test_a_rule_draws_the_distribution_it_names_and_follows_the_latent():
    item = made("chictr2600121791")[0].definition.form("LB").item("albumin")
    rule = recipe.Rule(normal=(39, 4), load={"clinical": -0.6}, missing=0.1)
    rng = np.random.default_rng(1)
    latents = rng.standard_normal(4000)
    drawn = [recipe.draw(rule, item, {"clinical": float(z)}, rng) for z in latents]
    numbers = np.array([np.nan if is_missing(value) else value for value in drawn])
    there = ~np.isnan(numbers)
    assert there.mean() == pytest.approx(0.9, abs=0.02)
    assert numbers[there].mean() == pytest.approx(39, abs=0.3) and numbers[there].std() == pytest.approx(4, abs=0.2)
    assert np.corrcoef(latents[there], numbers[there])[0, 1] == pytest.approx(-0.6, abs=0.04)


@pytest.mark.parametrize("bad", [{}, {"normal": (1, 2), "value": 3}, {"normal": (0, 1), "load": {"a": 0.8, "b": 0.7}}])
def test_a_rule_without_one_distribution_or_without_noise_is_refused(bad):
    with pytest.raises(ValueError, match=r"one of|noise"):
        recipe.Rule(**bad)
