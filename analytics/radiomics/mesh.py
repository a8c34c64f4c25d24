"""PyRadiomics' surface, volume and diameters of a region, without comparing every mesh vertex with every other.

PyRadiomics walks the marching cubes in C and measures all pairs of vertices: seconds for a spleen. Here its own C code
is asked once what each of the 256 cubes adds, cubes are counted with numpy, and only the vertices that can be farthest
are paired. Values agree to rounding (tests/analytics/radiomics/test_mesh.py).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics import cShape
from radiomics.shape import RadiomicsShape
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

Vector = tuple[float, float, float]
CORNERS = list(itertools.product((0, 1), repeat=3))
FEW = 64  # vertices that are paired without a hull


@dataclass(frozen=True)
class Cubes:
    """What each configuration of eight corners adds at the origin, and how its volume grows with each step away."""

    area: NDArray[np.float64]
    volume: NDArray[np.float64]
    steps: NDArray[np.float64]  # (256, 3)


class Shape(RadiomicsShape):  # type: ignore[misc]  # PyRadiomics has no types
    """PyRadiomics' shape features, on this mesh."""

    def _initSegmentBasedCalculation(self) -> None:
        self.pixelSpacing = np.array(self.inputImage.GetSpacing()[::-1])
        self.maskArray = np.pad(sitk.GetArrayFromImage(self.inputMask) == self.label, 1)
        self.labelledVoxelCoordinates = np.where(self.maskArray)
        self.SurfaceArea, self.Volume, self.diameters = calculate_coefficients(self.maskArray, self.pixelSpacing)
        self.eigenValues = _eigenvalues(np.argwhere(self.maskArray) * self.pixelSpacing)


def _eigenvalues(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal variances, smallest first; those that rounding makes a little negative are 0."""
    centred = (points - points.mean(axis=0)) / np.sqrt(len(points))
    found = np.linalg.eigvalsh(centred.T @ centred)
    return np.where((found < 0) & (found > -1e-10), 0.0, found)


def calculate_coefficients(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[float, float, list[float]]:
    """Surface area, volume and the four diameters of a zero-padded mask, as the function of this name in cShape."""
    shape = tuple(n - 1 for n in mask.shape)
    found = np.zeros(shape, np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = mask[tuple(slice(start, start + n) for start, n in zip(corner, shape, strict=True))]
        found |= part.astype(np.uint8) << bit
    places = np.argwhere((found > 0) & (found < 255))
    kinds = found[tuple(places.T)]
    cubes = _cubes(tuple(float(step) for step in spacing))
    volume = cubes.volume[kinds].sum() + (cubes.steps[kinds] * places).sum()
    return float(cubes.area[kinds].sum()), float(volume), _diameters(_vertices(mask), spacing)


@functools.lru_cache(maxsize=64)
def _cubes(spacing: Vector) -> Cubes:
    step = np.array(spacing)
    alone = [_measure(_corners(kind), step) for kind in range(256)]
    steps = np.zeros((256, 3))
    for kind, axis in itertools.product(range(256), range(3)):
        cube = _corners(kind)
        first = np.take(cube, [0], axis)
        before = np.concatenate([first, first], axis)  # the cube that now stands at the origin
        both = _measure(np.concatenate([first, cube], axis), step)[1]
        steps[kind, axis] = both - _measure(before, step)[1] - alone[kind][1]
    return Cubes(np.array([area for area, _ in alone]), np.array([volume for _, volume in alone]), steps)


def _corners(kind: int) -> NDArray[np.bool_]:
    return np.array([bool(kind >> bit & 1) for bit in range(8)]).reshape(2, 2, 2)


def _measure(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[float, float]:
    area, volume, _ = cShape.calculate_coefficients(mask, spacing)
    return area, volume


def _vertices(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The mesh's vertices in half voxels: the middle of each edge between a voxel inside and one outside."""
    found = []
    for axis in range(3):
        changes = np.argwhere(np.diff(mask.view(np.int8), axis=axis) != 0) * 2
        changes[:, axis] += 1
        found.append(changes)
    return np.concatenate(found)


def _diameters(vertices: NDArray[np.int64], spacing: NDArray[np.float64]) -> list[float]:
    """The greatest distance within a plane across each axis, then in space."""
    scale = spacing / 2
    return [*(_across(vertices, axis, scale) for axis in range(3)), _farthest(_ends(vertices) * scale)]


def _across(vertices: NDArray[np.int64], axis: int, scale: NDArray[np.float64]) -> float:
    """The greatest distance between two vertices of one plane; planes too small to hold it are not looked at."""
    order = np.argsort(vertices[:, axis], kind="stable")
    planes = np.split(vertices[order], np.flatnonzero(np.diff(vertices[order, axis])) + 1)
    kept = [other for other in range(3) if other != axis]
    flat = [plane[:, kept] * scale[kept] for plane in planes]
    bounds = [float(np.hypot(*np.ptp(points, axis=0))) for points in flat]
    best = 0.0
    for place in np.argsort(bounds)[::-1]:
        if bounds[place] <= best:
            break
        best = max(best, _farthest(flat[place]))
    return best


def _ends(vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first and last vertex of each line along the last axis; no other can be farthest from anything."""
    ordered = vertices[np.lexsort(vertices.T[::-1])]
    changes = np.flatnonzero((np.diff(ordered[:, :2], axis=0) != 0).any(axis=1))
    return ordered[np.union1d(np.r_[0, changes + 1], np.r_[changes, len(ordered) - 1])]


def _farthest(points: NDArray[np.float64]) -> float:
    """The greatest distance between two points; only corners of their hull are compared."""
    if len(points) > FEW:
        with contextlib.suppress(QhullError):  # all on one line: compare them as they are
            points = points[ConvexHull(points).vertices]
    return float(pdist(points).max()) if len(points) > 1 else 0.0
