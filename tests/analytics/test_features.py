"""Radiomics of a locked dataset: one task per image, keyed by content, by the masks of two readers."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from django.test import TestCase

from analytics import tasks
from analytics.learning.leakage import LeakageRefused, refuse_leaks
from analytics.learning.plan import BadPlan
from analytics.models import Evaluation, FeatureSet
from analytics.radiomics import Parameters, extract
from analytics.selectors import features as asked
from analytics.selectors import frames, plans
from analytics.services import datasets, evaluations, features
from imaging.dicom import nifti
from imaging.models import Segmentation, Series
from imaging.selectors import volumes
from imaging.services import intake, segmentations
from registry.models import AuditEvent, Job
from registry.services import people
from tests.analytics.cohort import publish_rules
from tests.imaging.dicom_objects import as_bytes, slice_of
from tests.study import PASSWORD, both, enrol, enter, person, publish

PLAN = """
plans:
  - code: low-albumin
    outcome: LOWALB
    predictors:
      clinical: [DM.age]
      radiomics: {sequences: [T2], roi: tumour, classes: [firstorder, shape]}
      combined: [clinical, radiomics]
    validation: {outer: 2, inner: 2}
    pipeline: {select: univariate, features: [2], penalty: [1.0], l1_ratio: [0.0]}
    threshold: youden
    seed: 3
"""
IMAGING = {
    "modality": "MR",
    "sequences": [{"code": "T2", "name": both("T2"), "required": True}],
    "rois": [{"code": "tumour", "name": both("Tumour"), "required": True}],
    "readers": 2,
}
SIZE = 8


def slices(number: int, brightness: float, planes: int = 6) -> list[tuple[str, bytes]]:
    random = np.random.default_rng(number)
    voxels = random.normal(200, 20, (planes, 16, 16))
    voxels[1:5, 3:11, 4:12] += 100 * brightness
    voxels = voxels.clip(0, 4000).astype(np.uint16)
    return [
        (
            f"{number}/{place}.dcm",
            as_bytes(
                slice_of(
                    number=place + 1,
                    position=(0, 0, 4.0 * place),
                    pixels=voxels[place],
                    study=str(number),
                    series=f"{number}1",
                    StudyDate="20260228",
                    AcquisitionDate="20260228",
                    EchoTime=80,
                    RepetitionTime=3000,
                )
            ),
        )
        for place in range(planes)
    ]


def mask(series: Series, shift: int) -> bytes:
    voxels = np.zeros(series.geometry["size"][::-1], dtype=np.uint8)
    voxels[1:5, 3 + shift : 11 + shift, 4:12] = 1
    drawn = sitk.GetImageFromArray(voxels)
    drawn.CopyInformation(volumes.volume(series))
    return nifti.write(drawn)


@pytest.fixture
def dataset(db, settings, tmp_path):
    """Eight subjects, each with one T2 image drawn by two readers; bright tumours lose albumin."""
    study = publish(imaging=IMAGING).study
    by, site = people.system_user(), study.sites.get(code="01")
    readers = [person(name, study=study, role="reader") for name in ("first", "second")]
    publish_rules(study, tmp_path, plan=PLAN)
    for number in range(1, SIZE + 1):
        subject = enrol(site, by=by, on=dt.date(2026, 3, 2))
        enter(subject, "DM", {"age": str(40 + number), "sex": "M"}, by=by, complete=True)
        blood = {"albumin": "40", "bilirubin": "10"}
        enter(subject, "LB", {"lb_date": "2026-03-02", **blood}, by=by, complete=True)
        blood["albumin"] = "30" if number % 2 else "40"
        enter(subject, "LB", {"lb_date": "2026-04-01", **blood}, by=by, event="MONTH1", complete=True)
        intake.receive(files=slices(number, number % 2), study=study, site=site, subject=subject, by=by)
        series = Series.objects.get(subject=subject)
        for shift, reader in enumerate(readers):
            segmentations.add(series=series, reader=reader, roi="tumour", file=mask(series, shift), by=by)
    pi = person("pi", study=study, role="pi")
    kinds = datasets.preflight(study=study, by=pi).counts
    why = {kind: "small test volumes" for kind in kinds if kind == "image_quality"}
    return datasets.lock(study=study, name="main", password=PASSWORD, exceptions=why, by=pi)


@pytest.fixture
def plan(dataset):
    return plans.plan(dataset.rules, "low-albumin")


def test_images_are_extracted_once_by_tasks_and_the_last_starts_the_evaluation(dataset, plan, monkeypatch):
    queue = []
    monkeypatch.setattr(tasks.extract_image, "delay", lambda **sent: queue.append((tasks.extract_image, sent)))
    monkeypatch.setattr(tasks.evaluate, "delay", lambda **sent: queue.append((tasks.evaluate, sent)))
    with TestCase.captureOnCommitCallbacks(execute=True):
        job = evaluations.start(dataset=dataset, plan=plan.code, by=people.system_user())
    assert [task for task, _ in queue] == [tasks.extract_image] * SIZE
    with TestCase.captureOnCommitCallbacks(execute=True):
        for task, sent in list(queue):
            task(**sent)
            task(**sent)  # a task may arrive twice
    job.refresh_from_db()
    assert FeatureSet.objects.count() == 2 * SIZE and job.done == SIZE
    assert AuditEvent.objects.filter(kind="features.extract").count() == SIZE
    assert [task for task, _ in queue[SIZE:]] == [tasks.evaluate]
    task, sent = queue[-1]
    task(**sent)
    job.refresh_from_db()
    made = Evaluation.objects.get()
    assert job.state == Job.State.DONE and job.result == {"evaluation": made.pk, "hash": dataset.hash}
    assert made.results["readers"]["T2/tumour"]["readers"] == 2
    assert 0 < made.results["readers"]["T2/tumour"]["median_icc"] <= 1
    radiomics = next(one for one in made.results["splits"]["cv"]["evaluation"]["models"] if one["name"] == "radiomics")
    assert radiomics["auc"]["value"] > 0.9  # the brightness that was drawn into the images


def test_features_are_the_engines_and_the_mean_of_both_readers(dataset, plan):
    by = people.system_user()
    assert features.extract(dataset=dataset, by=by) == 2 * SIZE
    assert features.extract(dataset=dataset, by=by) == 0
    series = Series.objects.order_by("pk").first()
    drawn = Segmentation.objects.filter(series=series).order_by("reader__username")
    parameters = Parameters.default("MR").original_only()
    own = [extract(volumes.volume(series), volumes.mask(one), parameters).values for one in drawn]
    found = frames.assemble(dataset, plan).predictors
    column = "T2/tumour/original_firstorder_Mean"
    mean = np.mean([values["original_firstorder_Mean"] for values in own])
    assert found.loc[series.subject.number, column] == pytest.approx(mean, rel=1e-12)
    assert not any("glcm" in name for name in found.columns)  # the plan asks for two classes


def test_features_come_from_the_image_that_was_locked_or_not_at_all(dataset, plan):
    series, by = Series.objects.order_by("pk").first(), people.system_user()
    later = slices(1, 1, planes=7)[6:]
    intake.receive(files=later, study=dataset.study, site=series.site, subject=series.subject, by=by)
    with pytest.raises(features.ImageHasChanged, match=series.subject.number):
        features.extract(dataset=dataset, by=by)
    assert not FeatureSet.objects.filter(series=series).exists()


def test_an_image_taken_after_time_zero_is_refused_by_name(dataset, plan):
    features.extract(dataset=dataset, by=people.system_user())
    early = type(plan).model_validate(plan.model_dump() | {"time_zero": "LB.lb_date"})
    found = frames.assemble(dataset, early)
    moved = found.time_zero - np.timedelta64(5, "D")
    column = "T2/tumour/original_firstorder_Mean"
    assert (found.dates[column] == "2026-02-28").all()
    refuse_leaks(found.dates, found.time_zero)
    with pytest.raises(LeakageRefused, match="T2/tumour/"):
        refuse_leaks(found.dates, moved)


def test_features_are_dated_by_the_image_they_come_from():
    """Two T2 images of one subject: the first reader's last round is on the later one, the second's on the earlier."""
    images = pd.DataFrame(
        [("1.1", 1, "2026-03-20"), ("1.2", 1, "2026-02-20")], columns=["series", "volume", "acquired_on"]
    )
    locked = SimpleNamespace(frame={"images": images}.__getitem__)
    drawn = [("first", "1.2", 1), ("first", "1.1", 2), ("second", "1.2", 1)]
    masks = [
        asked.Wanted(f"{reader}{round}", "01-0001", series, 1, "T2", "tumour", reader, round, "")
        for reader, series, round in drawn
    ]
    sets = {one.key: SimpleNamespace(state=FeatureSet.State.DONE) for one in masks}
    used = frames._used(masks, sets)
    assert {reader: one.series for (_, reader), one in used.items()} == {"first": "1.1", "second": "1.2"}
    assert frames._acquired(locked, used.values()).to_dict() == {"01-0001": pd.Timestamp("2026-03-20")}
    assert frames._acquired(locked, [used["01-0001", "second"]]).item() == pd.Timestamp("2026-02-20")


def test_a_missing_mask_stops_the_lock_by_name(dataset):
    study = dataset.study
    subject = enrol(study.sites.get(code="01"), by=people.system_user())
    pi = subject.study.memberships.get(role="pi").user
    found = datasets.preflight(study=study, by=pi)
    assert [(issue.subject, issue.message) for issue in found.of("missing_image")] == [(subject.number, "T2")]
    intake.receive(files=slices(99, 0), study=study, site=subject.site, subject=subject, by=people.system_user())
    found = datasets.preflight(study=study, by=pi)
    assert [issue.subject for issue in found.of("no_mask")] == [subject.number]


def test_the_keys_change_with_the_parameters_and_not_with_the_machine(dataset, plan):
    original = Parameters.default("MR").original_only()
    keys = [one.key for one in asked.wanted(dataset, original)]
    assert len(set(keys)) == len(keys) == 2 * SIZE
    assert not set(keys) & {one.key for one in asked.wanted(dataset, Parameters.default("MR"))}


def test_a_plan_chooses_the_voxel_size_and_may_not_choose_two(dataset):
    chosen = plans.plan(dataset.rules, "low-albumin")
    fine, coarse = (chosen.predictors["radiomics"].model_copy(update={"voxel_mm": edge}) for edge in (2, 3))
    one = chosen.model_copy(update={"predictors": {"radiomics": coarse}})
    assert {found.resample.spacing for found in plans.parameters(dataset, one).values()} == {(3, 3, 3)}
    two = chosen.model_copy(update={"predictors": {"fine": fine, "coarse": coarse}})
    with pytest.raises(BadPlan, match="voxel"):
        plans.parameters(dataset, two)
