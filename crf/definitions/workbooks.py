"""An XLSX workbook as a table of text: guarded before it is opened, one sheet, values and never formulas."""

from __future__ import annotations

import datetime as dt
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

from .tables import BadTable, Table, as_table, refuse_size
from .zips import BAD_ZIP

MOST_ENTRIES = 2_000
MOST_INFLATED = 600_000_000  # a sheet of 1,048,576 rows of 10 numbers
MOST_RATIO = 250  # real sheets shrink by 5 to 60; deflate ends at 1,032
MOST_ROWS = 1_048_576
MOST_CELLS = 12_000_000  # from A1 to the last cell used: the reader keeps a place for each, filled or not
MOST_CONTENTS = 5_000_000  # of a table of sheets
PLACE = re.compile(rb"""\br\s{0,9}=\s{0,9}["']([A-Za-z]{0,9})(\d{1,20})["']""")
ROW = re.compile(rb"<(?:\w{1,20}:)?row\b")
CHUNK = 1 << 20
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ERROR_CELL = re.compile(
    rb"""<(?:\w{1,20}:)?c\s(?=[^<>]{0,150}?\bt=["']e["'])[^<>]{0,150}?\br=["']([A-Z]{1,3})(\d{1,7})["']"""
)


def is_workbook(content: bytes) -> bool:
    """Whether the bytes begin like an Excel file of any age."""
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06", OLD_EXCEL))


def sheet_names(content: bytes) -> list[str]:
    """The visible sheets that hold anything. Raises BadTable for what is no workbook, or a hostile one."""
    refuse_unsafe(content)
    return _names(_opened(content))


def read_sheet(content: bytes, sheet: str = "") -> Table:
    """The rows of one sheet, as text that the items' rules read; without `sheet`, the only one or the first.

    Cached values of formulas count as values; merged cells and Excel's errors are faults with their place.
    """
    refuse_unsafe(content)
    workbook = _opened(content)
    names = _names(workbook)
    if sheet and sheet not in names:
        known = ", ".join(names)
        raise BadTable(f"没有工作表“{sheet}”", f"there is no sheet {sheet!r}", f"可用:{known}", f"there are: {known}")
    name = sheet or names[0]
    page = workbook.get_sheet_by_name(name)
    if page.total_height > MOST_ROWS:
        raise BadTable("行数过多", "has too many rows", "请拆分文件", "split it")
    table = as_table(_skipped_nothing(page), "xlsx")
    table.faults.extend(_merged(page, table))
    table.faults.extend(_errors(content, workbook.sheet_names.index(name), page, table))
    return table


def refuse_unsafe(content: bytes) -> None:
    """Refuse what only looks like a workbook, and one that would not fit into memory once inflated."""
    refuse_size(content)
    if content.startswith(OLD_EXCEL):
        raise BadTable(
            "旧版 XLS 或加密的工作簿", "an old XLS or a workbook with a password",
            "请另存为不加密的 XLSX 或 CSV UTF-8", "save it as XLSX without a password, or as CSV UTF-8",
        )  # fmt: skip
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
    except BAD_ZIP as error:
        raise _damaged() from error
    if "xl/workbook.xml" not in archive.namelist():
        raise BadTable(
            "压缩文件中没有 Excel 工作簿", "a zip without an Excel workbook", "请上传 XLSX 或 CSV", "upload XLSX or CSV"
        )
    if len(entries) > MOST_ENTRIES or sum(entry.compress_size for entry in entries) > len(content):
        raise _bomb()
    left = MOST_INFLATED
    for entry in entries:
        left -= _inflated(content, entry, left)


def _inflated(content: bytes, entry: zipfile.ZipInfo, limit: int) -> int:
    """How large an entry really is, whatever it says; the bytes are looked at and dropped."""
    size, rows, columns, rest, width = 0, 0, 0, b"", -1
    for chunk in _chunks(content, entry):
        for letters, digits in PLACE.findall(rest + chunk):
            rows = max(rows, int(digits))
            columns = max(columns, _column_number(letters.decode().upper()) + 1)
        for at, piece in enumerate(ROW.split(chunk)):  # cells may stand in a row without saying where
            width = 0 if at else width
            if width >= 0:
                width += piece.count(b"<c") + piece.count(b":c")
                columns = max(columns, width)
        rest = chunk[-60:]
        if (rows > MOST_ROWS and width >= 0) or rows * columns > MOST_CELLS:
            raise _bomb()
        if size == 0 and (b"<!DOCTYPE" in chunk[:4096] or b"<!ENTITY" in chunk[:4096]):
            raise BadTable(
                "工作簿中有 XML 实体声明", "its XML declares entities", "请重新另存为 XLSX", "save it again as XLSX"
            )
        size += len(chunk)
        if size > limit or (size > 10 * CHUNK and size > MOST_RATIO * entry.compress_size):
            raise _bomb()
    return size


def _chunks(content: bytes, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    if entry.flag_bits & 1:
        raise BadTable("工作簿有密码", "the workbook has a password", "请去掉密码", "save it without a password")
    at = entry.header_offset
    try:
        fields = LOCAL_HEADER.unpack_from(content, at)
    except struct.error as error:
        raise _damaged() from error
    start = at + LOCAL_HEADER.size + fields[9] + fields[10]
    packed = content[start : start + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_STORED:
        yield packed
        return
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise _damaged()
    inflater = zlib.decompressobj(-15)
    try:
        while packed and not inflater.eof:
            yield inflater.decompress(packed, CHUNK)
            packed = inflater.unconsumed_tail
    except zlib.error as error:
        raise _damaged() from error
    if not inflater.eof:
        raise _damaged()


def _bomb() -> BadTable:
    return BadTable(
        "解压后过大(压缩炸弹?)", "too large once unpacked (a zip bomb?)", "请另存为 CSV UTF-8", "save it as CSV UTF-8"
    )


def _damaged() -> BadTable:
    return BadTable(
        "工作簿损坏或不完整", "the workbook is damaged or cut off", "请重新另存为 XLSX", "save it again as XLSX"
    )


def _opened(content: bytes) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except (CalamineError, ValueError, OSError) as error:
        raise _damaged() from error


def _names(workbook: CalamineWorkbook) -> list[str]:
    visible = [one.name for one in workbook.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
    try:
        filled = [name for name in visible if workbook.get_sheet_by_name(name).total_height]
    except (CalamineError, ValueError) as error:
        raise _damaged() from error
    if not filled:
        raise BadTable("工作簿中没有数据", "the workbook holds no data", "第一行应为列名", "name the columns in row 1")
    return filled


def _skipped_nothing(page: CalamineSheet) -> Iterator[list[str]]:
    """Every row from the sheet's first one, so that a row's number is the spreadsheet's."""
    return ([_text(cell) for cell in row] for row in page.iter_rows())


def _text(cell: Any) -> str:
    """A cell as somebody would type it: numbers without exponent and with Excel's 15 digits, dates as ISO 8601."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, int | float):
        return format(Decimal(f"{cell:.15g}"), "f")
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == dt.time() else cell.strftime("%Y-%m-%d %H:%M")
    if isinstance(cell, dt.date):
        return cell.isoformat()
    if isinstance(cell, dt.time):
        return cell.strftime("%H:%M")
    if isinstance(cell, dt.timedelta):
        minutes = round(cell.total_seconds() / 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return "" if cell is None else str(cell)


def _merged(page: CalamineSheet, table: Table) -> Iterator[BadTable]:
    left = (page.start or (0, 0))[1]
    for (top, first), _ in page.merged_cell_ranges or []:
        column = table.columns[first - left] if 0 <= first - left < len(table.columns) else ""
        yield BadTable(
            "合并的单元格", "merged cells", "请取消合并,每格填值", "unmerge them and fill every cell",
            row=top + 1, column=column,
        )  # fmt: skip


def _errors(content: bytes, index: int, page: CalamineSheet, table: Table) -> Iterator[BadTable]:
    """Cells such as #DIV/0!, which the reader gives as empty: an answer lost in silence."""
    part = _part(zipfile.ZipFile(io.BytesIO(content)), index)
    if part is None:
        return
    left = (page.start or (0, 0))[1]
    rest = b""
    for chunk in _chunks(content, part):
        rest, seen = rest + chunk, 0
        for found in ERROR_CELL.finditer(rest):
            seen = found.end()
            column = _column_number(found[1].decode()) - left
            name = table.columns[column] if 0 <= column < len(table.columns) else found[1].decode()
            yield BadTable(
                "单元格是 Excel 错误值(如 #DIV/0!)", "an error of Excel, such as #DIV/0!", "请改为数值或清空",
                "write a value or empty it", row=int(found[2]), column=name,
            )  # fmt: skip
        rest = rest[max(seen, len(rest) - 400) :]


def _part(archive: zipfile.ZipFile, index: int) -> zipfile.ZipInfo | None:
    """The entry that holds the sheet of this place among the workbook's: by its own tables, for names say nothing."""
    try:
        sheets = fromstring(_contents(archive, "xl/workbook.xml")).findall(".//{*}sheet")
        links = fromstring(_contents(archive, "xl/_rels/workbook.xml.rels"))
        wanted = next(value for key, value in sheets[index].attrib.items() if key.endswith("}id"))
        target = next(link.get("Target", "") for link in links if link.get("Id") == wanted)
        return archive.getinfo(target.removeprefix("/") if target.startswith("/") else f"xl/{target}")
    except (StopIteration, LookupError):
        return None
    except (ParseError, *BAD_ZIP) as error:
        raise _damaged() from error


def _contents(archive: zipfile.ZipFile, name: str) -> bytes:
    """A table of contents, which is small."""
    with archive.open(name) as stream:
        content = stream.read(MOST_CONTENTS + 1)
    if len(content) > MOST_CONTENTS:
        raise _bomb()
    return content


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
