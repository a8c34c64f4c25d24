"""A CSV file as rows of text with their place in the spreadsheet; whatever is not plainly a table is refused."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .model import UNWRITABLE

MAX_BYTES = 50_000_000
MAX_CELL = 10_000
MAX_COLUMNS = 5_000
MOST_FAULTS = 10_000
DELIMITERS = ",;\t"
# Between the cells of a row that is kept as one text: a NUL is refused inside a cell.
NUL = "\x00"
# What a spreadsheet would run when the file is opened again; a sign before a number is only a number.
_RUNS = r"(?:[=@＝＠]|[+\-＋－](?=[A-Za-z(@=（＝＠]))"
FORMULA = re.compile(_RUNS)
FORMULA_IN_ROW = re.compile(rf"(?:^|{NUL})\s*'?{_RUNS}")
BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class BadTable(ValueError):
    """A file or cell that is refused; `row` counts from 1 with the header, 0 means the whole file."""

    def __init__(self, zh: str, en: str, remedy_zh: str, remedy_en: str, *, row: int = 0, column: str = "") -> None:
        super().__init__(en)
        self.zh, self.en, self.remedy_zh, self.remedy_en = zh, en, remedy_zh, remedy_en
        self.row = row
        self.column = column


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the file; `number` is the spreadsheet's row. Its cells are one text, which takes a fifth of the
    memory of a dictionary."""

    number: int
    columns: tuple[str, ...]
    packed: str

    @property
    def texts(self) -> list[str]:
        """The cells in the order of the columns."""
        return self.packed.split(NUL)

    @property
    def cells(self) -> dict[str, str]:
        return dict(zip(self.columns, self.texts, strict=True))


@dataclass(frozen=True)
class Table:
    """`columns` as they are named, `rows` that are not empty, and the faults of single cells."""

    columns: tuple[str, ...]
    rows: list[Row]
    encoding: str
    faults: list[BadTable] = field(default_factory=list)


def read_table(content: bytes) -> Table:
    """Header and rows of a CSV (comma, semicolon or tab; UTF-8, UTF-16 with a mark, or GB18030).

    A file that cannot be read raises BadTable; faults of single cells are collected in `faults`.
    """
    refuse_size(content)
    text, encoding = decode(content)
    delimiter = _delimiter(text)
    del text  # the rows are decoded again one by one: the whole as text would take up to four times the file
    return as_table(_records(content, encoding, delimiter), encoding)


def refuse_size(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        limit = MAX_BYTES // 1_000_000
        raise BadTable(f"文件超过{limit} MB", f"larger than {limit} MB", "请拆分文件", "split it")


def as_table(records: Iterable[list[str]], encoding: str) -> Table:
    """Rows of text as a table; the first one names the columns. Raises BadTable."""
    numbered = enumerate(records, start=1)
    first = next(numbered, None)
    if first is None:
        raise BadTable("文件为空", "the file is empty", "第一行应为列名", "the first row holds the column names")
    columns = _header(first[1])
    rows: list[Row] = []
    faults: list[BadTable] = []
    for number, cells in numbered:
        if any(cells) and any(cell.strip() for cell in cells):
            row, wrong = _row(number, columns, cells)
            faults += wrong
            if row:
                rows.append(row)
            if len(faults) > MOST_FAULTS:
                raise _too_many_faults(faults[0])
    return Table(columns, rows, encoding, faults)


def _too_many_faults(first: BadTable) -> BadTable:
    return BadTable(
        f"超过{MOST_FAULTS}处不可读,第一处在第{first.row}行:{first.zh}",
        f"more than {MOST_FAULTS} places cannot be read, the first in row {first.row}: {first.en}",
        "请检查是否选错文件", "check whether this is the right file",
    )  # fmt: skip


def decode(content: bytes) -> tuple[str, str]:
    """The text and the encoding it was in. GB18030 can read almost any bytes, so what it gives must look Chinese."""
    for mark, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _strictly(content, name), name
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = _strictly(content, "gb18030")
    foreign = [character for character in text if ord(character) > 127]
    common = sum(1 for character in foreign if _is_common(character))
    if common < 0.8 * len(foreign):
        raise _unknown_encoding()
    return text, "gb18030"


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise _unknown_encoding() from None


def _unknown_encoding() -> BadTable:
    return BadTable(
        "无法识别文件编码", "the encoding of the file is not recognised",
        "请另存为“CSV UTF-8”", "save it as CSV UTF-8",
    )  # fmt: skip


def _is_common(character: str) -> bool:
    """In GB 2312: 6,763 everyday characters and the usual signs."""
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _records(content: bytes, encoding: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # the length of a cell is checked below, where its place is known
    lines = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")
    count = 0
    try:
        for record in csv.reader(lines, delimiter=delimiter, strict=True):
            count += 1
            yield record
    except csv.Error as error:
        raise BadTable(
            f"CSV 格式错误({error})", f"not well-formed CSV ({error})", "检查引号是否成对", "look for an open quote",
            row=count + 1,
        ) from error  # fmt: skip


def _delimiter(text: str) -> str:
    """The one that parts the first line into most cells, quoted parts aside."""
    header = re.sub(r'"[^"]*"', "", text[:100_000].lstrip("\r\n").split("\n", 1)[0])
    return max(DELIMITERS, key=header.count)


def _header(cells: list[str]) -> tuple[str, ...]:
    names = [unicodedata.normalize("NFC", name.strip()) for name in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise BadTable(f"超过{MAX_COLUMNS}列", f"more than {MAX_COLUMNS} columns", "请拆分文件", "split it", row=1)
    for index, name in enumerate(names):
        if not name or UNWRITABLE.search(name) or len(name) > 200:
            raise BadTable(
                f"第{index + 1}列没有可用的列名",
                f"column {index + 1} has no usable name",
                "请填写列名",
                "name it",
                row=1,
            )
        if name in names[:index]:
            raise BadTable(
                f"列名“{name}”重复", f"column {name!r} appears twice", "请改名", "rename one", row=1, column=name
            )
    if not names:
        raise BadTable("没有列名", "there are no column names", "第一行应为列名", "name the columns in row 1", row=1)
    return tuple(names)


def _row(number: int, columns: tuple[str, ...], cells: list[str]) -> tuple[Row | None, list[BadTable]]:
    if len(cells) > len(columns) and not any(cell.strip() for cell in cells[len(columns) :]):
        cells = cells[: len(columns)]
    if len(cells) != len(columns):
        fault = BadTable(
            f"有{len(cells)}格,列名有{len(columns)}个", f"has {len(cells)} cells under {len(columns)} columns",
            "检查分隔符和引号", "look at separators and quotes", row=number,
        )  # fmt: skip
        return None, [fault]
    packed = NUL.join([cell.strip() for cell in cells])
    if len(packed) <= MAX_CELL and packed.count(NUL) == len(columns) - 1 and not FORMULA_IN_ROW.search(packed):
        return Row(number, columns, packed), []
    found = [_bad_cell(number, name, cell) for name, cell in zip(columns, cells, strict=True)]
    clean = NUL.join(_disarmed(cell).replace(NUL, "")[:MAX_CELL] for cell in cells)
    return Row(number, columns, clean), [fault for fault in found if fault]


def _disarmed(cell: str) -> str:
    """Without the apostrophe that our exports, and spreadsheets, write before a text that would run as a formula."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


def _bad_cell(number: int, column: str, cell: str) -> BadTable | None:
    if "\x00" in cell:
        return BadTable("含空字符(NUL)", "holds a NUL character", "请删除", "remove it", row=number, column=column)
    if len(cell) > MAX_CELL:
        return BadTable(
            f"单元格超过{MAX_CELL}个字符", f"longer than {MAX_CELL} characters", "请缩短", "shorten it",
            row=number, column=column,
        )  # fmt: skip
    if FORMULA.match(cell.lstrip()):
        return BadTable(
            f"像公式:{cell.strip()[:30]}", f"looks like a formula: {cell.strip()[:30]}",
            "请改为数值或文字(粘贴为值)", "paste it as a value", row=number, column=column,
        )  # fmt: skip
    return None
