"""Upper-abdominal phantoms: a labelled anatomy, and what MR sequences or a CT phase make of it.

Nothing here is a patient. Shapes are ellipsoids with smooth irregularity; the one thing that carries meaning is the
texture of the target (tumour or spleen), whose correlation length and amplitude follow `texture`, a standard normal
latent that also drives the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Tissue(IntEnum):
    AIR = 0
    FAT = 1
    SOFT = 2
    LIVER = 3
    SPLEEN = 4
    BONE = 5
    ARTERY = 6
    STOMACH = 7
    PORTAL = 8
    TUMOUR = 9
    NECROSIS = 10


# Mean signal of each tissue, in the order of Tissue: arbitrary units for MR, HU for CT.
SIGNAL: dict[str, tuple[float, ...]] = {
    "T2": (8, 70, 95, 120, 215, 130, 25, 160, 70, 205, 300),
    "AP": (6, 55, 120, 165, 240, 130, 430, 95, 200, 290, 110),
    "PVP": (-1000, -100, 58, 108, 122, 260, 165, 25, 178, 85, 40),
}
NOISE = {"T2": 9.0, "AP": 10.0, "PVP": 8.0}
TEXTURE_AMPLITUDE = {"T2": 26.0, "AP": 34.0, "PVP": 15.0}
LOWEST = {"T2": 0, "AP": 0, "PVP": -1024}


@dataclass(frozen=True)
class Grid:
    """Axial sampling in millimetres; arrays are ordered slice, row, column."""

    shape: tuple[int, int, int] = (10, 96, 96)
    spacing: tuple[float, float, float] = (6.0, 3.5, 3.5)

    def coordinates(self) -> tuple[Array, Array, Array]:
        """Millimetres from the centre along z (up), y (to the back) and x (to the patient's left)."""
        axes = [
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(self.shape, self.spacing, strict=True)
        ]
        return tuple(np.meshgrid(*axes, indexing="ij", sparse=True))  # type: ignore[return-value]


MR_GRID = Grid()
CT_GRID = Grid(shape=(20, 96, 96), spacing=(5.0, 3.6, 3.6))


@dataclass(frozen=True)
class Body:
    """What one subject's phantom should look like."""

    texture: float  # standard normal; high is coarse, heterogeneous, poorly enhancing
    spleen_ml: float = 220.0
    tumour_mm: float | None = None  # largest diameter
    seed: int = 0


@dataclass(frozen=True)
class Anatomy:
    """The labelled phantom all sequences of a subject share."""

    body: Body
    grid: Grid
    tissue: NDArray[np.int8]
    rois: dict[str, Mask] = field(default_factory=dict)


def anatomy(body: Body, grid: Grid) -> Anatomy:
    """Lay out the organs; later ones are painted over earlier ones."""
    rng = np.random.default_rng([body.seed, 1])
    z, y, x = grid.coordinates()
    size = rng.normal(1, 0.04)
    wobble = smooth_noise(rng, grid, 18.0)
    tissue = np.zeros(grid.shape, np.int8)

    def paint(what: Tissue, centre: tuple[float, ...], axes: tuple[float, ...], rough: float = 0.0) -> Mask:
        inside = _ellipsoid(z, y, x, centre, axes) + rough * wobble < 1
        if what > Tissue.SOFT:
            inside &= tissue >= Tissue.SOFT  # organs stay within the muscle wall
        tissue[inside] = what
        return inside

    paint(Tissue.FAT, (0, 0, 0), (900, 112 * size, 150 * size))
    paint(Tissue.SOFT, (0, 0, 0), (900, 98 * size, 136 * size))
    paint(Tissue.STOMACH, (10, -35, 45), (60, 32, 42))
    scale = (body.spleen_ml / SPLEEN_ML) ** (1 / 3)
    spleen_axes = (min(46 * scale, 48), 42 * scale * max(1, 46 * scale / 48), 24 * scale)
    spleen = paint(Tissue.SPLEEN, (0, 50 - 26 * scale, 118 - 24 * scale), spleen_axes, 0.10)
    paint(Tissue.BONE, (0, 68, 0), (900, 22, 24))
    paint(Tissue.ARTERY, (0, 38, 12), (900, 10, 10))
    liver = paint(Tissue.LIVER, (0, 0, -62), (58, 74, 66), 0.12)
    liver |= paint(Tissue.LIVER, (12, -38, -18), (40, 30, 62), 0.12)
    paint(Tissue.PORTAL, (-6, 8, -45), (9, 8, 34))
    rois = {"liver": liver, "spleen": spleen & (tissue == Tissue.SPLEEN)}
    if body.tumour_mm:
        rois["tumour"] = _tumour(body, grid, tissue, rng)
    return Anatomy(body, grid, tissue, rois)


# Volume of the spleen ellipsoid at scale 1, in ml; `spleen_ml` is reached by scaling its axes.
SPLEEN_ML = 4 / 3 * np.pi * 46 * 42 * 24 / 1000


def _tumour(body: Body, grid: Grid, tissue: NDArray[np.int8], rng: np.random.Generator) -> Mask:
    """Paint a tumour with a necrotic core into the right lobe; a poor texture is more irregular and necrotic."""
    z, y, x = grid.coordinates()
    radius = float(np.clip(body.tumour_mm or 0, 14, 96)) / 2
    severity = float(ndtr(body.texture))
    room = max(0.0, 46 - radius)
    centre = (rng.uniform(-0.4, 0.4) * room, rng.uniform(-0.6, 0.6) * room, -66 + rng.uniform(-0.4, 0.4) * room)
    axes = (radius * rng.uniform(0.75, 0.9), radius, radius * rng.uniform(0.8, 1.0))
    distance = _ellipsoid(z, y, x, centre, axes) + (0.05 + 0.20 * severity) * smooth_noise(rng, grid, 10.0)
    inside = (distance < 1) & (tissue != Tissue.AIR) & (tissue != Tissue.FAT)
    tissue[inside] = Tissue.TUMOUR
    core = distance + 0.25 * smooth_noise(rng, grid, 8.0) < 0.08 + 0.28 * severity * rng.uniform(0.7, 1.3)
    tissue[inside & core] = Tissue.NECROSIS
    return inside


def render(subject: Anatomy, kind: str, *, scanner: float = 1.0, target: str = "") -> NDArray[np.int16]:
    """Signal of `kind` (T2, AP in arbitrary units; PVP in HU), with the textured `target` ROI, noise and blur.

    `scanner` scales MR signal and noise, as a site's machine would; CT is calibrated and ignores it.
    """
    grid, body = subject.grid, subject.body
    rng = np.random.default_rng([body.seed, 2, sorted(SIGNAL).index(kind)])
    signal = np.asarray(SIGNAL[kind], np.float32)[subject.tissue]
    roi = subject.rois.get(target)
    if roi is not None:
        signal += _texture(rng, grid, roi, kind, body.texture)
    if kind != "PVP":
        signal *= 1 + 0.06 * smooth_noise(rng, grid, 90.0)  # coil sensitivity
    signal = ndimage.gaussian_filter(signal, (0.35, 0.5, 0.5), mode="nearest")
    signal += rng.standard_normal(grid.shape, np.float32) * NOISE[kind]
    if kind != "PVP":
        signal = np.abs(signal) * scanner  # magnitude images are never negative
    return np.clip(np.rint(signal), LOWEST[kind], 3000).astype(np.int16)


def _texture(rng: np.random.Generator, grid: Grid, roi: Mask, kind: str, latent: float) -> Array:
    """Correlated noise inside `roi`; both its correlation length (4 to 15 mm) and amplitude rise with `latent`.

    A fifth of what is seen belongs to this one acquisition, so that two sequences agree but do not repeat each other.
    """
    severity = float(ndtr(0.9 * latent + 0.44 * rng.standard_normal()))
    box = tuple(ndimage.find_objects(roi.astype(np.int8))[0])
    shape = tuple(part.stop - part.start for part in box)
    noise = smooth_noise(rng, Grid(shape, grid.spacing), 4 + 11 * severity)  # type: ignore[arg-type]
    texture = np.zeros(grid.shape, np.float32)
    enhancement = -0.9 * severity if kind == "AP" else 0.3 * severity
    texture[box] = TEXTURE_AMPLITUDE[kind] * ((0.45 + 0.9 * severity) * noise + enhancement)
    return np.where(roi, texture, 0)


def reader_mask(truth: Mask, grid: Grid, *, seed: int, bias_mm: float = 0.0, wander_mm: float = 1.8) -> Mask:
    """One reader's outline of `truth`: the boundary moved by `bias_mm` everywhere and by a smooth random amount.

    Readers of the same structure so agree with a Dice of about 0.9, as published two-reader studies do.
    """
    rng = np.random.default_rng([seed, 3])
    box = _padded_box(truth, 3)
    inner = truth[box]
    distance = ndimage.distance_transform_edt(inner, grid.spacing) - ndimage.distance_transform_edt(
        ~inner, grid.spacing
    )
    distance = ndimage.gaussian_filter(distance, 0.6)  # else every voxel is at least half a voxel from the boundary
    wander = smooth_noise(rng, Grid(inner.shape, grid.spacing), 12.0)
    drawn = distance + bias_mm + wander_mm * wander > 0
    parts, count = ndimage.label(drawn)
    if count > 1:  # a reader draws one connected outline
        drawn = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    result = np.zeros_like(truth)
    result[box] = drawn
    return result


def smooth_noise(rng: np.random.Generator, grid: Grid, length_mm: float) -> Array:
    """Gaussian noise of mean 0, sd 1 and the given correlation length; long lengths are made on a coarse grid."""
    step = [max(1, int(length_mm / 3 / spacing)) for spacing in grid.spacing]
    shape = [-(-n // s) + 4 for n, s in zip(grid.shape, step, strict=True)]
    sigma = [length_mm / 2 / (spacing * s) for spacing, s in zip(grid.spacing, step, strict=True)]
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap")
    if max(step) > 1:
        for axis, times in enumerate(step):  # repeated and averaged over as many: linear between the coarse points
            noise = ndimage.uniform_filter1d(np.repeat(noise, times, axis), times, axis)
    noise = noise[tuple(slice(n) for n in grid.shape)]
    return ((noise - noise.mean()) / max(float(noise.std()), 1e-6)).astype(np.float32)


def _ellipsoid(z: Array, y: Array, x: Array, centre: tuple[float, ...], axes: tuple[float, ...]) -> Array:
    return ((z - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 + ((x - centre[2]) / axes[2]) ** 2


def _padded_box(mask: Mask, pad: int) -> tuple[slice, ...]:
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    return tuple(
        slice(max(0, part.start - pad), min(n, part.stop + pad)) for part, n in zip(box, mask.shape, strict=True)
    )
