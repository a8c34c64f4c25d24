"""Names, hospital and ID numbers: encrypted at rest, found by a keyed hash, each view logged.

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
    id_number: str = ""


def store(*, subject: Subject, name: str, hospital_number: str, id_number: str = "", by: User) -> Identity:
    """Store who a subject is; `id_number` is the national identity number or passport."""
    authorise(by, Permission.SUBJECT_ENROL, subject=subject)
    with audit.change(by=by):
        identity = Identity.objects.filter(subject=subject).first() or Identity(subject=subject)
        filled(identity, name=name, hospital_number=hospital_number, id_number=id_number).save()
    return identity


def filled(identity: Identity, *, name: str = "", hospital_number: str = "", id_number: str = "") -> Identity:
    """The identity with what it keeps of these, encrypted and hashed; not saved."""
    subject = identity.subject
    identity.name_encrypted = _encrypt(name)
    identity.hospital_number_encrypted = _encrypt(hospital_number)
    identity.hospital_number_hash = hospital_number_hash(subject.site, hospital_number)
    identity.id_number_encrypted = _encrypt(id_number) if id_number else None
    identity.id_number_hash = study_hash(subject.study, "id", id_number) or None
    identity.name_hash = study_hash(subject.study, "name", name) or None
    return identity


def view(*, subject: Subject, by: User) -> Person | None:
    """Who the subject is; the view is logged."""
    authorise(by, Permission.IDENTITY_VIEW, subject=subject)
    identity = Identity.objects.filter(subject=subject).first()
    if identity is None:
        return None
    with audit.change(by=by):
        audit.event(kind="identity.view", subject=subject)
    return _person(identity)


def complete_hashes(*, study: Study, by: User) -> int:
    """Give identities stored before names were hashed the hash of their name; how many were without."""
    authorise(by, Permission.QUALITY_RUN, study=study)
    without = Identity.objects.filter(subject__study=study, name_hash=None).select_related("subject__study")
    completed = 0
    with audit.change(by=by):
        for identity in without:
            identity.name_hash = study_hash(study, "name", _person(identity).name) or None
            if identity.name_hash:
                identity.save()
                completed += 1
    return completed


def _person(identity: Identity) -> Person:
    id_number = _decrypt(identity.id_number_encrypted) if identity.id_number_encrypted else ""
    return Person(_decrypt(identity.name_encrypted), _decrypt(identity.hospital_number_encrypted), id_number)


def match(*, study: Study, site: Site, hospital_number: str, by: User) -> Subject | None:
    """The subject of the site with this hospital number, found without decrypting anything."""
    authorise(by, Permission.IMAGE_UPLOAD, study=study, site=site)
    return find(site=site, hospital_number=hospital_number)


def find(*, site: Site, hospital_number: str) -> Subject | None:
    digest = hospital_number_hash(site, hospital_number)
    if not digest:
        return None
    return Subject.objects.filter(identity__hospital_number_hash=digest, site=site).first()


def find_id_number(*, site: Site, id_number: str) -> Subject | None:
    """The subject of the site with this ID number; who is at another site is told to data managers, not here."""
    digest = study_hash(site.study, "id", id_number)
    return Subject.objects.filter(identity__id_number_hash=digest, site=site).first() if digest else None


def hospital_number_hash(site: Site, hospital_number: str) -> str:
    """HMAC-SHA256 of study, site and the number as people mean it (full-width, spaces and case don't matter)."""
    return _keyed(f"{site.study.code}|{site.code}", hospital_number)


def study_hash(study: Study, kind: str, text: str) -> str:
    """The same for names and ID numbers, over all sites of the study; `kind` keeps the two apart."""
    return _keyed(f"{study.code}|*{kind}", text)


def _keyed(scope: str, text: str) -> str:
    meant = "".join(unicodedata.normalize("NFKC", text).split()).upper()
    if not meant:
        return ""
    return hmac.new(settings.PSEUDONYM_KEY.encode(), f"{scope}|{meant}".encode(), hashlib.sha256).hexdigest()


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
