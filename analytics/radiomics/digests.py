"""Content hashes: a feature set computed from the same content is never computed again."""

import functools
import hashlib
import struct
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

from analytics.radiomics.settings import Parameters

LAYER = 1  # our layer over PyRadiomics; raise it whenever a value changes


@functools.cache
def engine_version() -> str:
    """Engine and libraries that decide the digits of a value."""
    libraries = ("pyradiomics-bhklab", "numpy", "SimpleITK", "PyWavelets")
    return " ".join([f"lobule-layer {LAYER}", *(f"{name} {version(name)}" for name in libraries)])


def geometry_digest(image: sitk.Image) -> str:
    """Size, spacing, origin and direction, bit for bit."""
    numbers = (*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection())
    content = struct.pack(f"<{len(image.GetSize())}q{len(numbers)}d", *image.GetSize(), *numbers)
    return hashlib.sha256(content).hexdigest()


def pixel_digest(image: sitk.Image) -> str:
    """Pixel type and values, whatever the byte order of the machine."""
    array = np.ascontiguousarray(sitk.GetArrayViewFromImage(image))
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    content = hashlib.sha256(little_endian.dtype.str.encode())
    content.update(little_endian.data)
    return content.hexdigest()


def image_digest(image: sitk.Image) -> str:
    return hashlib.sha256(f"{pixel_digest(image)} {geometry_digest(image)}".encode()).hexdigest()


def mask_digest(mask: sitk.Image, label: int = 1) -> str:
    """The voxels that carry `label` and where they lie; other labels and the pixel type don't matter."""
    region = np.packbits(sitk.GetArrayViewFromImage(mask) == label)
    content = hashlib.sha256(region.tobytes())
    content.update(geometry_digest(mask).encode())
    return content.hexdigest()


def feature_key(image_digest: str, mask_digest: str, parameters: Parameters, engine: str) -> str:
    """The identity of a feature set: same key, same values."""
    return hashlib.sha256("\n".join([image_digest, mask_digest, parameters.sha256(), engine]).encode()).hexdigest()
