"""Planned days and windows from what is known so far."""

from __future__ import annotations

from datetime import date

import pytest

from crf.definitions.schedule import PlannedVisit, anchors, days_outside, planned, planned_visits, state


def test_visits_hang_on_their_anchors(mini):
    visits = {
        visit.event: visit
        for visit in planned_visits(mini, {"enrolment": "2026-01-10", "DM.surgery_date": "2026-01-31"})
    }
    assert visits["BASELINE"] == PlannedVisit("BASELINE", 1, date(2026, 1, 10), date(2025, 12, 11), date(2026, 1, 10))
    assert visits["M6"].target_on == date(2026, 7, 30)
    assert (visits["M6"].window_from, visits["M6"].window_to) == (date(2026, 6, 30), date(2026, 8, 29))
    assert visits["LOG"] == PlannedVisit("LOG", 1, None, None, None)


@pytest.mark.parametrize("anchor", [None, "2026-01-UK", "2026-UK-UK", ""])
def test_without_a_whole_anchor_date_nothing_is_planned(mini, anchor):
    visits = {
        visit.event: visit for visit in planned_visits(mini, {"enrolment": "2026-01-10", "DM.surgery_date": anchor})
    }
    assert visits["M6"].target_on is None


def test_repeats_follow_at_their_interval(mini):
    event = mini.event("FOLLOW")
    known = {"enrolment": date(2026, 1, 1)}
    assert [planned(event, known, repeat=n).target_on for n in (1, 2, 3)] == [
        date(2026, 4, 1), date(2026, 6, 30), date(2026, 9, 28),
    ]  # fmt: skip


def test_the_calendar_names_the_dates_it_needs(mini):
    assert anchors(mini) == {"enrolment", "DM.surgery_date"}


VISIT = PlannedVisit("M6", 1, date(2026, 7, 30), date(2026, 6, 30), date(2026, 8, 29))


@pytest.mark.parametrize(
    ("today", "expected"),
    [("2026-06-29", "upcoming"), ("2026-06-30", "due"), ("2026-08-29", "due"), ("2026-08-30", "overdue")],
)
def test_a_visit_is_due_in_its_window_and_overdue_after_it(today, expected):
    assert state(VISIT, today=date.fromisoformat(today)) == expected


def test_a_visit_that_took_place_is_done_whenever_it_was():
    assert state(VISIT, today=date(2027, 1, 1), occurred_on=date(2026, 12, 1)) == "done"
    assert state(PlannedVisit("LOG", 1, None, None, None), today=date(2027, 1, 1)) == "unplanned"


@pytest.mark.parametrize(("on", "days"), [("2026-06-28", -2), ("2026-06-30", 0), ("2026-08-29", 0), ("2026-09-01", 3)])
def test_the_distance_to_the_window_is_told_in_days(on, days):
    assert days_outside(VISIT, date.fromisoformat(on)) == days
