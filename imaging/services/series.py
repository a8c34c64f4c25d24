"""Whose images these are."""

from __future__ import annotations

from django.utils.translation import gettext as _

from imaging.models import Series
from imaging.services import acquisition
from registry import audit
from registry.models import Subject, User
from registry.permissions import Permission, authorise


class CannotMatch(ValueError):
    """The series can't belong to this subject; the message says why."""


def match(*, series: Series, subject: Subject, reason: str = "", by: User) -> list[Series]:
    """Give the whole examination of `series` to `subject`; returns its series. Correcting a match needs a reason."""
    authorise(by, Permission.IMAGE_UPLOAD, site=series.site)
    if subject.site_id != series.site_id:
        raise CannotMatch(_("The subject is at another site; choose a subject of the site that sent the images."))
    with audit.change(by=by, reason=reason):
        examination = list(
            Series.objects.select_for_update()
            .filter(study=series.study, site=series.site, study_instance_uid=series.study_instance_uid)
            .order_by("pk")
        )
        moved = [one for one in examination if one.subject_id != subject.pk]
        before = {one.subject.number for one in moved if one.subject}
        if before and not reason.strip():
            raise CannotMatch(_("These images belong to another subject already; say why they are moved."))
        for one in moved:
            one.subject = subject
            one.save()
        if moved:
            details = {"series": [one.pk for one in moved], "before": sorted(before)}
            audit.event(kind="image.match", subject=subject, details=details)
            acquisition.fill(subject=subject, by=by)
    return examination
