"""Write a table, batch by batch, so that a million rows need no more memory than a thousand: CSV, XLSX, Parquet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import xlsxwriter

from .cells import schema
from .layout import TableLayout

Batches = Iterable[pa.RecordBatch]
# What a spreadsheet would run when the file is opened; a sign before a plain number is only a number.
FORMULA = r"^[\s]*[=@＝＠+\-＋－\t\r]"
STARTS = frozenset("=@+-＝＠＋－\t\r\n ")
NUMBER = r"^[+-]?[0-9]+([.,][0-9]+)?$"


def disarmed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text that a spreadsheet could run as a formula gets an apostrophe before it (OWASP: CSV injection)."""
    columns = [_disarmed(column) if pa.types.is_string(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _disarmed(column: pa.Array) -> pa.Array:
    if column.null_count == len(column):
        return column
    if STARTS.isdisjoint(pc.unique(pc.utf8_slice_codeunits(column, 0, 1)).to_pylist()):
        return column
    suspect = pc.fill_null(pc.match_substring_regex(column, FORMULA), False)
    suspect = pc.and_(suspect, pc.invert(pc.fill_null(pc.match_substring_regex(column, NUMBER), False)))
    return pc.if_else(suspect, pc.binary_join_element_wise("'", column, ""), column)


def write_csv(path: Path, layout: TableLayout, batches: Batches) -> int:
    """UTF-8 with a byte order mark, as spreadsheets in Chinese need it; the number of rows."""
    rows = 0
    with path.open("wb") as file:
        file.write(b"\xef\xbb\xbf")
        with pa_csv.CSVWriter(file, schema(layout.columns)) as writer:
            for batch in batches:
                writer.write_batch(disarmed(batch))
                rows += batch.num_rows
    return rows


def write_parquet(path: Path, layout: TableLayout, batches: Batches, language: str) -> int:
    """zstd, with each column's label in its metadata and nothing of the machine or the time; the number of rows."""
    rows = 0
    labelled = pa.schema(
        [
            pa.field(field.name, field.type, metadata={"label": column.label.of(language), "item": column.item})
            for field, column in zip(schema(layout.columns), layout.columns, strict=True)
        ]
    )
    with pq.ParquetWriter(path, labelled, compression="zstd", version="2.6", store_schema=True) as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=labelled))
            rows += batch.num_rows
    return rows


MOST_ROWS = 1_048_576  # of a sheet, with the header
SHEET_NAME = 31
# The time that XLSX wants in its properties; the true one is in the manifest, so that equal content is equal bytes.
NO_TIME = dt.datetime(2000, 1, 1)


class Workbook:
    """One XLSX with a sheet a table; a table longer than a sheet goes on in the next. No cell is ever a formula."""

    def __init__(self, path: Path) -> None:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self.book = xlsxwriter.Workbook(str(path), options | {"default_date_format": "yyyy-mm-dd"})
        self.book.set_properties({"created": NO_TIME})
        self.bold = self.book.add_format({"bold": True})
        self.moment = self.book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        self.names: set[str] = set()

    def write(self, layout: TableLayout, batches: Batches) -> int:
        rows, sheet = 0, self._sheet(layout)
        for batch in batches:
            for values in _rows(batch):
                if rows and rows % (MOST_ROWS - 1) == 0:
                    sheet = self._sheet(layout)
                self._write_row(sheet, rows % (MOST_ROWS - 1) + 1, values)
                rows += 1
        return rows

    def write_texts(self, name: str, lines: Iterable[Iterable[str]]) -> None:
        """A sheet of plain text, its first line bold."""
        sheet = self.book.add_worksheet(self._name(name))
        for number, line in enumerate(lines):
            for column, text in enumerate(line):
                sheet.write_string(number, column, text[:32767], self.bold if number == 0 else None)

    def close(self) -> None:
        self.book.close()

    def _sheet(self, layout: TableLayout) -> Any:
        sheet = self.book.add_worksheet(self._name(layout.name))
        sheet.freeze_panes(1, 0)
        for position, column in enumerate(layout.columns):
            sheet.write_string(0, position, column.name, self.bold)
        return sheet

    def _name(self, wanted: str) -> str:
        name, number = wanted[:SHEET_NAME], 2
        while name.casefold() in self.names:
            tail = f" ({number})"
            name, number = wanted[: SHEET_NAME - len(tail)] + tail, number + 1
        self.names.add(name.casefold())
        return name

    def _write_row(self, sheet: Any, row: int, values: tuple[Any, ...]) -> None:
        for column, value in enumerate(values):
            if value is None:
                continue
            if isinstance(value, str):
                sheet.write_string(row, column, value[:32767])
            elif isinstance(value, dt.datetime):
                sheet.write_datetime(row, column, value, self.moment)
            elif isinstance(value, dt.date):
                self._write_day(sheet, row, column, value)
            else:
                sheet.write_number(row, column, value)

    def _write_day(self, sheet: Any, row: int, column: int, value: dt.date) -> None:
        """Spreadsheets count days from 1900; what is earlier stays text."""
        if value.year < 1900:
            sheet.write_string(row, column, value.isoformat())
        else:
            sheet.write_datetime(row, column, value)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)
