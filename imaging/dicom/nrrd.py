"""NRRD label maps (3D Slicer's default) in memory, as SimpleITK images."""

import bz2
from typing import Any

import numpy as np
import SimpleITK as sitk

from imaging.dicom.nifti import MAX_BYTES, gunzip
from imaging.dicom.reasons import Refused

TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "signed short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2",
    "unsigned short": "u2", "uint16": "u2", "uint16_t": "u2", "int": "i4", "signed int": "i4", "int32": "i4",
    "uint": "u4", "unsigned int": "u4", "uint32": "u4", "float": "f4", "double": "f8",
}  # fmt: skip
# To LPS, which SimpleITK uses.
SPACES = {"left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
          "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1)}  # fmt: skip


def read(content: bytes, limit: int = MAX_BYTES) -> sitk.Image:
    """A 3-D NRRD with attached data of at most `limit` bytes. Raises Refused."""
    head, _, body = content.partition(b"\n\n")
    try:
        return _read(_fields(head.decode("ascii", "replace")), body, limit)
    except Refused:
        raise
    except (KeyError, ValueError, OSError, EOFError) as problem:
        raise Refused("mask_format", error=f"NRRD: {problem}") from problem


def _fields(head: str) -> dict[str, str]:
    lines = (line.strip() for line in head.splitlines()[1:] if line and not line.startswith("#") and ":=" not in line)
    return {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _read(fields: dict[str, str], body: bytes, limit: int) -> sitk.Image:
    if "data file" in fields or "datafile" in fields:
        raise Refused("mask_format", error="NRRD: the data are in another file; save it as one .nrrd file")
    sizes = [int(size) for size in fields["sizes"].split()]
    if len(sizes) != 3 or min(sizes) < 1 or np.prod(sizes, dtype=np.float64) * 8 > MAX_BYTES:
        raise Refused("mask_format", error=f"NRRD: {len(sizes)} dimensions {sizes}")
    order = ">" if fields.get("endian", "little") == "big" else "<"
    dtype = np.dtype(order + TYPES[fields["type"]])
    data = _decoded(fields["encoding"].lower(), body, limit)
    values = np.frombuffer(data, dtype, count=int(np.prod(sizes))).reshape(sizes[::-1])
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))
    return _placed(image, fields)


def _decoded(encoding: str, body: bytes, limit: int) -> bytes:
    if encoding == "raw":
        return body
    if encoding in ("gzip", "gz"):
        return gunzip(body, limit)
    if encoding in ("bzip2", "bz2"):
        inflater = bz2.BZ2Decompressor()
        inflated = inflater.decompress(body, limit)
        if not inflater.eof and not inflater.needs_input:
            raise Refused("inflates_too_large", limit=limit)
        return inflated
    raise Refused("mask_format", error=f"NRRD: encoding {encoding}")


def _placed(image: sitk.Image, fields: dict[str, Any]) -> sitk.Image:
    signs = np.array(SPACES[fields["space"].lower()], dtype=np.float64)
    columns = np.array([_vector(part) for part in fields["space directions"].replace(" ", "").split(")") if part])
    matrix = (columns * signs).T
    spacing = np.linalg.norm(matrix, axis=0)
    if matrix.shape != (3, 3) or spacing.min() <= 0:
        raise Refused("mask_format", error="NRRD: space directions")
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix / spacing).ravel().tolist())
    image.SetOrigin((np.array(_vector(fields["space origin"])) * signs).tolist())
    return image


def _vector(text: str) -> list[float]:
    return [float(part) for part in text.strip("() ").split(",")]
