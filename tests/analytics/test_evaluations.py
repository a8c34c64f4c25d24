"""From a locked dataset to numbers, a report and a second run: every number sourced, no leak let in."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import TestCase

from analytics.learning.leakage import LeakageRefused
from analytics.learning.plan import BadPlan
from analytics.models import Evaluation
from analytics.results.compare import changes
from analytics.selectors import frames, plans, storage
from analytics.services import datasets, evaluations, nights
from analytics.stats.roc import auc
from registry.models import AuditEvent
from tests.analytics.cohort import fill, publish_rules
from tests.study import PASSWORD


@pytest.fixture
def dataset(study, cast, tmp_path):
    from registry.services import people

    publish_rules(study, tmp_path)
    fill(study, by=people.system_user(), size=20)
    return datasets.lock(study=study, name="main", password=PASSWORD, by=cast["pi"])


@pytest.fixture
def plan(dataset):
    return plans.plan(dataset.rules, "low-albumin")


def test_a_plan_is_run_stored_reported_and_run_again(dataset, plan, cast):
    made = evaluations.evaluate(dataset=dataset, plan=plan, by=cast["statistician"])
    folder = storage.folder(made.folder)

    predictions = pd.read_parquet(folder / "predictions.parquet")
    rows = predictions[(predictions["split"] == "site") & (predictions["predictor_set"] == "both")]
    assert len(rows) == made.results["headline"]["n"] == 20
    again = auc(rows["outcome"].to_numpy(), rows["probability"].to_numpy())
    assert made.results["headline"]["auc"]["value"] == pytest.approx(again.value, abs=1e-12)
    assert made.results["headline"]["auc"]["value"] > 0.6  # albumin predicts albumin

    called = made.results["splits"]["site"]["evaluation"]["models"][2]["classification"]["table"]
    positive = rows[rows["positive"] == 1]
    assert (called["tp"], called["fp"]) == (positive["outcome"].sum(), len(positive) - positive["outcome"].sum())

    event = AuditEvent.objects.get(kind="model.run")
    assert event.details["hash"] == dataset.hash and event.details["headline"]["n"] == 20

    for language in ("zh-hans", "en"):
        text = (folder / f"report.{language}.html").read_text(encoding="utf-8")
        assert text.count("<svg") == len(list((folder / "figures" / language).glob("*.svg"))) >= 9
        assert not re.search(r"""(src|href)=["']https?:""", text)
        numbers = re.findall(r'<td class="number">\s*(.*?)</td>', text, re.S)
        sourced = f'data-dataset="{dataset.hash}"'
        assert sum(sourced in number for number in numbers) > 80
        assert [number for number in numbers if sourced not in number and re.search(r"\d", number)] == []
        assert dataset.hash in text and "SYNTHETIC" not in text and "合成数据" not in text
    assert "预测" in (folder / "report.zh-hans.html").read_text(encoding="utf-8")

    second = evaluations.evaluate(dataset=dataset, plan=plan, by=cast["administrator"])
    assert second.previous == made
    assert {row["difference"] for row in changes(second.results, made.results) if row["now"]} == {0.0}
    assert second.inputs == made.inputs
    assert evaluations.evaluate(dataset=dataset, plan=plan, only_if_changed=True, by=cast["statistician"]) is None


def test_survival_is_by_the_risk_predicted_for_unseen_subjects(dataset, plan, cast):
    made = evaluations.evaluate(dataset=dataset, plan=plan, by=cast["statistician"])
    found = made.results["survival"]["TIME"]
    assert found["split"] == "site" and found["report"]["n"] == 20
    assert set(found["report"]["groups"]) <= {"low", "high"}


def test_only_those_who_may_run_a_model(dataset, plan, cast):
    with pytest.raises(PermissionDenied):
        evaluations.evaluate(dataset=dataset, plan=plan, by=cast["pi"])
    assert not Evaluation.objects.exists()


def test_an_altered_dataset_is_not_analysed(dataset, plan, cast):
    path = storage.folder(dataset.folder) / "endpoints.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(evaluations.DatasetAltered, match=r"endpoints\.parquet"):
        evaluations.evaluate(dataset=dataset, plan=plan, by=cast["statistician"])
    assert not Evaluation.objects.exists() and not AuditEvent.objects.filter(kind="model.run").exists()


def changed(plan, **parts):
    return type(plan).model_validate(plan.model_dump() | parts)


def test_a_predictor_measured_after_time_zero_is_refused_by_name(dataset, plan, cast):
    leaking = changed(plan, predictors={"late": ["MONTH1.LB.albumin"]}, primary=None)
    with pytest.raises(LeakageRefused, match=r"MONTH1\.LB\.albumin is dated 2026-04-01, after time zero 2026-03-02"):
        evaluations.evaluate(dataset=dataset, plan=leaking, by=cast["statistician"])
    assert not Evaluation.objects.exists()


@pytest.mark.parametrize("item", ["LB.lb_date", "LB.nothing", "XX.albumin"])
def test_what_may_not_or_cannot_predict_is_refused_by_name(dataset, plan, item):
    with pytest.raises(BadPlan, match=re.escape(item.split(".")[0])):
        frames.assemble(dataset, changed(plan, predictors={"wrong": [item]}, primary=None))


def test_who_is_left_out_is_counted_with_the_reason(dataset, plan):
    found = frames.assemble(dataset, changed(plan, cohort={"sites": ("01",)}))
    assert [(step.code, step.remaining) for step in found.flow] == [("locked", 20), ("cohort", 10), ("outcome", 10)]
    assert found.flow[1].left == {"other_group_or_site": 10}


def test_the_night_evaluates_what_is_new_and_nothing_twice(dataset):
    from registry.services import people

    by = people.system_user()
    first = nights.run(study=dataset.study, by=by)
    assert len(first["evaluations"]) == 1
    assert first["endpoints"]["LOWALB"]["evaluable"] == 20
    assert nights.run(study=dataset.study, by=by)["evaluations"] == []


def test_the_nightly_task_queues_what_changed_and_only_that(dataset, monkeypatch):
    from analytics import tasks
    from registry import jobs
    from registry.models import AuditSeal, Job
    from registry.services import people

    sent = []
    monkeypatch.setattr(tasks.evaluate, "delay", lambda **arguments: sent.append(arguments))
    for expected in (1, 1):
        with TestCase.captureOnCommitCallbacks(execute=True):
            tasks.nightly()
        assert len(sent) == expected
        if not Evaluation.objects.exists():
            tasks.evaluate(**sent[0])
            job = jobs.create(kind="model.run", study=dataset.study, by=people.system_user())
            tasks.evaluate(**sent[0] | {"job_id": job.pk})  # another night was still in the queue
    assert Evaluation.objects.count() == 1
    night = Job.objects.filter(kind="nightly").last()
    assert night.state == Job.State.DONE and night.result["endpoints"]["LOWALB"]["evaluable"] == 20
    assert AuditSeal.objects.exists()


def test_one_study_that_fails_does_not_take_the_night_from_the_others(dataset, monkeypatch, capsys):
    from analytics import tasks
    from registry.models import Job
    from tests.study import publish

    other = publish(code="AAA").study
    derive = nights.derive_endpoints

    def failing(*, study, by):
        if study == other:
            raise ValueError("unreadable rules")
        return derive(study=study, by=by)

    monkeypatch.setattr(nights, "derive_endpoints", failing)
    tasks.nightly()
    states = dict(Job.objects.filter(kind="nightly").values_list("study__code", "state"))
    assert states == {"AAA": Job.State.FAILED, "LIVER": Job.State.DONE}
    with pytest.raises(CommandError, match="AAA: ValueError: unreadable rules"):
        call_command("nightly")
    assert "LIVER: 0 feature sets, 1 evaluations" in capsys.readouterr().out


def test_a_failed_run_says_why_on_its_job(dataset, monkeypatch):
    from analytics import tasks
    from registry import jobs
    from registry.models import Job
    from registry.services import people

    path = storage.folder(dataset.folder) / "endpoints.parquet"
    path.chmod(0o644)
    path.write_bytes(b"")
    job = jobs.create(kind="model.run", study=dataset.study, by=people.system_user())
    with pytest.raises(evaluations.DatasetAltered):
        tasks.evaluate(job_id=job.pk, dataset_id=dataset.pk, plan="low-albumin")
    job.refresh_from_db()
    assert job.state == Job.State.FAILED and "endpoints.parquet" in job.error
