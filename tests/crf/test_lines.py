"""The line of an item on a form: kept from subject to subject, never with a subject's words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.forms import ItemView, Option, Remark, Result
from crf.templatetags import marks
from crf.templatetags.marks import ANSWER, HISTORY, QUERIES, line

PLAIN = ItemView("albumin", "number", "Albumin", "", "g/L", True, "42", (), "", "")
TEXTS = st.text(st.sampled_from(["a", "肝", "<", '"', "&", "{", "%", ANSWER, HISTORY, QUERIES]), max_size=6)


class Mark:
    is_shown, sdv, state, url, waiting = True, "", "open", "/queries/?item=albumin", 2


class Marks:
    def at(self, path: str) -> Mark:
        return Mark()


def whole(item: ItemView, queries: str = "") -> str:
    return render_to_string("crf/_item.html", {"item": item, "queries": queries})


@settings(deadline=None)
@given(text=TEXTS, url=TEXTS, control=st.sampled_from(sorted(marks.ALIKE)))
def test_a_line_with_any_answer_is_as_if_it_had_not_been_kept(text, url, control):
    item = replace(PLAIN, control=control, text=text, history_url=url)
    assert line(item) == whole(item)


@pytest.mark.parametrize(
    "differing",
    [
        {"findings": (Remark("albumin", "Albumin", "hard", "too low"),)},
        {"comment": "measured twice"},
        {"missing": "not_done", "missing_reason": "refused"},
        {"missing": "not_done"},
        {"result": Result("albumin", "below normal", "low"), "is_lab": True},
        {"visible": False},
        {"control": "radio", "options": (Option("F", "Female", True), Option("M", "Male", False))},
        {"control": "select", "options": (Option("F", "Female", True),)},
    ],
)
def test_a_line_says_all_that_is_said_of_its_item(differing):
    item = replace(PLAIN, **differing)
    assert line(item) == line(item) == whole(item) != line(PLAIN)


def test_a_line_has_its_own_queries_and_is_in_the_readers_language():
    with override("zh-hans"):
        chinese = line(PLAIN, Marks())
    with override("en"):
        english = line(PLAIN, Marks())
    assert english != chinese
    assert "Queries on Albumin: 2 waiting" in english
    assert "query-mark" not in line(PLAIN)


def test_nothing_that_was_typed_is_kept():
    marks._kept.cache_clear()
    first = line(replace(PLAIN, text="4203001", history_url="/subjects/01-0001/"))
    second = line(replace(PLAIN, text="17", history_url="/subjects/01-0002/"))
    assert marks._kept.cache_info().currsize == 1
    assert "4203001" in first and "4203001" not in second and "01-0001" not in second
