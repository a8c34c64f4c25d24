"""The formats in which studies come and go, by name: one door for the commands and the build page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crf.definitions.model import StudyDefinition

from .loss import Imported, Loss, refused
from .odm_read import read_odm
from .odm_write import write_metadata
from .redcap_dictionary import read_dictionary
from .redcap_project import read_project
from .redcap_write import write_dictionary
from .yaml_folder import write_yaml

FORMATS = ("yaml", "odm", "redcap", "xlsform")
REDCAP_MARK = b"projectredcap.org"


@dataclass(frozen=True)
class Exported:
    """A study as files of another format, by name, and what of it they do not say."""

    files: dict[str, bytes]
    losses: tuple[Loss, ...] = ()


def format_of(content: bytes, file: str) -> str:
    """What a file most likely is, by its name and beginning; "" where it is none of the formats."""
    name = file.lower()
    if name.endswith((".xls", ".xlsx", ".xlsm")):
        return "xlsform"
    if name.endswith(".csv"):
        return "redcap"
    if content[:1000].lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<", b"\xff\xfe<", b"\xfe\xff\x00<")):
        return "redcap" if REDCAP_MARK in content[:20_000] else "odm"
    return ""


def read_study(content: bytes, *, format: str = "", code: str = "", file: str = "") -> Imported:
    """One file of another format as a definition that passes every check, with the list of its losses.

    `code` is the study's code here ("": from the file). Raises DefinitionErrors: one, naming file, line and remedy,
    for a file that cannot be trusted or is something else.
    """
    chosen = format or format_of(content, file)
    if chosen == "redcap":
        xml = format_of(content, "") in ("odm", "redcap")
        read: Callable[..., Imported] = read_project if xml else read_dictionary
        return read(content, file=file or "REDCap", code=code)
    if chosen == "xlsform":
        from .xlsform import read_xlsform  # pyxform takes a second to load, which only this format pays

        return read_xlsform(content, file=file or "XLSForm", code=code)
    if chosen == "odm":
        return read_odm(content, file=file or "ODM", code=code)
    raise refused(
        file, 1, "", "不认识的文件格式", "the format of this file is not known",
        "指定 --format odm、redcap 或 xlsform", "say --format odm, redcap or xlsform",
    )  # fmt: skip


def write_study(
    study: StudyDefinition, *, format: str, created: str, language: str = "en", odm: str = "1.3.2"
) -> Exported:
    """The definition in another format; `created` is an ISO date and time, `language` that of formats with only one.

    `odm` is the version of ODM: 1.3.1, 1.3.2 or 2.0.
    """
    name = f"{study.code}_{study.version}"
    if format == "yaml":
        return Exported(write_yaml(study))
    if format == "odm":
        return Exported({f"{name}.xml": write_metadata(study, version=odm, created=created)})
    if format == "redcap":
        dictionary = write_dictionary(study, language=language)
        return Exported({f"{name}.csv": dictionary.content}, dictionary.losses)
    from .xlsform_write import write_xlsform

    form = write_xlsform(study, language=language)
    return Exported({f"{name}.xlsx": form.content}, form.losses)
