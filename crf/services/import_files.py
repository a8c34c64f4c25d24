"""The bytes of an uploaded file, sealed outside the web root; and the file of what was refused, to be corrected."""

from __future__ import annotations

import base64
import csv
import hmac
import io
import os
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator

import xlsxwriter
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from crf.definitions.incoming import PROBLEM_COLUMN, ROW_COLUMN
from crf.definitions.tables import FORMULA, Table

NONCE = 12
SEALED = "sealed:"  # before a sealed text


class Gone(Exception):
    """The file is no longer kept: it must be uploaded again."""


def put(content: bytes) -> str:
    """Store the bytes encrypted (AES-256-GCM); the key under which they are found."""
    name = uuid.uuid4().hex
    nonce = os.urandom(NONCE)
    sealed = nonce + AESGCM(_keys()[0]).encrypt(nonce, content, name.encode())
    return str(default_storage.save(f"imports/{name}", ContentFile(sealed)))


def get(key: str) -> bytes:
    """The bytes. Raises Gone where they are not kept any more, or cannot be opened."""
    try:
        with default_storage.open(key) as file:
            sealed = file.read()
    except (FileNotFoundError, ValueError) as error:
        raise Gone(key) from error
    for one in _keys():
        try:
            return AESGCM(one).decrypt(sealed[:NONCE], sealed[NONCE:], key.rpartition("/")[2].encode())
        except InvalidTag:
            continue
    raise Gone(key)


def delete(key: str) -> None:
    if key:
        default_storage.delete(key)


def seal(text: str) -> str:
    """A text of the file as the database keeps it: sealed like the file, since it may name a person."""
    nonce = os.urandom(NONCE)
    return SEALED + base64.b64encode(nonce + AESGCM(_keys()[0]).encrypt(nonce, text.encode(), None)).decode()


def unseal(text: str) -> str:
    """A text that `seal` sealed; any other as it is. Raises Gone where no key opens it."""
    if not text.startswith(SEALED):
        return text
    sealed = base64.b64decode(text.removeprefix(SEALED))
    for one in _keys():
        try:
            return AESGCM(one).decrypt(sealed[:NONCE], sealed[NONCE:], None).decode()
        except InvalidTag:
            continue
    raise Gone(text)


def _keys() -> list[bytes]:
    return [hmac.digest(bytes.fromhex(key), b"lobule import file", "sha256") for key in settings.IDENTITY_KEYS]


def refused_as_csv(header: list[str], rows: Iterable[list[str]]) -> bytes:
    """CSV with a byte order mark, so that spreadsheets read its Chinese; nothing in it runs as a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([disarmed(cell) for cell in row] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def refused_as_xlsx(header: list[str], rows: Iterable[list[str]]) -> bytes:
    """The same as a workbook of plain text cells."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"constant_memory": True, "strings_to_formulas": False}) as workbook:
        sheet = workbook.add_worksheet()
        for at, row in enumerate([header, *rows]):
            for column, cell in enumerate(row):
                sheet.write_string(at, column, cell)
    return out.getvalue()


def refused_rows(table: Table, problems: dict[int, str]) -> tuple[list[str], Iterator[list[str]]]:
    """The rows of a table that were refused, as they were sent, with their place and what is wrong with each."""
    own = [at for at, name in enumerate(table.columns) if name not in (PROBLEM_COLUMN, ROW_COLUMN)]
    header = [*(table.columns[at] for at in own), ROW_COLUMN, PROBLEM_COLUMN]
    texts = {row.number: row.texts for row in table.rows if row.number in problems}

    def rows() -> Iterator[list[str]]:
        for number in sorted(problems):
            cells = texts.get(number, [""] * len(table.columns))
            yield [*(cells[at] for at in own), str(number), problems[number]]

    return header, rows()


def refused_as_xml(content: bytes, rows: Collection[int]) -> bytes:
    """The file with those subjects only about whom a line is refused; every line keeps its number."""
    kept: list[bytes] = []
    told, at, line = sorted(rows), 0, 1
    for start, end in _subjects(content):
        first = line + content.count(b"\n", at, start)
        breaks = content.count(b"\n", start, end)
        line = first + breaks
        is_refused = bisect_left(told, first) < bisect_right(told, line)
        kept += [content[at:start], content[start:end] if is_refused else b"\n" * breaks]
        at = end
    return b"".join([*kept, content[at:]])


def _subjects(content: bytes) -> Iterator[tuple[int, int]]:
    """Where each SubjectData begins and ends; what is not closed is none."""
    start = content.find(b"<SubjectData")
    while start >= 0:
        end = content.find(b">", start)
        if content[end - 1 : end] != b"/":
            end = content.find(b">", max(content.find(b"</SubjectData", start), 0))
        if end < start:
            return
        yield start, end + 1
        start = content.find(b"<SubjectData", end)


def disarmed(cell: str) -> str:
    """A text that a spreadsheet would run, with an apostrophe before it; `read_table` takes it off again."""
    return f"'{cell}" if FORMULA.match(cell.lstrip()) else cell
