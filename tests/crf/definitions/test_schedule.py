"""Planned days and windows from what is known so far."""

from __future__ import annotations

from datetime import date

import pytest

from crf.definitions.schedule import PlannedVisit, anchors, planned, planned_visits


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
