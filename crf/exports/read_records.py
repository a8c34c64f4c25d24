"""Reads the CSV or Parquet tables of an export (lobule-records/1) with their types, labels and code lists.

    from read_records import read_records
    records = read_records(".")              # {table: pandas.DataFrame}
    records["LB"].attrs["labels"]["albumin"]  # what the column means

A value that is missing is NA; the column <item>__missing says why: not_done, unknown, not_applicable.
A partial date stays text (2026-04-UK); <item>__earliest and <item>__latest are the days it can be.
Needs pandas 2 (and pyarrow for Parquet).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd


def read_as_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")


def typed(values: pd.Series, kind: str, codes: pd.DataFrame) -> Any:
    if len(codes):
        return pd.Categorical(values, categories=list(codes["code"])).rename_categories(unique(codes["label"]))
    if kind in ("integer", "flag"):
        return pd.to_numeric(values).astype("Int64")
    if kind == "decimal":
        return pd.to_numeric(values).astype("float64")
    if kind in ("date", "datetime"):
        return pd.to_datetime(values)
    return values


def unique(labels: Iterable[str]) -> list[str]:
    """Two choices of one label stay two."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label}.{seen[label] - 1}")
    return found


def read_records(folder: str | Path = ".") -> dict[str, pd.DataFrame]:
    folder = Path(folder)
    dictionary = read_as_text(folder / "dictionary.csv")
    codelists = read_as_text(folder / "codelists.csv")
    records: dict[str, pd.DataFrame] = {}
    for table in dictionary["table"].unique():
        columns = dictionary[dictionary["table"] == table]
        if (folder / f"{table}.csv").exists():
            data = read_as_text(folder / f"{table}.csv")
        elif (folder / f"{table}.parquet").exists():
            data = pd.read_parquet(folder / f"{table}.parquet")
        else:
            continue
        codes = codelists[codelists["table"] == table]
        made = {
            one.column: typed(data[one.column], one.kind, codes[codes["column"] == one.column])
            for one in columns.itertuples()
            if one.column in data
        }
        records[table] = pd.DataFrame(made, index=data.index)
        records[table].attrs["labels"] = dict(zip(columns["column"], columns["label"], strict=True))
        records[table].attrs["units"] = dict(zip(columns["column"], columns["unit"].fillna(""), strict=True))
    return records


if __name__ == "__main__":
    for name, table in read_records(Path(__file__).parent).items():
        print(name, table.shape)
