"""Same content, same key; anything that could change a value changes the key."""

import numpy as np
import pytest
import SimpleITK as sitk

from analytics.radiomics import (
    BadParameters,
    Parameters,
    engine_version,
    extract,
    feature_key,
    image_digest,
    mask_digest,
    pixel_digest,
)

PLAIN = Parameters.model_validate({"discretise": {"bin_width": 25}})


@pytest.fixture
def image():
    return sitk.GetImageFromArray(np.random.default_rng(1).integers(0, 400, (6, 8, 8)).astype(np.int16))


@pytest.fixture
def mask(image):
    array = np.zeros((6, 8, 8), np.uint8)
    array[1:5, 2:6, 2:6] = 1
    volume = sitk.GetImageFromArray(array)
    volume.CopyInformation(image)
    return volume


def test_one_voxel_changes_the_image(image):
    changed = sitk.Image(image)
    changed[0, 0, 0] = 401
    assert image_digest(changed) != image_digest(image)


def test_geometry_changes_the_image_but_not_its_pixels(image):
    moved = sitk.Image(image)
    moved.SetOrigin((0, 0, 1))
    assert pixel_digest(moved) == pixel_digest(image)
    assert image_digest(moved) != image_digest(image)


def test_a_mask_is_its_voxels_not_its_pixel_type_or_other_labels(mask):
    wide = sitk.Cast(mask, sitk.sitkUInt16)
    wide[0, 0, 0] = 2
    assert mask_digest(wide) == mask_digest(mask)
    wide[0, 0, 1] = 1
    assert mask_digest(wide) != mask_digest(mask)


def test_digests_survive_a_file(image, mask, tmp_path):
    for name, volume, digest in (("image", image, image_digest), ("mask", mask, mask_digest)):
        path = str(tmp_path / f"{name}.nrrd")
        sitk.WriteImage(volume, path)
        assert digest(sitk.ReadImage(path)) == digest(volume)


def test_each_part_changes_the_key():
    keys = {
        feature_key("a", "b", PLAIN, "1"),
        feature_key("x", "b", PLAIN, "1"),
        feature_key("a", "x", PLAIN, "1"),
        feature_key("a", "b", PLAIN, "2"),
        feature_key("a", "b", Parameters.model_validate({"discretise": {"bin_width": 5}}), "1"),
    }
    assert len(keys) == 5


def test_the_hash_of_parameters_ignores_name_and_order_but_no_setting():
    renamed = Parameters.model_validate({"name": "other", "filters": {}, "discretise": {"bin_width": 25.0}})
    assert renamed.sha256() == PLAIN.sha256()
    assert Parameters.default("MR").sha256() != Parameters.default("CT").sha256()
    assert Parameters.default("MR").original_only().sha256() != Parameters.default("MR").sha256()


def test_provenance_says_how_a_value_came_about(image, mask):
    provenance = extract(image, mask, PLAIN).provenance
    key = feature_key(image_digest(image), mask_digest(mask), PLAIN, engine_version())
    assert provenance["key"] == key
    assert "pyradiomics-bhklab 3.1.4" in provenance["engine"]
    assert Parameters.model_validate(provenance["parameters"]) == PLAIN


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        ("discretise: {bin_width: 5, bin_count: 32}", "discretise"),
        ("discretise: {bin_width: -1}", "discretise.bin_width"),
        ("discretise: {bin_width: 5}\nclasses: [glcm, colour]", "classes.1"),
        ("discretise: {bin_width: 5}\nnormalize: true", "normalize"),
        ("discretise: [", "YAML"),
    ],
)
def test_a_bad_parameter_file_names_the_entry(tmp_path, content, entry):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadParameters, match=entry) as refused:
        Parameters.load(path)
    assert "mine.yaml" in str(refused.value)


def test_a_modality_without_default_is_refused():
    with pytest.raises(BadParameters, match="US"):
        Parameters.default("US")
