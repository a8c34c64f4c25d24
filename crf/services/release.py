"""Put a build to use at sites, each on its own approval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext as _

from crf.models import BuildRelease, StudyBuild
from registry import audit, jobs
from registry.models import Site, Study, Subject, User
from registry.permissions import Permission, authorise

MAX_DOCUMENT = 300


class ReleaseRefused(ValueError):
    """The build can't be released as asked; the message says why and what to do."""


def release(
    *,
    build: StudyBuild,
    sites: Iterable[Site],
    approved_on: dt.date | None = None,
    document: str = "",
    by: User,
) -> list[BuildRelease]:
    """New records and enrolments at `sites` use `build` from now on; what was entered stays bound to its build.

    The visits of who is enrolled already are planned by its schedule, as a job.

    `approved_on` and `document` name the sites' approval of this version (ethics committee, sponsor). A site where the
    build is in force on the same approval is left as it is. Raises ReleaseRefused, PermissionDenied.
    """
    authorise(by, Permission.BUILD_RELEASE, study=build.study)
    sites = list(sites)
    _refuse(build, sites, approved_on, document)
    with audit.change(by=by):
        made = [one for site in sites if (one := _released(build, site, approved_on, document.strip(), by))]
        _replan(build.study, made, by)
    return made


def _replan(study: Study, made: list[BuildRelease], by: User) -> None:
    """The calendars of who is enrolled there follow the schedule now in force; a job, since they may be many."""
    sites = Subject.objects.filter(site__in=[one.site_id for one in made]).order_by().values("site").distinct()
    if site_ids := sorted(row["site"] for row in sites):
        job = jobs.create(kind="calendar.replan", study=study, by=by)
        jobs.enqueue("crf.tasks.replan_sites", job=job, site_ids=site_ids)


def _refuse(build: StudyBuild, sites: list[Site], approved_on: dt.date | None, document: str) -> None:
    if not sites:
        raise ReleaseRefused(_("Choose at least one site."))
    if any(site.study_id != build.study_id for site in sites):
        raise ReleaseRefused(_("The site belongs to another study."))
    if approved_on and approved_on > timezone.localdate():
        raise ReleaseRefused(_("The approval date lies in the future; release the build once it is approved."))
    if len(document) > MAX_DOCUMENT or not document.isprintable():
        raise ReleaseRefused(
            _("Name the approval document in one line of at most %(limit)s characters.") % {"limit": MAX_DOCUMENT}
        )
    asked = {site.code for site in build.study_definition.sites}
    if unknown := [site.code for site in sites if site.code not in asked]:
        raise ReleaseRefused(
            _("The build has no site %(sites)s; publish a version that names it.") % {"sites": ", ".join(unknown)}
        )


def _released(
    build: StudyBuild, site: Site, approved_on: dt.date | None, document: str, by: User
) -> BuildRelease | None:
    """One release and its event; None where the same is in force already."""
    Site.objects.select_for_update().only("pk").get(pk=site.pk)  # one release at a site at a time
    last = BuildRelease.objects.filter(site=site).first()
    if last and (last.build_id, last.approved_on, last.document) == (build.pk, approved_on, document):
        return None
    made = BuildRelease.objects.create(
        build=build, site=site, approved_on=approved_on, document=document, released_by=by
    )
    details = {
        "version": build.version,
        "sha256": build.sha256,
        "approved_on": approved_on.isoformat() if approved_on else None,
        "document": document,
    }
    audit.event(kind="build.release", site=site, details=details)
    return made
