"""What Celery does for forms and answers: each task carries ids, may arrive twice, and calls one service."""

from __future__ import annotations

from celery import shared_task

from crf.models import BuildDraft, Import, RecordExport, StudyBuild
from crf.services import calendar, exports, import_jobs, migrate, quality
from registry import jobs
from registry.models import Site, Study
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


@shared_task(acks_late=True)
def weigh_build(*, job_id: int, study_id: int, draft_id: int | None = None, build_id: int | None = None) -> None:
    """What a draft or a build would mean for the records there are; writes nothing but the job's result."""
    with jobs.running(job_id) as progress:
        assert progress.job
        build = StudyBuild.objects.filter(pk=build_id).first()
        version = build or BuildDraft.objects.get(pk=draft_id)
        study = Study.objects.get(pk=study_id)
        sites = [site for site in study.sites.all() if migrate.is_in_force(build, site)] if build else None
        found = migrate.weigh(
            study=study,
            definition=version.study_definition,
            build=build,
            sites=sites,
            progress=progress,
            by=progress.job.requested_by or system_user(),
        )
        progress.finish(found.as_dict())


@shared_task(acks_late=True)
def migrate_records(*, job_id: int, build_id: int, site_ids: list[int], reason: str) -> None:
    """The records of these sites to a build; sent twice or ended in the middle, it goes on with those not yet there."""
    with jobs.running(job_id) as progress:
        assert progress.job
        found = migrate.migrate(
            build=StudyBuild.objects.select_related("study").get(pk=build_id),
            sites=Site.objects.filter(pk__in=site_ids).select_related("study"),
            reason=reason,
            progress=progress,
            by=progress.job.requested_by or system_user(),
        )
        progress.finish(found.totals() | found.as_dict())


@shared_task(acks_late=True)
def replan_sites(*, job_id: int, site_ids: list[int]) -> None:
    """The calendars at these sites by the build in force there; twice, the second finds them so."""
    with jobs.running(job_id) as progress:
        assert progress.job
        sites = Site.objects.filter(pk__in=site_ids)
        by = progress.job.requested_by or system_user()
        progress.finish({"subjects": calendar.replan_sites(sites=sites, progress=progress, by=by)})


@shared_task(acks_late=True)
def preview_import(*, job_id: int, import_id: int) -> None:
    """What a large file would do; twice, the second takes the place of the first."""
    with jobs.running(job_id) as progress:
        upload = Import.objects.select_related("study", "by", "job").get(pk=import_id)
        import_jobs.run_preview(upload=upload, progress=progress, by=upload.by)
        if progress.job:
            progress.job.refresh_from_db()


@shared_task(acks_late=True)
def import_records(*, job_id: int, import_id: int) -> None:
    """The records of a file; twice, the second finds it done, and one that was killed goes on."""
    with jobs.running(job_id) as progress:
        upload = Import.objects.select_related("study", "by", "job").get(pk=import_id)
        import_jobs.run(upload=upload, progress=progress, by=upload.by)
        if progress.job:
            progress.job.refresh_from_db()


@shared_task(acks_late=True)
def discard_imports() -> None:
    """Files that waited too long for somebody to import them, every night (beat)."""
    import_jobs.discard_old(by=system_user())
