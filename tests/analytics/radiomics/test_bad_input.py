"""Every bad input has a value or a reason; none has a stack trace."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from analytics.radiomics import REASONS, NotExtractable, Parameters, extract, extract_many, feature_names
from analytics.radiomics.reasons import describe

PLAIN = Parameters.model_validate({"discretise": {"bin_width": 25}})


def volume(array, spacing=(1.0, 1.0, 2.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(array))
    image.SetSpacing(spacing)
    return image


@pytest.fixture
def image():
    return volume(np.random.default_rng(1).integers(0, 400, (12, 20, 20)).astype(np.int16))


def block(low=(3, 5, 5), high=(8, 12, 12), shape=(12, 20, 20), value=1) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return array


def reason(image, mask, parameters=PLAIN, label=1) -> NotExtractable:
    with pytest.raises(NotExtractable) as refused:
        extract(image, mask, parameters, label)
    assert refused.value.zh and refused.value.en and refused.value.zh != refused.value.en
    return refused.value


def test_an_empty_mask_is_refused(image):
    assert reason(image, volume(block(value=0))).code == "empty_mask"


def test_one_voxel_is_refused(image):
    found = reason(image, volume(block((4, 4, 4), (5, 5, 5))))
    assert (found.code, found.facts["voxels"]) == ("too_few_voxels", 1)


def test_a_line_of_voxels_is_refused(image):
    assert reason(image, volume(block((4, 4, 4), (5, 5, 9)))).code == "too_flat"


def test_a_missing_label_is_refused_and_the_present_ones_named(image):
    found = reason(image, volume(block(value=3)))
    assert found.code == "label_missing"
    assert "3" in found.en


def test_another_label_can_be_asked_for(image):
    mask = block(value=3)
    mask[0, :5, :5] = 1
    assert extract(image, volume(mask), PLAIN, label=3).provenance["voxels_measured"] == 5 * 7 * 7


def test_a_voxel_without_a_number_is_refused(image):
    broken = sitk.GetArrayFromImage(image).astype(np.float32)
    broken[0, 0, 0] = math.nan
    assert reason(volume(broken), volume(block())).facts["count"] == 1


def test_an_image_of_another_size_is_refused(image):
    found = reason(image, volume(block(shape=(12, 20, 21))))
    assert found.code == "size_differs"
    assert "20 x 20 x 12" in found.en


@pytest.mark.parametrize(
    ("spacing", "origin"), [((1.0, 1.0, 2.2), (0, 0, 0)), ((1.0, 1.0, 2.0), (3, 0, 0))], ids=["spacing", "origin"]
)
def test_a_mask_elsewhere_is_refused(image, spacing, origin):
    mask = volume(block(), spacing)
    mask.SetOrigin(origin)
    assert reason(image, mask).code == "geometry_differs"


def test_the_rounding_of_a_file_format_is_no_other_place(image):
    mask = volume(block(), (1.0, 1.0, 2.0001))
    assert extract(image, mask, PLAIN).values == extract(image, volume(block()), PLAIN).values


def test_several_phases_in_one_image_are_refused():
    phases = sitk.JoinSeries([volume(np.ones((4, 5, 5), np.int16))] * 3)
    assert reason(phases, volume(block(shape=(4, 5, 5)))).code == "not_three_dimensional"


def test_a_constant_image_cannot_be_normalised():
    flat = volume(np.full((12, 20, 20), 7, np.int16))
    parameters = Parameters.model_validate({"discretise": {"bin_width": 5}, "normalise": {"scale": 100}})
    assert reason(flat, volume(block()), parameters).code == "constant_image"


def test_a_constant_region_has_shape_and_a_reason_for_the_rest(image):
    values = sitk.GetArrayFromImage(image)
    values[block() == 1] = 55
    found = extract(volume(values), volume(block()), PLAIN)
    assert found.values["original_shape_VoxelVolume"] == 5 * 7 * 7 * 2
    assert set(found.failures.values()) == {"one_grey_level"}
    assert len(found.values) + len(found.failures) == len(feature_names(PLAIN)) == 107


def test_too_fine_bins_are_refused_before_they_fill_the_memory(image):
    values = sitk.GetArrayFromImage(image).astype(np.float64) * 1e7
    found = extract(volume(values), volume(block()), PLAIN)
    assert set(found.failures.values()) == {"too_many_grey_levels"}


def test_a_range_that_keeps_nothing_is_refused(image):
    parameters = Parameters.model_validate({"discretise": {"bin_width": 25}, "resegment": {"range": [5000, 6000]}})
    assert reason(image, volume(block()), parameters).code == "resegmented_away"


def test_a_filter_that_needs_more_image_leaves_its_reason():
    thin = volume(np.random.default_rng(2).integers(0, 400, (3, 20, 20)).astype(np.int16))
    parameters = Parameters.model_validate({"discretise": {"bin_width": 25}, "filters": {"log": {"sigma": [1]}}})
    found = extract(thin, volume(block((0, 5, 5), (3, 12, 12), (3, 20, 20))), parameters)
    assert set(found.failures.values()) == {"image_too_small_for_filter"}
    assert len(found.values) == 107


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.float64])
def test_any_pixel_type_is_measured(image, kind):
    values = (sitk.GetArrayFromImage(image) // 4).astype(kind)
    assert len(extract(volume(values), volume(block()), PLAIN).values) == 107


def test_very_thick_slices_are_measured():
    image = volume(np.random.default_rng(3).integers(0, 400, (12, 20, 20)).astype(np.int16), (0.5, 0.5, 10.0))
    content = {"discretise": {"bin_width": 25}, "filters": {"log": {"sigma": [1]}, "wavelet": {}}}
    found = extract(image, volume(block(), (0.5, 0.5, 10.0)), Parameters.model_validate(content))
    assert not found.failures


def test_a_whole_image_region_is_measured(image):
    assert not extract(image, volume(np.ones((12, 20, 20), np.uint8)), PLAIN).failures


def test_one_bad_mask_does_not_stop_the_others(image):
    found = extract_many(image, {"good": volume(block()), "bad": volume(block(value=0))}, PLAIN)
    assert isinstance(found["bad"], NotExtractable)
    assert len(found["good"].values) == 107


def test_the_uninformative_images_of_mirp_have_values_or_reasons(shared):
    folder = shared / "data/imaging/orientation_and_uninformative"
    outcomes = {}
    for image_path in sorted(folder.glob("uninformative*/image/*.nii.gz")):
        image = sitk.ReadImage(str(image_path))
        for mask_path in sorted(image_path.parent.parent.glob("mask/*.nii.gz")):
            try:
                found = extract(image, sitk.ReadImage(str(mask_path)), PLAIN)
                outcomes[mask_path] = set(found.failures.values())
            except NotExtractable as refused:
                outcomes[mask_path] = refused.code
    assert {path.stem.split(".")[0]: found for path, found in outcomes.items()}["empty_mask"] == "empty_mask"
    assert {path.stem.split(".")[0]: found for path, found in outcomes.items()}["one_voxel_mask"] == "too_few_voxels"
    assert len(outcomes) == 8


def test_every_reason_is_said_in_both_languages():
    for code, texts in REASONS.items():
        assert set(texts) == {"zh", "en"}
        assert describe(code, "zh-hans", **dict.fromkeys(PLACES, "1"))
        assert describe(code, "en", **dict.fromkeys(PLACES, "1"))


PLACES = ["found", "mask", "image", "distance", "allowed", "label", "voxels", "least", "extent", "count", "value"]
