"""A table of a dataset: typed columns, sorted rows, one content hash that no Parquet library can change."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
    "texts": pa.list_(pa.string()),
}


class NotAValue(ValueError):
    """A value does not have its column's type; the text names table, row and column."""


@dataclass(frozen=True)
class Column:
    name: str
    type: str = "text"  # text | integer | decimal | boolean | texts; dates are ISO text, since they may be partial


@dataclass(frozen=True)
class Table:
    """Rows sorted by their first `key` columns, which together name a row."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    key: int = 1

    def content_sha256(self) -> str:
        """SHA-256 of the columns and the rows as JSON lines: the same content, the same hash, on any machine."""
        digest = hashlib.sha256()
        header = [[column.name, column.type] for column in self.columns]
        for line in (header, *self.rows):
            digest.update(_json(line).encode())
            digest.update(b"\n")
        return digest.hexdigest()

    def frame(self) -> pd.DataFrame:
        return _arrow(self).to_pandas()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def table(name: str, columns: Iterable[Column], rows: Iterable[Mapping[str, Any]], key: int = 1) -> Table:
    """Mappings become typed, sorted rows; two rows of one key are refused."""
    columns = tuple(columns)
    found = [tuple(_typed(name, column, row) for column in columns) for row in rows]
    ordered = tuple(sorted(found, key=lambda row: tuple(_rank(value) for value in row[:key])))
    for before, after in itertools.pairwise(ordered):
        if before[:key] == after[:key]:
            raise NotAValue(f"table {name}: two rows of {before[:key]}")
    return Table(name, columns, ordered, key)


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _typed(name: str, column: Column, row: Mapping[str, Any]) -> Any:
    value = row.get(column.name)
    if value is None or value == "":
        return None
    try:
        if column.type == "integer":
            return _whole(value)
        if column.type == "decimal":
            return _finite(value)
        if column.type == "boolean":
            return bool(value)
        if column.type == "texts":
            return [str(one) for one in value]
        return value.isoformat() if isinstance(value, date) else str(value)
    except (TypeError, ValueError) as error:
        raise NotAValue(f"table {name}, column {column.name}: {value!r} is no {column.type} ({error})") from None


def _whole(value: Any) -> int:
    if float(value) != int(float(value)):
        raise ValueError("it has decimals")
    return int(float(value))


def _finite(value: Any) -> float:
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("it is not finite")
    return number + 0.0  # -0.0 and 0.0 are one value


def _arrow(one: Table) -> pa.Table:
    schema = pa.schema([(column.name, ARROW[column.type]) for column in one.columns])
    arrays = [
        pa.array([row[index] for row in one.rows], type=ARROW[column.type]) for index, column in enumerate(one.columns)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write(one: Table, path: Path) -> None:
    """Parquet with fixed writer settings and nothing of the machine or the time in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        _arrow(one),
        path,
        compression="zstd",
        compression_level=3,
        version="2.6",
        use_dictionary=True,
        store_schema=False,
    )


def read(path: Path, name: str, columns: Iterable[Column], key: int) -> Table:
    """The table of a Parquet file, as `write` made it."""
    columns = tuple(columns)
    content = pq.read_table(path, columns=[column.name for column in columns])
    rows = tuple(tuple(row[column.name] for column in columns) for row in content.to_pylist())
    return Table(name, columns, rows, key)
