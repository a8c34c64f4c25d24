"""A real CT with its real segmentation, from DICOM and NRRD as they were published."""

import pytest
import SimpleITK as sitk

from analytics.radiomics import NotExtractable, Parameters, extract


@pytest.fixture(scope="module")
def spine(shared):
    """dcmqi's three CT slices and the segmentation made on them."""
    folder = shared / "data/imaging/dcmqi_segmentations"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "24x38x3/image")))
    return reader.Execute(), sitk.ReadImage(str(folder / "24x38x3/nrrd/label.nrrd"))


def test_the_ct_default_measures_a_real_segmentation(spine):
    image, mask = spine
    found = extract(image, mask, Parameters.default("CT").original_only())
    assert not found.failures
    assert found.provenance["voxels_whole"] > 0
    assert -200 <= found.values["original_firstorder_Minimum"] <= found.values["original_firstorder_Maximum"] <= 300


def test_volume_of_a_real_segmentation_is_voxels_times_voxel_size(spine):
    image, mask = spine
    found = extract(image, mask, Parameters.model_validate({"discretise": {"bin_width": 25}}))
    assert found.provenance["voxels_whole"] == 315
    assert found.values["original_shape_VoxelVolume"] == pytest.approx(315 * 0.7 * 0.7 * 2.5)
    assert found.values["original_shape_MeshVolume"] == pytest.approx(315 * 0.7 * 0.7 * 2.5, rel=0.1)


def test_a_segmentation_of_another_series_is_refused(spine, shared):
    image, _ = spine
    other = sitk.ReadImage(str(shared / "data/imaging/dcmqi_segmentations/liver_seg.nrrd"))
    with pytest.raises(NotExtractable) as refused:
        extract(image, other, Parameters.default("CT"))
    assert refused.value.code == "size_differs"
