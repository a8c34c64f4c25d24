"""Write a table for statistics packages: SAS transport 5 and 8, SPSS, Stata; they take a table whole, not in parts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyreadstat

from .cells import schema
from .layout import Column, TableLayout, code_numbers
from .naming import adapted

# What a missing value is in a numeric column: letters in Stata and SAS (.a, .A), in SPSS numbers declared missing.
MISSING = ("not_done", "unknown", "not_applicable")
LETTERS = dict(zip(MISSING, "abc", strict=True))
SPSS = dict(zip(MISSING, (-9.7e15, -9.8e15, -9.9e15), strict=True))  # no entered number reaches 1e15
# Most bytes of a text, and most characters of a label.
TEXT = {"xpt": 200, "xpt8": 32767, "dta": 2045, "sav": 32767}
LABEL = {"xpt": 40, "xpt8": 255, "dta": 80, "sav": 250}
TABLE_NAME = {"xpt": 8, "xpt8": 32}
# Day 0 of each package, what it counts in a day and in a second, and the formats of its days and moments.
SAS_DAY, SPSS_DAY = dt.date(1960, 1, 1), dt.date(1582, 10, 14)
CLOCKS = {
    "xpt": (SAS_DAY, 1.0, 1.0, "DATE9", "DATETIME20"),
    "xpt8": (SAS_DAY, 1.0, 1.0, "DATE9", "DATETIME20"),
    "dta": (SAS_DAY, 1.0, 1000.0, "%td", "%tc"),
    "sav": (SPSS_DAY, 86400.0, 1.0, "SDATE10", "DATETIME20"),
}
UNIX_DAY = dt.date(1970, 1, 1)


def write_package(
    path: Path, layout: TableLayout, batches: Iterable[pa.RecordBatch], *, format: str, language: str
) -> tuple[int, dict[str, int]]:
    """Write `layout`'s rows in `format` (xpt, xpt8, sav, dta) with labels in `language`.

    The number of rows, and by column how many of its texts were too long for the format and are cut.
    """
    table = pa.Table.from_batches(list(batches), schema(layout.columns))
    names = adapted([column.name for column in layout.columns], format)
    lost: dict[str, int] = {}
    data = pd.DataFrame({names[column.name]: _values(table, column, layout, format, lost) for column in layout.columns})
    given: dict[str, Any] = {
        "column_labels": [_label(column, format, language) for column in layout.columns],
        "file_label": cut(layout.label.of(language), 40),
        "variable_format": {
            names[column.name]: shown for column in layout.columns if (shown := _shown(column, format))
        },
    }
    if format in ("sav", "dta"):
        found = {names[column.name]: value_labels(column, format, language) for column in layout.columns}
        given["variable_value_labels"] = {name: labels for name, labels in found.items() if labels}
    _WRITERS[format](path, data, layout, names, given)
    _without_time(path, format)
    return len(data), lost


def _write_sav(path: Path, data: pd.DataFrame, layout: TableLayout, names: dict[str, str], given: Any) -> None:
    missing: dict[str, list[Any]] = {
        names[column.name]: list(SPSS.values()) for column in layout.columns if _tells_missing(column, layout, "sav")
    }
    pyreadstat.write_sav(data, path, missing_ranges=missing, row_compress=True, **given)


def _write_dta(path: Path, data: pd.DataFrame, layout: TableLayout, names: dict[str, str], given: Any) -> None:
    missing: dict[str, list[Any]] = {
        names[column.name]: list(LETTERS.values()) for column in layout.columns if _tells_missing(column, layout, "dta")
    }
    pyreadstat.write_dta(data, path, missing_user_values=missing, version=14, **given)


def _write_xpt(path: Path, data: pd.DataFrame, layout: TableLayout, names: dict[str, str], given: Any) -> None:
    pyreadstat.write_xport(data, path, table_name=_table_name(layout, "xpt"), file_format_version=5, **given)


def _write_xpt8(path: Path, data: pd.DataFrame, layout: TableLayout, names: dict[str, str], given: Any) -> None:
    pyreadstat.write_xport(data, path, table_name=_table_name(layout, "xpt8"), file_format_version=8, **given)


_WRITERS = {"sav": _write_sav, "dta": _write_dta, "xpt": _write_xpt, "xpt8": _write_xpt8}


def _table_name(layout: TableLayout, format: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", layout.name.upper())[: TABLE_NAME[format]]


def value_labels(column: Column, format: str, language: str) -> dict[Any, str]:
    """What the codes of a column mean: by number where codes are numbers (and always in Stata), else by text.

    SAS transport files have no labels of values; the dictionary has them.
    """
    numbers = code_numbers(column, format)
    found: dict[Any, str] = {}
    for choice in column.choices:
        text = choice.label.of(language)
        if numbers is None:
            found[choice.code] = cut(text, 120)
        else:
            label = text if str(numbers[choice.code]) == choice.code else f"{choice.code}: {text}"
            found[float(numbers[choice.code])] = cut(label, 120)
    return found


def _tells_missing(column: Column, layout: TableLayout, format: str) -> bool:
    """A numeric column of an item that can be missing for a reason."""
    is_number = column.kind in ("integer", "decimal") or code_numbers(column, format) is not None
    return is_number and column.part == "value" and _companion(column, layout) is not None


def _companion(column: Column, layout: TableLayout) -> str | None:
    told = (one.name for one in layout.columns if one.item == column.item and one.part == "missing")
    return next(told, None) if column.item else None


def _values(table: pa.Table, column: Column, layout: TableLayout, format: str, lost: dict[str, int]) -> Any:
    """The column as the package holds it; a column without any value has its type all the same. `lost` is told of cut
    texts."""
    stored = table[column.name]
    _day, in_day, in_second, *_ = CLOCKS[format]
    if column.kind == "date":
        days = stored.cast(pa.int32()).to_pandas().astype("float64")
        return (days + (UNIX_DAY - _day).days) * in_day
    if column.kind == "datetime":
        seconds = stored.cast(pa.int64()).to_pandas().astype("float64")
        return (seconds + (UNIX_DAY - _day).days * 86400.0) * in_second
    numbers = code_numbers(column, format)
    if numbers is None and column.kind in ("text", "time"):
        whole = stored.to_pandas().fillna("")
        fitting = whole.map(lambda text: cut(text, TEXT[format])).astype(object)
        if count := int((fitting != whole).sum()):
            lost[column.name] = count
        return fitting
    plain = stored.to_pandas()
    plain = plain.map(numbers) if numbers is not None else plain
    return _with_missing(plain.astype("float64"), table, column, layout, format)


def _with_missing(numbers: Any, table: pa.Table, column: Column, layout: TableLayout, format: str) -> Any:
    if not _tells_missing(column, layout, format):
        return numbers
    why = table[str(_companion(column, layout))].to_pandas()
    if not why.notna().any():
        return numbers
    codes: dict[str, Any] = SPSS if format == "sav" else LETTERS
    of_type = numbers if format == "sav" else numbers.astype(object)
    return of_type.where(why.isna(), why.map(codes))


def _shown(column: Column, format: str) -> str | None:
    *_, day, moment = CLOCKS[format]
    return {"date": day, "datetime": moment}.get(column.kind)


def _label(column: Column, format: str, language: str) -> str:
    text = column.label.of(language)
    text = f"{text} ({column.unit})" if column.unit else text
    return cut(text, LABEL[format]) if format == "xpt" else text[: LABEL[format]]


def cut(text: str, most: int) -> str:
    """As much of the text as fits into `most` bytes of UTF-8, whole characters only."""
    return text if len(text) * 4 <= most else text.encode()[:most].decode("utf-8", "ignore")


# Where each format keeps the time of writing, and what stands there instead: equal content is then equal bytes.
SAS_TIME = (rb"\d\d[A-Z]{3}\d\d:\d\d:\d\d:\d\d", b"01JAN00:00:00:00")
TIMES = {
    "sav": (rb"(?s)(?<=\A.{92})\d\d \w{3} \d\d\d\d:\d\d:\d\d", b"01 Jan 0000:00:00"),
    "dta": (rb"(?s)(?<=<timestamp>\x11)[^<]{17}", b"01 Jan 2000 00:00"),
    "xpt": SAS_TIME,
    "xpt8": SAS_TIME,
}
HEAD = 640  # bytes that can hold it


def _without_time(path: Path, format: str) -> None:
    """Put a fixed time into the header; the true one is in the manifest."""
    pattern, instead = TIMES[format]
    with path.open("r+b") as file:
        head = re.sub(pattern, instead, file.read(HEAD))
        file.seek(0)
        file.write(head)
