"""Masks: who drew what on which series, checked against its geometry."""

from __future__ import annotations

from pathlib import Path

from imaging.dicom import nifti, segmentation
from imaging.dicom.reasons import Refused
from imaging.models import Segmentation, Series, blobs
from imaging.selectors import volumes
from imaging.services.intake import pseudonyms
from registry import audit
from registry.models import User
from registry.permissions import Permission, authorise

MAX_BYTES = 512 * 2**20


def add(
    *,
    series: Series,
    reader: User,
    round: int = 1,
    roi: str,
    file: bytes | Path,
    label: int | None = None,
    reason: str = "",
    by: User,
) -> Segmentation:
    """Store a mask (DICOM SEG, NIfTI or NRRD) on the grid of `series`. The same mask again changes nothing.

    A different one for the same reader, round and region replaces it; the old one stays readable. Raises Refused with
    the reason in both languages where the mask does not fit the series.
    """
    authorise(by, Permission.SEGMENTATION_UPLOAD, site=series.site)
    if reader != by:
        authorise(by, Permission.SEGMENTATION_VIEW_ALL, site=series.site)
    mask = _read(series, file, label)
    stored = nifti.write(mask.image)
    with audit.change(by=by, reason=reason):
        # The lock on the series keeps two uploads of one reader from both being current.
        Series.objects.select_for_update().get(pk=series.pk)
        known = Segmentation.objects.filter(series=series, reader=reader, round=round, roi=roi).current().first()
        if known and known.sha256 == blobs.digest(stored):
            return known
        if known:
            known.is_current = False
            known.save()
        added = Segmentation(
            series=series,
            reader=reader,
            round=round,
            roi=roi,
            storage_key=blobs.put("masks", stored, ".nii.gz"),
            sha256=blobs.digest(stored),
            series_digest=series.digest,
            voxels=mask.voxels,
            volume_ml=round_ml(mask.volume_ml),
            source_format=mask.source_format,
            software=mask.software,
        )
        added.save()
        details = {"series": series.pk, "segmentation": added.pk, "roi": roi, "reader": reader.username, "round": round}
        audit.event(kind="segmentation.upload", site=series.site, subject=series.subject, details=details)
    return added


def round_ml(volume: float) -> float:
    return float(f"{volume:.6g}")


def _read(series: Series, file: bytes | Path, label: int | None) -> segmentation.Mask:
    content = file if isinstance(file, bytes) else file.read_bytes()
    if len(content) > MAX_BYTES:
        raise Refused("too_large", size=len(content), limit=MAX_BYTES)
    reference = volumes.grid(series)
    return segmentation.read(content, reference, label=label, series_uids=_names(series, content))


def _names(series: Series, content: bytes) -> frozenset[str]:
    """Under which UIDs a DICOM SEG may refer to this series: ours, or the original that maps to ours."""
    own = series.series_instance_uid
    mapped = pseudonyms(series.study).uid
    originals = {uid for uid in segmentation.referenced_series(content) if mapped(uid) == own}
    return frozenset({own, *originals})
