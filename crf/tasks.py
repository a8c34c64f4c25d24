"""What Celery does for forms and answers: each task carries ids, may arrive twice, and calls one service."""

from __future__ import annotations

from celery import shared_task

from crf.models import RecordExport
from crf.services import exports, quality
from registry import jobs
from registry.models import Study
from registry.services.people import system_user


@shared_task(acks_late=True)
def run_quality(*, job_id: int, study_id: int) -> None:
    """The rules over all records; twice, the second run finds the same."""
    with jobs.running(job_id) as progress:
        assert progress.job
        by = progress.job.requested_by or system_user()
        made = quality.run(study=Study.objects.get(pk=study_id), progress=progress, by=by)
        progress.finish({"records": made.records, **made.counts})


@shared_task(acks_late=True)
def export_records(*, job_id: int) -> None:
    """The files of an export; twice, the second finds them made."""
    with jobs.running(job_id) as progress:
        made = RecordExport.objects.select_related("study", "requested_by", "signature").get(job=job_id)
        made = exports.run(made=made, progress=progress, by=made.requested_by)
        progress.finish({"export": made.pk, "rows": made.rows, "sha256": made.sha256})


@shared_task(acks_late=True)
def discard_exports() -> None:
    """The files that were kept long enough, every night (beat)."""
    exports.discard(by=system_user())
