"""Reads: the series of a subject or an inbox. Their voxels are in `volumes`, which loads SimpleITK."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from crf.selectors.series import SeriesChoice
from imaging.models import Segmentation, Series
from registry.models import Identity, Site, Study, Subject, User
from registry.permissions import Permission


def series_of(study: Study, user: User) -> QuerySet[Series]:
    """The series of the study that the user may see, with the user's view of their masks."""
    return (
        Series.objects.visible_to(user, needs=Permission.IMAGE_VIEW)
        .filter(study=study)
        .select_related("site", "subject__site", "study")
        .prefetch_related(masks_for(user))
    )


def series_choices(subject: Subject, user: User) -> Iterable[SeriesChoice]:
    """The subject's volumes for an item that names one: by UID and number, the newest examination last."""
    seen = Series.objects.visible_to(user, needs=Permission.IMAGE_VIEW).filter(subject=subject, instances__gt=0)
    for one in seen.exclude(volume_number=0):
        words = (str(one.acquired_on or ""), one.title, one.description, f"({one.instances})")
        yield SeriesChoice(
            key=f"{one.series_instance_uid}:{one.volume_number}",
            label=" ".join(word for word in words if word),
            url=reverse("imaging:series", args=[subject.study.code, one.pk]),
        )


def masks_for(user: User) -> Prefetch:
    visible = Segmentation.objects.visible_to(user).current().select_related("reader")
    return Prefetch("segmentations", queryset=visible, to_attr="visible_masks")


def subject_series(subject: Subject, user: User | None = None) -> list[Series]:
    """A subject's volumes, the earliest examination first; masks as `user` may see them (all, without a user)."""
    found = Series.objects.filter(subject=subject, volume_number__gt=0).select_related("site", "study")
    if user is not None:
        found = found.visible_to(user).prefetch_related(masks_for(user))
    return list(found)


def subject_of_examination(site: Site, study_uid: str) -> Subject | None:
    """Whose examination this is, once a hospital number or a person said so."""
    return Subject.objects.filter(series__site=site, series__study_instance_uid=study_uid).first()


def suggestions(series: Iterable[Series]) -> dict[int, Subject]:
    """For series in an inbox: the subject of the site with the same keyed hospital number, by series."""
    waiting = [one for one in series if one.subject_id is None and one.patient_key]
    identities = Identity.objects.filter(hospital_number_hash__in={one.patient_key for one in waiting})
    subjects = {
        (row.hospital_number_hash, row.subject.site_id): row.subject for row in identities.select_related("subject")
    }
    return {one.pk: subjects[key] for one in waiting if (key := (one.patient_key, one.site_id)) in subjects}


def sites_for(study: Study, user: User) -> QuerySet[Site]:
    return Site.objects.visible_to(user).filter(study=study)
