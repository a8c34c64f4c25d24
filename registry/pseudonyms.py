"""One person's keyed pseudonym and shift of dates, the same in exported records and in de-identified images.

The key is the study's, derived from PSEUDONYM_KEY; a person is known by the keyed hash of the hospital number, as DICOM
PatientIDs are. So exported dates and images of a subject move together, and the pseudonym is the images' PatientID.
A subject without a hospital number is known by their number, and moves otherwise once a hospital number is stored.
"""

from __future__ import annotations

import hmac

from django.conf import settings

from registry.models import Study

MOST_DAYS = 3652


def study_key(study: Study) -> bytes:
    """The study's key: one person's data in two studies can't be linked by pseudonym or date."""
    return hmac.digest(settings.PSEUDONYM_KEY.encode(), f"imaging|{study.code}".encode(), "sha256")


def person_key(hospital_number_hash: str | None, subject_number: str) -> str:
    """What a subject is known by."""
    return hospital_number_hash or f"subject|{subject_number}"


def days_back(key: bytes, person: str) -> int:
    """By how many days a person's dates move back: 1 to MOST_DAYS."""
    return 1 + int.from_bytes(_digest(key, "days", person)[:8], "big") % MOST_DAYS


def pseudonym(key: bytes, person: str) -> str:
    """L and 15 hexadecimal digits."""
    return f"L{_digest(key, 'patient', person).hex()[:15].upper()}"


def _digest(key: bytes, kind: str, person: str) -> bytes:
    return hmac.digest(key, f"{kind}:{person.strip()}".encode(), "sha256")
