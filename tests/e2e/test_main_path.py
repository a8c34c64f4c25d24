"""The main job, walked in Chromium against real processes: coordinator, PI, the night, administrator, monitor.

The site, a Celery worker, PostgreSQL and Valkey are those of an installation; what people do goes through pages.
Seven of the eight subjects, and the readers' masks, are put there by the services beforehand.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from deploy import processes
from tests import servers
from tests.browser import ARGUMENTS, chromium, playwright_and_database
from tests.study import PASSWORD, enrol, enter, person, publish

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "var" / "screenshots"
STUDY = "/studies/LIVER/"
SEND_THE_NIGHT = "import django; django.setup(); from analytics.tasks import nightly; nightly.delay()"


@pytest.fixture
def study(transactional_clone, tmp_path, monkeypatch, settings):
    """Seven subjects with images and masks, as the services leave them; the eighth is the browser's."""
    from analytics.models import Evaluation
    from imaging.models import Series
    from imaging.services import intake
    from registry.services import people
    from tests.analytics.cohort import publish_rules
    from tests.analytics.test_features import IMAGING, PLAN, slices

    # Playwright's loop runs in this thread; the test's own reads of the database are between its steps.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    # The site checks passwords with the real hasher, which the tests replace by a fast one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    assert not Evaluation.objects.exists()
    study = publish(imaging=IMAGING).study
    publish_rules(study, tmp_path, plan=PLAN)
    by, site = people.system_user(), study.sites.get(code="01")
    for number in range(1, 8):
        subject = enrol(site, by=by)
        enter(subject, "DM", {"age": str(40 + number), "sex": "M"}, by=by, complete=True)
        later = "30" if number % 2 else "40"
        for event, albumin, day in (("BASELINE", "40", "2026-03-02"), ("MONTH1", later, "2026-04-01")):
            blood = {"lb_date": day, "albumin": albumin, "bilirubin": "10"}
            enter(subject, "LB", blood, by=by, event=event, complete=True)
        intake.receive(files=slices(number, number % 2), study=study, site=site, subject=subject, by=by)
    at_site = {"coordinator": site, "reader": site}
    for role in ("coordinator", "pi", "administrator", "monitor", "reader"):
        person(role, study=study, role=role, site=at_site.get(role))
    assert Series.objects.filter(volume_number=1).count() == 7
    return study


@pytest.fixture
def address(study, tmp_path, monkeypatch):
    """A web process and a worker of their own on the test's database, storage and queue."""
    from django.db import connections

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = servers.attached()
    name = connections["default"].settings_dict["NAME"]
    monkeypatch.setenv("DATABASE_URL", running.database_url("lobule_app", name))
    monkeypatch.setenv("DATABASE_OWNER_URL", running.database_url("lobule_owner", name))
    monkeypatch.setenv("CELERY_BROKER_URL", running.broker_url.removesuffix("/0") + "/1")
    monkeypatch.setenv("BIND", f"127.0.0.1:{port}")
    monkeypatch.setenv("WEB_WORKERS", "1")
    monkeypatch.setenv("HTTPS", "no")
    with processes.running("web", "worker", logs=tmp_path / "log") as started:
        ready = processes.wait(lambda: processes.answers(port), started, seconds=60, every=0.3, logs=tmp_path / "log")
        assert ready
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def walk(address):
    """`walk(role)` opens a signed-in page of that person; what the console complains of is collected."""
    executable = chromium()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    with playwright_and_database() as playwright, contextlib.ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        stack.callback(browser.close)

        def sign_in(username: str):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto("/sign-in/")
            page.fill("[name=username]", username)
            page.fill("[name=password]", PASSWORD)
            page.click("[type=submit]")
            page.wait_for_url(f"{address}/")
            return page

        yield sign_in
    assert complaints == []


def shot(page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)


def fill_form(page, form: str, values: dict[str, str], *, act: str, event: str = "BASELINE") -> None:
    page.goto(f"{STUDY}subjects/01-0008/visits/{event}/1/{form}/1/")
    for item, value in values.items():
        if item == "sex":
            page.check(f"[name=value-sex][value={value}]")
        else:
            page.fill(f"#value-{item}", value)
    save(page, act)


def save(page, act: str) -> None:
    """The page sends its draft before the form, so that the click itself does not navigate yet."""
    with page.expect_navigation():
        page.click(f"button[name=act][value={act}]")
    page.wait_for_load_state("networkidle")


def coordinator_enters(page, tmp_path: Path) -> None:
    page.goto(f"{STUDY}subjects/enrol/")
    page.fill("[name=enrolled_on]", "2026-03-02")
    page.fill("[name=hospital_number]", "H-0008")
    page.fill("[name=name]", "Synthetic Eight")
    page.click("main [type=submit]")
    page.wait_for_url("**/subjects/01-0008/")
    fill_form(page, "DM", {"age": "48", "sex": "M"}, act="complete")
    fill_form(page, "LB", {"lb_date": "2026年3月2日", "albumin": "41", "bilirubin": "10"}, act="complete")
    fill_form(page, "LB", {"lb_date": "20260401", "albumin": "40", "bilirubin": "10"}, act="complete", event="MONTH1")
    page.goto(f"{STUDY}subjects/01-0008/visits/BASELINE/1/LB/1/")
    page.fill("#value-albumin", "40")
    page.select_option("#reason-code", index=1)
    page.fill("#reason-text", "source says 40")
    shot(page, "1-coordinator-record")
    save(page, "complete")
    coordinator_uploads(page, tmp_path)
    page.goto(f"{STUDY}subjects/01-0008/")
    page.locator("img.thumbnail, .thumbnail img").first.wait_for()
    shot(page, "2-coordinator-casebook")


def coordinator_uploads(page, tmp_path: Path) -> None:
    from tests.analytics.test_features import slices

    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in slices(8, 0):
            file.writestr(name, content)
    page.goto(f"{STUDY}images/upload/")
    page.fill("[name=subject]", "01-0008")
    page.set_input_files("[name=files]", str(archive))
    page.click("main [type=submit]")
    page.wait_for_url("**/images/**")
    page.wait_for_load_state("networkidle")


def readers_outline() -> None:
    """Two masks on each image; the readers' own page is tested where it lives."""
    from imaging.models import Series
    from imaging.services import segmentations
    from registry.models import User
    from registry.services import people
    from tests.analytics.test_features import mask

    reader = User.objects.get(username="reader")
    for series in Series.objects.filter(volume_number=1):
        segmentations.add(series=series, reader=reader, roi="tumour", file=mask(series, 0), by=people.system_user())


def pi_locks(page) -> None:
    page.goto(f"{STUDY}datasets/lock/")
    for field in page.locator("[name^=except_]").all():
        field.fill("small test volumes, first readings only")
    page.fill("[name=name]", "main")
    page.fill("[name=password]", "not my password")
    page.click("main form [type=submit]")
    page.locator(".alert, .invalid-feedback").first.wait_for()
    page.fill("[name=password]", PASSWORD)
    shot(page, "3-pi-lock")
    page.click("main form [type=submit]")
    page.wait_for_url(re.compile(r"/datasets/\d+/$"))
    shot(page, "4-pi-dataset")


def the_night_runs() -> None:
    subprocess.run([sys.executable, "-c", SEND_THE_NIGHT], cwd=ROOT, env=os.environ, check=True)
    until(lambda: evaluations() == 1, "the night did not evaluate")


def administrator_evaluates_again(page) -> None:
    page.goto(f"{STUDY}evaluations/")
    page.click("form[action*=evaluate] [type=submit], form.button-row [type=submit]")
    page.wait_for_url("**/evaluations/")
    shot(page, "5-administrator-progress")
    until(lambda: evaluations() == 2, "the re-evaluation did not end")
    page.goto(f"{STUDY}evaluations/")
    page.click("tbody a >> nth=0")
    page.locator("text=/main v1/").first.wait_for()
    shot(page, "6-administrator-comparison")


def monitor_exports(page) -> list[dict[str, str]]:
    page.goto(f"{STUDY}audit/")
    shot(page, "7-monitor-audit")
    with page.expect_download() as download:
        page.click("form[action*=export] [type=submit]")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def evaluations() -> int:
    from analytics.models import Evaluation
    from registry.models import Job

    failed = Job.objects.filter(state=Job.State.FAILED).values_list("error", flat=True)
    assert not failed, list(failed)
    return Evaluation.objects.count()


def until(done, problem: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, problem
        time.sleep(0.3)


def test_a_study_is_entered_locked_evaluated_and_audited_through_its_pages(study, walk, tmp_path):
    from analytics.models import Dataset, Evaluation

    coordinator_enters(walk("coordinator"), tmp_path)
    readers_outline()
    pi_locks(walk("pi"))
    the_night_runs()
    administrator_evaluates_again(walk("administrator"))
    lines = monitor_exports(walk("monitor"))

    dataset = Dataset.objects.get()
    again, first = Evaluation.objects.order_by("-pk")
    assert again.previous == first and {one.dataset for one in (again, first)} == {dataset}
    assert again.results == first.results, "the same dataset, plan and code give the same numbers"

    change = next(line for line in lines if line["item"] == "albumin" and line["old"] == "41.0")
    assert (change["new"], change["user"], change["subject"]) == ("40.0", "coordinator", "01-0008")
    assert "source says 40" in change["reason"] and change["source"] == "web" and change["role"] == "coordinator@01"
    acts = {(line["action"], line["user"]) for line in lines}
    assert {("image.intake", "coordinator"), ("dataset.lock", "pi"), ("signature.refused", "pi")} <= acts
    assert {("model.run", "administrator"), ("model.run", "system")} <= acts
    assert dt.datetime.fromisoformat(change["at"]).tzinfo
