"""Columns of a CSV file as arrays; what can't be read is refused by column and line, with the remedy."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analytics.stats.inputs import DegenerateInput, Floats

# Excel on Chinese Windows writes GB18030 (a superset of GBK); UTF-8 with or without a mark comes first.
ENCODINGS = ("utf-8-sig", "gb18030")
MISSING = frozenset({"", "na", "nan", "null", "none", ".", "n/a"})
TRUTH = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


class BadTable(DegenerateInput):
    """A file, column or cell that can't be used as asked."""


@dataclass(frozen=True, slots=True)
class Table:
    """Text cells by column; `lines` are the line numbers of the file, the header being line 1."""

    name: str
    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def without(self, dropped: Sequence[int]) -> "Table":
        """The same table less the rows at these positions."""
        gone = frozenset(dropped)
        keep = [i for i in range(len(self.lines)) if i not in gone]
        columns = {name: tuple(cells[i] for i in keep) for name, cells in self.columns.items()}
        return Table(self.name, columns, tuple(self.lines[i] for i in keep))


def read_table(path: Path) -> Table:
    """Read a CSV file with a header; UTF-8 or GB18030, blank lines skipped."""
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise BadTable(
            f"{path.name}: line {reader.line_num}: {error}", f"{path.name}:第{reader.line_num}行:{error}"
        ) from error
    _check_shape(path.name, header, rows)
    cells = zip(*(row for _, row in rows), strict=True)
    columns = {name: tuple(cell.strip() for cell in column) for name, column in zip(header, cells, strict=True)}
    return Table(path.name, columns, tuple(line for line, _ in rows))


def texts(table: Table, column: str) -> tuple[str, ...]:
    """A column as it stands."""
    if column not in table.columns:
        known = ", ".join(table.columns)
        raise BadTable(
            f"{table.name} has no column {column!r}; its columns are {known}",
            f"{table.name}没有列{column!r};现有列:{known}",
        )
    return table.columns[column]


def missing_rows(table: Table, column: str) -> list[int]:
    """Positions of the rows whose cell is empty or NA."""
    return [i for i, cell in enumerate(texts(table, column)) if cell.lower() in MISSING]


def number_column(table: Table, column: str) -> Floats:
    """Finite numbers."""
    return np.array([_number(table, column, i, cell) for i, cell in enumerate(texts(table, column))])


def binary_column(table: Table, column: str) -> Floats:
    """0 and 1, written 0/1 or true/false."""
    return np.array([_truth(table, column, i, cell) for i, cell in enumerate(texts(table, column))])


def probability_column(table: Table, column: str) -> Floats:
    """Numbers in 0-1."""
    values = number_column(table, column)
    bad = np.flatnonzero((values < 0) | (values > 1))
    if bad.size:
        raise _bad_cell(
            table, column, int(bad[0]), f"{values[bad[0]]:g} is not a probability",
            "divide percentages by 100; a score that is no probability goes to --score",
            "不是概率", "百分数请除以100;非概率的评分请用--score",
        )  # fmt: skip
    return values


def covariate_column(table: Table, column: str) -> Floats | tuple[str, ...]:
    """Numbers where every cell is one, otherwise text categories."""
    cells = texts(table, column)
    if any(_parsed(cell) is None for cell in cells):
        return cells
    return number_column(table, column)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadTable(f"{path} can't be read: {error.strerror}", f"无法读取{path}:{error.strerror}") from error
    for encoding in ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadTable(
        f"{path.name} is neither UTF-8 nor GB18030 text; save it as UTF-8 CSV",
        f"{path.name}不是UTF-8或GB18030文本;请另存为UTF-8 CSV",
    )


def _check_shape(name: str, header: list[str], rows: list[tuple[int, list[str]]]) -> None:
    if not header or not rows:
        raise BadTable(f"{name} needs a header line and at least one row", f"{name}需要表头及至少一行数据")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise BadTable(
            f"{name} has two columns named {twice[0]!r}; rename one", f"{name}有两列同名{twice[0]!r};请重命名"
        )
    for line, row in rows:
        if len(row) != len(header):
            raise BadTable(
                f"{name}, line {line}: {len(row)} cells, but the header has {len(header)}; check commas and quotes",
                f"{name}第{line}行有{len(row)}个单元格,而表头有{len(header)}个;请检查逗号和引号",
            )


def _number(table: Table, column: str, position: int, cell: str) -> float:
    _refuse_missing(table, column, position, cell)
    value = _parsed(cell)
    if value is None or not math.isfinite(value):
        raise _bad_cell(
            table, column, position, f"{cell!r} is not a number", "correct the cell",
            f"{cell!r}不是数值", "请更正该单元格",
        )  # fmt: skip
    return value


def _parsed(cell: str) -> float | None:
    """Python reads 1_000 as a thousand; a data file never means that."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _truth(table: Table, column: str, position: int, cell: str) -> float:
    _refuse_missing(table, column, position, cell)
    value = TRUTH.get(cell.lower().removesuffix(".0"))
    if value is None:
        raise _bad_cell(
            table, column, position, f"{cell!r} is neither 0 nor 1", "recode the column to 0 and 1",
            f"{cell!r}不是0或1", "请将该列重新编码为0和1",
        )  # fmt: skip
    return value


def _refuse_missing(table: Table, column: str, position: int, cell: str) -> None:
    if cell.lower() in MISSING:
        raise _bad_cell(
            table, column, position, "the value is missing", "complete it, or take the row out and say so",
            "缺失", "请补全,或删除该行并予以说明",
        )  # fmt: skip


def _bad_cell(table: Table, column: str, position: int, en: str, remedy_en: str, zh: str, remedy_zh: str) -> BadTable:
    line = table.lines[position]
    return BadTable(
        f"{table.name}, line {line}, column {column}: {en}; {remedy_en}",
        f"{table.name}第{line}行{column}列:{zh};{remedy_zh}",
    )
