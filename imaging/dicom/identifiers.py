"""What names this patient in this object, and whether any of it is still in the bytes that will be stored."""

import contextlib
import re
from collections.abc import Iterator
from io import BytesIO

import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

from imaging.dicom.elements import leaves
from imaging.dicom.reasons import Refused

# Beside every PN, wherever it stands (PS3.3 C.2, C.7.1, C.7.2).
KEYWORDS = frozenset(
    {
        "PatientID",
        "OtherPatientIDs",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientAddress",
        "PatientTelephoneNumbers",
        "MedicalRecordLocator",
        "MilitaryRank",
        "AccessionNumber",
        "AdmissionID",
        "InsurancePlanIdentification",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "DeviceSerialNumber",
        "StudyID",
        "ServiceEpisodeID",
    }
)
TEXT_VRS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
OURS = frozenset({"PatientID", "DeidentificationMethod", "CodeMeaning"})  # written by us just before
MIN_LENGTH = 4
MIN_IDEOGRAPHS = 2
OUR_UIDS = re.compile(rb"2\.25\.\d+")
# Numbers of six digits are also times, dates and parts of UIDs; there they name nobody.
NUMERIC_VRS = frozenset({"AS", "DA", "DS", "DT", "IS", "TM", "UI"})
NOBODY = frozenset({"none", "null", "anonymous", "anonymized", "anonymised", "unknown", "removed"})
ENCODINGS = ("utf-8", "gb18030", "latin-1")


def known(original: Dataset) -> dict[str, set[str]]:
    """Identifying strings of the object, by keyword; parts of names separately. Too short ones can't be found."""
    found: dict[str, set[str]] = {}
    for element in leaves(original):
        if element.VR == "PN" or element.keyword in KEYWORDS:
            parts = {part for value in _texts(element) for part in _parts(element, value)}
            found.setdefault(element.keyword, set()).update(parts)
    return {keyword: parts for keyword, parts in found.items() if parts}


def scrub(copy: Dataset, identifiers: dict[str, set[str]]) -> list[str]:
    """Empty every text of `copy` that contains an identifier; returns the keywords emptied.

    The table cannot list text that a scanner's operator typed into the wrong field.
    """
    needles = {needle.lower() for parts in identifiers.values() for needle in parts}
    emptied = []
    for element in leaves(copy):
        if element.VR not in TEXT_VRS or element.keyword in OURS:
            continue
        if any(needle in text.lower() for text in _texts(element) for needle in needles):
            element.value = None
            emptied.append(element.keyword)
    return emptied


def remaining(content: bytes, copy: Dataset, identifiers: dict[str, set[str]]) -> list[str]:
    """Keywords whose value is still in `content`, the bytes of `copy`; pixel data apart (noise spells every word)."""
    header = OUR_UIDS.sub(b"", _without_pixels(content)).lower()
    innocent = _innocent_numbers(copy)
    return sorted(
        keyword for keyword, parts in identifiers.items() if any(_is_in(header, part, innocent) for part in parts)
    )


def _is_in(header: bytes, part: str, innocent: str) -> bool:
    if part.isdecimal() and part.isascii():
        return header.count(part.encode()) > innocent.count(part)
    return any(form in header for form in _encoded(part))


def _innocent_numbers(copy: Dataset) -> str:
    texts = (text for element in leaves(copy) if element.VR in NUMERIC_VRS for text in _texts(element))
    meta = (text for element in copy.file_meta if element.VR == "UI" for text in _texts(element))
    return " ".join(text for text in [*texts, *meta] if not text.startswith("2.25."))


def write(copy: Dataset) -> bytes:
    """The object as a Part 10 file in the transfer syntax that it names; the same object gives the same bytes."""
    buffer = BytesIO()
    try:
        pydicom.dcmwrite(buffer, copy, enforce_file_format=True)
    except Exception as problem:  # values that pydicom could read but cannot encode
        raise Refused("unwritable", error=type(problem).__name__) from problem
    return buffer.getvalue()


def _texts(element: DataElement) -> list[str]:
    value = element.value
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(part) for part in values]


def _parts(element: DataElement, value: str) -> Iterator[str]:
    pieces = re.split(r"[\^=\s,]+", value) if element.VR == "PN" else [value.strip()]
    return (piece for piece in pieces if _searchable(piece))


def _searchable(piece: str) -> bool:
    if not piece.isascii():
        return len(piece) >= MIN_IDEOGRAPHS
    return len(piece) >= MIN_LENGTH and piece.lower() not in NOBODY and not set(piece) <= set("0.-: ")


def _encoded(part: str) -> set[bytes]:
    """The whole of `part` in each encoding that has all its characters: half a word would be found everywhere."""
    forms = set()
    for encoding in ENCODINGS:
        with contextlib.suppress(UnicodeEncodeError):
            forms.add(part.encode(encoding).lower())
    return forms


def _without_pixels(content: bytes) -> bytes:
    """Everything before the pixel data of the top level; the tag is looked for from the end, where it stands."""
    marks = [content.rfind(mark) for mark in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")]
    return content[: max(marks)] if max(marks) > 0 else content
