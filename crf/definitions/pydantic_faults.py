"""Pydantic's errors in the words of a data manager, in both languages, each with what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from .errors import Fault, Place
from .model import Form, Item, StudyFile

KEYS = sorted({*Form.model_fields, *Item.model_fields, *StudyFile.model_fields})

_NO_NUMBER = ("应为数字,而不是 {input!r}", "should be a number, not {input!r}", "写数字", "write a number")
_NO_INTEGER = ("应为整数,而不是 {input!r}", "should be a whole number, not {input!r}", "写整数", "write a whole number")
_NO_TRUTH = ("应为 true 或 false,而不是 {input!r}", "should be true or false, not {input!r}", "请改正", "correct it")
# Pydantic's error type: message zh, en, remedy zh, en; {…} from the error's own context.
WORDS: dict[str, tuple[str, str, str, str]] = {
    "missing": ("缺少“{key}”", "{key!r} is missing", "请补上", "add it"),
    "literal_error": ("“{input}”不可用", "{input!r} is not possible here", "可用:{expected}", "use one of {expected}"),
    "string_type": ("应为文字,而不是 {input!r}", "should be text, not {input!r}", "请加引号", "put it in quotes"),
    "string_pattern_mismatch": (
        "“{input}”格式不符", "{input!r} is not spelt as it must be", "应符合 {pattern}", "it must match {pattern}",
    ),
    "string_too_short": ("不能为空", "must not be empty", "请填写", "fill it in"),
    "string_too_long": ("过长", "is too long", "最多 {max_length} 个字符", "at most {max_length} characters"),
    "too_short": ("不能为空", "must not be empty", "至少写一个", "write at least one"),
    "model_type": ("应为“键: 值”的形式", "should be keys with values", "检查缩进", "look at the indentation"),
    "dict_type": ("应为“键: 值”的形式", "should be keys with values", "检查缩进", "look at the indentation"),
    "tuple_type": ("应为列表", "should be a list", "写成 [..] 或多行“- ”", "write [..] or lines with `- `"),
    "too_long": ("过多", "has too many entries", "最多 {max_length} 个", "at most {max_length}"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NO_NUMBER),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _NO_INTEGER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _NO_TRUTH),
    "greater_than_equal": ("{input} 过小", "{input} is too small", "至少 {ge}", "at least {ge}"),
    "less_than_equal": ("{input} 过大", "{input} is too large", "最多 {le}", "at most {le}"),
    "greater_than": ("{input} 过小", "{input} is too small", "应大于 {gt}", "more than {gt}"),
}  # fmt: skip
TRANSLATION = {
    "zh": ("缺少中文", "the Chinese text (zh) is missing"),
    "en": ("缺少英文", "the English text (en) is missing"),
}


def explain(error: ValidationError, value: Any, keys: Iterable[str] = KEYS) -> Iterator[Fault]:
    """One fault per place; of a union's branches only the first complaint is kept. `keys` may be meant by a typo."""
    seen: set[Place] = set()
    problems = error.errors(include_url=False)
    for problem in problems:
        if problem["type"] == "too_short" and any(_inside(other["loc"], problem["loc"]) for other in problems):
            continue  # the list is only short of the entries that are themselves reported
        place = _real(problem["loc"], value, problem["type"] in ("missing", "extra_forbidden"))
        if place not in seen:
            seen.add(place)
            yield _fault(place, problem, value, keys)


def _inside(loc: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _real(loc: tuple[int | str, ...], value: Any, last_is_key: bool) -> Place:
    """The part of pydantic's location that the file has: union branches add names of their own."""
    place: Place = ()
    for index, key in enumerate(loc):
        if _has(value, key):
            value = value[key]
        elif not (last_is_key and index == len(loc) - 1):
            continue
        place = (*place, key)
    return place


def _named(place: Place, value: Any) -> str:
    """What a person would call the place: `DM.albumin`, `BASELINE`, `SEX.M`; in study.yaml without the study's code."""
    is_study = isinstance(value, dict) and "events" in value
    names: list[str] = []
    if isinstance(value, dict) and place and "oid" not in value and "code" not in value:
        names.append(str(place[0]))  # a code list is named by its key
    for key in (None, *place):
        if key is not None:
            value = value[key] if _has(value, key) else None
        if isinstance(value, dict) and not (is_study and key is None and len(place) > 1):
            name = value.get("oid") or value.get("code") or value.get("id") or value.get("name")
            if isinstance(name, str):
                names.append(name)
    return ".".join(names) or ".".join(str(key) for key in place)


def _has(value: Any, key: str | int) -> bool:
    if isinstance(value, dict):
        return key in value
    return isinstance(value, list) and isinstance(key, int) and key < len(value)


def _fault(place: Place, problem: Any, value: Any, keys: Iterable[str]) -> Fault:
    kind, key = problem["type"], str(place[-1])[:60] if place else ""
    given = problem.get("input")
    context = {"key": key, "input": given[:60] if isinstance(given, str) else given, **problem.get("ctx", {})}
    item = _named(place, value)
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, keys, n=1)
        zh, en = ("", "") if not close else (f"是否为 {close[0]}?", f"did you mean {close[0]}?")
        return Fault(place, item, f"不认识的键“{key}”", f"unknown key {key!r}", zh or "请删除", en or "remove it")
    if kind == "missing" and key in TRANSLATION:
        zh, en = TRANSLATION[key]
        return Fault(place, item, zh, en, "两种语言都要写", "every text is written in zh and en")
    if kind == "value_error":
        refusal = problem["ctx"]["error"]  # every validator of ours raises a Refusal
        return Fault(place, item, refusal.zh, refusal.en, "请修改", "correct it")
    words = WORDS.get(kind)
    if words is None:
        text = problem["msg"]
        return Fault(place, item, text, text, "请修改", "correct it")
    return Fault(place, item, *(_filled(word, context) for word in words))


def _filled(word: str, context: dict[str, Any]) -> str:
    shown = {key: value if isinstance(value, str | int | float) else str(value)[:60] for key, value in context.items()}
    return word.format(**shown)
