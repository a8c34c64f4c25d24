"""Builders of DICOM objects for tests: small, valid, full of invented identifiers."""

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from imaging.dicom import profile

MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
ORIGINAL_ROOT = "1.2.826.0.1.3680043.8.498"
SECRETS: dict[str, Any] = {
    "AE": "SECRETAE", "AS": "041Y", "CS": "SECRETCS", "DA": "20230417", "DS": "7.5", "DT": "20230417101112",
    "IS": "7", "LO": "SecretText", "LT": "SecretText", "PN": "Secret^Person", "SH": "SecretText", "ST": "SecretText",
    "TM": "101112", "UC": "SecretText", "UR": "http://secret.example", "UT": "SecretText", "US": 7, "UN": b"Secret",
    "OB": b"Secret", "UI": f"{ORIGINAL_ROOT}.99",
}  # fmt: skip


def slice_of(
    *,
    number: int = 1,
    position: tuple[float, float, float] = (0.0, 0.0, 0.0),
    series: str = "1",
    study: str = "1",
    pixels: np.ndarray | None = None,
    **attributes: Any,
) -> Dataset:
    """One classic MR slice; keyword arguments override or add attributes."""
    pixels = np.full((8, 6), number, dtype=np.uint16) if pixels is None else pixels
    dataset = Dataset()
    values = {
        "SOPClassUID": MR_CLASS,
        "SOPInstanceUID": f"{ORIGINAL_ROOT}.{study}.{series}.{number}",
        "StudyInstanceUID": f"{ORIGINAL_ROOT}.{study}",
        "SeriesInstanceUID": f"{ORIGINAL_ROOT}.{study}.{series}",
        "FrameOfReferenceUID": f"{ORIGINAL_ROOT}.{study}.0",
        "Modality": "MR",
        "PatientName": "Zhang^San",
        "PatientID": "HN0012345",
        "PatientBirthDate": "19620305",
        "PatientSex": "M",
        "PatientAge": "061Y",
        "AccessionNumber": "ACC778899",
        "InstitutionName": "Secret Hospital",
        "StudyDate": "20230417",
        "AcquisitionDate": "20230417",
        "AcquisitionTime": "101112",
        "Manufacturer": "SIEMENS",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "InstanceNumber": number,
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1.5, 1.25],
        "SliceThickness": 4,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return with_meta(dataset)


def with_meta(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    return dataset


def as_bytes(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def identified_item() -> Dataset:
    item = Dataset()
    item.PatientName = "Secret^Person"
    item.PatientID = "SECRET77"
    item.StudyDate = "20230417"
    item.InstitutionName = "Secret Hospital"
    item.ReferencedSOPInstanceUID = f"{ORIGINAL_ROOT}.98"
    item.add(DataElement(0x00290010, "LO", "SECRET VENDOR"))
    item.add(DataElement(0x00291001, "LO", "SecretPrivate"))
    return item


def everything() -> Dataset:
    """An MR slice that carries every attribute of Table E.1-1, a private block and an unlisted sequence."""
    dataset = slice_of()
    for rule in profile.load().rules.values():
        if rule.tag >> 16 == 2 or not rule.vr:
            continue
        value = Sequence([identified_item()]) if rule.vr == "SQ" else SECRETS[rule.vr]
        dataset.add(DataElement(rule.tag, rule.vr, value))
    dataset.add(DataElement(0x00290010, "LO", "SECRET VENDOR"))
    dataset.add(DataElement(0x00291001, "LO", "SecretPrivate"))
    dataset.add(DataElement(0x60003000, "OW", b"Secret"))
    dataset.add(DataElement(0x50003000, "OW", b"Secret"))
    dataset.DerivationCodeSequence = Sequence([identified_item()])
    return dataset
