"""Masks belong to a reader; readers see their own; a new one replaces, and the old one stays readable."""

import numpy as np
import pytest
import SimpleITK as sitk
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from analytics.radiomics import Parameters, extract
from imaging.dicom import nifti
from imaging.dicom.reasons import Refused
from imaging.models import Instance, Segmentation, Series
from imaging.selectors import volumes
from imaging.services import segmentations
from registry import audit
from registry.models import AuditEvent
from tests.study import person

pytestmark = pytest.mark.django_db


def drawn(series, box=(slice(1, 3), slice(2, 5), slice(1, 4))):
    voxels = np.zeros(series.geometry["size"][::-1], dtype=np.uint8)
    voxels[box] = 1
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(volumes.volume(series))
    return nifti.write(image)


def add(series, reader, **more):
    options = {"round": 1, "roi": "tumour", "file": drawn(series)} | more
    return segmentations.add(series=series, reader=reader, by=reader, **options)


def test_a_mask_is_stored_on_the_grid_of_its_series(series, cast):
    added = add(series, cast["reader"])
    assert added.voxels == 2 * 3 * 3
    assert added.volume_ml == pytest.approx(18 * 1.25 * 1.5 * 4 / 1000)
    image, mask = volumes.volume(series), volumes.mask(added)
    assert mask.GetOrigin() == image.GetOrigin()
    assert mask.GetDirection() == image.GetDirection()
    assert mask.GetSpacing() == image.GetSpacing()
    assert added.series_digest == series.digest
    assert AuditEvent.objects.filter(kind="segmentation.upload").count() == 1


def test_the_same_mask_again_changes_nothing_and_another_replaces_it(series, cast):
    first = add(series, cast["reader"])
    assert add(series, cast["reader"]) == first
    second = add(series, cast["reader"], file=drawn(series, box=(1, 1, 1)))
    assert list(Segmentation.objects.current()) == [second]
    first.refresh_from_db()
    assert not first.is_current
    assert sitk.GetArrayFromImage(volumes.mask(first)).sum() == 18


def test_rounds_and_regions_and_readers_stand_beside_each_other(series, cast, study):
    other = person("second_reader", study=study, role="reader")
    add(series, cast["reader"])
    add(series, cast["reader"], round=2)
    add(series, cast["reader"], roi="liver")
    add(series, other)
    assert Segmentation.objects.current().count() == 4


def test_readers_see_their_own_masks_only(series, cast, study):
    other = person("second_reader", study=study, role="reader")
    own = add(series, cast["reader"])
    add(series, other)
    assert list(Segmentation.objects.visible_to(cast["reader"])) == [own]
    for role in ("pi", "data_manager"):
        assert Segmentation.objects.visible_to(cast[role]).count() == 2
    for role in ("coordinator", "monitor", "statistician", "stranger"):
        assert not Segmentation.objects.visible_to(cast[role]).exists()


def test_only_readers_add_masks_and_only_their_own(series, cast, study):
    other = person("second_reader", study=study, role="reader")
    with pytest.raises(PermissionDenied):
        add(series, cast["coordinator"])
    with pytest.raises(PermissionDenied):
        segmentations.add(series=series, reader=other, round=1, roi="x", file=drawn(series), by=cast["reader"])


def test_a_mask_that_does_not_fit_is_refused_and_nothing_is_stored(series, cast, folder):
    shifted = nifti.read(drawn(series))
    shifted.SetOrigin([0.0, 0.0, 400.0])
    with pytest.raises(Refused) as refused:
        add(series, cast["reader"], file=nifti.write(shifted))
    assert refused.value.code == "mask_outside"
    assert not Segmentation.objects.exists()
    assert not list(folder.rglob("*.nii.gz"))


def test_the_database_keeps_one_current_mask(series, cast):
    add(series, cast["reader"])
    copy = Segmentation.objects.get()
    copy.pk = None
    with pytest.raises(IntegrityError), transaction.atomic(), audit.change(by=cast["reader"]):
        copy.save(force_insert=True)


def test_a_real_segmentation_object_finds_its_series_by_the_mapped_uid(receive, shared, cast, subject):
    base = shared / "data/imaging/seg_dicom4qi_data_5"
    receive([(path.name, path) for path in sorted((base / "image").iterdir())])
    one = Series.objects.get()
    content = next((base / "mask").iterdir()).read_bytes()
    assert add(one, cast["reader"], file=content).voxels == 322
    assert Instance.objects.count() == 3


def test_a_real_series_and_its_segmentation_give_radiomics_values(receive, shared, cast, subject):
    base = shared / "data/imaging/dcmqi_segmentations"
    receive([(path.name, path) for path in sorted((base / "ct-3slice").iterdir())])
    one = Series.objects.get()
    added = add(one, cast["reader"], file=(base / "liver.dcm").read_bytes())
    image, mask = volumes.volume(one), volumes.mask(added)
    found = extract(image, mask, Parameters.default(one.modality).original_only())
    assert not found.failures
    assert len(found.values) > 90
    assert added.voxels == 107_098
    inside = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(mask) == 1]
    assert found.values["original_firstorder_Median"] == pytest.approx(np.median(inside), abs=3)  # HU, resampled


def test_a_segmentation_object_of_another_series_is_refused(series, shared, cast):
    content = next((shared / "data/imaging/seg_dicom4qi_data_5/mask").iterdir()).read_bytes()
    with pytest.raises(Refused) as refused:
        add(series, cast["reader"], file=content)
    assert refused.value.code == "mask_other_series"
