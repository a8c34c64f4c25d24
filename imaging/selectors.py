"""Reads: volumes and masks as SimpleITK images, and the series of a subject or an inbox."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from crf.selectors.series import SeriesChoice
from imaging.dicom import geometry, nifti, pixels
from imaging.dicom.reasons import Reason, Refused, reason
from imaging.models import Instance, Segmentation, Series, blobs
from registry.models import Identity, Site, Study, Subject, User
from registry.permissions import Permission


def volume(series: Series) -> sitk.Image:
    """The series' voxels in patient space (LPS, mm), rescaled. Raises Refused where it is no usable volume.

    The bytes are checked against their hash first: raises blobs.Damaged.
    """
    _refuse_unusable(series)
    return geometry.with_geometry(sitk.GetImageFromArray(_voxels(series)), series.geometry)


def grid(series: Series) -> sitk.Image:
    """An empty image on the grid of `series`, which masks are laid on. Raises Refused where it is no usable volume."""
    _refuse_unusable(series)
    return geometry.with_geometry(sitk.Image(series.geometry["size"], sitk.sitkUInt8), series.geometry)


def _refuse_unusable(series: Series) -> None:
    if not series.is_usable or not series.geometry:
        raise Refused.because(_problem(series))


def _voxels(series: Series) -> np.ndarray[Any, Any]:
    """Planes in order of place; each object is read and decoded once, even if its frames are apart."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for place, (instance, number) in enumerate(series.frames):
        wanted.setdefault(instance, []).append((place, number))
    planes: list[np.ndarray[Any, Any] | None] = [None] * len(series.frames)
    for instance in Instance.objects.filter(pk__in=wanted).iterator():
        decoded = frames(instance)
        for place, number in wanted[instance.pk]:
            planes[place] = decoded[number]
    return np.stack([plane for plane in planes if plane is not None])


def frames(instance: Instance) -> np.ndarray[Any, Any]:
    """All frames of one stored object, rescaled."""
    return pixels.planes(pydicom.dcmread(BytesIO(blobs.get(instance.storage_key, instance.sha256))))


def _problem(series: Series) -> Reason:
    problems = series.qc.get("problems")
    return Reason(**problems[-1]) if problems else reason("not_a_volume")


def mask(segmentation: Segmentation) -> sitk.Image:
    """The mask (uint8, 1 inside) in exactly the geometry of its series, though NIfTI keeps single precision."""
    image = nifti.read(blobs.get(segmentation.storage_key, segmentation.sha256))
    return geometry.with_geometry(image, segmentation.series.geometry)


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
