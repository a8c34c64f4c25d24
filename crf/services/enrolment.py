"""Enrol a subject and put their visits in the calendar, in one transaction."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _

from crf.selectors import NoBuild, current_build
from crf.services import calendar
from registry import audit
from registry.models import Group, Site, Subject, User
from registry.permissions import Permission, authorise
from registry.services import subjects
from registry.services.subjects import EnrolmentRefused


def enrol(
    *,
    site: Site,
    group: Group | None,
    enrolled_on: dt.date,
    name: str = "",
    hospital_number: str = "",
    id_number: str = "",
    by: User,
) -> Subject:
    """The next subject of the site, with every visit the schedule plans. Raises EnrolmentRefused."""
    authorise(by, Permission.SUBJECT_ENROL, site=site)
    _refuse_unreleased(site)
    with audit.change(by=by):
        subject = subjects.enrol(
            site=site,
            group=group,
            enrolled_on=enrolled_on,
            name=name,
            hospital_number=hospital_number,
            id_number=id_number,
            by=by,
        )
        calendar.replan(subject=subject, records=[], by=by)
    return subject


def _refuse_unreleased(site: Site) -> None:
    """A site enrols once a build is released there, on its own approval."""
    try:
        current_build(site.study, site)
    except NoBuild as none:
        raise EnrolmentRefused(
            _("No build of this study is released at site %(site)s yet; ask the data manager to release one.")
            % {"site": site.code}
        ) from none
