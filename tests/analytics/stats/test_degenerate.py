"""Data on which a test does not exist are refused with the reason, not with a stack trace."""

import pytest

from analytics.stats.inputs import DegenerateInput
from analytics.stats.survival import regress


def test_effects_that_change_with_time_need_more_than_one_event_time():
    time, event = [30.0] * 6 + [40.0, 50.0], [1, 0, 1, 1, 0, 1, 0, 0]
    found = regress(time, event, {"risk": [0.9, 0.1, 0.8, 0.3, 0.2, 0.6, 0.5, 0.4]})
    assert "all events happened at one time" in found.proportional_hazards.unavailable
    with pytest.raises(DegenerateInput):
        regress(time, [0] * 8, {"risk": [0.9, 0.1, 0.8, 0.3, 0.2, 0.6, 0.5, 0.4]})
