"""What people type is read as one value, shown as people read it, or refused with what was expected."""

from __future__ import annotations

import contextlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions import BadValue, Codelist, Item, Text, display_value, parse_value
from crf.definitions.model import canonical
from crf.definitions.values import PLAIN

CODES = Codelist.model_validate(
    {
        "name": {"zh": "是否", "en": "Yes or no"},
        "choices": [
            {"code": "Y", "label": {"zh": "是", "en": "Yes"}},
            {"code": "N", "label": {"zh": "否", "en": "No"}},
            {"code": "NA", "label": {"zh": "不详", "en": "Not asked"}},
            {"code": "1", "label": {"zh": "一级", "en": "Grade 1"}},
        ],
    }
)


def item(kind: str, **more: object) -> Item:
    return Item.model_validate({"name": "x1", "type": kind, "label": {"zh": "甲", "en": "A"}, **more})


def read(kind: str, raw: object, **more: object) -> object:
    return parse_value(item(kind, **more), CODES if kind.startswith("choice") else None, raw)


NOT_DONE, UNKNOWN, NOT_APPLICABLE = (
    {"missing": kind, "reason": ""} for kind in ("not_done", "unknown", "not_applicable")
)

READ = [
    ("date", "2026-4-3", "2026-04-03"), ("date", "20260403", "2026-04-03"), ("date", "2026年4月3日", "2026-04-03"),
    ("date", "2026/04/03", "2026-04-03"), ("date", "2026.4.3", "2026-04-03"),
    ("date", "２０２６－４－３", "2026-04-03"),
    ("date", "2026 - 4 - 3", "2026-04-03"), ("date", "2024-02-29", "2024-02-29"),
    ("date", date(2026, 4, 3), "2026-04-03"),
    ("date", "2026-04-UK", "2026-04-UK"), ("date", "2026-4-uk", "2026-04-UK"), ("date", "2026-UK-UK", "2026-UK-UK"),
    ("date", "202604UK", "2026-04-UK"), ("date", "2026年4月不详", "2026-04-UK"), ("date", "ND", NOT_DONE),
    ("date", "UK", UNKNOWN), ("date", "不适用", NOT_APPLICABLE), ("date", "", None), ("date", "  ", None),
    ("date", None, None),
    ("time", "14:30", "14:30"), ("time", "1430", "14:30"), ("time", "9时5分", "09:05"), ("time", "７：３０", "07:30"),
    ("time", "14:30:59", "14:30"), ("datetime", "2026-4-3 14:30", "2026-04-03T14:30"),
    ("datetime", "2026年4月3日9:05", "2026-04-03T09:05"), ("datetime", "2026-04-03T14:30:11", "2026-04-03T14:30"),
    ("integer", "12", 12), ("integer", "１２", 12), ("integer", "12.0", 12), ("integer", 12.0, 12),
    ("integer", "-3", -3),
    ("decimal", "12.5", 12.5), ("decimal", "12,5", 12.5), ("decimal", "１２．５", 12.5), ("decimal", ".5", 0.5),
    ("decimal", "−5", -5.0), ("decimal", "-0", 0.0), ("decimal", 3, 3.0), ("decimal", "12.50", 12.5),
    ("decimal", "未做", NOT_DONE), ("decimal", "nd", NOT_DONE), ("decimal", "n/a", NOT_APPLICABLE),
    ("choice", "Y", "Y"), ("choice", "y", "Y"), ("choice", "是", "Y"), ("choice", "yes", "Y"), ("choice", " 否 ", "N"),
    ("choice", "1", "1"), ("choice", 1, "1"), ("choice", 1.0, "1"), ("choice", "Grade 1", "1"),
    ("choice", "UNK", UNKNOWN),
    # A choice that is spelt like a missing word is the choice.
    ("choice", "NA", "NA"), ("choice", "不详", "NA"),
    ("choices", "N;Y", ["Y", "N"]), ("choices", ["N", "Y", "Y"], ["Y", "N"]), ("choices", "是、否", ["Y", "N"]),
    ("choices", "Y,1", ["Y", "1"]), ("choices", [], None), ("choices", "ND", NOT_DONE),
    ("text", "ND", "ND"), ("text", "  两 行\n文字 ", "两 行\n文字"), ("text", 5, "5"), ("text", "e\u0301", "é"),
    ("text", {"missing": "not_done", "reason": " 标本溶血 "}, {"missing": "not_done", "reason": "标本溶血"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "raw", "value"), READ)
def test_all_the_ways_to_write_a_value_are_understood(kind, raw, value):
    assert read(kind, raw) == value


REFUSED = [
    ("date", "2026-02-30", "not a day of the calendar"), ("date", "2025-02-29", "not a day"),
    ("date", "2026-13-01", "not a day"),
    ("date", "3/4/2026", "ambiguous"), ("date", "03-04-26", "ambiguous"), ("date", "2026-04", "write 2026-04-UK"),
    ("date", "2026年4月", "write 2026-04-UK"), ("date", "2026-UK-03", "so is the day"),
    ("date", "2026-4/3", "not a date"),
    ("date", "0026-04-03", "outside 1850-2200"), ("date", "yesterday", "enter a date such as 2026-04-03"),
    ("date", "=TODAY()", "not a date"), ("date", 20260403.5, "not a date"),
    ("time", "24:00", "24-hour"), ("time", "12:60", "24-hour"), ("datetime", "2026-04-03", "a date and a time"),
    ("datetime", "2026-04-UK 10:00", "whole date"),
    ("integer", "12.5", "not a whole number"), ("integer", "12岁", "not a number"), ("integer", "1,000", "ambiguous"),
    ("decimal", "1,234", "write 1234 or 1.234"), ("decimal", "1.234,5", "not a number"),
    ("decimal", "12 5", "not a number"),
    ("decimal", "<0.5", "not a number"), ("decimal", "1e3", "not a number"), ("decimal", "nan", "not a number"),
    ("decimal", float("inf"), "not a number"), ("decimal", True, "not a number"),
    ("decimal", "9" * 20, "not a number"),
    ("decimal", "١٢", "not a number"), ("decimal", [1], "not a number"),
    ("choice", "Q", "Y = Yes, N = No"), ("choices", "Y;Q", "not one of"), ("choice", True, "not one of"),
    ("text", "a\x00b", "U+0000"), ("text", "x" * 4001, "at most 4000"), ("text", "\ud800", "U+D800"),
    ("text", {"missing": "lost"}, "not_done"), ("decimal", {"a": 1}, "not_done"),
    ("text", {"missing": "unknown", "reason": 5}, "not_done"), ("text", ["a"], "should be text"),
    ("text", {"missing": "unknown", "reason": "a\x00"}, "U+0000"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "raw", "said"), REFUSED)
def test_what_cannot_be_read_is_refused_saying_what_was_expected(kind, raw, said):
    with pytest.raises(BadValue) as refusal:
        read(kind, raw)
    assert said in refusal.value.en
    assert any("\u4e00" <= character <= "\u9fff" for character in refusal.value.zh)


def test_more_decimals_than_the_item_has_are_refused_not_rounded():
    assert read("decimal", "12.30", precision=1) == 12.3
    with pytest.raises(BadValue, match="at most 1 decimals"):
        read("decimal", "12.34", precision=1)


def test_a_label_that_two_choices_share_is_not_guessed():
    twins = Codelist.model_validate(
        {
            "name": {"zh": "甲", "en": "A"},
            "choices": [{"code": code, "label": {"zh": "同名", "en": code}} for code in ("A", "B")],
        }
    )
    with pytest.raises(BadValue):
        parse_value(item("choice", codelist="T"), twins, "同名")


@pytest.mark.parametrize(
    ("kind", "value", "zh", "en"),
    [
        ("choice", "Y", "是", "Yes"),
        ("choices", ["Y", "N"], "是、否", "Yes, No"),
        ("choice", "GONE", "GONE", "GONE"),
        ("decimal", 12.0, "12.00 g/L", "12.00 g/L"),
        ("integer", 5, "5 g/L", "5 g/L"),
        ("datetime", "2026-04-03T14:30", "2026-04-03 14:30 g/L", "2026-04-03 14:30 g/L"),
        ("date", None, "", ""),
        ("date", {"missing": "unknown", "reason": "转院"}, "未知：转院", "Unknown: 转院"),
        ("text", NOT_DONE, "未做", "Not done"),
    ],
)
def test_values_are_shown_in_the_readers_language(kind, value, zh, en):
    the_item = item(kind, unit="g/L", precision=2 if kind == "decimal" else None)
    codes = CODES if kind.startswith("choice") else None
    assert display_value(the_item, codes, value, "zh-hans", unit=True) == zh
    assert display_value(the_item, codes, value, "en", unit=True) == en


@given(st.dates(date(1850, 1, 1), date(2200, 12, 31)))
def test_a_date_is_read_alike_in_every_spelling(day):
    spellings = [
        f"{day.year:04d}-{day.month}-{day.day}",
        day.strftime("%Y%m%d"),
        f"{day.year}年{day.month}月{day.day}日",
    ]
    assert {read("date", text) for text in spellings} == {day.isoformat()}


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_a_decimal_survives_being_shown_and_read_again(digits, precision):
    the_item = item("decimal", precision=precision)
    value = parse_value(the_item, None, f"{digits / 10**precision:.{precision}f}")
    assert parse_value(the_item, None, display_value(the_item, None, value)) == value


@given(
    st.sampled_from(["text", "integer", "decimal", "date", "time", "datetime", "choice", "choices"]),
    st.text(max_size=30),
)
def test_any_text_becomes_a_storable_value_or_a_refusal(kind, raw):
    with contextlib.suppress(BadValue):
        value = read(kind, raw)
        canonical(value).encode()
        assert read(kind, value) == value, "a stored value is read as itself"


@given(
    st.sampled_from(["integer", "decimal", "date", "time", "datetime"]),
    st.text("0123456789-/.:,年月日时UK ", max_size=14),
)
def test_anything_that_looks_like_a_number_or_date_is_read_or_refused(kind, raw):
    with contextlib.suppress(BadValue):
        value = read(kind, raw)
        assert read(kind, value) == value


@pytest.mark.parametrize(
    "kind", ["text", "integer", "decimal", "date", "time", "datetime", "choice", "choices", "file"]
)
@pytest.mark.parametrize("value", [5, 2.5, "x", ["x"], {"missing": "unknown", "reason": ""}, [{"row": 1, "a": 2}]])
def test_a_value_that_a_migration_kept_is_shown_whatever_the_item_is_now(kind, value):
    assert display_value(Item(name="q", type=kind, label=Text(zh="问", en="q")), None, value, "en", unit=True)


def test_a_text_is_kept_as_it_was_typed_but_for_outer_spaces():
    assert Text(zh=" 甲 ", en="A").of("zh-hans") == "甲"
    assert read("text", "=1+1") == "=1+1"


@given(st.from_regex(PLAIN, fullmatch=True), st.sampled_from([None, 0, 1, 3]), st.sampled_from(["decimal", "integer"]))
def test_a_plain_number_reads_as_it_does_with_a_space_before_it(text, precision, kind):
    """Plain numbers take a shorter way; the space sends them the long one."""
    item = Item(
        name="x", type=kind, label=Text(zh="值", en="Value"), precision=precision if kind == "decimal" else None
    )

    def read(raw):
        try:
            value = parse_value(item, None, raw)
        except BadValue as bad:
            return bad.en
        return value, str(value)

    assert read(text) == read(f" {text}")
