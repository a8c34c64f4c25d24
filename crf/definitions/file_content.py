"""What an uploaded file really is: its bytes decide, its name and the browser's word do not.

Refused: another type than its name says, types that a browser would run (HTML, SVG), PDFs with scripts, launch actions
or embedded files, and bytes after the end of an image, where a second file could hide. Archives are never unpacked.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import IO

import filetype

from .model import FileRule
from .values import BadValue

HEAD = 8192
TAIL = 65536
MOST_INFLATED = 64 * 2**20  # of all streams of a PDF together, and 8 MiB of each
TYPES = {
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "dcm": "application/dicom",
    "csv": "text/csv",
    "txt": "text/plain",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}
TEXT = ("csv", "txt")
ACTIVE_MARKUP = re.compile(rb"<\s*(!doctype\s+html|html|head|body|script|svg|iframe|\?xml-stylesheet)", re.IGNORECASE)
ACTIVE_PDF = re.compile(rb"/(JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|XFA|SubmitForm|ImportData)(?![A-Za-z])")
PDF_STREAM = re.compile(rb"stream\r?\n")
NAME_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")


def extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def checked_type(name: str, size: int, content: IO[bytes], rule: FileRule) -> str:
    """The MIME type of a file that the rule takes. Raises BadValue, which says what was expected."""
    kind, taken = extension(name), [one.lower() for one in rule.types]
    if kind not in taken or kind not in TYPES:
        listed = ", ".join(taken)
        raise BadValue(f"“{name[:80]}”的类型不可上传;可用:{listed}", f"{name[:80]!r} is no {listed} file")
    if size > rule.max_mb * 2**20:
        raise BadValue(
            f"文件不超过 {rule.max_mb} MB,现为 {size / 2**20:.1f} MB",
            f"at most {rule.max_mb} MB, not {size / 2**20:.1f} MB",
        )
    if size == 0:
        raise BadValue("文件是空的", "the file is empty")
    content.seek(0)
    head = content.read(HEAD)
    if not _begins_as(kind, head):
        raise BadValue(
            f"“{name[:80]}”的内容不是 {kind} 文件;请用原软件重新导出",
            f"{name[:80]!r} does not hold a {kind} file; export it again from the program it came from",
        )
    if not (kind in TEXT or kind == "dcm"):
        _refuse_markup(name, head)
    _refuse_hidden(name, kind, content, size)
    return TYPES[kind]


def _begins_as(kind: str, head: bytes) -> bool:
    if kind in TEXT:
        return _is_text(head) and not ACTIVE_MARKUP.search(head)
    if kind == "dcm":
        # PS3.10: a preamble of 128 bytes that may hold another file's head, then DICM.
        return head[128:132] == b"DICM" and filetype.guess_mime(head[:128]) is None
    if kind == "pdf":
        return head.startswith(b"%PDF-")
    if kind in ("docx", "xlsx", "zip"):
        return head.startswith(b"PK\x03\x04")
    return filetype.guess_mime(head) == TYPES[kind]


def _is_text(head: bytes) -> bool:
    if any(byte < 9 or 13 < byte < 32 for byte in head):
        return False
    for encoding in ("utf-8", "gb18030"):
        try:
            # The head may end inside a character.
            head[: HEAD - 4].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < min(len(head), HEAD - 4) - 4:
                continue
        return True
    return False


def _refuse_markup(name: str, head: bytes) -> None:
    if ACTIVE_MARKUP.search(head[:1024]):
        raise BadValue(f"“{name[:80]}”中夹带网页代码,未接收", f"{name[:80]!r} carries markup that a browser would run")


def _refuse_hidden(name: str, kind: str, content: IO[bytes], size: int) -> None:
    """Scripts in a PDF; bytes after an image's end."""
    if kind == "pdf":
        content.seek(0)
        if any(ACTIVE_PDF.search(part) for part in _pdf_parts(content.read())):
            raise BadValue(
                f"“{name[:80]}”含脚本、表单动作或内嵌文件;请另存为普通 PDF(打印为 PDF)后再上传",
                f"{name[:80]!r} holds scripts, actions or embedded files; print it to a plain PDF and upload that",
            )
        return
    content.seek(max(0, size - TAIL))
    tail = content.read().rstrip(b"\0")
    ends = {"png": b"IEND\xaeB`\x82", "jpg": b"\xff\xd9", "jpeg": b"\xff\xd9"}
    if kind in ends and not tail.endswith(ends[kind]):
        raise BadValue(
            f"“{name[:80]}”不完整,或图像之后还有其他内容",
            f"{name[:80]!r} is cut short, or something follows the image",
        )


def _pdf_parts(content: bytes) -> Iterator[bytes]:
    """The PDF as it stands with its name escapes read, then its compressed streams, within bounds."""
    yield NAME_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), content)
    left = MOST_INFLATED
    for stream in _streams(content):
        try:
            part = zlib.decompressobj().decompress(stream, min(left, 8 * 2**20))
        except zlib.error:
            continue
        yield NAME_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), part)
        left -= len(part)
        if left <= 0:
            return


def _streams(content: bytes) -> Iterator[bytes]:
    """What stands between `stream` and `endstream`, as far as each has an end."""
    end = 0
    while match := PDF_STREAM.search(content, end):
        end = content.find(b"endstream", match.end())
        if end < 0:
            return
        yield content[match.end() : end]
        end += len(b"endstream")
