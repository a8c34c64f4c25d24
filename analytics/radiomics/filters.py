"""Filtered images of a box around a region, equal to filtering the whole image and cropping afterwards.

PyRadiomics filters the whole image for every mask. Its own shortcut `preCrop` cuts before filtering with a margin of
5 voxels, which changes LoG features by up to 108 %. Here each filter states the margin it needs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pywt
import SimpleITK as sitk
from radiomics import imageoperations

from analytics.radiomics.regions import Box, image_like
from analytics.radiomics.settings import LaplacianOfGaussian, Parameters, Wavelet

LOG_MARGIN = 10  # sigma: the recursive filter's memory; leaves at most 1e-5 relative, 3 sigma would leave 100 %
LOG_LEAST = 8  # voxels, where sigma is small against thick slices
SNAP = 16  # voxels: two readers' boxes of one lesion usually become the same one, and share the filter


class Filter(Protocol):
    @property
    def names(self) -> tuple[str, ...]:
        """Of the images it makes, as PyRadiomics calls them."""

    def box(self, image: sitk.Image, region: Box) -> Box:
        """What of the image must be seen so that the filtered values inside `region` are right."""

    def images(self, image: sitk.Image, box: Box) -> Iterator[tuple[str, sitk.Image]]:
        """The filtered images of `box`, one at a time; none where the image is too small for the filter."""


@dataclass(frozen=True)
class Original:
    names: tuple[str, ...] = ("original",)

    def box(self, image: sitk.Image, region: Box) -> Box:
        return region

    def images(self, image: sitk.Image, box: Box) -> Iterator[tuple[str, sitk.Image]]:
        yield "original", image_like(sitk.GetArrayViewFromImage(image)[box.slices], image)


@dataclass(frozen=True)
class LogFilter:
    """Laplacian of Gaussian; one filter per sigma, because the margin depends on it."""

    sigma: float  # mm

    @property
    def names(self) -> tuple[str, ...]:
        return (f"log-sigma-{str(self.sigma).replace('.', '-')}-mm-3D",)

    def box(self, image: sitk.Image, region: Box) -> Box:
        spacing = image.GetSpacing()[::-1]
        margins = [max(math.ceil(LOG_MARGIN * self.sigma / s), LOG_LEAST) for s in spacing]
        return region.grown(margins, snap=SNAP).clipped(image.GetSize()[::-1])

    def images(self, image: sitk.Image, box: Box) -> Iterator[tuple[str, sitk.Image]]:
        crop = image_like(sitk.GetArrayViewFromImage(image)[box.slices], image)
        for filtered, name, _ in imageoperations.getLoGImage(crop, None, sigma=[self.sigma]):
            yield name, filtered


@dataclass(frozen=True)
class WaveletFilter:
    """Undecimated wavelet bands. PyRadiomics wraps the image around at its edges, so a box beyond an edge does too."""

    settings: Wavelet
    flat: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        axes = 2 if self.flat else 3
        levels = range(1, self.settings.level + 1)
        return tuple(name for level in levels for name in self._names(level, axes))

    def _names(self, level: int, axes: int) -> Iterator[str]:
        prefix = "wavelet-" if level == 1 else f"wavelet{level}-"
        for index in range(2**axes - (level < self.settings.level)):
            yield prefix + "".join("L" if index >> (axes - 1 - axis) & 1 else "H" for axis in range(axes))

    def box(self, image: sitk.Image, region: Box) -> Box:
        margin = pywt.Wavelet(self.settings.wavelet).dec_len * self.settings.level
        return region.grown([margin] * 3, snap=SNAP)  # even lengths, which the transform needs

    def images(self, image: sitk.Image, box: Box) -> Iterator[tuple[str, sitk.Image]]:
        crop = image_like(wrapped(sitk.GetArrayViewFromImage(image), box), image)
        settings = {"wavelet": self.settings.wavelet, "level": self.settings.level, "force2D": self.flat}
        for filtered, name, _ in imageoperations.getWaveletImage(crop, None, **settings):
            yield name, filtered


def wrapped(array: np.ndarray, box: Box) -> np.ndarray:
    """The box of a periodic image; an odd length is first made even by repeating its first plane at the end."""
    for axis, (low, high) in enumerate(zip(box.lower, box.upper, strict=True)):
        length = array.shape[axis]
        period = length + length % 2
        array = array.take(np.arange(low, high) % period % length, axis=axis)
    return array


def chosen_filters(parameters: Parameters) -> list[Filter]:
    """The filters of a parameter file, in the order of the values."""
    filters: list[Filter] = [Original()]
    log: LaplacianOfGaussian | None = parameters.filters.log
    if log:
        filters += [LogFilter(float(sigma)) for sigma in log.sigma]
    if parameters.filters.wavelet:
        filters.append(WaveletFilter(parameters.filters.wavelet, flat=parameters.flat))
    return filters


def margin_mm(parameters: Parameters) -> float:
    """How far around a region, in mm, resampling must reach for the LoG filters."""
    log = parameters.filters.log
    return LOG_MARGIN * max(log.sigma) if log else 0.0
