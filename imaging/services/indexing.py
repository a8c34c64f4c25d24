"""Turn stored objects into series: sort their frames into volumes, name them, check them.

Called by intake, inside its change. A series that gets more objects later is sorted again; its rows keep their numbers
by the frames they share, so that masks stay on the volume they were drawn on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from imaging import selectors
from imaging.dicom import classify
from imaging.dicom.geometry import Frame, Sorting, Volume, read_frames, sort_volumes
from imaging.dicom.reasons import Reason, Refused, reason
from imaging.dicom.segmentation import SEGMENTATION_CLASSES
from imaging.models import Instance, Series
from imaging.services import thumbnails
from registry.models import Site, Study, Subject

COMPARED = (
    "kind",
    "kind_reason",
    "acquisition",
    "geometry",
    "split",
    "frames",
    "instances",
    "digest",
    "qc",
    "subject_id",
)


def index(*, study: Study, site: Site, series_uid: str, subject: Subject | None, patient_key: str) -> list[Series]:
    """Sort the stored objects of one series into volumes and save what changed.

    `subject` gets them where their examination is nobody's yet: what a person moved stays moved.
    """
    instances = list(Instance.objects.filter(study=study, series_instance_uid=series_uid))
    by_pk = {instance.pk: instance for instance in instances}
    # Locked, so that nobody matches them between our reading and our writing.
    known = Series.objects.select_for_update().filter(study=study, series_instance_uid=series_uid)
    existing = {row.volume_number: row for row in known}
    subject = selectors.subject_of_examination(site, instances[0].study_instance_uid) or subject
    template = {"study": study, "site": site, "subject": subject, "patient_key": patient_key}
    sorting = _sorted(instances)
    rows = [
        _filled(existing.get(number) or Series(**template), number, volume, by_pk)
        for number, volume in _numbered(sorting.volumes, existing)
    ]
    if sorting.unplaced or not rows:
        rows.append(_filled_rest(existing.get(0) or Series(**template), sorting, instances))
    rows += [_emptied(row) for number, row in existing.items() if number not in {each.volume_number for each in rows}]
    for row in rows:
        row.subject = row.subject or subject
        save_if_changed(row)
    return rows


def _sorted(instances: list[Instance]) -> Sorting:
    pictures = [one for one in instances if one.sop_class_uid not in SEGMENTATION_CLASSES]
    return sort_volumes([frame for one in pictures for frame in read_frames(one.pk, one.facts)])


def _numbered(volumes: Iterable[Volume], existing: dict[int, Series]) -> list[tuple[int, Volume]]:
    """Each volume with the number of the row it shares most frames with, else the next free one."""
    free = {number: {tuple(frame) for frame in row.frames} for number, row in existing.items() if number}
    numbered, fresh = [], []
    for volume in volumes:
        own = {(frame.source, frame.number) for frame in volume.frames}
        best = max(free, key=lambda number: len(free[number] & own), default=0)
        if best and free[best] & own:
            numbered.append((best, volume))
            del free[best]
        else:
            fresh.append(volume)
    following = max([0, *existing]) + 1
    return numbered + [(following + turn, volume) for turn, volume in enumerate(fresh)]


def _filled(row: Series, number: int, volume: Volume, instances: dict[int, Instance]) -> Series:
    used = [instances[frame.source] for frame in volume.frames]
    _describe(row, number, used)
    row.geometry = volume.geometry
    row.split = volume.split
    row.frames = [[frame.source, frame.number] for frame in volume.frames]
    row.digest = _digest(used, volume.frames, volume.geometry)
    problems = list(volume.problems)
    usable = volume.usable
    try:
        row.thumbnail_key = thumbnails.make(volume, row.modality)
    except Refused as refused:
        problems.append(refused.reason)
        usable = False
    row.qc = _verdict(problems, usable)
    return row


def _filled_rest(row: Series, sorting: Sorting, instances: list[Instance]) -> Series:
    """What forms no volume: segmentation objects, frames without a place."""
    sources = {frame.source for frame in sorting.unplaced}
    used = [one for one in instances if one.pk in sources] or instances
    _describe(row, 0, used)
    row.digest = _digest(used, sorting.unplaced, {})
    row.frames = [[frame.source, frame.number] for frame in sorting.unplaced]
    row.qc = _verdict(list(sorting.problems) or [reason("not_a_volume")], usable=False)
    return row


def _emptied(row: Series) -> Series:
    """Its frames now belong to other volumes; the row stays, says so, and is used for nothing."""
    row.frames, row.instances, row.kind = [], 0, "OTHER"
    row.qc = _verdict([reason("not_a_volume")], usable=False)
    return row


def _describe(row: Series, number: int, used: list[Instance]) -> None:
    first = used[0]
    row.study_instance_uid, row.series_instance_uid = first.study_instance_uid, first.series_instance_uid
    row.volume_number = number
    row.modality = first.facts["modality"][:16]
    row.kind = row.kind or ("SEG" if first.sop_class_uid in SEGMENTATION_CLASSES else "OTHER")
    row.description = first.facts["description"]
    row.acquisition = first.facts["acquisition"]
    row.acquired_on = min((one.acquired_on for one in used if one.acquired_on), default=None)
    row.instances = len({one.pk for one in used})


def _digest(used: Iterable[Instance], frames: Iterable[Frame], geometry: dict[str, Any]) -> str:
    """The identity of a volume's content: its objects' hashes and frames in order, and its geometry."""
    content = [[one.sha256, frame.number] for one, frame in zip(used, frames, strict=False)] or [
        [one.sha256] for one in used
    ]
    canonical = json.dumps([content, geometry], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _verdict(problems: list[Reason], usable: bool) -> dict[str, Any]:
    verdict = "fail" if not usable else "warn" if problems else "pass"
    return {"verdict": verdict, "problems": [problem.as_json() for problem in problems]}


def name_kinds(*, study: Study, study_uid: str) -> None:
    """Name every volume of one examination; phases are known by their neighbours."""
    found = Series.objects.filter(study=study, study_instance_uid=study_uid, volume_number__gt=0, instances__gt=0)
    rows = list(found.select_for_update())
    facts = {one.pk: one.facts for one in Instance.objects.filter(pk__in={row.frames[0][0] for row in rows})}
    volumes = [_for_classifier(row, facts[row.frames[0][0]]) for row in rows]
    for row, kind in zip(rows, classify.classify_study(volumes), strict=True):
        row.kind = kind.code
        row.kind_reason = {"zh": kind.zh, "en": kind.en, "confidence": kind.confidence}
        save_if_changed(row)


def _for_classifier(row: Series, facts: dict[str, Any]) -> classify.Series:
    return classify.Series(
        modality=row.modality,
        acquisition=row.acquisition,
        description=row.description,
        keys=facts["frames"][row.frames[0][1]]["keys"],
        split=row.split,
        size=tuple(row.geometry["size"]),
    )


def save_if_changed(row: Series) -> None:
    """No history row without a change."""
    if row.pk is not None:
        stored = Series.objects.get(pk=row.pk)
        if all(getattr(stored, name) == getattr(row, name) for name in COMPARED):
            return
    row.save()
