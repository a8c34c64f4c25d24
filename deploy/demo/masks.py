"""A reader's mask as the file that segmentation programs write: NIfTI mostly, DICOM SEG now and then."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom import dcmread
from pydicom.sr.codedict import codes

from deploy.demo.images import Acquisition, Placement, dicom_series, uid
from deploy.demo.phantoms import Mask

SEG_EVERY = 12  # every so many subjects, the second reader's program writes DICOM SEG


def prefers_seg(subject: int, reader: int) -> bool:
    return reader == 2 and subject % SEG_EVERY == 0


def as_file(mask: Mask, taken: Acquisition, *, as_seg: bool) -> bytes:
    """The mask on the geometry of its series."""
    return dicom_seg(mask, taken) if as_seg else nifti(mask, taken.placement)


def nifti(mask: Mask, placement: Placement) -> bytes:
    """A gzipped NIfTI-1 mask on the geometry of the series (RAS axes, as segmentation programs write)."""
    slices, rows, columns = placement.axes * np.reshape(placement.grid.spacing, (3, 1))
    affine = np.column_stack([columns, rows, slices, placement.position((0, 0, 0))])
    affine[:2] *= -1  # LPS to RAS
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *reversed(mask.shape), 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)  # uint8
    struct.pack_into("<8f", header, 76, 1, *reversed(placement.grid.spacing), 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<f", header, 112, 1)
    header[123] = 2  # millimetres
    header[148:157] = b"SYNTHETIC"
    struct.pack_into("<hh", header, 252, 0, 1)  # the affine (sform, scanner coordinates) is what counts
    struct.pack_into("<12f", header, 280, *affine.ravel())
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + mask.astype(np.uint8).tobytes(), compresslevel=4, mtime=0)


def dicom_seg(mask: Mask, taken: Acquisition) -> bytes:
    """A binary DICOM SEG that refers to the hospital's own series, as a workstation there would write it."""
    blank = np.zeros(mask.shape, np.int16)
    sources = [dcmread(io.BytesIO(content)) for _, content in dicom_series(blank, taken)]
    algorithm = AlgorithmIdentificationSequence("reader", codes.DCM.ArtificialIntelligence, "1")
    description = SegmentDescription(
        segment_number=1,
        segment_label="target",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
    )
    made = Segmentation(
        source_images=sources,
        pixel_array=mask.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=uid("seg series", sources[0].SeriesInstanceUID),
        series_number=900,
        sop_instance_uid=uid("seg", sources[0].SeriesInstanceUID),
        instance_number=1,
        manufacturer="LOBULE DEMO",
        manufacturer_model_name="reader",
        software_versions="1",
        device_serial_number="1",
    )
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()
