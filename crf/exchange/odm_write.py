"""CDISC ODM out: `write_metadata` for a definition, `OdmDataWriter` for a study with its records."""

from __future__ import annotations

from crf.definitions.model import StudyDefinition

from .odm_data_write import SPACE, OdmDataWriter
from .odm_metadata import Metadata13
from .odm_metadata2 import Metadata20
from .odm_notes import OdmNote, OdmSignature
from .xml_text import attributes

VERSIONS = ("1.3.2", "1.3.1", "2.0")
SPACE_2 = "http://www.cdisc.org/ns/odm/v2.0"
__all__ = ["VERSIONS", "OdmDataWriter", "OdmNote", "OdmSignature", "write_metadata"]
EPOCH = "2000-01-01T00:00:00+00:00"


def write_metadata(
    study: StudyDefinition, *, version: str = "1.3.2", created: str = EPOCH, file_oid: str = ""
) -> bytes:
    """The definition as an ODM file. The same definition and `created` (ISO date and time) give the same bytes."""
    if version not in VERSIONS:
        raise ValueError(f"ODM {version} is not written; there are {', '.join(VERSIONS)}")
    two = version == "2.0"
    head = attributes({
        "xmlns": SPACE_2 if two else SPACE, "ODMVersion": version, "FileType": "Snapshot", "Granularity": "Metadata",
        "FileOID": file_oid or f"{study.code}.{study.version}", "CreationDateTime": created, "SourceSystem": "Lobule",
    })  # fmt: skip
    metadata = Metadata20(study) if two else Metadata13(study)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ODM{head}>\n{metadata.study_element()}\n</ODM>\n'.encode()
