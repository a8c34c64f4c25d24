"""Hand work to Celery after the transaction commits, and show how far it is."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from registry import audit
from registry.models import Job, Study, User

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_WRITES = 0.5


def create(*, kind: str, study: Study | None, by: User, total: int = 0) -> Job:
    """A queued job; the caller has authorised the work it stands for."""
    return Job.objects.create(kind=kind, study=study, requested_by=by, total=total)


def enqueue(task: str, *, job: Job | None = None, **arguments: Any) -> None:
    """Send `task` (dotted path) to Celery once the transaction commits; a misspelt path raises here and now.

    Arguments are ids and plain values only: the work may arrive twice, or much later.
    """
    celery_task = import_string(task)
    if job is not None:
        arguments["job_id"] = job.pk
    transaction.on_commit(lambda: _send(celery_task, job, arguments))


def _send(celery_task: Any, job: Job | None, arguments: dict[str, Any]) -> None:
    try:
        celery_task.delay(**arguments)
    except celery_task.OperationalError as problem:
        logger.error("the job queue does not answer: %s", problem)
        if job is None:
            raise
        Progress(job).fail(_("The job queue does not answer; the job was not started. Start it again when it is back."))


def cancel(job: Job) -> bool:
    """Ask the work to end; whether it was still queued or running. The work itself looks at the state and stops."""
    waiting = Job.objects.filter(pk=job.pk, state__in=[Job.State.QUEUED, Job.State.RUNNING])
    asked = waiting.update(state=Job.State.CANCELLED, finished_at=timezone.now())
    job.refresh_from_db()
    return bool(asked)


class Progress:
    """Writes a job's progress, at most twice a second, outside any transaction of the work itself."""

    def __init__(self, job: Job | None) -> None:
        self.job = job
        self._written_at = 0.0

    def start(self, total: int, message: str = "") -> None:
        self._write(state=Job.State.RUNNING, total=total, done=0, message=message, started_at=timezone.now())

    def step(self, message: str = "", by: int = 1) -> None:
        if self.job is None:
            return
        self.job.done += by
        if time.monotonic() - self._written_at >= SECONDS_BETWEEN_WRITES or self.job.done >= self.job.total:
            self._write(done=self.job.done, message=message)

    def finish(self, result: dict[str, Any] | None = None, message: str = "") -> None:
        done = self.job.total if self.job else 0
        now = timezone.now()
        self._write(state=Job.State.DONE, done=done, result=result or {}, message=message, finished_at=now)

    def fail(self, error: str) -> None:
        self._write(state=Job.State.FAILED, error=error, finished_at=timezone.now())

    def fail_with(self, problem: Exception) -> None:
        """Say what went wrong; of the database's words only the first line, since the others quote the row, and this
        page is read by people without access to clinical data."""
        told = str(problem).partition("\n")[0] if isinstance(problem, DatabaseError) else str(problem)
        self.fail(f"{type(problem).__name__}: {told}")

    def _write(self, **fields: Any) -> None:
        if self.job is None:
            return
        for name, value in fields.items():
            setattr(self.job, name, value)
        if "message" in fields:
            self.job.message = self.job.message[:300]
        self.job.save(update_fields=list(fields))
        self._written_at = time.monotonic()


@contextlib.contextmanager
def running(job_id: int | None) -> Iterator[Progress]:
    """The progress of a task under way: writes made inside carry source `job`; an exception fails the job."""
    progress = Progress(Job.objects.filter(pk=job_id).first() if job_id else None)
    with audit.request(source="job", request_id=f"job-{job_id}" if job_id else ""):
        try:
            yield progress
        except Exception as problem:
            progress.fail_with(problem)
            raise
    if progress.job and not progress.job.is_over:
        progress.finish(progress.job.result)
