"""Each state of a form's life on the casebook, the board and their filters; the calendar's days and windows."""

from __future__ import annotations

import datetime as dt
import html as escaping
import re

import pytest
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from crf.services import feeds, queries, records
from tests.study import PASSWORD, enrol, enter

pytestmark = pytest.mark.django_db
WHOLE = {"age": "52", "sex": "M"}
STATES = ("due", "overdue", "in_progress", "complete", "queried", "verified", "signed", "locked")


@pytest.fixture
def signed_in(client, cast):
    client.force_login(cast["coordinator"])
    client.cookies["django_language"] = "en"
    return client


def in_state(state, site, cast):
    """A subject whose demographics are in the state."""
    days = {"due": 0, "overdue": 60}.get(state, 0)
    subject = enrol(site, by=cast["coordinator"], on=timezone.localdate() - dt.timedelta(days=days))
    if state in ("due", "overdue"):
        return subject
    record = enter(subject, "DM", WHOLE, by=cast["coordinator"], complete=state not in ("in_progress", "queried"))
    if state == "queried":
        place = {"subject": subject, "visit": record.visit, "form": "DM", "repeat": 1, "item": "age"}
        queries.raise_query(**place, text="Is it right?", by=cast["monitor"])
    elif state == "verified":
        records.verify(record=record, by=cast["monitor"])
    elif state == "signed":
        records.sign(record=record, password=PASSWORD, by=cast["pi"])
    elif state == "locked":
        records.lock(records=[record], reason="dataset", by=cast["pi"])
    return subject


def tiles(page):
    found = re.findall(r'class="form-tile state-(\w+)" href="[^"]*/visits/BASELINE/1/(\w+)/1/"(.*?)</a>', page, re.S)
    return {form: (state, words) for state, form, words in found}


@pytest.mark.parametrize("state", STATES)
def test_a_form_says_its_state_on_the_casebook_and_both_filters_find_it(signed_in, site, cast, state):
    subject = in_state(state, site, cast)
    casebook = reverse("crf:subject", args=[subject.study.code, subject.number])
    shown, words = tiles(signed_in.get(casebook).content.decode())["DM"]
    if state == "queried":
        assert "query-count" in words
    else:
        assert shown == state and state.replace("_", " ") in words
    filtered = tiles(signed_in.get(f"{casebook}?state={state}").content.decode())
    assert "DM" in filtered and ("LB" in filtered) is (state in ("due", "overdue"))
    board = reverse("crf:casebooks", args=[subject.study.code])
    other = in_state("overdue" if state == "due" else "due", site, cast)
    found = signed_in.get(f"{board}?state={state}").content.decode()
    assert f"subjects/{subject.number}/" in found and f"subjects/{other.number}/" not in found


def test_a_filter_that_finds_nothing_says_so_and_not_that_nothing_is_planned(signed_in, site, cast):
    subject = in_state("in_progress", site, cast)
    casebook = reverse("crf:subject", args=[subject.study.code, subject.number])
    page = signed_in.get(f"{casebook}?state=signed").content.decode()
    assert tiles(page) == {} and "No visits are planned" not in page and "No form is in this state" in page


def test_the_calendar_shows_what_comes_on_its_day_and_what_was_missed_each_with_its_window(signed_in, site, cast):
    today = timezone.localdate()
    coming = enrol(site, by=cast["coordinator"], on=today)
    missed = enrol(site, by=cast["coordinator"], on=today - dt.timedelta(days=40))
    page = escaping.unescape(signed_in.get(f"/studies/{site.study.code}/calendar/").content.decode())
    day = re.search(rf'<time datetime="{today:%Y-%m-%d}">.*?</li>\s*(?:</ul>)', page, re.S)[0]
    assert coming.number in day and "Baseline" in day and "state-due" in day
    assert f"{today - dt.timedelta(days=7):%m-%d} – {today + dt.timedelta(days=7):%m-%d}" in day
    table = page[page.index("missed visit") :]
    window = f"{today - dt.timedelta(days=47):%Y-%m-%d} – {today - dt.timedelta(days=33):%Y-%m-%d}"
    assert missed.number in table and window in table and coming.number not in table[: table.index("</table>")]
    enter(missed, "DM", WHOLE, by=cast["coordinator"])
    page = signed_in.get(f"/studies/{site.study.code}/calendar/").content.decode()
    assert "0 missed visits" in page


def test_the_feed_tells_day_and_window_and_forgets_a_visit_that_was_entered(client, site, cast):
    today = timezone.localdate()
    subject = enrol(site, by=cast["coordinator"], on=today)
    url = f"/calendar/{feeds.make(study=site.study, language='en', by=cast['coordinator'])}.ics"
    (event,) = Calendar.from_ical(client.get(url).content).walk("VEVENT")
    window = f"Window: {today - dt.timedelta(days=7)} to {today + dt.timedelta(days=7)}"
    assert (event["dtstart"].dt, event["dtend"].dt) == (today, today + dt.timedelta(days=1))
    assert str(event["description"]) == window
    enter(subject, "DM", WHOLE, by=cast["coordinator"])
    assert Calendar.from_ical(client.get(url).content).walk("VEVENT") == []
