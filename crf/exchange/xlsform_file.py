"""An XLSForm workbook as pyxform reads it, after the guards: size, zip bombs, DTDs, formulas, cells without end."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from python_calamine import CalamineWorkbook
from pyxform.errors import PyXFormError
from pyxform.xls2json import workbook_to_json
from pyxform.xls2json_backends import DefinitionData, get_xlsform

from crf.definitions.errors import DefinitionErrors
from crf.definitions.model import UNWRITABLE
from crf.definitions.tables import BadTable
from crf.definitions.workbooks import refuse_unsafe
from crf.definitions.zips import BAD_ZIP

from .loss import Loss, refused

MAX_BYTES = 20_000_000
MAX_UNPACKED = 200_000_000
MAX_PARTS = 2_000
MAX_ROWS = 20_000
MAX_CELL = 32_767  # what a cell of a spreadsheet can hold
XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
XLSX = b"PK\x03\x04"
TEXTS = re.compile(r"(label|hint|guidance_hint|constraint[ _]message|form_title|title)\b", re.IGNORECASE)
KEEP = {ord(quote): chr(0xE100 + at) for at, quote in enumerate("“”‘’")}
GIVE_BACK = {ord(hidden): chr(quote) for quote, hidden in KEEP.items()}
FORMULA = re.compile(
    rb'<(?:\w{1,20}:)?c\b[^<>]{0,200}\br="([A-Z]{1,3}\d{1,7})"[^<>]{0,200}>\s{0,20}<(?:\w{1,20}:)?f[\s>/]'
)


def open_xlsform(content: bytes, file: str) -> tuple[dict[str, Any], list[Loss]]:
    """The form as pyxform's tree of questions. Raises DefinitionErrors with the row where there is one."""
    _guard(content, file)
    losses: list[Loss] = []
    try:
        data = get_xlsform(content)
        _check_cells(data, file)
        _check_whole(content, data, file)
        losses += _name_groups(data)
        _exchange_quotes(data, KEEP)
        warnings: list[str] = []
        tree: dict[str, Any] = _restored(workbook_to_json(data, fallback_form_name=_stem(file), warnings=warnings))
    except DefinitionErrors:
        raise
    except PyXFormError as error:
        raise _pyxform_says(str(error), file) from error
    except Exception as error:  # a broken workbook fails anywhere inside the readers of Excel files
        raise refused(
            file,
            1,
            "",
            f"无法读取该工作簿({type(error).__name__})",
            f"the workbook cannot be read ({type(error).__name__})",
            "用 Excel 打开并另存为 .xlsx",
            "open it in Excel and save it as .xlsx",
        ) from error
    losses += [Loss("changed", "pyxform", "", text, "pyxform 的提示", "a remark of pyxform") for text in warnings]
    return tree, losses


def _stem(file: str) -> str:
    return re.sub(r"\W+", "_", file.rpartition("/")[2].rpartition(".")[0]) or "data"


def _guard(content: bytes, file: str) -> None:
    if len(content) > MAX_BYTES:
        raise refused(file, 1, "", "文件超过20 MB", "larger than 20 MB", "删除图片等附件", "remove pictures from it")
    if content.startswith(XLSX):
        _guard_zip(content, file)
    elif not content.startswith(XLS):
        raise refused(
            file, 1, "", "不是 Excel 工作簿", "this is not an Excel workbook",
            "XLSForm 应为 .xlsx 或 .xls 文件", "an XLSForm is an .xlsx or .xls file",
        )  # fmt: skip


def _guard_zip(content: bytes, file: str) -> None:
    """What the archive claims is added up before anything of it is unpacked; zipfile holds each part to its claim."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
                raise refused(
                    file, 1, "", "解压后过大(疑似压缩炸弹)", "too large when unpacked; it looks like a zip bomb",
                    "另存为新的工作簿", "save it as a new workbook",
                )  # fmt: skip
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    _guard_part(archive.read(part), part.filename, file)
    except DefinitionErrors:
        raise
    except BAD_ZIP as error:
        raise refused(
            file,
            1,
            "",
            "工作簿损坏或不完整",
            "the workbook is damaged or not whole",
            "重新保存或下载",
            "save it again",
        ) from error


def _guard_part(xml: bytes, name: str, file: str) -> None:
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise refused(
            file, 1, name, "工作簿内的 XML 含 DTD 或实体", "the workbook's XML holds a DTD or entities",
            "另存为新的工作簿", "save it as a new workbook",
        )  # fmt: skip
    formula = FORMULA.search(xml) if "worksheets/" in name else None
    if formula:
        cell = formula[1].decode()
        raise refused(
            file, int(re.sub(r"\D", "", cell)), cell, f"单元格 {cell} 是公式", f"the cell {cell} is a formula",
            "粘贴为值", "paste it as a value",
        )  # fmt: skip


def _check_cells(data: DefinitionData, file: str) -> None:
    for sheet in ("survey", "choices", "settings"):
        rows = getattr(data, sheet) or ()
        if len(rows) > MAX_ROWS:
            raise refused(file, MAX_ROWS, sheet, f"{sheet} 超过{MAX_ROWS}行", f"{sheet} has more than {MAX_ROWS} rows",
                          "拆成几个表单", "split the form")  # fmt: skip
        for number, row in enumerate(rows, start=2):
            for column, cell in row.items():
                if isinstance(cell, str) and UNWRITABLE.search(cell):
                    raise refused(
                        file, number, f"{sheet}.{column}", "含控制字符", "a cell with a control character",
                        "请删除", "remove it",
                    )  # fmt: skip
                if isinstance(cell, str) and len(cell) > MAX_CELL:
                    raise refused(
                        file, number, f"{sheet}.{column}", f"单元格超过{MAX_CELL}个字符",
                        f"a cell of more than {MAX_CELL} characters", "请缩短", "shorten it",
                    )  # fmt: skip


def _check_whole(content: bytes, data: DefinitionData, file: str) -> None:
    """Refuse rows that pyxform does not see: those below sixty empty ones, or beyond the size that a sheet claims."""
    if content.startswith(XLSX):
        try:
            refuse_unsafe(content)
        except BadTable as bad:
            raise refused(file, 1, "", bad.zh, bad.en, bad.remedy_zh, bad.remedy_en) from bad
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    for name in book.sheet_names:
        sheet = name.strip().lower()
        if sheet not in ("survey", "choices"):
            continue
        rows = [[str(cell).strip() for cell in row] for row in book.get_sheet_by_name(name).iter_rows()]
        named = [at for at, cell in enumerate(rows[0]) if cell] if rows else []
        last = max((number for number, row in enumerate(rows, start=1) if any(row[at] for at in named)), default=1)
        if last > len(getattr(data, sheet) or ()) + 1:
            raise refused(
                file, last, sheet, "该行之前有过多空行,不会被读取", "the row is below too many empty rows to be read",
                "删除空行并重新保存", "remove the empty rows and save it again",
            )  # fmt: skip


def _name_groups(data: DefinitionData) -> list[Loss]:
    """Give a group that has no name one, which pyxform would refuse; its questions are not the worse for it."""
    losses: list[Loss] = []
    for number, row in enumerate(data.survey or (), start=2):
        if re.fullmatch(r"begin[ _](group|repeat)", str(row.get("type", "")).strip()) and not row.get("name"):
            row["name"] = f"group_{number}"
            zh, en = "该组没有名称", "the group has no name"
            losses.append(Loss("assumed", "group", row["name"], "", zh, en, number))
    return losses


def _exchange_quotes(data: DefinitionData, table: dict[int, str]) -> None:
    """Hide the typographic quotes of texts from pyxform, which makes them straight, as expressions need them."""
    for sheet in ("survey", "choices", "settings"):
        for row in getattr(data, sheet) or ():
            for column, cell in row.items():
                if isinstance(cell, str) and TEXTS.match(column):
                    row[column] = cell.translate(table)


def _restored(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(GIVE_BACK)
    if isinstance(value, dict):
        return {key: _restored(inner) for key, inner in value.items()}
    return [_restored(inner) for inner in value] if isinstance(value, list) else value


def _pyxform_says(message: str, file: str) -> DefinitionErrors:
    row = re.search(r"\[row : (\d+)\]\s*", message)
    text = " ".join(message.replace(row[0] if row else "", "").split())[:300] or "not an XLSForm"
    return refused(
        file, int(row[1]) if row else 1, "", f"XLSForm 有误:{text}", f"the XLSForm is not valid: {text}",
        "按 xlsform.org 改正该行", "correct the row as xlsform.org says",
    )  # fmt: skip
