"""Is this mask a region of this image? And which part of the image does a filter need to see?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from analytics.radiomics.reasons import NotExtractable
from analytics.radiomics.settings import Region

TOLERANCE = 0.05  # of the smallest voxel edge: rounding of file formats passes, another grid doesn't


@dataclass(frozen=True)
class Box:
    """Voxel indices in array order (z, y, x); `upper` is one past the last. May reach beyond the image."""

    lower: tuple[int, ...]
    upper: tuple[int, ...]

    @classmethod
    def around(cls, region: np.ndarray) -> "Box":
        """The bounding box of a boolean array with at least one voxel set."""
        lower, upper = [], []
        for axis in range(region.ndim):
            occupied = np.flatnonzero(region.any(axis=tuple(a for a in range(region.ndim) if a != axis)))
            lower.append(int(occupied[0]))
            upper.append(int(occupied[-1]) + 1)
        return cls(tuple(lower), tuple(upper))

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(low, high) for low, high in zip(self.lower, self.upper, strict=True))

    def size(self) -> tuple[int, ...]:
        return tuple(high - low for low, high in zip(self.lower, self.upper, strict=True))

    def grown(self, margins: Sequence[int], snap: int = 1) -> "Box":
        """Wider by `margins`, and out to multiples of `snap`, so that similar regions share one box."""
        lower = tuple((low - m) // snap * snap for low, m in zip(self.lower, margins, strict=True))
        upper = tuple(-(-(high + m) // snap) * snap for high, m in zip(self.upper, margins, strict=True))
        return Box(lower, upper)

    def clipped(self, shape: Sequence[int]) -> "Box":
        lower = tuple(max(low, 0) for low in self.lower)
        return Box(lower, tuple(min(high, n) for high, n in zip(self.upper, shape, strict=True)))

    def moved(self, shift: Sequence[int]) -> "Box":
        lower = tuple(low + s for low, s in zip(self.lower, shift, strict=True))
        return Box(lower, tuple(high + s for high, s in zip(self.upper, shift, strict=True)))

    def within(self, outer: "Box") -> "Box":
        """The same voxels, counted from the corner of `outer`."""
        return self.moved([-corner for corner in outer.lower])


def image_like(array: np.ndarray, source: sitk.Image) -> sitk.Image:
    """`array` with the spacing and direction of `source`; the origin is not kept, no feature reads it."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(source.GetSpacing())
    image.SetDirection(source.GetDirection())
    return image


def check_image(image: sitk.Image, normalised: bool) -> None:
    """Raises NotExtractable unless this is one finite volume with something in it."""
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise NotExtractable("not_three_dimensional", found=_shape(image))
    array = sitk.GetArrayViewFromImage(image)
    broken = int(np.count_nonzero(~np.isfinite(array)))
    if broken:
        raise NotExtractable("not_finite", count=broken)
    if normalised and array.min() == array.max():
        raise NotExtractable("constant_image", value=array.flat[0])


def region_of(image: sitk.Image, mask: sitk.Image, label: int, limits: Region) -> sitk.Image:
    """The mask as 0 and 1 on the image's own grid; raises NotExtractable where it doesn't belong to it."""
    check_geometry(image, mask)
    labels = sitk.GetArrayViewFromImage(mask)
    region = labels == label
    if not region.any():
        found = ", ".join(f"{value:g}" for value in np.unique(labels) if value)
        raise NotExtractable("label_missing", label=label, found=found) if found else NotExtractable("empty_mask")
    check_extent(region, limits)
    result = sitk.GetImageFromArray(region.astype(np.uint32))
    result.CopyInformation(image)
    return result


def check_extent(region: np.ndarray, limits: Region) -> None:
    voxels = int(region.sum())
    if voxels < limits.least_voxels:
        raise NotExtractable("too_few_voxels", voxels=voxels, least=limits.least_voxels)
    extent = sum(n > 1 for n in Box.around(region).size())
    if extent < limits.least_dimensions:
        raise NotExtractable("too_flat", extent=extent, least=limits.least_dimensions)


def check_geometry(image: sitk.Image, mask: sitk.Image) -> None:
    """Same size, and no corner further from its counterpart than TOLERANCE of a voxel edge."""
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise NotExtractable("mask_not_three_dimensional", found=_shape(mask))
    if image.GetSize() != mask.GetSize():
        raise NotExtractable("size_differs", image=_times(image.GetSize()), mask=_times(mask.GetSize()))
    allowed = TOLERANCE * min(image.GetSpacing())
    corners = product(*((0, n - 1) for n in image.GetSize()))
    distance = max(
        math.dist(image.TransformIndexToPhysicalPoint(c), mask.TransformIndexToPhysicalPoint(c)) for c in corners
    )
    if distance > allowed:
        raise NotExtractable("geometry_differs", distance=f"{distance:.3g}", allowed=f"{allowed:.3g}")


def grid_shift(inner: sitk.Image, outer: sitk.Image) -> tuple[int, ...]:
    """Where voxel 0 of `inner` lies in `outer`, two crops of one grid; array order."""
    index = outer.TransformPhysicalPointToContinuousIndex(inner.GetOrigin())
    return tuple(round(value) for value in reversed(index))


def _shape(image: sitk.Image) -> str:
    return f"{_times(image.GetSize())}, {image.GetNumberOfComponentsPerPixel()} value(s) per voxel"


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))
