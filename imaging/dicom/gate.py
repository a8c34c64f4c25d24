"""The one gate: bytes in; a de-identified object with its facts, or a reason, out. Nothing is stored here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from pydicom import Dataset

from imaging.dicom import guard, headers, identifiers
from imaging.dicom.deidentify import Options, Pseudonyms, deidentify
from imaging.dicom.holding import reason_to_hold
from imaging.dicom.reasons import Reason, Refused, reason

# A slice's number, or a short series' number before it: more digits may be a hospital number or a date of birth.
PLAIN_NAME = re.compile(
    r"(?i)(?:im|img|image|i|slice|dcm|dicom|ct|mr|seg|file|frame)?"
    r"[-_ .]{0,2}(?:\d{1,5}|\d{1,2}[-_ .]\d{1,4})(?:\.[a-z]\w{0,3})?\Z"
)


@dataclass(frozen=True, slots=True)
class Passed:
    """A de-identified object. `held` says why it must wait for a person; `patient_id` never leaves memory."""

    content: bytes
    facts: dict[str, Any]
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    acquired_on: date | None
    patient_id: str
    held: Reason | None


def admit(
    content: bytes, *, pseudonyms: Pseudonyms, patient_key: Callable[[str], str], options: Options | None = None
) -> Passed:
    """Guard, parse, de-identify and check one file. Raises Refused, and nothing else.

    `patient_key` gives what keys the date shift from the PatientID, so that one person's dates move alike everywhere.
    """
    original = guard.parse(content)
    try:
        return _admit(original, pseudonyms, patient_key, options)
    except Refused:
        raise
    except Exception as problem:  # values that parse but mean nothing fail in many ways
        raise Refused("unreadable", error=type(problem).__name__) from problem


def _admit(
    original: Dataset, pseudonyms: Pseudonyms, patient_key: Callable[[str], str], options: Options | None
) -> Passed:
    held = reason_to_hold(original)
    patient_id = str(original.get("PatientID") or "").strip()
    known = identifiers.known(original)
    patient = patient_key(patient_id) or str(original.StudyInstanceUID)
    copy = deidentify(original, pseudonyms=pseudonyms, options=options, patient=patient)
    if "DiffusionBValue" not in copy and (b := headers.b_value(original)) is not None:
        copy.DiffusionBValue = b  # it stood in a private element, which is gone
    identifiers.scrub(copy, known)
    cleaned = identifiers.write(copy)
    if left := identifiers.remaining(cleaned, copy, known):
        held = held or reason("identifier_remains", keywords=", ".join(left))
    return Passed(
        content=cleaned,
        facts=headers.facts(copy),  # of what is stored, so that no fact says more than the file
        study_uid=str(copy.StudyInstanceUID),
        series_uid=str(copy.SeriesInstanceUID),
        sop_uid=str(copy.SOPInstanceUID),
        sop_class=str(copy.SOPClassUID),
        acquired_on=headers.acquired_on(original),
        patient_id=patient_id,
        held=held,
    )


def shown_name(name: str, number: int) -> str:
    """A file's name where it names nobody (IM0001.dcm, 1-012.dcm), else only its place in the upload."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return last if PLAIN_NAME.match(last) else f"#{number}"
