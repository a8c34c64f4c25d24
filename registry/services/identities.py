"""Names and hospital numbers: encrypted at rest, found by a keyed hash, each view logged.

AES-256-GCM with the first key of IDENTITY_KEYS; older keys still decrypt. The hash is HMAC-SHA256 with
PSEUDONYM_KEY, so that a stolen table can't be searched by trying hospital numbers.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from registry import audit
from registry.models import Identity, Site, Study, Subject, User
from registry.permissions import Permission, authorise

NONCE_BYTES = 12
KEY_ID_BYTES = 4


@dataclass(frozen=True)
class Person:
    """A decrypted identity; never logged, never cached."""

    name: str
    hospital_number: str


def store(*, subject: Subject, name: str, hospital_number: str, by: User) -> Identity:
    """Store who a subject is."""
    authorise(by, Permission.SUBJECT_ENROL, subject=subject)
    with audit.change(by=by):
        identity = Identity.objects.filter(subject=subject).first() or Identity(subject=subject)
        identity.name_encrypted = _encrypt(name)
        identity.hospital_number_encrypted = _encrypt(hospital_number)
        identity.hospital_number_hash = hospital_number_hash(subject.site, hospital_number)
        identity.save()
    return identity


def view(*, subject: Subject, by: User) -> Person | None:
    """Who the subject is; the view is logged."""
    authorise(by, Permission.IDENTITY_VIEW, subject=subject)
    identity = Identity.objects.filter(subject=subject).first()
    if identity is None:
        return None
    with audit.change(by=by):
        audit.event(kind="identity.view", subject=subject)
    return Person(_decrypt(identity.name_encrypted), _decrypt(identity.hospital_number_encrypted))


def match(*, study: Study, site: Site, hospital_number: str, by: User) -> Subject | None:
    """The subject of the site with this hospital number, found without decrypting anything."""
    authorise(by, Permission.IMAGE_UPLOAD, study=study, site=site)
    return find(site=site, hospital_number=hospital_number)


def find(*, site: Site, hospital_number: str) -> Subject | None:
    digest = hospital_number_hash(site, hospital_number)
    if not digest:
        return None
    return Subject.objects.filter(identity__hospital_number_hash=digest, site=site).first()


def hospital_number_hash(site: Site, hospital_number: str) -> str:
    """HMAC-SHA256 of study, site and the number as people mean it (full-width, spaces and case don't matter)."""
    meant = "".join(unicodedata.normalize("NFKC", hospital_number).split()).upper()
    if not meant:
        return ""
    message = f"{site.study.code}|{site.code}|{meant}".encode()
    return hmac.new(settings.PSEUDONYM_KEY.encode(), message, hashlib.sha256).hexdigest()


def _keys() -> dict[bytes, bytes]:
    """The key ring, newest first, by the short id that each ciphertext carries."""
    keys = [bytes.fromhex(key) for key in settings.IDENTITY_KEYS]
    return {hashlib.sha256(key).digest()[:KEY_ID_BYTES]: key for key in keys}


def _encrypt(text: str) -> bytes:
    key_id, key = next(iter(_keys().items()))
    nonce = os.urandom(NONCE_BYTES)
    return key_id + nonce + AESGCM(key).encrypt(nonce, text.encode(), None)


def _decrypt(stored: bytes | memoryview) -> str:
    data = bytes(stored)
    key = _keys()[data[:KEY_ID_BYTES]]
    nonce = data[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
    return AESGCM(key).decrypt(nonce, data[KEY_ID_BYTES + NONCE_BYTES :], None).decode()
