"""A study folder in one zip: written the same each time, read with suspicion."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from crf.definitions.errors import DefinitionErrors
from crf.definitions.load import CODELISTS, FORMS, STUDY, load_study
from crf.definitions.model import StudyDefinition
from crf.definitions.zips import BAD_ZIP

from .loss import refused
from .yaml_folder import write_yaml

MOST_FILES = 2_000
MOST_BYTES = 60_000_000  # of all files together, unpacked
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
ENCRYPTED = 0x1


def write_zip(study: StudyDefinition) -> bytes:
    """The folder that `load_study` reads, zipped; equal definitions give equal bytes."""
    return zipped(write_yaml(study))


def zipped(files: dict[str, bytes]) -> bytes:
    """Files by name in one zip; equal files give equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def is_zip(content: bytes) -> bool:
    return content[:4] == b"PK\x03\x04"


def holds_folder(content: bytes) -> bool:
    """Whether a zip has a study folder in it; workbooks are zips too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(PurePosixPath(name).name == STUDY for name in archive.namelist())
    except BAD_ZIP:
        return False


def read_zip(content: bytes, *, file: str) -> StudyDefinition:
    """The study in a zip of its folder, or of a folder that holds it. Raises DefinitionErrors.

    Nothing outside a temporary folder is written, whatever names the zip has; a zip that unfolds to more than a study
    can be is refused before it is unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="study-") as folder:
        root = Path(folder)
        for name, text in _members(content, file).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        return load_study(root)


def _members(content: bytes, file: str) -> dict[str, bytes]:
    """study.yaml, codelists.yaml and forms/*.yaml by these names; everything else in the zip is left where it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _unpacked(archive, file)
    except DefinitionErrors:
        raise
    except BAD_ZIP as error:
        raise refused(
            file, 1, "", f"无法读取压缩包:{error}", f"the zip cannot be read: {error}",
            "重新压缩研究文件夹后上传", "zip the study folder again and upload it",
        ) from error  # fmt: skip


def _unpacked(archive: zipfile.ZipFile, file: str) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise _too_large(file)
    roots = [PurePosixPath(entry.filename).parent for entry in entries if PurePosixPath(entry.filename).name == STUDY]
    if len(roots) != 1:
        raise refused(
            file, 1, "", f"压缩包中应有一个 {STUDY},现有 {len(roots)} 个",
            f"the zip should hold one {STUDY}, not {len(roots)}",
            f"压缩含 {STUDY}、{CODELISTS} 和 {FORMS}/ 的文件夹",
            f"zip the folder with {STUDY}, {CODELISTS} and {FORMS}/",
        )  # fmt: skip
    wanted: dict[str, bytes] = {}
    left = MOST_BYTES
    for entry in entries:
        name = _name(PurePosixPath(entry.filename), roots[0])
        if not name:
            continue
        if entry.flag_bits & ENCRYPTED:
            raise zipfile.BadZipFile(f"{name} is encrypted")
        with archive.open(entry) as stream:  # sizes in the directory may lie
            wanted[name] = stream.read(left + 1)
        left -= len(wanted[name])
        if left < 0:
            raise _too_large(file)
    return wanted


def _name(path: PurePosixPath, root: PurePosixPath) -> str:
    """The name of one of a study's files inside its folder; "" for any other, whatever way it points."""
    if path.parent == root and path.name in (STUDY, CODELISTS):
        return path.name
    if path.parent == root / FORMS and path.suffix in (".yaml", ".yml") and "\\" not in path.name:
        return f"{FORMS}/{path.name}"
    return ""


def _too_large(file: str) -> Exception:
    most = MOST_BYTES // 1_000_000
    return refused(
        file, 1, "", f"压缩包解开后超过 {most} MB 或 {MOST_FILES} 个文件",
        f"the zip unpacks to more than {most} MB or {MOST_FILES} files",
        "只压缩研究文件夹", "zip the study folder only",
    )  # fmt: skip
