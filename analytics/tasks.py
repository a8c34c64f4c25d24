"""Celery's doors: each task carries ids, may arrive twice, and calls one service."""

from __future__ import annotations

import logging

from celery import shared_task

from analytics.models import Dataset
from analytics.selectors import plans, runs
from analytics.services import evaluations, features, nights
from registry import jobs
from registry.jobs import Progress
from registry.models import Job, Study
from registry.services.people import system_user

logger = logging.getLogger(__name__)


@shared_task(acks_late=True)
def extract_image(
    *, job_id: int, dataset_id: int, plan: str, series: str, volume: int, only_if_changed: bool = False
) -> None:
    """One image; the last one starts the evaluation. A failure fails the whole job, with its reason."""
    job, dataset = Job.objects.select_related("requested_by").get(pk=job_id), _dataset(dataset_id)
    if job.is_over:
        return
    by = job.requested_by or system_user()
    with jobs.running(None):
        try:
            features.extract_image(dataset=dataset, plan=plan, series=series, volume=volume, by=by)
            evaluations.after_image(job=job, dataset=dataset, plan=plan, only_if_changed=only_if_changed, by=by)
        except Exception as problem:
            Progress(job).fail_with(problem)
            raise


@shared_task(acks_late=True)
def evaluate(*, job_id: int, dataset_id: int, plan: str, only_if_changed: bool = False) -> None:
    """The evaluation of one plan; sent twice, the second finds the first one's result."""
    dataset = _dataset(dataset_id)
    with jobs.running(job_id) as progress:
        assert progress.job
        by = progress.job.requested_by or system_user()
        chosen = plans.plan(dataset.rules, plan)
        made = evaluations.evaluate(
            dataset=dataset, plan=chosen, job=progress.job, only_if_changed=only_if_changed, by=by
        ) or runs.last(dataset, chosen)
        progress.finish({"evaluation": made.pk if made else None, "hash": dataset.hash}, str(made or ""))


@shared_task(acks_late=True)
def nightly() -> None:
    """Everything that is new, every night (beat); the heavy work goes to all the workers."""
    by = system_user()
    nights.seal(by=by)
    for study in Study.objects.all():
        job = jobs.create(kind=nights.KIND, study=study, by=by)
        try:
            with jobs.running(job.pk) as progress:
                progress.finish(nights.start(study=study, by=by))
        except Exception:  # it stands on the study's job; the other studies have their night
            logger.exception("the night of %s failed", study.code)


def _dataset(dataset_id: int) -> Dataset:
    return Dataset.objects.select_related("study", "build", "rules").get(pk=dataset_id)
