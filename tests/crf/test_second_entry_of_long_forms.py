"""The second entry of a form that comes page by page: kept page by page, compared at the end."""

from __future__ import annotations

import pytest
from django.urls import reverse

from crf.models import SecondEntry
from tests.study import DEFINITION, both, enrol, enter, publish

pytestmark = pytest.mark.django_db
ITEMS = [{"name": f"q{number}", "type": "integer", "label": both(f"Question {number}")} for number in range(210)]
ITEMS[200] |= {"show_if": "q0 == 1"}


@pytest.fixture
def first(site, coordinator):
    form = {"oid": "LONG", "name": both("Long"), "double_entry": True}
    form |= {"sections": [{"name": both("Many"), "items": ITEMS}]}
    events = [DEFINITION["events"][0] | {"forms": ["DM", "LB", "LONG"]}, *DEFINITION["events"][1:]]
    publish(version="2.0", forms=[*DEFINITION["forms"], form], events=events)
    paper = {"q0": "1", "q105": "5", "q200": "7"}
    return enter(enrol(site, by=coordinator), "LONG", paper, by=coordinator, complete=True)


@pytest.fixture
def second_person(client, cast):
    client.force_login(cast["investigator"])
    client.cookies["django_language"] = "en"
    return client


def address(record, name="crf:second-entry"):
    return reverse(name, args=["LIVER", record.subject.number, "BASELINE", 1, "LONG", 1])


def test_each_page_is_kept_and_the_whole_is_compared(first, second_person):
    page = second_person.get(address(first)).content.decode()
    assert 'value="section-2"' in page and 'value="second"' not in page, "there is more before it can be compared"
    fields = {"section": "1", "act": "section-2", "value-q0": "1"}
    assert second_person.post(address(first), fields).headers["Location"].endswith("second/?section=2")
    assert SecondEntry.objects.get().status == "awaited" and SecondEntry.objects.get().data == {"q0": 1}
    second_person.post(address(first), {"section": "2", "act": "section-3", "value-q105": "6"})
    page = second_person.get(address(first) + "?section=3").content.decode()
    assert 'value="second"' in page and 'data-hidden=""' in page, "what page 1 shows of page 3 is shown"
    assert 'value="1"' in second_person.get(address(first) + "?section=1").content.decode()
    asked = {"section": "3", "value-q200": "7"}
    weighed = second_person.post(address(first, "crf:evaluate-record") + "?second=yes", asked).content.decode()
    assert 'data-hidden=""' in weighed
    sent = second_person.post(address(first), {"section": "3", "act": "second", "value-q200": "7"})
    assert sent.headers["Location"] == address(first, "crf:compare-entries")
    compared = second_person.get(sent.headers["Location"]).content.decode()
    assert 'name="choice-q105"' in compared and compared.count('value="first"') == 1


def test_a_save_by_keyboard_on_a_page_before_the_last_keeps_it(first, second_person):
    assert second_person.post(address(first), {"section": "2", "value-q105": "5"}).headers["Location"].endswith("=2")
    assert SecondEntry.objects.get().status == "awaited" and SecondEntry.objects.get().data == {"q105": 5}


def test_what_is_begun_is_shown_to_nobody_who_typed_the_first(first, second_person, cast):
    second_person.post(address(first), {"section": "1", "act": "section-2", "value-q1": "77"})
    second_person.force_login(cast["coordinator"])
    assert second_person.get(address(first)).status_code == 302
    weighed = second_person.post(address(first, "crf:evaluate-record") + "?second=yes", {"section": "1"})
    assert b"77" not in weighed.content
