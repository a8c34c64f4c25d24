"""The first gate: is this a DICOM object that can be parsed without harm? Everything else is refused with a reason."""

import logging
import re
import warnings
import zlib
from io import BytesIO

import pydicom
from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from imaging.dicom.elements import leaves
from imaging.dicom.reasons import Refused
from imaging.dicom.walker import transfer_syntax, walk

# pydicom quotes the values it complains of, and they may be a name; a log is storage too.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
MAX_BYTES = 2 * 2**30
MAX_META_BYTES = 64 * 2**10
MAX_RATIO = 200  # of a deflated object; from RATIO_FROM bytes on
RATIO_FROM = 64 * 2**20
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
VALID_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*\Z")
DICOMDIR = "1.2.840.10008.1.3.10"


def parse(content: bytes, *, max_bytes: int = MAX_BYTES) -> Dataset:
    """Return the parsed object, or raise Refused; never another exception.

    Walks the bytes first (size, marker, depth, lengths), then lets pydicom read, then checks what intake relies on.
    """
    if not content:
        raise Refused("empty")
    if len(content) > max_bytes:
        raise Refused("too_large", size=len(content), limit=max_bytes)
    if content[128:132] != b"DICM":
        raise Refused("not_dicom")
    try:
        dataset = _read(content, max_bytes)
        _check(dataset)
    except Refused:
        raise
    except (MemoryError, RecursionError) as problem:
        raise Refused("unreadable", error=type(problem).__name__) from None
    except Exception as problem:  # pydicom raises some thirty types on damaged input
        raise Refused("unreadable", error=type(problem).__name__) from problem
    return dataset


def _read(content: bytes, max_bytes: int) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body, syntax = _transfer_syntax(content)
        if syntax == DeflatedExplicitVRLittleEndian:
            walk(_inflate(content[body:], max_bytes), 0, explicit=True, little=True)
        else:
            walk(content, body, explicit=syntax != ImplicitVRLittleEndian, little=syntax != ExplicitVRBigEndian)
        dataset = pydicom.dcmread(BytesIO(content))
        # Parse every element now, so that a bad one shows here and not in the middle of an intake.
        for _ in leaves(dataset):
            pass
    return dataset


def _transfer_syntax(content: bytes) -> tuple[int, UID]:
    """Where the data set starts and how it is encoded."""
    body, uid = transfer_syntax(content)
    if not uid:
        raise Refused("missing_attribute", keyword="TransferSyntaxUID")
    syntax = UID(uid)
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise Refused("unknown_transfer_syntax", uid=_shown(uid))
    return body, syntax


def _inflate(content: bytes, limit: int) -> bytes:
    limit = min(limit, max(RATIO_FROM, MAX_RATIO * len(content)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(content, limit)
    if inflater.unconsumed_tail:
        raise Refused("inflates_too_large", limit=limit)
    return inflated


def _check(dataset: Dataset) -> None:
    if dataset.file_meta.get("MediaStorageSOPClassUID") == DICOMDIR:
        raise Refused("directory")
    for keyword in REQUIRED:
        value = dataset.get(keyword)
        if not value:
            raise Refused("missing_attribute", keyword=keyword)
        if not isinstance(value, str) or not VALID_UID.match(value):
            raise Refused("invalid_uid", keyword=keyword)
    if "PixelData" in dataset:
        _check_pixels(dataset)


def _check_pixels(dataset: Dataset) -> None:
    """The dimensions and the pixel data agree, so that no decoder is asked for more than is there."""
    for keyword in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation"):
        if not dataset.get(keyword):
            raise Refused("missing_attribute", keyword=keyword)
    syntax = dataset.file_meta.TransferSyntaxUID
    expected = _expected_bytes(dataset)
    if expected > MAX_BYTES:
        raise Refused("too_large", size=expected, limit=MAX_BYTES)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        if not dataset["PixelData"].is_undefined_length:
            raise Refused("not_encapsulated", uid=str(syntax))
        return
    found = len(dataset.PixelData)
    if found not in (expected, expected + expected % 2):
        raise Refused("pixel_length", found=found, expected=expected)


def _expected_bytes(dataset: Dataset) -> int:
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = dataset.Rows * dataset.Columns * int(dataset.SamplesPerPixel) * frames
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        samples = samples * 2 // 3
    return (samples * dataset.BitsAllocated + 7) // 8


def _shown(uid: str) -> str:
    return re.sub(r"[^0-9.]", "?", uid)[:64]
