"""Masks lie on the grid of their series, or the message says how they miss it."""

import bz2
import gzip

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk

from imaging.dicom import nifti, nrrd, segmentation
from imaging.dicom.reasons import Refused
from tests.imaging.dicom_objects import as_bytes
from tests.imaging.volumes import image, parse, sort_folder


def series(folder, pattern="*", number=0):
    sorting, datasets = sort_folder(folder, pattern)
    return image(sorting.volumes[number], datasets)


@pytest.fixture
def reference():
    grid = sitk.Image([12, 10, 6], sitk.sitkInt16)
    grid.SetSpacing([1.25, 1.5, 4.0])
    grid.SetOrigin([-30.0, 20.0, 7.0])
    grid.SetDirection([0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1])
    return grid


def drawn(reference, box=((2, 5), (3, 6), (1, 3)), value=1):
    voxels = np.zeros(reference.GetSize()[::-1], dtype=np.uint8)
    (x0, x1), (y0, y1), (z0, z1) = box
    voxels[z0:z1, y0:y1, x0:x1] = value
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(reference)
    return mask


def code_of(content, reference, **options):
    with pytest.raises(Refused) as refused:
        segmentation.read(content, reference, **options)
    assert refused.value.zh
    return refused.value.code


def test_the_published_breast_mask_has_its_voxels(shared):
    folder = shared / "data/imaging/mr_dce"
    reference = series(folder / "image")
    mask = segmentation.read(next((folder / "mask").iterdir()).read_bytes(), reference)
    assert mask.voxels == 82_527
    assert mask.volume_ml == pytest.approx(82_527 * 0.703125**2 * 2 / 1000)
    assert mask.image.GetSize() == reference.GetSize()


def test_a_segmentation_and_its_nrrd_give_the_same_mask(shared):
    folder = shared / "data/imaging/dcmqi_segmentations"
    reference = series(folder / "ct-3slice")
    from_seg = segmentation.read((folder / "liver.dcm").read_bytes(), reference)
    from_nrrd = segmentation.read((folder / "liver_seg.nrrd").read_bytes(), reference)
    assert np.array_equal(sitk.GetArrayFromImage(from_seg.image), sitk.GetArrayFromImage(from_nrrd.image))
    assert from_seg.voxels == 107_098
    assert from_seg.labels == {1: "Liver"}


def test_our_reader_agrees_with_highdicom(shared):
    folder = shared / "data/imaging/dcmqi_segmentations"
    reference = series(folder / "ct-3slice")
    theirs = highdicom.seg.segread(str(folder / "partial_overlaps.dcm"))
    for segment in theirs.segment_numbers:
        volume = theirs.get_volume(segment_numbers=[segment])
        ours = segmentation.read((folder / "partial_overlaps.dcm").read_bytes(), reference, label=segment)
        assert ours.voxels == int((volume.array > 0).sum())


def test_segmentations_by_several_vendors_for_one_image(shared):
    folder = shared / "data/imaging/seg_dicom4qi_data_5"
    mask = segmentation.read(next((folder / "mask").iterdir()).read_bytes(), series(folder / "image"))
    assert mask.voxels == 322
    assert mask.software.startswith("https://github.com/qiicr/dcmqi")


def test_a_segmentation_keeps_no_text_that_names_its_patient(shared):
    folder = shared / "data/imaging/seg_dicom4qi_data_5"
    dataset = parse(next((folder / "mask").iterdir()))
    dataset.PatientName, dataset.ManufacturerModelName = "Zhang^San", "drawn for ZHANG"
    mask = segmentation.read(as_bytes(dataset), series(folder / "image"))
    assert mask.voxels == 322
    assert "ZHANG" not in f"{mask.software} {mask.labels}"


def test_the_ibsi_phantom_mask_has_its_voxels(shared):
    folder = shared / "data/imaging/ibsi1_ct_phantom"
    mask = segmentation.read((folder / "nifti/mask/mask.nii.gz").read_bytes(), series(folder / "dicom/image"))
    assert mask.voxels == 125_256


def test_a_picture_is_not_taken_for_a_mask(shared):
    folder = shared / "data/imaging/ibsi1_ct_phantom"
    content = (folder / "nifti/image/phantom.nii.gz").read_bytes()
    assert code_of(content, series(folder / "dicom/image")) == "mask_labels"


def test_the_other_phantoms_mask_is_refused_by_its_spacing(shared):
    folder = shared / "data/imaging/ibsi1_digital_phantom"
    content = (folder / "nifti/mask/mask.nii.gz").read_bytes()
    assert code_of(content, series(folder / "dicom/image")) == "mask_spacing"


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "RPI", "PIR", "SAL"])
def test_a_nifti_in_any_orientation_gives_the_same_mask(reference, orientation):
    turned = sitk.DICOMOrient(drawn(reference), orientation)
    mask = segmentation.read(nifti.write(turned), reference)
    assert np.array_equal(sitk.GetArrayFromImage(mask.image), sitk.GetArrayFromImage(drawn(reference)))
    assert mask.voxels == 3 * 3 * 2


def test_a_cropped_mask_is_placed(reference):
    mask = segmentation.read(nifti.write(drawn(reference)[1:8, 2:9, 0:4]), reference)
    assert np.array_equal(sitk.GetArrayFromImage(mask.image), sitk.GetArrayFromImage(drawn(reference)))


def test_an_empty_mask_is_refused(reference):
    assert code_of(nifti.write(drawn(reference, value=0)), reference) == "mask_empty"


def test_a_half_voxel_shift_is_refused_with_its_size(reference):
    mask = drawn(reference)
    mask.SetOrigin([part + shift for part, shift in zip(mask.GetOrigin(), (0.5, 0, 0), strict=True)])
    with pytest.raises(Refused) as refused:
        segmentation.read(nifti.write(mask), reference)
    assert refused.value.code == "mask_shifted"
    assert "0.40" in refused.value.en


def test_a_flipped_mask_falls_outside(reference):
    mask = drawn(reference)
    direction = np.array(mask.GetDirection()).reshape(3, 3) @ np.diag([-1, 1, 1])
    mask.SetDirection(direction.ravel().tolist())
    assert code_of(nifti.write(mask), reference) in ("mask_outside", "mask_shifted")


def test_a_mask_of_another_series_falls_outside(reference):
    mask = drawn(reference)
    step = np.array(reference.GetDirection()).reshape(3, 3)[:, 2] * 4.0 * 20
    mask.SetOrigin((np.array(mask.GetOrigin()) + step).tolist())
    assert code_of(nifti.write(mask), reference) == "mask_outside"


def test_a_turned_grid_is_refused(reference):
    mask = drawn(reference)
    mask.SetDirection([1, 0, 0, 0, 1, 0, 0, 0, 1])
    assert code_of(nifti.write(mask), reference) == "mask_rotated"


def test_another_voxel_size_is_refused(reference):
    mask = drawn(reference)
    mask.SetSpacing([1.25, 1.5, 5.0])
    assert code_of(nifti.write(mask), reference) == "mask_spacing"


def test_one_of_several_labels_is_picked(reference):
    mask = drawn(reference) + drawn(reference, box=((7, 9), (0, 2), (4, 6)), value=3)
    content = nifti.write(sitk.Cast(mask, sitk.sitkUInt8))
    assert code_of(content, reference) == "mask_labels"
    assert code_of(content, reference, label=2) == "mask_label_absent"
    assert segmentation.read(content, reference, label=3).voxels == 8


def test_a_segmentation_that_names_another_series_is_refused(shared):
    folder = shared / "data/imaging/seg_dicom4qi_data_5"
    path = next((folder / "mask").iterdir())
    own = parse(next((folder / "image").iterdir())).SeriesInstanceUID
    reference = series(folder / "image")
    assert segmentation.read(path.read_bytes(), reference, series_uids=frozenset({own})).voxels == 322
    assert code_of(path.read_bytes(), reference, series_uids=frozenset({"1.2.3"})) == "mask_other_series"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"\x1f\x8b broken", b"NRRD0004\n\n", b"\0" * 400])
def test_what_is_no_mask_is_refused(reference, content):
    assert code_of(content, reference) == "mask_format"


def test_our_readers_agree_with_itk_on_every_published_file(shared):
    paths = [path for path in (shared / "data/imaging").rglob("*") if path.name.endswith((".nii", ".nii.gz", ".nrrd"))]
    compared = 0
    for path in paths:
        content = path.read_bytes()
        if path.name == "orientation.nii.gz" and b"<html" in nifti.gunzip(content):
            continue  # the publishers' mirror holds a web page under this name
        ours = (nrrd if path.suffix == ".nrrd" else nifti).read(content)
        theirs = sitk.ReadImage(str(path))
        theirs = theirs[:, :, :, 0] if theirs.GetDimension() == 4 else theirs
        assert ours.GetSpacing() == pytest.approx(theirs.GetSpacing(), rel=1e-5)
        assert ours.GetOrigin() == pytest.approx(theirs.GetOrigin(), abs=1e-3)
        assert ours.GetDirection() == pytest.approx(theirs.GetDirection(), abs=1e-5)
        assert np.allclose(sitk.GetArrayViewFromImage(ours), sitk.GetArrayViewFromImage(theirs), rtol=1e-6)
        compared += 1
    assert compared > 30


def test_a_written_mask_is_the_same_to_the_byte(reference):
    assert nifti.write(drawn(reference)) == nifti.write(drawn(reference))
    again = nifti.read(nifti.write(drawn(reference)))
    assert again.GetOrigin() == pytest.approx(reference.GetOrigin(), abs=1e-5)
    assert again.GetDirection() == pytest.approx(reference.GetDirection(), abs=1e-6)


@pytest.mark.parametrize("pack", ["nifti", "gzip", "bzip2"])
def test_a_small_file_that_swells_beyond_its_series_is_refused_unread(reference, pack):
    zeros = bytes(2**22)
    head = b"NRRD0004\nsizes: 512 512 16\ntype: uint8\nspace: lps\nencoding: " + pack.encode() + b"\n\n"
    swelling = {
        "nifti": gzip.compress(nifti.gunzip(nifti.write(drawn(reference))) + zeros),
        "gzip": head + gzip.compress(zeros),
        "bzip2": head + bz2.compress(zeros),
    }
    assert code_of(swelling[pack], reference) == "inflates_too_large"
