"""Enrol a subject and put their visits in the calendar, in one transaction."""

from __future__ import annotations

import datetime as dt

from crf.services import calendar
from registry import audit
from registry.models import Group, Site, Subject, User
from registry.permissions import Permission, authorise
from registry.services import subjects


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
