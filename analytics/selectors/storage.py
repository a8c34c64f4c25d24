"""Where dataset and evaluation files lie: folders below the storage folder, written aside and renamed into place."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from django.core.files.storage import default_storage

INCOMING = "incoming"


def folder(relative: str) -> Path:
    """The folder of a dataset or evaluation."""
    return Path(default_storage.path(relative))


@contextlib.contextmanager
def aside(kind: str) -> Iterator[Path]:
    """An empty folder on the same disk that is gone afterwards, unless `settle` has moved it."""
    path = folder(f"{INCOMING}/{kind}-{uuid.uuid4().hex}")
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def settle(path: Path, relative: str) -> Path:
    """Move a finished folder to its place in one step."""
    place = folder(relative)
    place.parent.mkdir(parents=True, exist_ok=True)
    _sync(path)
    path.rename(place)
    return place


def _sync(path: Path) -> None:
    """On disk before the rename, so that a power cut can't leave a named folder with empty files."""
    for one in path.rglob("*"):
        if one.is_file():
            with one.open("rb") as stream:
                os.fsync(stream.fileno())
            one.chmod(0o444)
