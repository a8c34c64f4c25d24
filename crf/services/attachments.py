"""Files that answer items: checked by content, stored encrypted outside the web root, served under the right to see."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.utils.translation import gettext as _

from crf.definitions.file_content import checked_type
from crf.definitions.model import FileRule, Item
from crf.models import Attachment
from registry import audit
from registry.models import Subject, User
from registry.permissions import Permission, authorise

CHUNK = 2**20
NONCE = 12
FRAME = struct.Struct(">I")  # length of the sealed chunk that follows; the last chunk is empty


class Damaged(Exception):
    """The stored file can't be opened whole: restore it from the backup."""


def add(*, subject: Subject, form: str, item: Item, upload: Any, by: User) -> dict[str, Any]:
    """Check and store an uploaded file; returns the item's value, which `records.save` takes.

    `upload` is Django's UploadedFile. Raises BadValue where the item's rule does not take it.
    """
    authorise(by, Permission.RECORD_ENTER, subject=subject)
    name = PurePosixPath(str(upload.name).replace("\\", "/")).name[-200:]
    kind = checked_type(name, upload.size, upload.file, item.file or FileRule())
    public_id = uuid.uuid4()
    digest = _sha256(upload)
    with audit.change(by=by):
        key = default_storage.save(
            f"attachments/{public_id.hex[:2]}/{public_id.hex}", _Sealed(upload, public_id, _keys()[0])
        )
        row = Attachment.objects.create(
            public_id=public_id,
            subject=subject,
            form=form,
            item=item.name,
            name=name,
            type=kind,
            size=upload.size,
            sha256=digest,
            key=key,
            uploaded_by=by,
        )
        details = {"file": str(public_id), "hash": digest, "form": form, "item": item.name}
        audit.event(kind="file.add", subject=subject, details=details)
    return value_of(row)


def value_of(row: Attachment) -> dict[str, Any]:
    """What a record keeps of a file."""
    return {"file": str(row.public_id), "name": row.name, "size": row.size, "sha256": row.sha256, "type": row.type}


def find(*, subject: Subject, public_id: uuid.UUID) -> Attachment | None:
    return Attachment.objects.filter(subject=subject, public_id=public_id).first()


def content(row: Attachment) -> Iterator[bytes]:
    """The file's bytes, chunk by chunk. Raises Damaged before a byte that was not stored is handed out."""
    with default_storage.open(row.key) as file:
        for number, sealed in enumerate(_frames(file)):
            chunk = _opened(sealed, row.public_id, number)
            if not chunk:
                return
            yield chunk
    raise Damaged(_("The file %(file)s is cut short.") % {"file": row.public_id})


def refused_files(values: dict[str, Any], *, subject: Subject) -> list[str]:
    """The places in `values` (place: file value) whose file is not this subject's, or is not as it was stored."""
    known = {str(row.public_id): value_of(row) for row in Attachment.objects.filter(subject=subject)}
    return [name for name, value in values.items() if known.get(str(value["file"])) != value]


class _Sealed(File):
    """An upload as the storage writes it: length and AES-256-GCM of each chunk, closed by an empty one."""

    def __init__(self, upload: Any, public_id: uuid.UUID, key: bytes) -> None:
        super().__init__(upload.file, name=str(public_id))
        self.upload, self.public_id, self.cipher = upload, public_id, AESGCM(key)

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        self.upload.seek(0)
        number = 0
        while chunk := self.upload.read(CHUNK):
            yield self._frame(chunk, number)
            number += 1
        yield self._frame(b"", number)

    def _frame(self, chunk: bytes, number: int) -> bytes:
        nonce = os.urandom(NONCE)
        sealed = nonce + self.cipher.encrypt(nonce, chunk, _place(self.public_id, number))
        return FRAME.pack(len(sealed)) + sealed


def _frames(file: Any) -> Iterator[bytes]:
    while head := file.read(FRAME.size):
        (length,) = FRAME.unpack(head.ljust(FRAME.size, b"\0"))
        yield file.read(min(length, CHUNK + 64))


def _opened(sealed: bytes, public_id: uuid.UUID, number: int) -> bytes:
    for key in _keys():
        try:
            return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], _place(public_id, number))
        except (InvalidTag, ValueError):
            continue
    raise Damaged(_("The file %(file)s was changed in the storage.") % {"file": public_id})


def _place(public_id: uuid.UUID, number: int) -> bytes:
    """A chunk opens only in its own file, at its own place."""
    return public_id.bytes + number.to_bytes(8, "big")


def _keys() -> list[bytes]:
    return [hmac.digest(bytes.fromhex(key), b"lobule attachments", "sha256") for key in settings.IDENTITY_KEYS]


def _sha256(upload: Any) -> str:
    digest = hashlib.sha256()
    upload.seek(0)
    while chunk := upload.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
