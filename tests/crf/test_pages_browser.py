"""Entry as a coordinator does it: typing, Enter, findings while typing stops, two people on one record."""

import pytest
from django.test import Client
from django.urls import reverse

from crf.models import Record
from tests.browser import page_of
from tests.study import enrol, enter

pytestmark = [pytest.mark.django_db, pytest.mark.browser]


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def signed_in(cast):
    def sign_in(role):
        client = Client()
        client.force_login(cast[role])
        return client

    return sign_in


def address(subject, form):
    return reverse("crf:edit-record", args=[subject.study.code, subject.number, "BASELINE", 1, form, 1])


def test_findings_and_derived_values_appear_while_typing_stops(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "LB"))
        page.fill("#value-bilirubin", "12")
        page.fill("#value-albumin", "90")
        page.locator("#findings-albumin .finding.hard").wait_for()
        assert page.get_attribute("#value-albumin", "aria-invalid") == "true"
        page.fill("#value-albumin", "35")
        page.locator("#findings-albumin .finding").wait_for(state="detached")
        assert page.inner_text("#value-albi_score").startswith("-2.26")
        assert page.input_value("#value-albumin") == "35", "what is typed is never touched"
        assert "not saved" in page.inner_text("#save-state")
        assert page.complaints == []
    assert not Record.objects.exists()


def test_an_item_comes_and_goes_with_the_answer_it_depends_on(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "DM"))
        assert page.is_hidden("#item-pregnant")
        page.check("[name=value-sex][value=F]")
        page.locator("#item-pregnant").wait_for(state="visible")
        page.check("[name=value-sex][value=M]")
        page.locator("#item-pregnant").wait_for(state="hidden")


def test_the_keyboard_is_enough_from_the_first_answer_to_the_save(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "DM"))
        page.focus("#value-age")
        page.keyboard.type("５２")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.name") == "value-sex"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Control+Enter")
        page.locator(".alert.tone-success").wait_for()
        assert page.complaints == []
    assert Record.objects.get().data == {"age": 52, "sex": "M"}


def test_not_done_is_chosen_taken_back_and_overruled_by_a_value(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "LB"))
        not_done = page.locator("#item-albumin .missing-option").first
        not_done.click()
        assert page.is_visible("[name=missing-reason-albumin]")
        not_done.click()
        assert page.is_hidden("[name=missing-reason-albumin]")
        not_done.click()
        page.fill("#value-albumin", "35")
        assert page.locator("[name=missing-albumin]:checked").count() == 0


def test_a_soft_finding_opens_a_place_for_the_comment(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "DM"))
        assert page.is_hidden("#comment-age")
        page.fill("#value-age", "85")
        page.locator("#comment-age").wait_for(state="visible")
        page.fill("#comment-age", "checked")
        page.fill("#value-age", "86")
        page.wait_for_timeout(600)
        assert page.input_value("#comment-age") == "checked"


def test_the_later_of_two_people_chooses_between_both_answers(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "DM"))
        page.meanwhile(lambda: enter(subject, "DM", {"age": "54"}, by=cast["investigator"], reason="source"))
        page.fill("#value-age", "53")
        page.select_option("#reason-code", "source")
        page.click("button[value=save]")
        page.locator(".conflict").wait_for()
        assert page.input_value("#value-age") == "53"
        page.check("[name=choice-age][value=theirs]")
        assert page.input_value("#value-age") == "54"
        page.click("button[value=save]")
        page.locator(".alert").wait_for()
        assert page.complaints == []
    assert Record.objects.get().data["age"] == 54


def test_the_history_of_an_item_opens_beside_the_form_and_gives_the_focus_back(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "DM"))
        page.click("#item-age .item-tools a")
        page.locator("#panel[open]").wait_for()
        assert "52 a" in page.inner_text("#panel-body")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.closest('.item')?.id") == "item-age"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_no_page_is_wider_than_the_screen_or_breaks_the_policy(signed_in, subject, coordinator, width, language):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    study = subject.study.code
    with page_of(signed_in("coordinator"), width=width, language=language) as page:
        for path in (
            reverse("registry:studies"),
            reverse("registry:study", args=[study]),
            reverse("registry:subjects", args=[study]),
            reverse("crf:subject", args=[study, subject.number]),
            address(subject, "DM"),
        ):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.complaints == []
