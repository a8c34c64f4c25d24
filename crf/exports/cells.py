"""Stored answers as typed columns, thousands of rows at a time.

`raw` is a column of text as the database gives it: a number, code or date as it is written, text as JSON, null where
nothing was answered, a JSON object where the value is missing for a reason or is a file. Whatever is not a plain number
or whole date is read once per distinct text, by functions of one cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import dates
from .layout import Column, Question
from .rules import OLDEST, Rule

ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s"),
    "time": pa.string(),
    "flag": pa.int8(),
}


def schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([(column.name, ARROW[column.kind]) for column in columns])


def read_question(question: Question, raw: pa.Array, days: pa.Array) -> list[pa.Array]:
    """The columns of `question`, in its order; `days` is by how much the dates of each row move back."""
    is_object = pc.fill_null(pc.starts_with(raw, "{"), False)
    objects = pc.if_else(is_object, raw, pa.scalar(None, pa.string())) if pc.any(is_object).as_py() else None
    plain = raw if objects is None else pc.if_else(is_object, pa.scalar(None, pa.string()), raw)
    parts = _READERS.get(question.kind, _read_text)(question, plain, days, objects)
    return [
        parts[column.part] if column.part in parts else _told(column.part, objects, raw) for column in question.columns
    ]


Parts = dict[str, pa.Array]


def _told(part: str, objects: pa.Array | None, raw: pa.Array) -> pa.Array:
    """What the objects of a column say: why a value is missing, with which reason, the SHA-256 of a file."""
    if objects is None:
        return pa.nulls(len(raw), pa.string())
    return _each(objects, lambda text: json.loads(text).get(part) or None, pa.string())


def _each(texts: pa.Array, read: Callable[[str], Any], type: pa.DataType) -> pa.Array:
    """`read` of each text, called once per distinct one; null stays null."""
    encoded = texts.dictionary_encode()
    return pa.array([read(text) for text in encoded.dictionary.to_pylist()], type).take(encoded.indices)


def _read_number(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    if question.kind == "integer":
        numbers = plain.cast(pa.float64()).cast(pa.int64())  # JSON may say 12.0
        oldest: pa.Scalar = pa.scalar(OLDEST, pa.int64())
    else:
        numbers, oldest = plain.cast(pa.float64()), pa.scalar(float(OLDEST))
    if question.rule is Rule.AGE:
        above = pc.greater(pc.floor(numbers), oldest)
        numbers = pc.if_else(above, pc.add(oldest, 1), numbers).cast(ARROW[question.kind])
    return {"value": numbers}


def _read_text(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    if pc.all(pc.starts_with(plain, '"')).as_py() and not pc.any(pc.match_substring(plain, "\\")).as_py():
        return {"value": pc.utf8_slice_codeunits(plain, 1, -1)}  # nothing in it is escaped
    return {"value": _each(plain, lambda text: _as_text(json.loads(text)), pa.string())}


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_plain(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    return {"value": plain}


def _read_date(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    partial = pc.fill_null(pc.match_substring(plain, dates.UNKNOWN), False)
    if pc.any(partial).as_py():
        return _read_partial(plain, days, question.rule is Rule.SHIFT)
    whole = plain.cast(pa.date32())
    if question.rule is Rule.SHIFT:
        whole = _moved(whole, days)
    return {"value": whole.cast(pa.string()), "earliest": whole, "latest": whole}


def _read_partial(plain: pa.Array, days: pa.Array, is_shifted: bool) -> Parts:
    texts = plain.to_pylist()
    if is_shifted:
        texts = [text and dates.moved(text, by) for text, by in zip(texts, days.to_pylist(), strict=True)]
    spans = [dates.span(text) if text else (None, None) for text in texts]
    return {
        "value": pa.array(texts, pa.string()),
        "earliest": pa.array([first for first, _ in spans], pa.date32()),
        "latest": pa.array([last for _, last in spans], pa.date32()),
    }


def _moved(whole: pa.Array, days: pa.Array) -> pa.Array:
    return pc.subtract(whole.cast(pa.int32()), days).cast(pa.date32())


def read_day(texts: pa.Array, days: pa.Array, is_shifted: bool) -> pa.Array:
    """Whole days as dates, moved where the export moves dates."""
    whole = texts.cast(pa.date32())
    return _moved(whole, days) if is_shifted else whole


SECONDS = 86400


def _read_datetime(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    moments = plain.cast(pa.timestamp("s"))
    if question.rule is Rule.SHIFT:
        seconds = pc.multiply(days.cast(pa.int64()), SECONDS)
        moments = pc.subtract(moments.cast(pa.int64()), seconds).cast(pa.timestamp("s"))
    return {"value": moments}


def _read_choices(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    """The codes joined, and a flag for each choice: 1 chosen, 0 not, null where the question was not answered."""
    parts = {"value": _each(plain, lambda text: ";".join(json.loads(text)), pa.string())}
    for choice in question.choices:
        parts[f"choice:{choice.code}"] = _each(plain, _chooses(choice.code), pa.int8())
    return parts


def _chooses(code: str) -> Callable[[str], int]:
    return lambda text: int(code in json.loads(text))


def _read_reference(question: Question, plain: pa.Array, days: pa.Array, objects: pa.Array | None) -> Parts:
    """A file by its name, a series of images by its id."""
    key = "name" if question.kind == "file" else "series"
    return {"value": _told(key, objects, plain)}


_READERS: dict[str, Callable[[Question, pa.Array, pa.Array, pa.Array | None], Parts]] = {
    "integer": _read_number,
    "decimal": _read_number,
    "date": _read_date,
    "datetime": _read_datetime,
    "time": _read_plain,
    "choice": _read_plain,
    "choices": _read_choices,
    "file": _read_reference,
    "series": _read_reference,
}
