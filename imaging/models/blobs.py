"""Bytes in Django's storage under their own hash; paths come from hashes, never from what a file says of itself."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

NONCE_BYTES = 12


class Damaged(Exception):
    """Stored bytes no longer have their hash; restore them from the backup."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(folder: str, content: bytes, suffix: str, *, name: str = "") -> str:
    """Store `content` once; returns its key. A half-written earlier copy is replaced."""
    name = name or digest(content)
    key = f"imaging/{folder}/{name[:2]}/{name}{suffix}"
    if default_storage.exists(key):
        if default_storage.size(key) == len(content):
            return key
        default_storage.delete(key)
    return str(default_storage.save(key, ContentFile(content)))


def get(key: str, sha256: str = "") -> bytes:
    """The stored bytes; raises Damaged where `sha256` is given and differs."""
    with default_storage.open(key) as file:
        content: bytes = file.read()
    if sha256 and digest(content) != sha256:
        raise Damaged(key)
    return content


def delete(key: str) -> None:
    default_storage.delete(key)


def seal(content: bytes) -> bytes:
    """AES-256-GCM under a key of our own, made from the newest of IDENTITY_KEYS."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_keys()[0]).encrypt(nonce, content, None)


def unseal(sealed: bytes) -> bytes:
    for key in _keys():
        try:
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except Exception as problem:  # InvalidTag: sealed under an older key of the ring
            last = problem
    raise Damaged("no key opens this") from last


def _keys() -> list[bytes]:
    return [hmac.digest(bytes.fromhex(key), b"lobule imaging spool", "sha256") for key in settings.IDENTITY_KEYS]
