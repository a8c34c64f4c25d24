"""Our surface, volume and diameters are PyRadiomics' own, to rounding."""

import numpy as np
import pytest
import SimpleITK
from radiomics import cShape
from radiomics.shape import RadiomicsShape
from scipy import ndimage

from analytics.radiomics import mesh

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (6.0, 0.7, 0.9)]


def padded(inside):
    return np.pad(np.asarray(inside, bool), 1)


def blob(seed, shape=(14, 24, 22), smooth=2.0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), smooth)
    return noise > np.quantile(noise, 0.7)


SHAPES = {
    "one voxel": np.ones((1, 1, 1)),
    "a line": np.ones((1, 1, 9)),
    "a plane": np.ones((1, 40, 50)),
    "a long diagonal": np.eye(90)[None],
    "a box": np.ones((5, 7, 30)),
    "a checkerboard": np.indices((6, 6, 6)).sum(axis=0) % 2,
    **{f"blob {seed}": blob(seed) for seed in range(6)},
    **{f"noise {seed}": blob(seed, smooth=0.0) for seed in range(3)},
    "a ball": (np.indices((40, 40, 40)) - 19.5).__pow__(2).sum(axis=0) < 300,
}


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_surface_volume_and_diameters_equal_the_reference(shape, spacing):
    mask, step = padded(SHAPES[shape]), np.array(spacing)
    area, volume, diameters = mesh.calculate_coefficients(mask, step)
    expected = cShape.calculate_coefficients(mask, step)
    assert area == pytest.approx(expected[0], rel=1e-11)
    assert volume == pytest.approx(expected[1], rel=1e-10)
    assert list(diameters) == pytest.approx(list(expected[2]), rel=1e-12)


@pytest.mark.parametrize("shape", ["a plane", "a box", "blob 1", "a ball"])
def test_every_shape_feature_equals_pyradiomics(shape):
    image = SimpleITK.GetImageFromArray(np.asarray(SHAPES[shape]).astype(np.uint8))
    image.SetSpacing((0.9, 0.7, 6.0))
    ours = mesh.Shape(image, image, label=1).execute()
    theirs = RadiomicsShape(image, image, label=1).execute()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(float(value), rel=1e-9), name
