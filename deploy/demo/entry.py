"""What a coordinator and two readers do for one synthetic subject: enrol, enter, upload, outline. Done once each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache

from django.utils import timezone

from crf.models import Record
from crf.services import calendar, enrolment, records
from deploy import embedded
from deploy.demo import accounts, cohort, images, masks, phantoms
from deploy.demo.cohort import Plan, Size, SyntheticSubject
from deploy.demo.images import Acquisition, Placement
from deploy.demo.phantoms import Anatomy, Grid
from imaging.models import Segmentation, Series
from imaging.services import intake, segmentations
from registry.models import Group, Site, Study, Subject, User, Visit
from registry.services import identities, visits

FOLDERS = {
    "CHICTR2600121791": embedded.ROOT / "fixtures/chictr2600121791",
    "CHICTR2600121618": embedded.ROOT / "fixtures/chictr2600121618",
}
KINDS = {"MR": ("T2", "AP"), "CT": ("PVP",)}
TARGET = {"MR": "tumour", "CT": "spleen"}


class NotAsExpected(RuntimeError):
    """A service did something else with a synthetic file than it should; the message says what."""


@cache
def plan(code: str) -> Plan:
    """Definition and recipe of a study of the demo."""
    return cohort.plan(FOLDERS[code], timezone.localdate())


def enrol_site(code: str, site: str, size: Size) -> list[SyntheticSubject]:
    """Enrol the subjects of one site in the order of the recipe, so that their numbers repeat; returns them."""
    study = Study.objects.get(code=code)
    numbered = enumerate(cohort.cells(plan(code), size), 1)
    mine = [
        cohort.subject(plan(code), cell, number)
        for number, cell in numbered
        if cohort.place(plan(code), cell)[0] == site
    ]
    for one in mine:
        enrol(study, one)
    return mine


def enter_subject(code: str, one: SyntheticSubject) -> None:
    """Records, images and masks of one subject."""
    subject = enrol(Study.objects.get(code=code), one)
    imaging = plan(code).definition.imaging
    assert imaging
    upload(subject, one, imaging.modality)
    enter(subject, one)


def enrol(study: Study, one: SyntheticSubject) -> Subject:
    """The subject of this hospital number, enrolled if that has not happened yet."""
    site = Site.objects.select_related("study").get(study=study, code=one.site)
    known = identities.find(site=site, hospital_number=one.person.hospital_number)
    return known or enrolment.enrol(
        site=site,
        group=Group.objects.get(study=study, code=one.group),
        enrolled_on=min(one.enrolled_on, timezone.localdate()),
        name=one.person.name.split("=")[1].replace("^", ""),
        hospital_number=one.person.hospital_number,
        by=accounts.coordinator(site),
    )


def enter(subject: Subject, one: SyntheticSubject) -> int:
    """Enter the pages that are not there yet, as the site's coordinator; returns how many were written.

    A page that images began is completed: what DICOM headers answered is not typed again.
    """
    by = accounts.coordinator(subject.site)
    begun: dict[tuple[str, int, str, int], set[str]] = {}
    present = set[tuple[str, int, str, int]]()
    for record in Record.objects.filter(subject=subject).select_related("visit"):
        place = (record.visit.event, record.visit.repeat, record.form, record.repeat)
        if record.status == Record.Status.IN_PROGRESS:
            begun[place] = set(record.data)
        else:
            present.add(place)
    planned = {(visit.event, visit.repeat): visit for visit in subject.visits.all()}
    written = 0
    for page in one.pages:
        place = (page.event, page.visit, page.form, page.repeat)
        if place in present:
            continue
        visit = _visit(subject, planned, page.event, page.visit, page.on, by)
        records.save(
            subject=subject,
            visit=visit,
            form=page.form,
            repeat=page.repeat,
            data={name: value for name, value in page.values.items() if name not in begun.get(place, ())},
            complete=True,
            by=by,
        )
        written += 1
    return written


def _visit(
    subject: Subject, planned: dict[tuple[str, int], Visit], event: str, repeat: int, on: dt.date | None, by: User
) -> Visit:
    """The visit of a page, added after those before it where the event repeats, and dated."""
    while (event, repeat) not in planned:
        added = calendar.add_repeat(subject=subject, event=event, by=by)
        planned[added.event, added.repeat] = added
    visit = planned[event, repeat]
    if on and visit.occurred_on is None:
        visit.refresh_from_db()  # an earlier page may have planned it
        if visit.target_on:
            visit = planned[event, repeat] = visits.occurred(visit=visit, on=on, by=by)
    return visit


def upload(subject: Subject, one: SyntheticSubject, modality: str) -> int:
    """Upload the series that are not there yet and let both readers outline the target; returns the new files."""
    missing = set(KINDS[modality]) - set(_kinds(subject))
    outlined = Segmentation.objects.current().filter(series__subject=subject).count()
    if not missing and outlined == len(KINDS[modality]) * len(accounts.READERS):
        return 0
    anatomy = phantoms.anatomy(one.body, phantoms.MR_GRID if modality == "MR" else phantoms.CT_GRID)
    files = [file for kind in sorted(missing) for file in _files(one, anatomy, kind, modality)]
    if files:
        taken = intake.receive(
            files=files, study=subject.study, site=subject.site, by=accounts.coordinator(subject.site)
        )
        if taken.counts["accepted"] != len(files) or set(_kinds(subject)) != set(KINDS[modality]):
            raise NotAsExpected(f"{subject.number}: {taken.counts} of {len(files)} files, series {_kinds(subject)}")
    _outline(subject, one, anatomy, modality)
    return len(files)


def _kinds(subject: Subject) -> dict[str, Series]:
    return {series.kind: series for series in Series.objects.filter(subject=subject, volume_number__gt=0)}


def _files(one: SyntheticSubject, anatomy: Anatomy, kind: str, modality: str) -> Iterator[tuple[str, bytes]]:
    pixels = phantoms.render(anatomy, kind, scanner=images.SCANNERS[one.site].gain, target=TARGET[modality])
    return images.dicom_series(pixels, acquisition(one, kind, anatomy.grid))


def acquisition(one: SyntheticSubject, kind: str, grid: Grid) -> Acquisition:
    """How and when a subject's series was taken; both sequences of a subject share examination and position."""
    minutes = one.number * 7 % 480
    started = dt.datetime.combine(one.scanned_on, dt.time(8)) + dt.timedelta(minutes=minutes)
    placement = Placement(grid, tilt=float(one.number % 4), table=-100.0 - one.number % 50)
    accession = f"A{one.body.seed:010d}"
    return Acquisition(kind, one.person, images.SCANNERS[one.site], started, placement, accession)


def _outline(subject: Subject, one: SyntheticSubject, anatomy: Anatomy, modality: str) -> None:
    roi = TARGET[modality]
    for kind, series in _kinds(subject).items():
        for number, username in enumerate(accounts.READERS, 1):
            reader = User.objects.get(username=username)
            seed = one.body.seed * 10 + number + (2 if kind == "AP" else 0)
            drawn = phantoms.reader_mask(anatomy.rois[roi], anatomy.grid, seed=seed, bias_mm=0.5 * (number - 1))
            taken = acquisition(one, kind, anatomy.grid)
            file = masks.as_file(drawn, taken, as_seg=masks.prefers_seg(one.number, number))
            segmentations.add(series=series, reader=reader, round=1, roi=roi, file=file, by=reader)
