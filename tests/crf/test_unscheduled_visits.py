"""Visits that nobody planned: added by a person with their day, any number of times, at any time."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from crf.definitions.schedule import planned_visits
from crf.definitions.verify import verify
from crf.services import calendar
from tests.study import DEFINITION, both, enrol, publish

pytestmark = pytest.mark.django_db
EXTRA = {"oid": "EXTRA", "name": both("Extra visit"), "kind": "unscheduled", "forms": ["LB"]}


@pytest.fixture
def build(study):
    return publish(version="2.0", events=[*DEFINITION["events"], EXTRA])


@pytest.fixture
def subject(site, build, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def signed_in(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def add(client, subject, on):
    return client.post(
        reverse("crf:add-visit", args=[subject.study.code, subject.number, "EXTRA"]), {"on": on}, follow=True
    )


def extra(subject):
    return list(subject.visits.filter(event="EXTRA").order_by("repeat").values_list("repeat", "occurred_on"))


def test_an_unscheduled_visit_is_not_planned(subject, build):
    assert extra(subject) == []
    assert "EXTRA" not in {visit.event for visit in planned_visits(build.study_definition, {"enrolment": "2026-03-02"})}


def test_a_person_adds_as_many_as_there_were_on_their_days(signed_in, subject, coordinator):
    assert (
        "Add an unscheduled visit"
        in signed_in.get(reverse("crf:subject", args=[subject.study.code, subject.number])).content.decode()
    )
    assert "Extra visit" in add(signed_in, subject, "2026年4月3日").content.decode()
    add(signed_in, subject, "20260401")
    assert extra(subject) == [(1, dt.date(2026, 4, 3)), (2, dt.date(2026, 4, 1))]
    calendar.replan(subject=subject, by=coordinator)
    assert extra(subject) == [(1, dt.date(2026, 4, 3)), (2, dt.date(2026, 4, 1))]


@pytest.mark.parametrize("on", ["", "soon", "2026-04-UK", "2999-01-01", "2026-02-30"])
def test_without_a_day_or_with_one_to_come_nothing_is_added(signed_in, subject, on):
    response = add(signed_in, subject, on)
    assert response.status_code == 200
    assert "alert" in response.content.decode()
    assert extra(subject) == []


def test_today_is_a_day(subject, coordinator):
    visit = calendar.add_repeat(subject=subject, event="EXTRA", on=timezone.localdate(), by=coordinator)
    assert visit.occurred_on == timezone.localdate()


@pytest.mark.parametrize("key", ["anchor", "day", "window", "every"])
def test_an_unscheduled_visit_with_a_plan_is_a_fault(build, key):
    value = {"anchor": "enrolment", "day": 3, "window": (0, 1), "every": 7}[key]
    definition = build.study_definition
    event = definition.event("EXTRA").model_copy(update={key: value})
    faulty = definition.model_copy(update={"events": (*definition.events[:-1], event)})
    assert f"`{key}`" in " ".join(fault.en for fault in verify(faulty))
