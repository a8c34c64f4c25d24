"""Files of a zip, one by one and in memory; what tries to leave the archive or to swell is refused by name."""

import stat
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

from crf.definitions.zips import BAD_ZIP
from imaging.dicom.guard import MAX_BYTES
from imaging.dicom.reasons import Refused

MAX_TOTAL = 8 * 2**30
MAX_MEMBERS = 100_000
MAX_RATIO = 200  # DICOM hardly compresses tenfold; a bomb does a thousandfold
RATIO_FROM = 2**20
MAGIC = b"PK\x03\x04"


def is_zip(source: bytes | Path) -> bool:
    if isinstance(source, bytes):
        return source[:4] == MAGIC
    try:
        with source.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:  # whoever reads it as a file will say why
        return False


def members(source: bytes | Path, *, max_total: int = MAX_TOTAL) -> Iterator[tuple[str, bytes | Refused]]:
    """(name, content) of every file, or (name, why it is refused). Raises Refused where the archive is no good."""
    try:
        archive = zipfile.ZipFile(source if isinstance(source, Path) else BytesIO(source))
    except BAD_ZIP as problem:
        raise Refused("archive_unreadable", error=type(problem).__name__) from problem
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > MAX_MEMBERS or sum(entry.file_size for entry in entries) > max_total:
            raise Refused("archive_bomb", limit=max_total)
        for entry in entries:
            yield entry.filename, _content(archive, entry, max_total)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes | Refused:
    if _is_unsafe(entry):
        return Refused("archive_path")
    if entry.file_size > RATIO_FROM and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        return Refused("archive_bomb", limit=limit)
    if entry.file_size > MAX_BYTES:
        return Refused("too_large", size=entry.file_size, limit=MAX_BYTES)
    try:
        with archive.open(entry) as file:
            # The stated size may lie; reading stops one byte after it.
            content = file.read(entry.file_size + 1)
    except BAD_ZIP as problem:
        return Refused("archive_unreadable", error=type(problem).__name__)
    return content if len(content) <= entry.file_size else Refused("archive_bomb", limit=limit)


def _is_unsafe(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename.replace("\\", "/")
    path = PurePosixPath(name)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    return link or path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0] or "\0" in name
