"""Entry in a real browser: the line drops, the session ends, two people meet on one record, no mouse."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from crf.models import Draft, Record
from crf.services import drafts, queries
from tests.browser import answered_by, page_of
from tests.study import DEFINITION, both, enrol, enter, person, publish

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


def address(subject, form="DM"):
    return reverse("crf:edit-record", args=[subject.study.code, subject.number, "BASELINE", 1, form, 1])


def state_says(page, words):
    page.locator("#save-state", has_text=words).wait_for(timeout=20000)


def age_becomes(page, value):
    """The page may reload meanwhile."""
    for _try in range(100):
        try:
            if page.input_value("#value-age", timeout=1000) == value:
                return
        except Exception:
            page.wait_for_timeout(100)
        page.wait_for_timeout(100)
    pytest.fail(f"the age never became {value!r}")


EXPIRED = """() => {
  const real = window.fetch;
  window.expired = true;
  const signIn = { url: "/sign-in/?next=/", ok: true, status: 200 };
  window.fetch = async (...asked) => (window.expired ? signIn : real(...asked));
}"""
SOON = """
  const real = AbortSignal.timeout;
  window.soon = 99;
  AbortSignal.timeout = (within) => real.call(AbortSignal, window.soon ?? within);
"""
ELSEWHERE = """() => {
  const real = window.fetch;
  window.elsewhere = true;
  const told = { url: "/profile/", redirected: true, ok: true, status: 200 };
  window.fetch = async (...asked) => (window.elsewhere && asked[0].includes("/draft/") ? told : real(...asked));
}"""
PICKED = """() => {
  HTMLInputElement.prototype.showPicker = function () {
    window.offered = this.value;
    this.value = this.type === "date" ? "2026-04-03" : "2026-04-03T08:30";
    this.dispatchEvent(new Event("change"));
  };
}"""


def test_what_is_typed_is_kept_when_typing_stops_and_is_there_on_another_computer(signed_in, subject, cast):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        page.fill("#value-age", "52")
        state_says(page, "draft kept")
        assert page.complaints == []
    assert not Record.objects.exists()
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        assert page.input_value("#value-age") == "52" and "not saved yet" in page.inner_text(".draft-note")
        page.click(".draft-note button")
        age_becomes(page, "")


def test_a_lost_line_loses_nothing_not_even_with_a_reload(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        down = {"is": True}
        talk = re.compile("/draft/|/evaluate/|/presence/")
        page.route(talk, lambda route: route.abort() if down["is"] else route.fallback())
        page.fill("#value-age", "47")
        state_says(page, "no connection")
        page.click("button[value=save]")
        state_says(page, "no connection")
        assert page.input_value("#value-age") == "47", "a save that can't arrive stays on the page"
        kept = page.evaluate("JSON.stringify(localStorage)")
        assert "lobule-draft" in kept and "47" not in kept.split("sealed")[1][:20] and "value-age" not in kept
        down["is"] = False
        page.evaluate("document.getElementById('record').dataset.kept = 'yes'")  # no question on leaving
        page.goto(address(subject))
        age_becomes(page, "47")
        assert page.evaluate("localStorage.length") == 0
        page.check("[name=value-sex][value=M]")
        page.click("button[value=save]")
        page.locator(".alert.tone-success").wait_for()
    assert Record.objects.get().data == {"age": 47, "sex": "M"} and not Draft.objects.exists()


def test_a_line_that_hangs_is_no_line_and_an_answer_from_elsewhere_is_not_kept(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.add_init_script(SOON)
        page.goto(address(subject))
        page.route(re.compile("/draft/"), lambda route: None)
        page.fill("#value-age", "47")
        state_says(page, "no connection")
        page.unroute(re.compile("/draft/"))
        page.evaluate("window.soon = undefined")
        page.evaluate(ELSEWHERE)
        page.fill("#value-age", "48")
        state_says(page, "signed out")
        assert page.get_attribute("#record", "data-kept") == "no"
        page.evaluate("window.elsewhere = false")
        page.fill("#value-age", "49")
        state_says(page, "draft kept")
    assert Draft.objects.get().fields["value-age"] == ["49"]


def test_what_lies_on_one_computer_waits_for_what_was_typed_later_on_another(signed_in, subject, cast):
    me, visit = cast["coordinator"], subject.visits.get(event="BASELINE")
    later = {"visit": visit, "form": "DM", "repeat": 1, "revision": 0, "fields": {"value-age": ["60"]}, "by": me}
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        page.route(re.compile("/draft/"), lambda route: route.abort())
        page.fill("#value-age", "47")
        state_says(page, "no connection")
        page.evaluate("document.getElementById('record').dataset.kept = 'yes'")  # no question on leaving
        page.goto("about:blank")
        page.unroute(re.compile("/draft/"))
        page.wait_for_timeout(1100)
        page.meanwhile(lambda: drafts.keep(**later))
        page.goto(address(subject))
        page.wait_for_timeout(1500)
        assert page.input_value("#value-age") == "60"
        assert page.meanwhile(lambda: Draft.objects.get().fields) == {"value-age": ["60"]}
        page.click("button[value=save]")
        page.locator(".conflict").wait_for()  # saved; what lay here is brought and compared with it
        row = page.inner_text(".conflict tbody tr")
        assert "47" in row and "60" in row
    assert Record.objects.get().data["age"] == 60


def test_what_was_typed_on_another_page_of_mine_outlives_the_save_of_this_one(signed_in, subject):
    mine = signed_in("coordinator")
    with page_of(mine) as page:
        page.goto(address(subject))
        other = page.context.new_page()
        answered_by(other, page.meanwhile, mine)
        other.goto(address(subject))
        page.fill("#value-age", "47")
        state_says(page, "draft kept")
        other.fill("#value-age", "53")
        state_says(other, "draft kept")
        page.click("button[value=save]")
        page.locator(".conflict").wait_for()  # saved, and beside it what was typed on the other page
        row = page.inner_text(".conflict tbody tr")
        assert "47" in row and "53" in row
    assert Record.objects.get().data["age"] == 47
    assert Draft.objects.get().fields["value-age"] == ["53"]


def test_what_was_typed_earlier_never_arrives_last(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        held = []
        page.route(re.compile("/draft/"), lambda route: held.append(route))
        page.fill("#value-age", "47")
        page.wait_for_timeout(2500)
        page.fill("#value-age", "48")
        page.wait_for_timeout(2500)
        assert len(held) == 1, "the second waits for the first"
        assert page.evaluate("localStorage.length") == 1, "meanwhile both are kept here"
        page.unroute(re.compile("/draft/"))
        held[0].fallback()
        state_says(page, "draft kept")
        page.wait_for_timeout(500)
    assert Draft.objects.get().fields["value-age"] == ["48"]


def test_what_is_forgotten_does_not_come_back(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        page.fill("#value-age", "52")
        state_says(page, "draft kept")
        page.reload()
        page.fill("#value-age", "53")
        page.wait_for_timeout(600)  # on this computer, and not yet on the server
        page.click(".draft-note button")
        age_becomes(page, "")
        page.wait_for_timeout(1500)
        assert page.input_value("#value-age") == "" and page.evaluate("localStorage.length") == 0
    assert not Draft.objects.exists()


def test_another_account_on_the_same_computer_takes_over_nothing(signed_in, subject, cast):
    client = signed_in("coordinator")
    with page_of(client) as page:
        page.goto(address(subject))
        page.meanwhile(client.force_login, cast["investigator"])
        page.fill("#value-age", "61")
        state_says(page, "signed out")
        page.click("button[value=save]")
        assert page.input_value("#value-age") == "61"
    assert not Draft.objects.exists() and not Record.objects.exists()


def test_an_expired_session_keeps_the_page_and_sends_it_after_signing_in_again(signed_in, subject, cast):
    client = signed_in("coordinator")
    with page_of(client) as page:
        page.goto(address(subject))
        page.meanwhile(client.logout)
        # The test's router can't redirect what scripts ask: say what the browser would find after the redirect.
        page.route(re.compile("/evaluate/"), lambda route: route.abort())
        page.evaluate(EXPIRED)
        page.fill("#value-age", "61")
        state_says(page, "signed out")
        assert page.get_attribute("#save-state a", "href") == reverse("registry:sign-in")
        page.click("button[value=save]")
        assert page.input_value("#value-age") == "61"
        page.meanwhile(client.force_login, cast["coordinator"])
        page.evaluate("window.expired = false")
        page.click("button[value=save]")
        page.locator(".alert.tone-success").wait_for()
    assert Record.objects.get().data == {"age": 61}


def test_two_browsers_on_one_record_see_each_other_and_the_second_decides(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
    client = signed_in("investigator")
    client.cookies["django_language"] = "en"
    with page_of(signed_in("coordinator")) as mine:
        mine.goto(address(subject))
        theirs = mine.context.browser.new_context(base_url="http://localhost").new_page()
        answered_by(theirs, mine.meanwhile, client)
        theirs.goto(address(subject))
        theirs.locator(".presence").wait_for()
        assert "Coordinator has this form open" in theirs.inner_text("#presence")
        theirs.fill("#value-age", "54")
        theirs.select_option("#reason-code", "source")
        theirs.click("button[value=save]")
        theirs.locator(".alert.tone-success").wait_for()
        mine.fill("#value-age", "53")
        mine.check("[name=value-sex][value=F]")
        mine.select_option("#reason-code", "source")
        mine.click("button[value=save]")
        mine.locator(".conflict").wait_for()
        row = mine.inner_text(".conflict tbody tr")
        assert "52" in row and "53" in row and "54" in row
        mine.click("button[value=save]")  # without an answer
        mine.locator(".conflict").wait_for()
        mine.check("[name=choice-age][value=theirs]")
        assert mine.input_value("#value-age") == "54"
        mine.click("button[value=save]")
        mine.locator(".alert.tone-success").wait_for()
        assert mine.complaints == []
    record = Record.objects.get()
    assert (record.revision, record.data["age"], record.data["sex"]) == (3, 54, "F")


def test_a_form_is_filled_and_completed_with_the_keyboard_alone(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "LB"))
        page.keyboard.press("/")  # no jump field on this page: nothing happens
        page.focus("#value-lb_date")
        page.keyboard.type("2026年4月3日")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.name") == "value-albumin"
        page.keyboard.type("３５，５")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.name") == "value-bilirubin"
        page.keyboard.press("Tab")  # the reasons why there is no value are one stop
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.name") == "missing-reason-bilirubin"
        page.keyboard.type("haemolysed")
        page.keyboard.press("Control+Enter")
        page.locator(".alert.tone-success").wait_for()
        assert page.complaints == []
    assert Record.objects.get().data == {
        "lb_date": "2026-04-03",
        "albumin": 35.5,
        "bilirubin": {"missing": "not_done", "reason": "haemolysed"},
    }


def test_enter_that_takes_composed_letters_stays_in_the_field(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        page.focus("#value-age")
        composed = "(field) => field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, %s}))"
        page.locator("#value-age").evaluate(composed % "isComposing: true")
        assert page.evaluate("document.activeElement.id") == "value-age"
        page.locator("#value-age").evaluate(composed % "isComposing: false")
        assert page.evaluate("document.activeElement.name") == "value-sex"


def test_a_double_click_saves_once(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject))
        page.fill("#value-age", "52")
        page.dblclick("button[value=save]")
        page.locator(".alert.tone-success, .alert.tone-info").first.wait_for()
        assert page.locator(".conflict").count() == 0
    assert Record.objects.get().revision == 1 and not Draft.objects.exists()


def test_a_date_can_be_picked_and_typing_stays_free(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(address(subject, "LB"))
        page.fill("#value-lb_date", "2026-UK-UK")
        assert page.input_value("#value-lb_date") == "2026-UK-UK"
        page.evaluate(PICKED)
        page.focus("[data-pick=value-lb_date]")
        page.keyboard.press("Enter")
        assert page.input_value("#value-lb_date") == "2026-04-03"
        assert page.evaluate("document.activeElement.id") == "value-lb_date"


def test_the_time_of_a_day_is_picked_with_it_and_starts_from_what_is_there(db):
    taken = {"name": "taken", "type": "datetime", "label": both("Taken")}
    form = {"oid": "SAMPLE", "name": both("Sample"), "sections": [{"name": both("All"), "items": [taken]}]}
    baseline = {**DEFINITION["events"][0], "forms": ["SAMPLE"]}
    study = publish(forms=[*DEFINITION["forms"], form], events=[baseline, *DEFINITION["events"][1:]]).study
    site = study.sites.get(code="01")
    client, by = Client(), person("typist", study=study, role="coordinator", site=site)
    client.force_login(by)
    sampled = enrol(site, by=by)
    with page_of(client) as page:
        page.goto(address(sampled, "SAMPLE"))
        page.fill("#value-taken", "2026-04-02 10:15")
        page.evaluate(PICKED)
        page.click("[data-pick=value-taken]")
        assert page.evaluate("window.offered") == "2026-04-02T10:15"
        assert page.input_value("#value-taken") == "2026-04-03 08:30"


def test_the_slash_jumps_from_the_casebook_to_a_form(signed_in, subject):
    with page_of(signed_in("coordinator")) as page:
        page.goto(reverse("crf:subject", args=[subject.study.code, subject.number]))
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "jump"
        page.keyboard.type("LB")
        page.keyboard.press("Enter")
        page.locator("#value-albumin").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_no_page_of_entry_is_wider_than_the_screen_or_breaks_the_policy(signed_in, subject, cast, width, language):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
    enter(subject, "DM", {"age": "54"}, by=cast["investigator"], reason="source")
    study = f"/studies/{subject.study.code}/"
    with page_of(signed_in("coordinator"), width=width, language=language) as page:
        for path in ("today/", "casebooks/", "calendar/?month=2026-03", f"subjects/{subject.number}/"):
            page.goto(study + path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_board_of_many_visits_scrolls_in_its_own_frame(db, width):
    events = [
        {**DEFINITION["events"][0], "oid": f"V{n}", "name": both(f"Visit number {n}"), "day": 30 * n} for n in range(12)
    ]
    study = publish(events=[*events, *DEFINITION["events"][1:]]).study
    site = study.sites.get(code="01")
    coordinator = person("typist", study=study, role="coordinator", site=site)
    subject = enrol(site, by=coordinator)
    visit = subject.visits.get(event="V11")
    place = {"subject": subject, "visit": visit, "form": "DM", "repeat": 1, "item": "age"}
    enter(subject, "DM", {"age": "52"}, event="V11", by=coordinator)
    queries.raise_query(**place, text="Is it right?", by=person("monitor", study=study, role="monitor"))
    client = Client()
    client.force_login(coordinator)
    with page_of(client, width=width) as page:
        page.goto(reverse("crf:casebooks", args=[study.code]))
        assert page.locator(".query-count").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelector('.board').parentElement.scrollWidth") > width
