"""REDCap's data dictionary: a CSV of 18 columns, in either direction."""

from __future__ import annotations

import csv
import io
import unicodedata

from crf.definitions.tables import DELIMITERS, BadTable, decode

from .loss import Imported, Loss, refused
from .redcap_build import build
from .redcap_fields import API_COLUMNS, COLUMNS, ROW, TYPE_NAMES, VALIDATION_NAMES, DictionaryRow
from .redcap_parts import Project

MAX_BYTES = 50_000_000
MAX_CELL = 50_000
MAX_ROWS = 100_000
NEEDED = ("variable", "form", "type", "label")


def read_dictionary(
    content: bytes, *, file: str = "dictionary.csv", title: str = "", code: str = "", version: str = "1"
) -> Imported:
    """The study of a data dictionary: one event with all its forms, since a dictionary says nothing of visits.

    Raises DefinitionErrors, naming row and column, for a file that is not a dictionary or not well formed.
    """
    rows, losses = read_rows(content, file=file)
    name = title or file.rpartition("/")[2].rpartition(".")[0] or "REDCap"
    return build(Project(name, rows, losses=losses), file=file, code=code, version=version)


def read_rows(content: bytes, *, file: str) -> tuple[list[DictionaryRow], list[Loss]]:
    """The fields of a dictionary: comma, semicolon or tab; UTF-8, UTF-16 or GB18030; with or without a mark."""
    if len(content) > MAX_BYTES:
        raise refused(file, 1, "", "文件超过50 MB", "larger than 50 MB", "请检查文件", "look whether this is the file")
    try:
        text, _encoding = decode(content)
    except BadTable as bad:
        raise refused(file, 1, "", bad.zh, bad.en, bad.remedy_zh, bad.remedy_en) from bad
    records = _records(text.removeprefix("\ufeff"), file)
    places, losses = _header(records, file)
    rows = [row for number, cells in enumerate(records[1:], start=2) if (row := _row(number, cells, places, file))]
    if not rows:
        raise refused(
            file, 2, "", "数据字典中没有字段", "the dictionary has no fields", "请检查文件", "look at the file"
        )
    return rows, losses


def _records(text: str, file: str) -> list[list[str]]:
    first = text[:100_000].split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    csv.field_size_limit(2**31 - 1)  # the length of a cell is checked below, where its place is known
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            records.append(record)
            if len(records) > MAX_ROWS:
                raise refused(
                    file, MAX_ROWS, "", f"超过{MAX_ROWS}行", f"more than {MAX_ROWS} rows", "请拆分", "split it"
                )
    except csv.Error as error:
        raise refused(
            file, len(records) + 1, "", f"CSV 格式错误({error})", f"not well-formed CSV ({error})",
            "检查引号是否成对,文件是否完整", "look for an open quote, and whether the file is whole",
        ) from error  # fmt: skip
    return records


def _header(records: list[list[str]], file: str) -> tuple[dict[str, int], list[Loss]]:
    """Where each column stands; columns that REDCap does not have are reported."""
    header = [unicodedata.normalize("NFKC", cell).strip() for cell in (records[0] if records else [])]
    known = {name.lower(): field for name, field in zip((*COLUMNS, *API_COLUMNS), (*ROW, *ROW), strict=True)}
    places: dict[str, int] = {}
    losses: list[Loss] = []
    for at, cell in enumerate(header):
        field = known.get(cell.lower())
        if field in places:
            raise refused(
                file, 1, cell, f"列“{cell}”重复", f"the column {cell!r} is there twice", "删除其一", "remove one"
            )
        if field:
            places[field] = at
        elif cell:
            losses.append(Loss("dropped", "column", cell, "", "数据字典没有该列", "a dictionary has no such column", 1))
    missing = [COLUMNS[ROW.index(name)] for name in NEEDED if name not in places]
    if missing:
        raise refused(
            file, 1, missing[0], f"不是 REDCap 数据字典:缺少列“{missing[0]}”",
            f"not a REDCap data dictionary: the column {missing[0]!r} is missing",
            "在 REDCap 的 Project Setup 页下载数据字典", "download the data dictionary on REDCap's Project Setup page",
        )  # fmt: skip
    return places, losses


def _row(number: int, cells: list[str], places: dict[str, int], file: str) -> DictionaryRow | None:
    if not any(cell.strip() for cell in cells):
        return None
    _check_cells(number, cells, places, file)
    found = {name: cells[at].strip().replace("\r\n", "\n") for name, at in places.items() if at < len(cells)}
    for name in ("variable", "form"):
        if not found.get(name):
            column = COLUMNS[ROW.index(name)]
            raise refused(file, number, column, f"第{number}行缺少“{column}”", f"row {number} has no {column!r}",
                          "请填写", "fill it in")  # fmt: skip
    for name in ("type", "validation"):
        found[name] = found.get(name, "").lower()
    found["type"] = TYPE_NAMES.get(found["type"], found["type"])
    found["validation"] = VALIDATION_NAMES.get(found["validation"], found["validation"])
    return DictionaryRow(**found, line=number)


def _check_cells(number: int, cells: list[str], places: dict[str, int], file: str) -> None:
    """A row may be shorter than the header; what stands beyond it belongs nowhere."""
    columns = {at: COLUMNS[ROW.index(name)] for name, at in places.items()}
    width = max(places.values()) + 1
    if any(cell.strip() for cell in cells[max(width, len(COLUMNS)) :]):
        raise refused(
            file,
            number,
            "",
            f"第{number}行有{len(cells)}格,多于列数",
            f"row {number} has {len(cells)} cells, more than columns",
            "检查分隔符和引号",
            "look at separators and quotes",
        )
    for at, cell in enumerate(cells):
        column = columns.get(at, "")
        if len(cell) > MAX_CELL:
            raise refused(
                file,
                number,
                column,
                f"单元格超过{MAX_CELL}个字符",
                f"a cell of more than {MAX_CELL} characters",
                "请缩短",
                "shorten it",
            )
        if any(unicodedata.category(one) == "Cc" and one not in "\t\n\r" for one in cell):
            raise refused(file, number, column, "含控制字符", "a cell with a control character", "请删除", "remove it")
