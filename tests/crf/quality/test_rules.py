"""The rules that look over all records: what stands out is found, what chance makes is not."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf.quality.dates import VisitDates, earliest, item_finding, visit_findings
from crf.quality.digits import digit_preference
from crf.quality.missingness import often_missing
from crf.quality.outliers import outliers, site_shifts

TODAY = dt.date(2026, 11, 22)


def day(text):
    return dt.date.fromisoformat(text)


class TestOutliers:
    def test_the_score_is_that_of_the_formula(self):
        """Median 0, median absolute deviation 2: 20 scores 0.6745 x 20 / 2 (Iglewicz & Hoaglin 1993, 3.10)."""
        (found,) = outliers([-3, -2, -2, -1, 0, 0, 1, 2, 2, 3, 20], limit=3.5, least=10)
        assert (found.index, found.score) == (10, pytest.approx(0.6745 * 20 / 2, rel=1e-4))

    def test_a_slipped_decimal_point_is_found_and_nothing_else(self):
        values = list(np.random.default_rng(1).normal(40, 4, 200).round(1)) + [4.1]
        assert [one.index for one in outliers(values)] == [200]

    def test_skewed_laboratory_values_are_compared_on_the_log_scale(self):
        values = list(np.random.default_rng(2).lognormal(3, 0.8, 400))
        assert max(values) > 150 and not outliers(values)
        found = outliers([*values, 5000.0])
        assert [(one.index, one.is_log) for one in found] == [(400, True)]
        assert found[0].low < 20 < found[0].high

    def test_mostly_equal_values_still_show_the_one_that_differs(self):
        assert [one.index for one in outliers([1.0] * 60 + [9.0])] == [60]
        assert outliers([1.0] * 60) == []

    def test_few_values_prove_nothing(self):
        assert outliers([1.0, 2.0, 900.0]) == []

    @given(st.lists(st.floats(-1e9, 1e9), max_size=60))
    def test_no_numbers_break_it(self, values):
        assert all(0 <= one.index < len(values) for one in outliers(values, least=2))


class TestSites:
    def test_a_site_in_other_units_is_named(self):
        rng = np.random.default_rng(3)
        values = [*rng.normal(40, 4, 60), *rng.normal(40, 4, 60), *(rng.normal(40, 4, 40) / 10)]
        sites = ["01"] * 60 + ["02"] * 60 + ["03"] * 40
        (found,) = site_shifts(values, sites)
        assert (found.site, found.n) == ("03", 40) and found.probability < 0.01
        assert found.median == pytest.approx(4, abs=0.3) and found.others_median == pytest.approx(40, abs=2)

    def test_sites_alike_are_left_alone(self):
        values = np.random.default_rng(4).normal(40, 4, 300)
        assert site_shifts(values, ["01", "02", "03"] * 100) == []


class TestDigits:
    def test_rounding_to_fives_is_found(self):
        values = (np.random.default_rng(5).normal(140, 20, 300) / 5).round() * 5
        found = digit_preference(list(values))
        assert found and set(found.digits) == {"0", "5"} and found.share == 1

    def test_measured_values_are_not_suspected(self):
        assert digit_preference(list(np.random.default_rng(6).normal(140, 20, 300).round())) is None

    def test_the_last_digit_is_that_of_the_items_precision(self):
        values = [round(value, 1) for value in np.random.default_rng(7).normal(40, 4, 400).round()]
        assert digit_preference(values, decimals=1).digits == ("0",)

    def test_narrow_values_prove_nothing(self):
        assert digit_preference([5.0, 6.0] * 200) is None


class TestMissing:
    def test_the_site_that_misses_more_than_the_others_is_named(self):
        (found,) = often_missing({"01": (2, 100), "02": (30, 60)})
        assert (found.site, found.share, found.others_share) == ("02", 0.5, 0.02)

    def test_a_single_site_is_compared_with_the_limit_alone(self):
        (found,) = often_missing({"01": (30, 60)})
        assert found.p is None

    def test_what_nobody_has_is_told_of_each(self):
        assert [one.site for one in often_missing({"01": (40, 50), "02": (41, 50)})] == ["01", "02"]

    def test_a_few_gaps_are_no_finding(self):
        assert often_missing({"01": (1, 4), "02": (5, 100)}) == []


class TestDates:
    def visit(self, key, target, occurred, window=(None, None)):
        return VisitDates(key, day(target), window, day(occurred) if occurred else None)

    def test_a_visit_in_the_future_before_its_predecessor_or_outside_its_window_is_named(self):
        visits = [
            self.visit(1, "2026-01-01", "2026-01-05"),
            self.visit(2, "2026-02-01", "2026-01-02"),
            self.visit(3, "2026-03-01", "2026-04-20", (day("2026-02-20"), day("2026-03-10"))),
            self.visit(4, "2026-12-01", "2026-12-01"),
            self.visit(5, "2027-01-01", None),
        ]
        found = {(one.rule, one.visit, one.other) for one in visit_findings(visits, TODAY)}
        assert found == {
            ("visit_order", 2, day("2026-01-05")),
            ("outside_window", 3, day("2026-03-10")),
            ("future_date", 4, TODAY),
        }

    def test_a_date_in_a_form_is_compared_with_today_and_with_its_visit(self):
        at = day("2026-03-01")
        assert item_finding("2027-01-01", at, TODAY, days=30) == ("future_date", TODAY)
        assert item_finding("2025-03-01", at, TODAY, days=30) == ("far_from_visit", at)
        assert item_finding("2026-03-20", at, TODAY, days=30) is None
        assert item_finding("2026-UK-UK", at, TODAY, days=30) is None
        assert item_finding("2020-01-01", None, TODAY, days=30) is None

    def test_a_partial_date_counts_with_its_first_day(self):
        assert earliest("2026-04-UK") == day("2026-04-01") and earliest("2026-UK-UK") == day("2026-01-01")
