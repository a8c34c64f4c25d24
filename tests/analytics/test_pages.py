"""What people see of datasets and evaluations: each role its doors, no inline script or style, numbers with sources."""

from __future__ import annotations

import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils.translation import override

from analytics.models import Dataset, Evaluation
from analytics.selectors import plans, presentation, storage
from analytics.services import evaluations
from registry.models import Job
from tests.analytics.cohort import fill, publish_rules
from tests.study import PASSWORD


@pytest.fixture
def lockable(study, cast, tmp_path):
    from registry.services import people

    publish_rules(study, tmp_path)
    fill(study, by=people.system_user(), size=20)
    return study


@pytest.fixture
def dataset(lockable, cast):
    from analytics.services import datasets

    return datasets.lock(study=lockable, name="main", password=PASSWORD, by=cast["pi"])


def strict(html: str) -> str:
    """Nothing that the CSP forbids."""
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)
    for attributes in re.findall(r"<script([^>]*)>", html):
        assert "src=" in attributes or 'type="application/json"' in attributes
    return html


def page(client, user, name, *args, language="en", status=200):
    client.force_login(user)
    response = client.get(reverse(name, args=args), HTTP_ACCEPT_LANGUAGE=language)
    assert response.status_code == status
    return strict(response.content.decode()) if status == 200 else ""


def test_the_pi_locks_on_the_page_and_sees_the_hash(client, cast, lockable):
    address = reverse("analytics:lock-dataset", args=[lockable.code])
    assert "Nothing is open" in page(client, cast["pi"], "analytics:lock-dataset", lockable.code)
    refused = client.post(address, {"name": "main", "password": "wrong"}, HTTP_ACCEPT_LANGUAGE="en")
    assert refused.status_code == 422 and "password is not right" in refused.content.decode()
    assert not Dataset.objects.exists()
    done = client.post(address, {"name": "main", "password": PASSWORD})
    dataset = Dataset.objects.get()
    assert done.url == reverse("analytics:dataset", args=[lockable.code, dataset.pk])
    assert dataset.hash in page(client, cast["pi"], "analytics:dataset", lockable.code, dataset.pk)
    assert dataset.short_hash in page(client, cast["statistician"], "analytics:datasets", lockable.code, language="zh")


def test_the_lock_page_names_what_is_open_and_asks_why(client, cast, lockable, site):
    from tests.study import enrol, enter

    enter(enrol(site, by=cast["coordinator"]), "DM", {"age": "50"}, by=cast["coordinator"])
    html = page(client, cast["pi"], "analytics:lock-dataset", lockable.code)
    assert "records still in progress" in html and 'name="except_incomplete"' in html
    assert f'href="/studies/{lockable.code}/subjects/01-0011/visits/BASELINE/1/DM/1/"' in html
    client.post(reverse("analytics:lock-dataset", args=[lockable.code]), {"name": "main", "password": PASSWORD})
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("role", ["coordinator", "monitor", "reader"])
def test_datasets_are_closed_to_those_who_enter_data(client, cast, lockable, role):
    page(client, cast[role], "analytics:datasets", lockable.code, status=403)
    page(client, cast[role], "analytics:lock-dataset", lockable.code, status=403)


def test_verify_on_the_page_says_that_all_is_as_signed(client, cast, dataset):
    client.force_login(cast["pi"])
    address = reverse("analytics:verify-dataset", args=[dataset.study.code, dataset.pk])
    html = client.post(address, follow=True, HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "Every file has the hash that was signed." in html
    (storage.folder(dataset.folder) / "visits.parquet").unlink()
    html = client.post(address, follow=True, HTTP_ACCEPT_LANGUAGE="zh-hans").content.decode()
    assert "visits.parquet: 文件已不存在" in html
    manifest = client.get(reverse("analytics:dataset-manifest", args=[dataset.study.code, dataset.pk])).json()
    assert manifest["hash"] == dataset.hash


def test_the_administrator_starts_a_run_and_the_statistician_reads_it(client, cast, dataset, monkeypatch):
    from analytics import tasks

    monkeypatch.setattr(tasks.evaluate, "delay", lambda **sent: queue.append(sent))
    queue: list[dict[str, object]] = []
    from django.test import TestCase

    client.force_login(cast["administrator"])
    code = dataset.study.code
    with TestCase.captureOnCommitCallbacks(execute=True):
        client.post(reverse("analytics:start-evaluation", args=[code, dataset.pk]), {"plan": "low-albumin"})
    job = Job.objects.get(kind="model.run")
    sent = {"job_id": job.pk, "dataset_id": dataset.pk, "plan": "low-albumin", "only_if_changed": False}
    assert queue == [sent]
    assert f'id="job-{job.pk}"' in page(client, cast["administrator"], "analytics:evaluations", code)

    tasks.evaluate(**queue[0])
    tasks.evaluate(**queue[0])  # sent twice
    made = Evaluation.objects.get()
    job.refresh_from_db()
    assert (job.state, job.result["evaluation"], made.job) == ("done", made.pk, job)
    again = evaluations.evaluate(
        dataset=dataset, plan=plans.plan(dataset.rules, "low-albumin"), by=cast["statistician"]
    )
    _read(client, cast, code, made, again)


def _read(client, cast, code, made, again):
    html = page(client, cast["statistician"], "analytics:evaluation", code, again.pk)
    assert html.count('data-chart="') == html.count('<script id="') >= 9
    assert "Compared with the last run" in html and "same dataset, plan and software" in html
    assert html.count(f'data-dataset="{made.dataset.hash}"') > 100
    for option in re.findall(r'<script id="[^"]+" type="application/json">(.*?)</script>', html, re.S):
        assert json.loads(option)["series"]
    chinese = page(client, cast["pi"], "analytics:evaluation", code, again.pk, language="zh-hans")
    assert "灵敏度" in chinese and "Sensitivity" not in chinese
    listed = page(client, cast["administrator"], "analytics:evaluations", code, language="zh-hans")
    assert listed.count("低白蛋白预测") == 3 and ">low-albumin<" not in listed  # the plan to choose, and two runs
    address = ("analytics:dataset", code, made.dataset_id)
    assert f'data-dataset="{made.dataset.hash}"' in page(client, cast["statistician"], *address)
    assert "data-dataset=" not in page(client, cast["data_manager"], *address)  # no number of a model without the right
    report = page(client, cast["pi"], "analytics:report", code, made.pk)
    for image in re.findall(r'<img src="([^"]+)"', report):
        answer = client.get(image)
        assert answer["Content-Type"] == "image/svg+xml" and b"<svg" in b"".join(answer.streaming_content)
    download = client.get(reverse("analytics:report-file", args=[code, made.pk, "en"]))
    assert "attachment" in download["Content-Disposition"]
    assert client.get(reverse("analytics:report-file", args=[code, made.pk, "fr"])).status_code == 404


def test_an_unknown_plan_is_refused_with_the_known_ones(client, cast, dataset):
    client.force_login(cast["administrator"])
    address = reverse("analytics:start-evaluation", args=[dataset.study.code, dataset.pk])
    html = client.post(address, {"plan": "none"}, follow=True).content.decode()
    assert "low-albumin" in html and not Job.objects.exists()


def test_the_commands_lock_verify_evaluate_and_export(lockable, cast, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SIGNER", PASSWORD)
    call_command("lock_dataset", lockable.code, "main", user="pi", password_env="SIGNER", json=True)
    locked = json.loads(capsys.readouterr().out)
    dataset = Dataset.objects.get(pk=locked["id"])
    assert (locked["hash"], locked["subjects"]) == (dataset.hash, 20)
    call_command("verify_dataset", dataset.pk, json=True)
    assert json.loads(capsys.readouterr().out)["faults"] == []
    call_command("evaluate", dataset.pk, json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found["dataset"]["hash"] == dataset.hash and 0 <= found["auc"]["lo"] <= found["auc"]["value"] <= 1
    call_command("nightly", lockable.code, json=True)
    assert json.loads(capsys.readouterr().out)["studies"][lockable.code]["evaluations"] == []
    call_command("export_dataset", dataset.pk, output=tmp_path / "out")
    assert (tmp_path / "out" / "liver-main-v1" / "manifest.json").is_file()
    for name, arguments in (("verify_dataset", [999]), ("evaluate", [999]), ("nightly", ["NONE"])):
        with pytest.raises(CommandError):
            call_command(name, *arguments)
    with pytest.raises(CommandError, match=r"password|密码"):
        monkeypatch.setenv("SIGNER", "wrong")
        call_command("lock_dataset", lockable.code, "main", user="pi", password_env="SIGNER")


def test_the_usual_predictor_sets_have_names_in_both_languages():
    with override("zh-hans"):
        assert [presentation.set_name(name) for name in ("combined", "age")] == ["联合", "age"]
        assert presentation.plan_title({"zh": "预测", "en": "Prediction"}, "p1") == "预测"
    assert presentation.plan_title(None, "p1") == "p1"
