"""Frames become volumes in their true place; what has none, or not quite, is said."""

import numpy as np
import pytest
import SimpleITK as sitk

from imaging.dicom.reasons import Refused
from tests.imaging.dicom_objects import slice_of
from tests.imaging.volumes import image, sort, sort_folder


def codes(problems):
    return [problem.code for problem in problems]


def test_three_phases_in_one_series_become_three_volumes(shared):
    sorting, datasets = sort_folder(shared / "data/imaging/mr_dce/image")
    assert [volume.size for volume in sorting.volumes] == [(256, 256, 60)] * 3
    for volume in sorting.volumes:
        assert volume.spacing == pytest.approx((0.703125, 0.703125, 2.0))
        assert volume.usable and not volume.problems
    first, second, third = (image(volume, datasets) for volume in sorting.volumes)
    assert sitk.GetArrayViewFromImage(first).mean() < sitk.GetArrayViewFromImage(second).mean()
    assert third.GetOrigin() == first.GetOrigin()


@pytest.mark.parametrize(
    ("folder", "size", "spacing"),
    [
        ("ct_liver", (512, 512, 41), (0.796875, 0.796875, 5.0)),
        ("mr_t2_adc/t2_image", (584, 512, 33), (0.6836, 0.6836, 8.0)),
        ("mr_t2_adc/adc_image", (256, 288, 36), (1.5625, 1.5625, 7.0)),
    ],
)
def test_real_series_equal_what_itk_reads(shared, folder, size, spacing):
    sorting, datasets = sort_folder(shared / "data/imaging" / folder)
    (volume,) = sorting.volumes
    ours = image(volume, datasets)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(shared / "data/imaging" / folder)))
    theirs = reader.Execute()
    assert ours.GetSize() == size
    assert ours.GetSpacing() == pytest.approx(spacing)
    assert ours.GetOrigin() == pytest.approx(theirs.GetOrigin(), abs=1e-3)
    assert ours.GetDirection() == pytest.approx(theirs.GetDirection(), abs=1e-6)
    assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))


def test_an_enhanced_field_map_equals_the_nifti_of_its_publishers(shared):
    folder = shared / "data/imaging/dcm_qa_enh"
    sorting, datasets = sort_folder(folder, "IM_0027_fMAP.dcm")
    assert [volume.size for volume in sorting.volumes] == [(64, 64, 32)] * 2
    published = sitk.ReadImage(str(folder / "Philips_WIP_B0_NS_801_e1.nii"))
    ours = sitk.DICOMOrient(image(sorting.volumes[1], datasets), "LPS")
    expected = sitk.DICOMOrient(published, "LPS")
    assert ours.GetSpacing() == pytest.approx(expected.GetSpacing(), abs=1e-4)
    assert ours.GetOrigin() == pytest.approx(expected.GetOrigin(), abs=1e-2)
    voxels, theirs = (sitk.GetArrayFromImage(each).astype(float) for each in (ours, expected))
    assert np.corrcoef(voxels.ravel(), theirs.ravel())[0, 1] > 0.9999


def test_echoes_of_one_enhanced_series_are_separate(shared):
    sorting, _ = sort_folder(shared / "data/imaging/dcm_qa_enh", "6_*.dcm")
    assert [volume.split for volume in sorting.volumes] == [{"temporal": 1.0}, {"temporal": 2.0}]


def test_b_values_of_a_diffusion_series_are_separate(shared):
    sorting, _ = sort_folder(shared / "data/imaging/dcm_qa_philips_dwi")
    assert len(sorting.volumes) == 17
    assert all("b" in volume.split for volume in sorting.volumes)


def stack(count=4, gap=5.0, **attributes):
    slices = [slice_of(number=index + 1, position=(0, 0, index * gap), **attributes) for index in range(count)]
    return {dataset.SOPInstanceUID: dataset for dataset in slices}


def test_slices_are_ordered_by_place_not_by_number():
    datasets = {uid: each for uid, each in reversed(stack().items())}
    (volume,) = sort(datasets).volumes
    voxels = sitk.GetArrayFromImage(image(volume, datasets))
    assert voxels[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert volume.spacing == (1.25, 1.5, 5.0)


def test_orientations_are_separate_volumes():
    localiser = stack(3)
    for number, dataset in enumerate(stack(3, series="1").values()):
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.9"
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.ImagePositionPatient = [number * 5.0, 0, 0]
        localiser[dataset.SOPInstanceUID] = dataset
    assert [volume.size for volume in sort(localiser).volumes] == [(6, 8, 3), (6, 8, 3)]


def test_a_missing_slice_is_counted_and_the_volume_is_not_used():
    datasets = stack(6)
    del datasets[list(datasets)[2]]
    (volume,) = sort(datasets).volumes
    assert codes(volume.problems) == ["missing_slices"]
    with pytest.raises(Refused) as refused:
        image(volume, datasets)
    assert refused.value.code == "missing_slices"


def test_slices_far_apart_are_not_taken_for_a_volume(shared):
    sorting, _ = sort_folder(shared / "data/imaging/dcm_qa_deident")
    assert "sparse" in codes(sorting.volumes[0].problems)
    assert not sorting.volumes[0].usable


def test_a_tilted_gantry_is_noticed():
    datasets = stack()
    for index, dataset in enumerate(datasets.values()):
        dataset.ImagePositionPatient = [0, index * 2.0, index * 5.0]
    (volume,) = sort(datasets).volumes
    assert codes(volume.problems) == ["sheared"]
    assert not volume.usable


def test_repeated_positions_with_nothing_to_tell_them_apart_are_split_and_said():
    datasets = stack()
    for dataset in stack().values():
        dataset.SOPInstanceUID += ".2"
        dataset.InstanceNumber += 10
        datasets[dataset.SOPInstanceUID] = dataset
    volumes = sort(datasets).volumes
    assert [volume.size[2] for volume in volumes] == [4, 4]
    assert all(codes(volume.problems) == ["duplicate_positions"] for volume in volumes)


@pytest.mark.parametrize(
    ("name", "code"),
    [("no_image_position", "no_position"), ("pixel_spacing_zero", "zero_spacing"),
     ("iop_parallel_vectors", "bad_orientation")],
)  # fmt: skip
def test_frames_without_a_place_are_listed_with_the_reason(shared, name, code):
    sorting, _ = sort_folder(shared / "data/imaging/malformed", f"{name}.dcm")
    assert sorting.volumes == ()
    assert codes(sorting.problems) == [code]
    assert len(sorting.unplaced) == 1


def test_hounsfield_units_are_applied(shared):
    sorting, datasets = sort_folder(shared / "data/imaging/highdicom", "ct_image.dcm")
    voxels = sitk.GetArrayFromImage(image(sorting.volumes[0], datasets))
    assert -1024 <= voxels.min() < -800
    assert codes(sorting.volumes[0].problems) == ["single_slice"]


def test_planes_side_by_side_are_no_volume():
    datasets = stack(3)
    for index, dataset in enumerate(datasets.values()):
        dataset.ImagePositionPatient = [index * 50.0, 0, 0]
    (volume,) = sort(datasets).volumes
    assert codes(volume.problems) == ["sheared"]
    assert not volume.usable
