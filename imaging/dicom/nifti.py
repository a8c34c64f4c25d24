"""NIfTI-1/2 and NRRD volumes in memory, as SimpleITK images: masks never touch a temporary file on their way in.

Written from the formats' definitions (NIfTI-1.1 of 2003, NRRD 5); results equal SimpleITK's own readers (tested).
"""

import gzip
import struct
import zlib
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imaging.dicom.reasons import Refused

MAX_BYTES = 2 * 2**30
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
CODES = {name: code for code, name in TYPES.items()}
LPS = np.diag([-1.0, -1.0, 1.0])  # NIfTI counts right and anterior as positive, DICOM and ITK left and posterior


def read(content: bytes, limit: int = MAX_BYTES) -> sitk.Image:
    """A 3-D NIfTI file (single file, plain or gzip) of at most `limit` bytes. Raises Refused."""
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content, limit)
    try:
        return _read(content)
    except Refused:
        raise
    except (struct.error, ValueError, KeyError, OverflowError) as problem:
        raise Refused("mask_format", error=f"NIfTI: {problem}") from problem


def _read(content: bytes) -> sitk.Image:
    order = "<" if content[:4] in (b"\x5c\x01\0\0", b"\x1c\x02\0\0") else ">"
    header = _header(content, order)
    shape = [int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])]]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) != 3 or min(shape) < 1 or np.prod(shape, dtype=np.float64) * 8 > MAX_BYTES:
        raise Refused("mask_format", error=f"NIfTI: {len(shape)} dimensions {shape}")
    dtype = np.dtype(order + TYPES[header["datatype"]])
    start = int(header["vox_offset"])
    values = np.frombuffer(content, dtype, count=int(np.prod(shape)), offset=start).reshape(shape[::-1])
    if header["slope"] not in (0.0, 1.0) or header["intercept"] != 0.0:
        values = values * (header["slope"] or 1.0) + header["intercept"]
    return _placed(values, _affine(header))


def _header(content: bytes, order: str) -> dict[str, Any]:
    if content[344:347] in (b"n+1", b"ni1"):
        layout = {
            "dim": ("8h", 40), "datatype": ("h", 70), "pixdim": ("8f", 76), "vox_offset": ("f", 108),
            "slope": ("f", 112), "intercept": ("f", 116), "qform": ("h", 252), "sform": ("h", 254),
            "quatern": ("6f", 256), "srow": ("12f", 280),
        }  # fmt: skip
    elif content[4:7] in (b"n+2", b"ni2"):
        layout = {
            "dim": ("8q", 16), "datatype": ("h", 12), "pixdim": ("8d", 104), "vox_offset": ("q", 168),
            "slope": ("d", 176), "intercept": ("d", 184), "qform": ("i", 344), "sform": ("i", 348),
            "quatern": ("6d", 352), "srow": ("12d", 400),
        }  # fmt: skip
    else:
        raise Refused("mask_format", error="NIfTI: no magic number")
    found = {name: struct.unpack_from(order + code, content, at) for name, (code, at) in layout.items()}
    return {name: value[0] if len(value) == 1 else value for name, value in found.items()}


def _affine(header: dict[str, Any]) -> NDArray[np.float64]:
    """Index to world (RAS, mm); the sform is believed before the qform, as ITK and FSL do when both are set."""
    affine = np.eye(4)
    if header["sform"] > 0:
        affine[:3] = np.array(header["srow"], dtype=np.float64).reshape(3, 4)
    elif header["qform"] > 0:
        affine[:3, :3] = _rotation(header["quatern"][:3]) * _steps(header)
        affine[:3, 3] = header["quatern"][3:]
    else:
        raise Refused("mask_format", error="NIfTI: neither qform nor sform, so the orientation is unknown")
    return affine


def _steps(header: dict[str, Any]) -> NDArray[np.float64]:
    steps = np.array(header["pixdim"][1:4], dtype=np.float64)
    return steps * [1, 1, -1 if header["pixdim"][0] < 0 else 1]


def _rotation(quaternion: tuple[float, ...]) -> NDArray[np.float64]:
    b, c, d = (float(part) for part in quaternion)
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
            [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
            [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - c * c - b * b],
        ]
    )


def _placed(values: NDArray[Any], affine: NDArray[np.float64]) -> sitk.Image:
    matrix = LPS @ affine[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    if not np.all(np.isfinite(affine)) or spacing.min() <= 0:
        raise Refused("mask_format", error="the voxel spacing is not above zero")
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((LPS @ affine[:3, 3]).tolist())
    image.SetDirection((matrix / spacing).ravel().tolist())
    return image


def write(image: sitk.Image) -> bytes:
    """The image as .nii.gz in its own voxel type; the same image gives the same bytes."""
    voxels = sitk.GetArrayViewFromImage(image)
    dtype = voxels.dtype.newbyteorder("<")
    matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = np.hstack([LPS @ matrix, (LPS @ np.array(image.GetOrigin()))[:, np.newaxis]])
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *image.GetSize(), 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, CODES[f"{dtype.kind}{dtype.itemsize}"], 8 * dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1, *image.GetSpacing(), 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = 2  # millimetres
    struct.pack_into("<hh", header, 252, 0, 2)
    struct.pack_into("<12f", header, 280, *affine.ravel())
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + voxels.astype(dtype).tobytes(), compresslevel=4, mtime=0)


def gunzip(content: bytes, limit: int = MAX_BYTES) -> bytes:
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(content, limit)
    except zlib.error as problem:
        raise Refused("mask_format", error=f"gzip: {problem}") from problem
    if inflater.unconsumed_tail:
        raise Refused("inflates_too_large", limit=limit)
    return inflated
