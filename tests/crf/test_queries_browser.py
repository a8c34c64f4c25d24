"""Queries as people meet them: the mark beside an item, the panel, the list on a phone."""

import pytest
from django.test import Client
from django.urls import reverse

from crf.models import Query
from crf.services import queries
from tests.browser import page_of
from tests.study import enrol, enter, publish

pytestmark = [pytest.mark.django_db, pytest.mark.browser]


@pytest.fixture
def study(db):
    return publish(capture={"soft_to_query": True}).study


@pytest.fixture
def subject(site, coordinator):
    subject = enrol(site, by=coordinator)
    enter(subject, "DM", {"age": "85", "sex": "M"}, by=coordinator, complete=True)
    return subject


@pytest.fixture
def signed_in(cast):
    def sign_in(role):
        client = Client()
        client.force_login(cast[role])
        return client

    return sign_in


def entry(subject):
    return reverse("crf:edit-record", args=[subject.study.code, subject.number, "BASELINE", 1, "DM", 1])


def test_a_monitor_asks_beside_the_item_and_settles_the_query_of_a_check(signed_in, subject):
    with page_of(signed_in("monitor")) as page:
        page.goto(entry(subject))
        page.click("#item-sex .query-mark")
        page.fill("#new-query", "Is this right?")
        page.click(".query-new button[type=submit]")
        page.locator("#panel .thread li", has_text="Is this right?").wait_for()
        page.keyboard.press("Escape")
        page.click("#item-age .query-mark.is-open")
        page.fill("#panel .query-step textarea >> nth=0", "The source says 85")
        page.click("#panel button[value=close]")
        page.locator("#panel .thread .act-close").wait_for()
        assert page.complaints == []
    states = dict(Query.objects.values_list("item", "status"))
    assert states == {"sex": "open", "age": "closed"}


def test_a_coordinator_answers_from_the_list_by_keyboard(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(reverse("crf:queries", args=[subject.study.code]))
        page.focus("a[hx-get*='/queries/']")
        page.keyboard.press("Enter")
        page.locator("#panel[open] .query").wait_for()
        page.focus("#panel textarea")
        page.keyboard.type("Card seen")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator("#panel .thread .act-answer", has_text="Card seen").wait_for()
        assert page.complaints == []
    assert Query.objects.get().status == "answered"


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_lists_and_panels_fit_a_phone(signed_in, subject, cast, language):
    visit = subject.visits.get(event="BASELINE")
    asked = queries.raise_query(subject=subject, visit=visit, form="DM", text="Why? " * 60, by=cast["monitor"])
    queries.answer(query=asked, text="A" * 300, by=cast["coordinator"])
    study = subject.study.code
    with page_of(signed_in("monitor"), width=390, language=language) as page:
        for path in (
            reverse("crf:queries", args=[study]) + "?status=answered",
            reverse("crf:worklist", args=[study]),
            reverse("crf:quality", args=[study]),
            reverse("crf:quality-rows", args=[study]) + "?state=due",
            reverse("crf:query", args=[study, asked.pk]),
            reverse("crf:sdv", args=[study]),
            reverse("crf:sdv-plan", args=[study]),
            entry(subject).removesuffix("/") + "/sdv/",
            entry(subject),
        ):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.complaints == []
