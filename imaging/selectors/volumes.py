"""Reads: volumes and masks as SimpleITK images, and the frames of a stored object."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from imaging.dicom import geometry, nifti, pixels
from imaging.dicom.reasons import Reason, Refused, reason
from imaging.models import Instance, Segmentation, Series, blobs


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
