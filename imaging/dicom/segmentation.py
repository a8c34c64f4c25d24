"""Read a segmentation (DICOM SEG, NIfTI, NRRD) and lay it on the grid of its series, or say why it does not fit.

Our own SEG reader: highdicom's fails on some published FRACTIONAL objects; where it works, both agree (tested).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom import guard, identifiers, nifti, nrrd
from imaging.dicom.reasons import Refused

SEGMENTATION_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
SPACING_TOLERANCE = 1e-3  # relative
MAX_SHOWN = 12
HEADER_BYTES = 2**20
GRID_TOLERANCE = 0.02  # voxels; exported headers carry single precision


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask in the geometry of its series: `image` is uint8, 1 inside; `labels` are those the file held."""

    image: sitk.Image
    voxels: int
    volume_ml: float
    source_format: str
    software: str
    labels: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Set voxels of the file: their places in mm (LPS), and the grid they were drawn on."""

    points: NDArray[np.float64]
    matrix: NDArray[np.float64]
    size: tuple[int, ...]
    labels: dict[int, str]
    source_format: str
    software: str = ""


def read(
    content: bytes, reference: sitk.Image, *, label: int | None = None, series_uids: frozenset[str] = frozenset()
) -> Mask:
    """The mask on the grid of `reference`; raises Refused with the reason and the remedy.

    `label` picks one label or segment; `series_uids` are the names of the series (original or ours) that a DICOM SEG
    may refer to: where it names another one, it is refused.
    """
    # A mask has no more voxels than its series, of at most 8 bytes, and a header: what swells further is a bomb.
    limit = 8 * reference.GetNumberOfPixels() + HEADER_BYTES
    cloud = _read(content, label, series_uids, limit)
    if not len(cloud.points):
        raise Refused("mask_empty")
    index = _index_in(cloud, reference)
    voxels = np.zeros(reference.GetSize()[::-1], dtype=np.uint8)
    voxels[index[:, 2], index[:, 1], index[:, 0]] = 1
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(reference)
    count = int(voxels.sum())
    volume = count * float(np.prod(reference.GetSpacing())) / 1000
    return Mask(image, count, volume, cloud.source_format, cloud.software, cloud.labels)


def _read(content: bytes, label: int | None, series_uids: frozenset[str], limit: int) -> _Cloud:
    if content[128:132] == b"DICM":
        return _from_dicom(guard.parse(content), label, series_uids)
    if content[:4] == b"NRRD":
        return _from_image(nrrd.read(content, limit), label, "NRRD")
    if content[:2] == b"\x1f\x8b" or content[344:347] in (b"n+1", b"ni1") or content[4:7] in (b"n+2", b"ni2"):
        return _from_image(nifti.read(content, limit), label, "NIfTI")
    raise Refused("mask_format", error=repr(content[:4]))


def _from_image(image: sitk.Image, label: int | None, source_format: str) -> _Cloud:
    values = sitk.GetArrayViewFromImage(image)
    labels = {int(value): "" for value in np.unique(values[values > 0])}
    chosen = _chosen(labels, label)
    zyx = np.argwhere(np.rint(values) == chosen if chosen else values > 0)
    matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    points = zyx[:, ::-1] @ matrix.T + np.array(image.GetOrigin())
    return _Cloud(points, matrix, image.GetSize(), labels, source_format)


def _chosen(labels: dict[int, str], label: int | None) -> int | None:
    shown = ", ".join(f"{number} {name}".strip() for number, name in sorted(labels.items())[:MAX_SHOWN])
    shown += f", … {len(labels)}" if len(labels) > MAX_SHOWN else ""
    if label is None:
        if len(labels) > 1:
            raise Refused("mask_labels", labels=shown)
        return next(iter(labels), None)
    if label not in labels:
        raise Refused("mask_label_absent", label=label, labels=shown or "-")
    return label


def _from_dicom(dataset: Dataset, label: int | None, series_uids: frozenset[str]) -> _Cloud:
    if str(dataset.SOPClassUID) not in SEGMENTATION_CLASSES:
        raise Refused("mask_format", error=dataset.SOPClassUID.name)
    _check_reference(dataset, series_uids)
    identifiers.scrub(dataset, identifiers.known(dataset))  # the software and the labels are shown and stored
    labels = {int(item.SegmentNumber): str(item.get("SegmentLabel") or "") for item in dataset.SegmentSequence}
    labels.pop(0, None)  # a LABELMAP may list its background
    chosen = _chosen(labels, label)
    points, matrix = _segment_points(dataset, chosen)
    software = " ".join(str(dataset.get(each) or "") for each in ("ManufacturerModelName", "SoftwareVersions")).strip()
    size = (int(dataset.Columns), int(dataset.Rows))
    return _Cloud(points, matrix, size, labels, "DICOM SEG", software[:200])


def referenced_series(content: bytes) -> frozenset[str]:
    """The SeriesInstanceUIDs that a DICOM SEG names; empty for other formats."""
    if content[128:132] != b"DICM":
        return frozenset()
    sequence = guard.parse(content).get("ReferencedSeriesSequence") or []
    return frozenset(str(item.get("SeriesInstanceUID")) for item in sequence)


def _check_reference(dataset: Dataset, series_uids: frozenset[str]) -> None:
    named = {str(item.get("SeriesInstanceUID")) for item in dataset.get("ReferencedSeriesSequence") or []}
    if named and series_uids and not named & series_uids:
        raise Refused("mask_other_series")


def _segment_points(dataset: Dataset, segment: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (mm) of the voxels of one segment, frame by frame, and the matrix of the drawn grid."""
    try:
        stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    except Exception as problem:  # decoders raise whatever their C code reports
        raise Refused("unreadable_pixels", error=type(problem).__name__) from problem
    labelmap = dataset.get("SegmentationType") == "LABELMAP"
    fractional = dataset.get("SegmentationType") == "FRACTIONAL"
    least = int(dataset.get("MaximumFractionalValue") or 1) / 2 if fractional else 1
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    clouds, matrix = [np.empty((0, 3))], np.eye(3)
    for plane, frame in zip(stored, dataset.PerFrameFunctionalGroupsSequence, strict=False):
        matrix, origin = _plane(frame, shared)
        if not labelmap and _segment_of(frame, shared) != segment:
            continue
        rows, columns = np.nonzero(plane == segment if labelmap else plane >= least)
        in_plane = np.stack([columns, rows, np.zeros_like(rows)], axis=1)
        clouds.append(in_plane @ matrix.T + origin)
    return np.concatenate(clouds), matrix


def _plane(frame: Dataset, shared: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        orientation = _item(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient
        measures = _item(frame, shared, "PixelMeasuresSequence")
        position = _item(frame, shared, "PlanePositionSequence").ImagePositionPatient
    except (AttributeError, IndexError) as problem:
        raise Refused("mask_format", error=f"DICOM SEG: {problem}") from problem
    row, column = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    # Thickness is no spacing; 0 says that the distance between planes is not stated.
    depth = float(measures.get("SpacingBetweenSlices") or 0)
    spacing = [float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]), depth]
    return np.stack([row, column, np.cross(row, column)], axis=1) * spacing, np.array(position, dtype=float)


def _segment_of(frame: Dataset, shared: Dataset) -> int:
    try:
        return int(_item(frame, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    except (AttributeError, IndexError) as problem:
        raise Refused("mask_format", error=f"DICOM SEG: {problem}") from problem


def _item(frame: Dataset, shared: Dataset, keyword: str) -> Any:
    source = frame if keyword in frame else shared
    return getattr(source, keyword)[0]


def _index_in(cloud: _Cloud, reference: sitk.Image) -> NDArray[np.int64]:
    """Whole voxel indices of the cloud in the series; raises Refused where the grids differ."""
    to_world = np.array(reference.GetDirection()).reshape(3, 3) * reference.GetSpacing()
    _check_grid(cloud, to_world, reference)
    index = (cloud.points - np.array(reference.GetOrigin())) @ np.linalg.inv(to_world).T
    whole = np.rint(index)
    size = np.array(reference.GetSize())
    outside = int(np.sum(np.any((whole < 0) | (whole >= size), axis=1)))
    off = np.abs(index - whole).max(axis=0)
    if off.max() > GRID_TOLERANCE * max(1.0, size.max() / 100):
        shift = np.median(index - whole, axis=0) * np.array(reference.GetSpacing())
        raise Refused("mask_shifted", shift=", ".join(f"{part:.2f}" for part in shift))
    if outside:
        if outside == len(whole) and not _same_matrix(cloud, reference):
            raise Refused("mask_matrix", found=_by(cloud.size), expected=_by(reference.GetSize()))
        raise Refused("mask_outside", voxels=outside)
    return whole.astype(np.int64)


def _check_grid(cloud: _Cloud, to_world: NDArray[np.float64], reference: sitk.Image) -> None:
    """Axes may be permuted or flipped, voxels may not be of another size or turned."""
    steps = np.linalg.inv(to_world) @ cloud.matrix
    if not cloud.matrix[:, 2].any():
        steps[:, 2] = np.rint(np.cross(steps[:, 0], steps[:, 1]))
    strongest = np.abs(steps).argmax(axis=0)
    if len(set(strongest)) != 3 or np.sort(np.abs(steps), axis=0)[:2].max() > 0.01:
        raise Refused("mask_rotated")
    lengths = np.abs(steps).max(axis=0)
    if np.abs(lengths - 1).max() > SPACING_TOLERANCE:
        found = np.linalg.norm(cloud.matrix, axis=0)
        raise Refused("mask_spacing", found=_by(found), expected=_by(reference.GetSpacing()))


def _same_matrix(cloud: _Cloud, reference: sitk.Image) -> bool:
    size = reference.GetSize()
    return sorted(cloud.size) == sorted(size[: len(cloud.size)])


def _by(values: Any) -> str:
    return " x ".join(f"{value:g}" for value in np.round(values, 4))
