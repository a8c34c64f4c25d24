"""Enrol subjects and end their participation."""

from __future__ import annotations

import datetime as dt

from django.db import connection
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import audit
from registry.models import Group, Site, Subject, User
from registry.permissions import Permission, authorise
from registry.services import identities


class EnrolmentRefused(ValueError):
    """The subject can't be enrolled; the message says why and what to do."""


class Numbers:
    """Gives new subjects of any sites the next numbers; with `lock`, nobody else gets them before the commit."""

    def __init__(self, *, lock: bool) -> None:
        self.lock = lock
        self._last: dict[int, int] = {}

    def last(self, site: Site) -> int:
        """The last sequence number given at the site, asked once and then counted on."""
        if site.pk not in self._last:
            if self.lock:
                # The lock on the site makes the next number its own, also when two coordinators enrol at once.
                Site.objects.select_for_update().get(pk=site.pk)
            self._last[site.pk] = site.subjects.aggregate(last=Max("sequence"))["last"] or 0
        return self._last[site.pk]

    def subject(self, *, site: Site, group: Group | None, enrolled_on: dt.date, key: int | None = None) -> Subject:
        """The next subject of the site, not saved."""
        sequence = self._last[site.pk] = self.last(site) + 1
        number = site.study.subject_number.format(site=site.code, sequence=sequence)
        return Subject(
            pk=key,
            study=site.study,
            site=site,
            group=group,
            sequence=sequence,
            number=number,
            enrolled_on=enrolled_on,
        )


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
    """Enrol the next subject of the site; the number is automatic. The identity, if given, is stored encrypted.

    Raises EnrolmentRefused for a date in the future, a group of another study or a person who is in the study.
    """
    authorise(by, Permission.SUBJECT_ENROL, site=site)
    if enrolled_on > timezone.localdate():
        raise EnrolmentRefused(_("The enrolment date lies in the future; check it."))
    if group and group.study_id != site.study_id:
        raise EnrolmentRefused(_("The group belongs to another study; choose one of this study."))
    with audit.change(by=by):
        numbers = Numbers(lock=True)
        numbers.last(site)
        known = identities.find(site=site, hospital_number=hospital_number)
        if known:
            raise EnrolmentRefused(
                _("This hospital number is already in the study, as subject %(number)s.") % {"number": known.number}
            )
        known = identities.find_id_number(site=site, id_number=id_number)
        if known:
            raise EnrolmentRefused(
                _("This ID number is already at this site, as subject %(number)s.") % {"number": known.number}
            )
        subject = numbers.subject(site=site, group=group, enrolled_on=enrolled_on)
        subject.save()
        if name or hospital_number or id_number:
            identities.store(subject=subject, name=name, hospital_number=hospital_number, id_number=id_number, by=by)
    return subject


def hold(subject: Subject) -> None:
    """Let nobody else write this subject's data until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM registry_subject WHERE id = %s FOR UPDATE", [subject.pk])


def withdraw(*, subject: Subject, reason: str, by: User) -> Subject:
    """Mark the subject withdrawn; nothing is deleted."""
    authorise(by, Permission.SUBJECT_ENROL, subject=subject)
    if not reason.strip():
        raise ValueError(_("A withdrawal needs a reason."))
    with audit.change(by=by, reason=reason):
        subject.status = Subject.Status.WITHDRAWN
        subject.status_reason = reason
        subject.save()
    return subject
