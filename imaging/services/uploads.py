"""Uploads through the page: small ones are taken at once, large ones wait encrypted for a worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator

from imaging.models import Intake, blobs
from imaging.services import intake
from registry import audit, jobs
from registry.models import Job, Site, Subject, User
from registry.permissions import Permission, authorise

AT_ONCE_BYTES = 32 * 2**20
AT_ONCE_FILES = 300
KIND = "image.intake"


def receive(*, files: list[tuple[str, bytes]], site: Site, subject: Subject | None = None, by: User) -> Intake | Job:
    """The finished intake of a small upload, or the job that takes in a large one."""
    authorise(by, Permission.IMAGE_UPLOAD, site=site)
    if len(files) <= AT_ONCE_FILES and sum(len(content) for _, content in files) <= AT_ONCE_BYTES:
        return intake.receive(files=files, study=site.study, site=site, subject=subject, by=by)
    manifest = _spool(files)
    with audit.change(by=by):
        job = jobs.create(kind=KIND, study=site.study, total=len(files), by=by)
        jobs.enqueue(
            "imaging.tasks.receive_upload",
            job=job,
            manifest=manifest,
            site_id=site.pk,
            subject_id=subject.pk if subject else None,
            user_id=by.pk,
        )
    return job


def receive_spooled(
    *, manifest: str, site: Site, subject: Subject | None, progress: jobs.Progress, by: User
) -> Intake | None:
    """Take in what the page left in the spool, then empty it. None where that was done before."""
    authorise(by, Permission.IMAGE_UPLOAD, site=site)
    entries = _entries(manifest)
    if entries is None:
        return None
    progress.start(len(entries))
    files = ((name, blobs.unseal(blobs.get(key))) for name, key in entries)
    taken = intake.receive(files=files, study=site.study, site=site, subject=subject, progress=progress, by=by)
    progress.finish({"intake": taken.pk, **taken.counts})
    _empty(manifest, entries)
    return taken


def _spool(files: Iterable[tuple[str, bytes]]) -> str:
    """Write files and their names encrypted; returns the key of the list."""
    entries = [(name, _sealed(content)) for name, content in files]
    return _sealed(json.dumps(entries).encode())


def _sealed(content: bytes) -> str:
    return blobs.put("spool", blobs.seal(content), ".sealed", name=uuid.uuid4().hex)


def _entries(manifest: str) -> list[tuple[str, str]] | None:
    try:
        return [(name, key) for name, key in json.loads(blobs.unseal(blobs.get(manifest)))]
    except FileNotFoundError:
        return None


def _empty(manifest: str, entries: list[tuple[str, str]]) -> None:
    """The list goes first: a worker killed here starts nothing twice."""
    for key in _keys(manifest, entries):
        blobs.delete(key)


def _keys(manifest: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    yield manifest
    yield from (key for _, key in entries)
