"""Entering against a real web process: two browsers on one record, a session that ends, a server that goes away."""

from __future__ import annotations

import contextlib
import socket

import pytest

from deploy import processes
from tests import servers
from tests.browser import ARGUMENTS, chromium, playwright_and_database
from tests.study import PASSWORD, enrol, enter, person, publish

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RECORD = "/studies/LIVER/subjects/01-0001/visits/BASELINE/1/DM/1/"


@pytest.fixture
def people_at_site(transactional_clone, monkeypatch, settings):
    """One subject whose demographics are in progress, a coordinator and an investigator."""
    from registry.services import people

    # Playwright's loop runs in this thread; the test's own reads of the database are between its steps.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    # The site checks passwords with the real hasher, which the tests replace by a fast one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    study = publish().study
    site = study.sites.get(code="01")
    enter(enrol(site, by=people.system_user()), "DM", {"age": "52", "sex": "M"}, by=people.system_user())
    return [person(role, study=study, role=role, site=site) for role in ("coordinator", "investigator")]


@pytest.fixture
def address(people_at_site, tmp_path, monkeypatch):
    """A web process on the test's database."""
    from django.db import connections

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running, name = servers.attached(), connections["default"].settings_dict["NAME"]
    monkeypatch.setenv("DATABASE_URL", running.database_url("lobule_app", name))
    monkeypatch.setenv("BIND", f"127.0.0.1:{port}")
    monkeypatch.setenv("WEB_WORKERS", "1")
    monkeypatch.setenv("HTTPS", "no")
    with processes.running("web", logs=tmp_path / "log") as started:
        ready = processes.wait(lambda: processes.answers(port), started, seconds=60, every=0.3, logs=tmp_path / "log")
        assert ready
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def browser(address):
    """`browser(name)` is that person's own Chromium, signed in; what their pages complain of is collected."""
    executable, complaints = chromium(), []
    with playwright_and_database() as playwright, contextlib.ExitStack() as stack:

        def opened(username):
            own = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
            stack.callback(own.close)
            page = own.new_context(base_url=address).new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            sign_in(page, username)
            return page

        yield opened
    assert complaints == []


def sign_in(page, username):
    page.goto("/sign-in/")
    page.fill("[name=username]", username)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url(lambda url: "sign-in" not in url)
    page.context.add_cookies([{"name": "django_language", "value": "en", "url": page.url}])


def save(page):
    page.select_option("#reason-code", "source")
    page.click("button[value=save]")


def says(page, words):
    page.locator("#save-state", has_text=words).wait_for(timeout=30000)


def record():
    from crf.models import Record

    return Record.objects.get()


def test_the_second_of_two_browsers_compares_and_overwrites_nothing(browser):
    mine, theirs = browser("coordinator"), browser("investigator")
    mine.goto(RECORD)
    theirs.goto(RECORD)
    theirs.locator(".presence", has_text="Coordinator").wait_for()
    theirs.fill("#value-age", "54")
    save(theirs)
    theirs.locator(".alert.tone-success").wait_for()
    mine.locator(".presence", has_text="has this form open").wait_for(timeout=30000)
    mine.locator(".presence-newer").wait_for(timeout=30000)
    mine.fill("#value-age", "53")
    mine.check("[name=value-sex][value=F]")
    save(mine)
    mine.locator(".conflict").wait_for()
    row = mine.inner_text(".conflict tbody tr")
    assert all(age in row for age in ("52", "53", "54")) and record().data["age"] == 54
    mine.check("[name=choice-age][value=mine]")
    mine.click("button[value=save]")
    mine.locator(".alert.tone-success").wait_for()
    assert (record().revision, record().data["age"], record().data["sex"]) == (3, 53, "F")
    assert [row.data["age"] for row in record().history.order_by("revision")] == [52, 54, 53]


def test_a_session_that_ends_loses_nothing_and_goes_on_after_signing_in_again(browser):
    from django.contrib.sessions.models import Session

    page = browser("coordinator")
    page.goto(RECORD)
    Session.objects.all().delete()
    page.fill("#value-age", "85")
    says(page, "signed out")
    page.locator("#announcements", has_text="session has ended").wait_for()
    assert page.locator("#record").count() == 1 and page.input_value("#value-age") == "85"
    again = page.context.new_page()
    sign_in(again, "coordinator")
    page.fill("#value-age", "86")
    page.locator("#findings-age .finding.soft").wait_for()
    says(page, "draft kept")
    save(page)
    page.locator(".alert.tone-success").wait_for()
    assert record().data["age"] == 86


def test_another_person_who_signs_in_on_the_same_computer_saves_nothing_of_mine(browser):
    from crf.models import Draft

    page = browser("coordinator")
    page.goto(RECORD)
    page.context.clear_cookies()
    sign_in(page.context.new_page(), "investigator")
    page.fill("#value-age", "61")
    says(page, "signed out")
    save(page)
    page.wait_for_timeout(1000)
    assert page.input_value("#value-age") == "61" and record().data["age"] == 52 and not Draft.objects.exists()
    page.context.clear_cookies()
    back = page.context.new_page()
    sign_in(back, "coordinator")
    says(page, "draft kept")  # the page that was left open hands over what it kept
    back.goto(RECORD)
    back.locator(".draft-note").wait_for()
    assert back.input_value("#value-age") == "61"
