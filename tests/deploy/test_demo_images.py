"""The demo's images are valid, identified, synthetic, and their masks lie on their geometry."""

import io
from datetime import date, datetime

import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom import _standard_utils as standard
from pydicom.datadict import tag_for_keyword
from scipy.stats import spearmanr

from deploy.demo import images, masks, phantoms
from deploy.demo.phantoms import CT_GRID, MR_GRID, Body

PERSON = images.Person("Zhang^San=张^三", "SYN010001", date(1960, 2, 3), "M", "中山大学孙逸仙纪念医院")


def acquisition(kind, tilt=3.0):
    grid = CT_GRID if kind == "PVP" else MR_GRID
    placement = images.Placement(grid, tilt, table=-120.5)
    return images.Acquisition(kind, PERSON, images.SCANNERS["02"], datetime(2025, 3, 4, 9, 30), placement, "A00000001")


@pytest.fixture(scope="module")
def series():
    """The three kinds of series: (anatomy, pixels, acquisition, files)."""
    result = {}
    for kind in images.PROTOCOLS:
        what = acquisition(kind)
        body = Body(texture=0.3, spleen_ml=400, tumour_mm=None if kind == "PVP" else 60, seed=7)
        subject = phantoms.anatomy(body, what.placement.grid)
        pixels = phantoms.render(subject, kind, target="spleen" if kind == "PVP" else "tumour")
        result[kind] = (subject, pixels, what, list(images.dicom_series(pixels, what)))
    return result


@pytest.mark.parametrize("kind", images.PROTOCOLS)
def test_every_mandatory_module_of_the_image_definition_is_complete(series, kind):
    ds = pydicom.dcmread(io.BytesIO(series[kind][3][0][1]))
    iod = standard.get_sop_class_iod_map()[ds.SOPClassUID]
    modules = standard.get_module_attribute_map()
    missing = []
    for module in standard.get_iod_module_map()[iod]:
        if module["usage"] != "M":
            continue
        for attribute in modules[module["key"]]:
            present = tag_for_keyword(attribute["keyword"]) in ds
            filled = present and ds[attribute["keyword"]].value not in (None, "")
            if not attribute["path"] and (
                (attribute["type"] == "1" and not filled) or (attribute["type"] == "2" and not present)
            ):
                missing.append((module["key"], attribute["keyword"]))
    assert not missing


@pytest.mark.parametrize("kind", images.PROTOCOLS)
def test_an_independent_reader_gets_the_same_voxels_on_the_same_geometry(series, kind, tmp_path):
    _, pixels, what, files = series[kind]
    paths = []
    for index, (_, content) in enumerate(files):
        paths.append(tmp_path / f"{index:03d}.dcm")
        paths[-1].write_bytes(content)
    image = SimpleITK.ReadImage([str(path) for path in paths])
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), pixels)
    np.testing.assert_allclose(image.GetSpacing(), what.placement.grid.spacing[::-1], atol=1e-4)
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((5, 6, 7)), what.placement.position((7, 6, 5)), atol=1e-3
    )


@pytest.mark.parametrize("tilt", [0.0, 3.0])
def test_a_nifti_mask_lies_on_the_geometry_of_its_series(series, tilt, tmp_path):
    subject, _, _, _ = series["T2"]
    placement = images.Placement(MR_GRID, tilt, table=-120.5)
    (tmp_path / "mask.nii.gz").write_bytes(masks.nifti(subject.rois["tumour"], placement))
    mask = SimpleITK.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(mask), subject.rois["tumour"])
    for index in [(0, 0, 0), (13, 0, 0), (3, 40, 90)]:
        np.testing.assert_allclose(
            mask.TransformIndexToPhysicalPoint(index[::-1]), placement.position(index), atol=1e-3
        )


def test_images_name_the_person_in_every_place_that_real_ones_do_and_say_that_they_are_synthetic(series):
    for *_, files in series.values():
        ds = pydicom.dcmread(io.BytesIO(files[0][1]))
        assert ds.PatientID == PERSON.hospital_number and ds.PatientName == PERSON.name
        assert ds.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == PERSON.name
        assert any(element.tag.is_private for element in ds)
        assert "SYNTHETIC" in ds.PatientComments and "SYNTHETIC" in ds.ImageComments


def test_a_series_is_one_series_of_distinct_instances_and_repeats_byte_for_byte(series):
    subject, pixels, what, files = series["AP"]
    assert list(images.dicom_series(phantoms.render(subject, "AP", target="tumour"), what)) == files
    headers = [pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True) for _, content in files]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers) == len(pixels)
    assert len({ds.SeriesInstanceUID for ds in headers}) == 1


def test_signal_is_in_hounsfield_units_on_ct_and_follows_the_scanner_on_mr(series):
    subject, pixels, _, _ = series["PVP"]
    assert abs(np.median(pixels[subject.rois["liver"]]) - phantoms.SIGNAL["PVP"][phantoms.Tissue.LIVER]) < 5
    subject, pixels, _, _ = series["T2"]
    stronger = phantoms.render(subject, "T2", scanner=1.5, target="tumour")
    assert np.median(stronger[subject.rois["liver"]]) == pytest.approx(
        1.5 * np.median(pixels[subject.rois["liver"]]), rel=0.02
    )


def test_two_readers_agree_well_but_not_wholly():
    truth = phantoms.anatomy(Body(0, tumour_mm=60, seed=3), MR_GRID).rois["tumour"]
    first, second = (phantoms.reader_mask(truth, MR_GRID, seed=seed) for seed in (1, 2))
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    assert 0.85 < dice < 0.98
    assert np.array_equal(first, phantoms.reader_mask(truth, MR_GRID, seed=1))


def test_the_spleen_has_the_volume_that_the_record_states():
    for wanted in (180, 400, 900):
        spleen = phantoms.anatomy(Body(0, spleen_ml=wanted, seed=wanted), CT_GRID).rois["spleen"]
        assert spleen.sum() * np.prod(CT_GRID.spacing) / 1000 == pytest.approx(wanted, rel=0.25)


@pytest.mark.parametrize(("kind", "target"), [("T2", "tumour"), ("AP", "tumour"), ("PVP", "spleen")])
def test_texture_inside_the_target_follows_the_latent(kind, target):
    grid = CT_GRID if kind == "PVP" else MR_GRID
    latents = np.linspace(-2, 2, 24)
    spread = []
    for seed, latent in enumerate(latents):
        subject = phantoms.anatomy(Body(latent, 400, None if kind == "PVP" else 60, seed), grid)
        spread.append(phantoms.render(subject, kind, target=target)[subject.rois[target]].std())
    assert spearmanr(latents, spread).statistic > 0.4
