"""Cropping before filtering must not be seen in the values: compared with unpatched PyRadiomics, whole image."""

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor

from analytics.radiomics import Parameters, extract, extract_many

FULL = {"discretise": {"bin_width": 10}, "filters": {"log": {"sigma": [1, 2]}, "wavelet": {"wavelet": "coif1"}}}


def noise(shape=(24, 60, 70), spacing=(0.9, 0.9, 3.0), seed=7) -> sitk.Image:
    values = np.random.default_rng(seed).normal(300, 80, shape)
    image = sitk.GetImageFromArray(values.astype(np.int16))
    image.SetSpacing(spacing)
    return sitk.Cast(sitk.SmoothingRecursiveGaussian(image, 1.0), sitk.sitkInt16)


def ball(image: sitk.Image, centre=(12, 30, 35), radii=(4, 8, 9)) -> sitk.Image:
    grid = np.indices(image.GetSize()[::-1])
    distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
    mask = sitk.GetImageFromArray((distance <= 1).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def by_pyradiomics(image, mask, parameters: Parameters) -> dict[str, float]:
    extractor = RadiomicsFeatureExtractor(**parameters.engine_settings(), additionalInfo=False)
    extractor.enableAllFeatures()
    extractor.enabledFeatures.pop("shape2D")
    extractor.disableAllImageTypes()
    sigma = [float(value) for value in parameters.filters.log.sigma]
    extractor.enableImageTypes(Original={}, Wavelet={}, LoG={"sigma": sigma})
    return {name: float(np.real(value)) for name, value in extractor.execute(image, mask).items()}


@pytest.mark.parametrize(
    "centre", [(12, 30, 35), (3, 8, 60)], ids=["in the middle", "touching three edges of the image"]
)
def test_cropped_filters_give_what_the_whole_image_gives(centre):
    image, parameters = noise(), Parameters.model_validate(FULL)
    mask = ball(image, centre)
    values, reference = extract(image, mask, parameters).values, by_pyradiomics(image, mask, parameters)
    assert sorted(values) == sorted(reference)
    for name, value in reference.items():
        tolerance = 1e-5 if name.startswith("log") else 1e-9
        assert values[name] == pytest.approx(value, rel=tolerance, abs=1e-12), name


def test_an_odd_image_wraps_its_wavelet_as_pyradiomics_does():
    image, parameters = noise((23, 61, 71)), Parameters.model_validate(FULL)
    mask = ball(image, (19, 55, 66), (3, 5, 4))
    values, reference = extract(image, mask, parameters).values, by_pyradiomics(image, mask, parameters)
    bands = [name for name in reference if name.startswith("wavelet")]
    assert len(bands) == 8 * 93
    for name in bands:
        assert values[name] == pytest.approx(reference[name], rel=1e-9, abs=1e-12), name


def test_pyradiomics_own_crop_would_be_wrong_for_log():
    """The trap this layer avoids: if this fails, preCrop has been repaired and our margin may be simplified."""
    image, parameters = noise((24, 120, 120)), Parameters.model_validate(FULL | {"filters": {"log": {"sigma": [5]}}})
    mask = ball(image, (12, 60, 60), (3, 5, 5))
    extractor = RadiomicsFeatureExtractor(**parameters.engine_settings(), preCrop=True, additionalInfo=False)
    extractor.disableAllImageTypes()
    extractor.enableImageTypes(LoG={"sigma": [5.0]})
    name = "log-sigma-5-0-mm-3D_firstorder_Mean"
    right = extract(image, mask, parameters).values[name]
    cropped = float(extractor.execute(image, mask)[name])
    assert abs(cropped / right - 1) > 0.01


def test_log_after_resampling_sees_far_enough():
    """PyRadiomics keeps 5 voxels when it resamples; ours must equal a resampling that keeps everything."""
    image = noise((30, 80, 80), (1.0, 1.0, 2.0))
    mask = ball(image, (15, 40, 40), (4, 6, 6))
    content = FULL | {"resample": {"spacing": [1.5, 1.5, 1.5]}, "filters": {"log": {"sigma": [2]}}}
    parameters = Parameters.model_validate(content)
    extractor = RadiomicsFeatureExtractor(**parameters.engine_settings(), padDistance=500, additionalInfo=False)
    extractor.disableAllImageTypes()
    extractor.enableImageTypes(LoG={"sigma": [2.0]})
    values = extract(image, mask, parameters).values
    reference = {name: float(value) for name, value in extractor.execute(image, mask).items() if name.startswith("log")}
    for name, value in reference.items():
        assert values[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name


def test_a_region_has_the_same_values_alone_and_beside_others():
    image, parameters = noise(), Parameters.model_validate(FULL)
    masks = {"reader 1": ball(image), "reader 2": ball(image, (12, 31, 35), (4, 9, 9)), "far": ball(image, (5, 50, 10))}
    together = extract_many(image, masks, parameters)
    assert {name: extract(image, mask, parameters).values for name, mask in masks.items()} == {
        name: found.values for name, found in together.items()
    }
    assert together["reader 1"].values != together["reader 2"].values


def test_whatever_the_grid_direction_texture_is_the_same():
    image, parameters = noise(), Parameters.model_validate(FULL)
    mask = ball(image)
    for volume in (oblique := sitk.Image(image), turned := sitk.Image(mask)):
        volume.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
        volume.SetOrigin((-120.5, 33.25, 800))
    values = extract(image, mask, parameters).values
    assert extract(oblique, turned, parameters).values == pytest.approx(values, rel=1e-9)


def test_many_grey_levels_give_pyradiomics_values():
    """Where the maximal correlation coefficient is costly, ours takes another way to the same number."""
    image, parameters = noise(), Parameters.model_validate({"discretise": {"bin_width": 1}})
    mask = ball(image)
    extractor = RadiomicsFeatureExtractor(**parameters.engine_settings(), additionalInfo=False)
    extractor.disableAllFeatures()
    extractor.enableFeatureClassByName("glcm")
    values, reference = extract(image, mask, parameters).values, extractor.execute(image, mask)
    assert len(reference) == 24
    for name, value in reference.items():
        assert values[name] == pytest.approx(float(value), rel=1e-9), name
