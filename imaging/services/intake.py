"""Receive files: one gate for the page, the command line and every later door.

Nothing identified is written anywhere: files are read, de-identified and hashed in memory, and only then stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from imaging import selectors
from imaging.dicom import archives, gate
from imaging.dicom.deidentify import Pseudonyms
from imaging.dicom.guard import MAX_BYTES
from imaging.dicom.reasons import Reason, Refused, reason
from imaging.models import Instance, Intake, Quarantined, Series, blobs
from imaging.services import acquisition, indexing
from registry import audit
from registry.jobs import Progress
from registry.models import Site, Study, Subject, User
from registry.permissions import Permission, authorise
from registry.pseudonyms import study_key
from registry.services import identities

Source = bytes | Path
OUTCOMES = ("accepted", "duplicate", "quarantined", "refused")


@dataclass
class _Delivery:
    """The state of one intake under way; PatientIDs live only here, in memory."""

    intake: Intake
    subject: Subject | None
    pseudonyms: Pseudonyms
    rows: list[dict[str, Any]] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)
    examinations: set[str] = field(default_factory=set)

    def patient_key(self, patient_id: str) -> str:
        return identities.hospital_number_hash(self.intake.site, patient_id)


def receive(
    *,
    files: Iterable[tuple[str, Source]],
    study: Study,
    site: Site,
    subject: Subject | None = None,
    progress: Progress | None = None,
    by: User,
) -> Intake:
    """Take in files and zip archives: (name, bytes or path). Twice, it does nothing the second time.

    Series go to the subject that has their examination, else to `subject`, else to the subject of the site whose
    hospital number is the PatientID, else they wait in the site's inbox. The intake's report has one row per file:
    accepted, duplicate, quarantined or refused.
    """
    authorise(by, Permission.IMAGE_UPLOAD, study=study, site=site)
    progress = progress or Progress(None)
    with audit.change(by=by) as change:
        _one_intake_at_a_time(site)
        intake = Intake(study=study, site=site, by=by, source=change.source)
        intake.save()
        delivery = _Delivery(intake, subject, pseudonyms(study))
        for number, (name, source) in enumerate(expanded(files), start=1):
            _take(delivery, number, name, source)
            progress.step(f"{number}")
        _index(delivery, by)
        _finish(delivery)
    return intake


def pseudonyms(study: Study) -> Pseudonyms:
    """The study's keyed replacements: one person's images in two studies can't be linked by UID or date."""
    return Pseudonyms(study_key(study))


def expanded(files: Iterable[tuple[str, Source]]) -> Iterator[tuple[str, Source | Refused]]:
    """Files, with archives replaced by their members."""
    for name, source in files:
        if not archives.is_zip(source):
            yield name, source
            continue
        try:
            for member, content in archives.members(source):
                yield f"{name}/{member}", content
        except Refused as refused:
            yield name, refused


def _one_intake_at_a_time(site: Site) -> None:
    """Two deliveries of one series at once would each see half of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('imaging.intake'), %s)", [site.pk])


def _take(delivery: _Delivery, number: int, name: str, source: Source | Refused) -> None:
    row: dict[str, Any] = {"n": number, "name": gate.shown_name(name, number)}
    try:
        passed = gate.admit(_content(source), pseudonyms=delivery.pseudonyms, patient_key=delivery.patient_key)
        _check_subject(delivery, passed)
        outcome, why = _store(delivery, number, passed)
    except Refused as refused:
        outcome, why = "refused", refused.reason
    delivery.rows.append(row | {"outcome": outcome} | (why.as_json() if why else {}))


def _content(source: Source | Refused) -> bytes:
    if isinstance(source, Refused):
        raise source
    if isinstance(source, bytes):
        return source
    try:
        size = source.stat().st_size
        if size > MAX_BYTES:
            raise Refused("too_large", size=size, limit=MAX_BYTES)
        return source.read_bytes()
    except OSError as problem:
        raise Refused("unreadable", error=type(problem).__name__) from problem


def _check_subject(delivery: _Delivery, passed: gate.Passed) -> None:
    """A chosen subject must not contradict whose the examination is, or whose the PatientID."""
    if delivery.subject is None:
        return
    site = delivery.intake.site
    owner = selectors.subject_of_examination(site, passed.study_uid) or identities.find(
        site=site, hospital_number=passed.patient_id
    )
    if owner is not None and owner != delivery.subject:
        raise Refused("other_subject", number=owner.number)


def _store(delivery: _Delivery, number: int, passed: gate.Passed) -> tuple[str, Reason | None]:
    sha256 = blobs.digest(passed.content)
    if passed.held:
        return "quarantined", _quarantine(delivery, number, passed, sha256, passed.held)
    intake = delivery.intake
    examination = Series.objects.filter(study=intake.study, study_instance_uid=passed.study_uid)
    if examination.exclude(site=intake.site).exists():
        return "quarantined", _quarantine(delivery, number, passed, sha256, reason("other_site"))
    stored = Instance.objects.filter(study=intake.study, sop_instance_uid=passed.sop_uid).first()
    if stored is None:
        _add(delivery, passed, sha256)
        return "accepted", None
    if stored.sha256 == sha256:
        blobs.put("objects", passed.content, ".dcm")
        delivery.patients.setdefault(passed.series_uid, passed.patient_id)
        return "duplicate", None
    return "quarantined", _quarantine(delivery, number, passed, sha256, reason("uid_conflict"))


def _add(delivery: _Delivery, passed: gate.Passed, sha256: str) -> None:
    intake = delivery.intake
    Instance.objects.create(
        study=intake.study,
        site=intake.site,
        intake=intake,
        study_instance_uid=passed.study_uid,
        series_instance_uid=passed.series_uid,
        sop_instance_uid=passed.sop_uid,
        sop_class_uid=passed.sop_class,
        sha256=sha256,
        storage_key=blobs.put("objects", passed.content, ".dcm"),
        size=len(passed.content),
        acquired_on=passed.acquired_on,
        facts=passed.facts,
    )
    delivery.patients[passed.series_uid] = passed.patient_id
    delivery.examinations.add(passed.study_uid)


def _quarantine(delivery: _Delivery, number: int, passed: gate.Passed, sha256: str, why: Reason) -> Reason:
    """Keep the file encrypted until a person decides; once per object and content."""
    intake = delivery.intake
    known = Quarantined.objects.filter(study=intake.study, sop_instance_uid=passed.sop_uid, sha256=sha256)
    if not known.exists():
        Quarantined.objects.create(
            study=intake.study,
            site=intake.site,
            intake=intake,
            number=number,
            reason=why.as_json(),
            sop_instance_uid=passed.sop_uid,
            sha256=sha256,
            storage_key=blobs.put("quarantine", blobs.seal(passed.content), ".sealed", name=sha256),
        )
        details = {"intake": intake.pk, "file": number, "reason": why.code, "sha256": sha256}
        audit.event(kind="image.quarantine", site=intake.site, details=details)
    return why


def _index(delivery: _Delivery, by: User) -> None:
    intake = delivery.intake
    subjects: set[Subject] = set()
    for series_uid, patient_id in delivery.patients.items():
        subject = delivery.subject or identities.match(
            study=intake.study, site=intake.site, hospital_number=patient_id, by=by
        )
        rows = indexing.index(
            study=intake.study,
            site=intake.site,
            series_uid=series_uid,
            subject=subject,
            patient_key=delivery.patient_key(patient_id),
        )
        subjects |= {row.subject for row in rows if row.subject}
    for study_uid in delivery.examinations:
        indexing.name_kinds(study=intake.study, study_uid=study_uid)
    for subject in sorted(subjects, key=lambda one: one.pk):
        acquisition.fill(subject=subject, by=by)


def _finish(delivery: _Delivery) -> None:
    intake = delivery.intake
    counted = Counter(row["outcome"] for row in delivery.rows)
    intake.report = {"counts": {name: counted[name] for name in OUTCOMES}, "files": delivery.rows}
    intake.state = Intake.State.DONE
    intake.save()
    details = {"intake": intake.pk, **intake.report["counts"], "series": len(delivery.patients)}
    audit.event(kind="image.intake", site=intake.site, subject=delivery.subject, details=details)
