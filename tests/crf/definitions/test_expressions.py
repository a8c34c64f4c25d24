"""CEL with unknowns: truth tables, names, refusals."""

from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from crf.definitions.expressions import (
    BadExpression,
    Comparison,
    ExpressionFailed,
    comparisons,
    compile_expression,
    evaluate_expression,
)
from crf.definitions.order import Cycle, dependency_order

VALUES = {
    "one": 1, "half": 0.5, "word": "HBV", "empty": "", "nothing": None, "several": ["A", "B"], "none_ticked": [],
    "not_done": {"missing": "not_done", "reason": ""}, "partial": "2026-04-UK", "day": "2026-04-03",
    "later": "2026-05-03", "forms.DM.sex": "F", "events.M6.LB.platelets": 88, "today": "2026-11-21", "albi": -2.5,
}  # fmt: skip

TRUTH = {True: "one == 1", False: "one == 2", None: "nothing == 1"}


@pytest.mark.parametrize("left", [True, False, None])
@pytest.mark.parametrize("right", [True, False, None])
def test_logic_is_three_valued(left, right):
    a, b = TRUTH[left], TRUTH[right]
    conjunction = False if False in (left, right) else None if None in (left, right) else True
    disjunction = True if True in (left, right) else None if None in (left, right) else False
    assert evaluate_expression(f"{a} && {b}", VALUES) is conjunction
    assert evaluate_expression(f"{a} || {b}", VALUES) is disjunction
    assert evaluate_expression(f"!({a})", VALUES) is (None if left is None else not left)


@pytest.mark.parametrize("name", ["nothing", "empty", "none_ticked", "not_done", "absent"])
@pytest.mark.parametrize(
    "use", ["{} == 1", "{} != 1", "{} > 0", "{} + 1", "{} in ['A']", "'A' in {}", "abs({})", "{} ? 1 : 2"]
)
def test_touching_an_unknown_gives_nothing(name, use):
    assert evaluate_expression(use.format(name), VALUES) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one + 0.5", 1.5), ("1 / 2", 0.5), ("one * 3 / 2", 1.5), ("2 * half == 1", True), ("one in [1, 2]", True),
        ("word == 'HBV'", True), ('word in ["HCV"]', False), ("'A' in several", True), ("count(several)", 2.0),
        ("word.startsWith('H') && word.matches('^H.V$')", True), ("one == 1 ? 'x' : 'y'", "x"), ("-one", -1.0),
        ("given(nothing)", False), ("given(word)", True), ("given(not_done)", False), ("given(partial)", True),
        ("!given(empty)", True), ("given(forms.DM.sex)", True), ("given(forms.DM.age)", False),
        ("coalesce(nothing, not_done, 7)", 7.0), ("coalesce(nothing + 1, one)", 1.0), ("coalesce(one, nothing)", 1.0),
        ("coalesce(days(partial, day), 0)", 0.0), ("coalesce(nothing, half) > 0 && one == 1", True),
        ("days(day, later)", 30.0), ("days(later, day)", -30.0), ("days(partial, day)", None), ("day < later", True),
        ("partial < later", None), ("years('2000-02-29', '2026-02-28')", 25.0),
        ("months('2026-01-01', '2026-01-31') < 1", True),
        ("forms.DM.sex == 'F'", True), ("events.M6.LB.platelets < 100", True), ("forms.XX.sex == 'F'", None),
        ("today > day", True), ("subject.enrolled_on < today", None), ("round(2.5)", 3.0),
        ("round(-2.345, 2)", -2.35),
        ("min(one, half)", 0.5), ("max([one, half, 3])", 3.0), ("sum(one, half)", 1.5), ("pow(2, 3)", 8.0),
        ("ln(0)", None), ("sqrt(0 - one)", None), ("one / 0", None), ("ln(0) > 1 || one == 1", True),
        ("floor(2.7)", 2.0),
        ("albi > -2.6", True), ("albi(20, 40) < albi", True), ("child_pugh_class(7)", "B"), ("number('3') + 1", 4.0),
        ("string(one)", "1"), ("one == 1 ? half : null", 0.5), ("one == 2 ? half : null", None), ("true", True),
        ("one == 1 // a comment\n && half < 1", True), ("pow(10, 400)", None),
        ("one == 1 || nothing == 1 || word == 'X'", True),
    ],
)  # fmt: skip
def test_an_expression_means_what_it_says(text, expected):
    assert evaluate_expression(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"), ("one +", "syntax error"), ("(one", "')' is missing"), ("one)", "unmatched"),
        ("one == null", "given"),
        ("has(one)", "given(x)"), ("foo(1)", "no function foo"),
        ("meld(1, 2)", "3-4 arguments"),
        ("forms.DM", "not a whole name"), ("subject.name", "not name"), ("one.two", "not offered"), ("one % 2", "%"),
        ("several.sort(x)", "exists"), ("several.exists(x == 'A')", "names one row"), ("'open", "cannot read"),
        ("one === 2", "cannot read"),
        ("年龄 > 1", "cannot read"),
        ("given(1)", "name of one item"), ("given(one + 1)", "name of one item"), ("coalesce(one)", "arguments"),
        ("one; two", "cannot read"), ("__import__('os')", "no function"), ("1+" * 1200 + "1", "longer than"),
        ("(" * 50 + "1" + ")" * 50, "levels"), ("null", "? :"), ("0x1F", "cannot read"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_reason(text, said):
    with pytest.raises(BadExpression) as refusal:
        compile_expression(text)
    assert said in refusal.value.en
    assert refusal.value.zh


@pytest.mark.parametrize(
    "text", ["!" * 1990 + "true", "-" * 1990 + "1", "1+" * 999 + "1", "true?1:" * 250 + "1", "true&&" * 330 + "true"]
)
def test_the_longest_expressions_cannot_kill_the_process(text):
    with contextlib.suppress(BadExpression, ExpressionFailed):
        evaluate_expression(text, {})


def test_mixing_text_and_numbers_is_a_failure_not_an_unknown():
    with pytest.raises(ExpressionFailed, match="word"):
        evaluate_expression("word + 1", VALUES)


def test_the_names_an_expression_reads_are_known():
    expression = compile_expression(
        "a > 1 && given(b) || coalesce(c, forms.DM.sex) == 'F' && events.M6.LB.x in [1] && d.startsWith('q')"
    )
    assert expression.names == ("a", "b", "c", "forms.DM.sex", "events.M6.LB.x", "d")


def test_strings_compared_with_a_name_are_known():
    literals = compile_expression("a == 'X' || 'Y' != a || a in ['P', 'Q'] || 'Z' in forms.DM.b").literals
    assert {(one.name, one.text) for one in literals} == {
        ("a", "X"), ("a", "Y"), ("a", "P"), ("a", "Q"), ("forms.DM.b", "Z"),
    }  # fmt: skip


WORDS = [
    "a", "forms.A.b", "1", "2.5", "'x'", "(", ")", "[", "]", ",", "==", "<", "&&", "||", "!", "+", "-", "/", "?", ":",
    "in", "given(", "coalesce(", "min(", "null", "true", ".contains(",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(WORDS), max_size=14)


def test_both_sides_of_each_comparison_are_known():
    found = comparisons("a == 'X' && count(b) != -2 || forms.DM.c in ['P', 1] && (d + 1) < string(e) && f == [1]")
    assert [(left, right) for left, right, _ordered in found] == [
        ("a", "'X'"), ("count()", "2"), ("forms.DM.c", "'P'"), ("forms.DM.c", "1"), ("", "string()"),
    ]  # fmt: skip


@for_all(SOUP)
def test_any_soup_of_tokens_has_comparisons_or_none(tokens):
    assert all(isinstance(one, Comparison) for one in comparisons(" ".join(tokens)))


def test_an_item_may_have_the_name_of_a_function():
    assert evaluate_expression("albi + albi(20, 40) < 0", {"albi": -1}) is True


def test_a_function_without_a_result_writes_nothing_to_the_log(caplog):
    with caplog.at_level(logging.DEBUG):
        assert evaluate_expression("ln(0)", {}) is None
    assert caplog.records == []


@for_all(st.text(max_size=60))
def test_any_text_compiles_or_is_refused(text):
    with contextlib.suppress(BadExpression, ExpressionFailed):
        compile_expression(text).evaluate(lambda name: 1)


@for_all(SOUP, st.sampled_from([None, 1, 2.5, "x", ["x"], {"missing": "unknown", "reason": ""}]))
def test_any_soup_of_tokens_compiles_or_is_refused(tokens, value):
    with contextlib.suppress(BadExpression, ExpressionFailed):
        compile_expression(" ".join(tokens)).evaluate(lambda name: value)


def test_what_is_needed_comes_first():
    order = dependency_order({"c": ["b", "elsewhere"], "a": [], "b": ["a"]})
    assert order.index("a") < order.index("b") < order.index("c")


def test_a_circle_is_named():
    with pytest.raises(Cycle) as circle:
        dependency_order({"a": ["b"], "b": ["c"], "c": ["b"]})
    assert circle.value.names == ["b", "c", "b"]


def test_a_long_chain_does_not_exhaust_the_stack():
    assert len(dependency_order({f"n{i}": [f"n{i + 1}"] for i in range(20_000)})) == 20_000
