"""The import page: upload, preview, confirm; nothing for those who may not."""

from __future__ import annotations

import html as escaping
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from crf.models import Record
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db

GOOD = "subject,event,lb_date,albumin\n01-0001,BASELINE,2026-03-02,39\n"


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def address(study):
    return reverse("crf:import-records", args=[study.code])


@pytest.fixture
def browser(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def upload(client, address, text=GOOD, mapping=""):
    files = {"file": SimpleUploadedFile("a.csv", text.encode())}
    if mapping:
        files["mapping"] = SimpleUploadedFile("m.yaml", mapping.encode())
    response = client.post(address, files)
    return response, escaping.unescape(response.content.decode())


def sealed(page: str) -> str:
    return re.search(r'name="upload" value="([^"]+)"', page)[1]


def test_a_file_is_previewed_confirmed_and_imported(browser, address, subject):
    response, page = upload(browser, address)
    assert response.status_code == 200
    assert re.search(r"<dt>New values</dt><dd>2</dd>", page)
    assert Record.objects.count() == 0
    response = browser.post(address, {"upload": sealed(page), "reason": ""}, follow=True)
    assert "Imported: 1 new and 0 changed records." in response.content.decode()
    assert Record.objects.get().data["albumin"] == 39


def test_changed_values_are_shown_old_and_new_and_ask_for_a_reason(browser, address, subject, coordinator):
    enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    _, page = upload(browser, address)
    assert re.search(r">38\.0</td><td[^>]*>39\.0</td>", page)
    refused = browser.post(address, {"upload": sealed(page), "reason": " "})
    assert refused.status_code == 422
    again = escaping.unescape(refused.content.decode())
    assert "give a reason" in again
    assert Record.objects.get().data["albumin"] == 38
    browser.post(address, {"upload": sealed(again), "reason": "source corrected"})
    assert Record.objects.get().data["albumin"] == 39
    assert Record.history.first().history_change_reason == "source corrected"


def test_problems_are_listed_with_row_column_and_remedy_and_cannot_be_confirmed(browser, address, subject):
    response, page = upload(browser, address, GOOD.replace("39", "<b>about</b>"))
    assert response.status_code == 422
    assert "albumin" in page
    assert "'<b>about</b>' is not a number" in page
    assert "&lt;b&gt;" in response.content.decode(), "a cell is text, never markup"
    assert 'name="upload"' not in page


def test_the_page_speaks_chinese(browser, address, subject):
    browser.cookies["django_language"] = "zh-hans"
    _, page = upload(browser, address, GOOD.replace("39", "约40"))
    assert "“约40”不是数字" in page
    assert "处理办法" in page


@pytest.mark.parametrize("change", [lambda text: text[:-3] + "abc", lambda text: "x", lambda text: ""])
def test_a_preview_that_was_tampered_with_is_not_imported(browser, address, subject, change):
    _, page = upload(browser, address)
    response = browser.post(address, {"upload": change(sealed(page))}, follow=True)
    assert "expired" in response.content.decode()
    assert Record.objects.count() == 0


def test_a_preview_belongs_to_the_person_who_made_it(browser, address, subject, cast):
    _, page = upload(browser, address)
    browser.force_login(cast["data_manager"])
    browser.cookies["django_language"] = "en"
    assert "expired" in browser.post(address, {"upload": sealed(page)}, follow=True).content.decode()
    assert Record.objects.count() == 0


def test_what_changed_since_the_preview_is_shown_again(browser, address, subject, coordinator):
    _, page = upload(browser, address)
    enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    response = browser.post(address, {"upload": sealed(page), "reason": "x"})
    assert response.status_code == 422
    assert "changed since the preview" in response.content.decode()
    assert Record.objects.get().data["albumin"] == 38


def test_a_bad_mapping_is_said_at_its_field(browser, address, subject):
    response, page = upload(browser, address, mapping="colums: {}")
    assert response.status_code == 422
    assert "m.yaml:1: colums: unknown key 'colums'" in page


def test_a_mapping_that_is_not_utf_8_is_refused(browser, address, subject):
    files = {
        "file": SimpleUploadedFile("a.csv", GOOD.encode()),
        "mapping": SimpleUploadedFile("m.yaml", "{}".encode("utf-16")),
    }
    assert "Save the mapping as UTF-8." in browser.post(address, files).content.decode()


def test_a_mapping_is_used(browser, address, subject):
    text = "号,白蛋白\n01-0001,39\n"
    _, page = upload(browser, address, text, "subject: {column: 号}\nevent: BASELINE\ncolumns: {白蛋白: LB.albumin}")
    browser.post(address, {"upload": sealed(page), "reason": ""})
    assert Record.objects.get().data["albumin"] == 39


@pytest.mark.parametrize("role", ["monitor", "reader", "statistician", "administrator", "pi"])
def test_who_may_not_import_is_refused_at_the_door(client, cast, address, role):
    client.force_login(cast[role])
    assert client.get(address).status_code == 403
    assert client.post(address, {"upload": "x"}).status_code == 403


def test_another_sites_coordinator_imports_nothing_here(client, cast, address, subject):
    client.force_login(cast["stranger"])
    client.cookies["django_language"] = "en"
    response, page = upload(client, address)
    assert response.status_code == 422
    assert "there is no subject '01-0001', or not at your sites" in page
