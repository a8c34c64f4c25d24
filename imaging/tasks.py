"""What Celery does for imaging: each task calls one service."""

from celery import shared_task

from imaging.services import uploads
from registry import jobs
from registry.models import Site, Subject, User


@shared_task(acks_late=True)
def receive_upload(
    *, manifest: str, site_id: int, subject_id: int | None, user_id: int, job_id: int | None = None
) -> None:
    """Take in an upload that was too large for the page; twice, it does nothing the second time."""
    with jobs.running(job_id) as progress:
        uploads.receive_spooled(
            manifest=manifest,
            site=Site.objects.select_related("study").get(pk=site_id),
            subject=Subject.objects.get(pk=subject_id) if subject_id else None,
            progress=progress,
            by=User.objects.get(pk=user_id),
        )
