"""DICOM series of a phantom, as a hospital would send them: identified, complete, marked synthetic.

Identifying attributes stand where real ones do (patient and study modules, a nested sequence, a private block), so that
de-identification has its real work to do. Everything follows from the arguments: the same call gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from deploy.demo.phantoms import Grid

SYNTHETIC = "SYNTHETIC"
ROOT = "2.25."
PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True)
class Person:
    """The identity a hospital's machine writes into its images."""

    name: str  # DICOM person name: alphabetic=ideographic
    hospital_number: str
    birth_date: date
    sex: str  # M or F
    institution: str


@dataclass(frozen=True)
class Scanner:
    """A site's machine; `gain` scales MR signal."""

    manufacturer: str
    model: str
    tesla: float
    gain: float


SCANNERS = {
    "01": Scanner("SIEMENS", "MAGNETOM Skyra", 3.0, 1.0),
    "02": Scanner("GE MEDICAL SYSTEMS", "SIGNA Architect", 3.0, 1.35),
    "03": Scanner("Philips Medical Systems", "Ingenia", 3.0, 0.8),
    "04": Scanner("UIH", "uMR 780", 3.0, 1.1),
}

# What makes each kind recognisable: the attributes that sequence classification reads.
PROTOCOLS: dict[str, dict[str, object]] = {
    "T2": {
        "SeriesDescription": "t2_tse_fs_tra 轴位T2压脂",
        "ProtocolName": "t2_tse_fs_tra",
        "ScanningSequence": "SE",
        "SequenceVariant": ["SK", "SP"],
        "ScanOptions": "FS",
        "MRAcquisitionType": "2D",
        "RepetitionTime": 4200,
        "EchoTime": 88,
        "EchoTrainLength": 18,
        "FlipAngle": 140,
    },
    "AP": {
        "SeriesDescription": "t1_vibe_fs_tra_dyn AP 动脉期",
        "ProtocolName": "t1_vibe_fs_tra_dyn",
        "ScanningSequence": "GR",
        "SequenceVariant": ["SP", "OSP"],
        "ScanOptions": "FS",
        "MRAcquisitionType": "3D",
        "RepetitionTime": 3.9,
        "EchoTime": 1.8,
        "EchoTrainLength": 1,
        "FlipAngle": 9,
        "ContrastBolusAgent": "Gd-EOB-DTPA",
        "ContrastBolusRoute": "IV",
    },
    "PVP": {
        "SeriesDescription": "Abdomen portal venous 门静脉期",
        "ProtocolName": "Abdomen 3-phase",
        "ScanOptions": "HELICAL MODE",
        "KVP": 120,
        "XRayTubeCurrent": 240,
        "ConvolutionKernel": "STANDARD",
        "ContrastBolusAgent": "Iohexol 350",
        "ContrastBolusRoute": "IV",
    },
}
SERIES_NUMBER = {"T2": 4, "AP": 11, "PVP": 5}
# Seconds after the study's start; contrast phases are known by their delay after the injection at 600 s.
ACQUIRED_AFTER = {"T2": 240, "AP": 622, "PVP": 670}


@dataclass(frozen=True)
class Placement:
    """Where a grid lies in the patient: the first voxel's centre and a tilt about the left-right axis, in degrees."""

    grid: Grid
    tilt: float = 0.0
    table: float = 0.0  # millimetres along the patient

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors of slices, rows and columns in DICOM patient coordinates (LPS), one per row."""
        angle = np.deg2rad(self.tilt)
        down, along = np.array([0, np.cos(angle), np.sin(angle)]), np.array([0, -np.sin(angle), np.cos(angle)])
        return np.array([along, down, [1.0, 0, 0]])

    def position(self, index: tuple[float, float, float]) -> NDArray[np.float64]:
        """Patient coordinates of a voxel (slice, row, column)."""
        offset = (np.array(index) - (np.array(self.grid.shape) - 1) / 2) * self.grid.spacing
        return np.round(offset @ self.axes + [0, 0, self.table], 6)


@dataclass(frozen=True)
class Acquisition:
    """One series to write."""

    kind: str
    person: Person
    scanner: Scanner
    started: datetime
    placement: Placement
    accession: str


def dicom_series(pixels: NDArray[np.int16], acquisition: Acquisition) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, DICOM file) for each slice of `pixels`."""
    shared = _template(acquisition)
    encoded = _elements(shared)  # what the slices share is encoded once: most of the time would go there
    middle = acquisition.placement.position((0, *((n - 1) / 2 for n in acquisition.placement.grid.shape[1:])))
    for index, plane in enumerate(pixels):
        position = acquisition.placement.position((index, 0, 0))
        stored = plane.astype(np.int32) - int(shared.get("RescaleIntercept", 0))
        own = {
            "SOPInstanceUID": uid(shared.SeriesInstanceUID, index),
            "InstanceNumber": index + 1,
            "ImagePositionPatient": [_ds(value) for value in position],
            "SliceLocation": _ds(float((position - middle) @ acquisition.placement.axes[0])),
            "PixelData": stored.astype("<u2").tobytes(),
        }
        content = _file(shared, encoded | _elements(_dataset(own)), own["SOPInstanceUID"])
        yield f"{acquisition.accession}/{acquisition.kind}/IM{index + 1:04d}.dcm", content


def uid(*parts: object) -> str:
    """A UID that is the same for the same parts (PS3.5 B.2: 2.25 and an integer of 128 bits)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return ROOT + str(int.from_bytes(digest[:16], "big"))


def _template(acquisition: Acquisition) -> Dataset:
    """All attributes that the slices of a series share: the MR or CT image IOD of PS3.3 A.4 and A.3."""
    ds = Dataset()
    modality = "CT" if acquisition.kind == "PVP" else "MR"
    ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality = modality
    _patient_and_study(ds, acquisition)
    _series_and_equipment(ds, acquisition)
    _plane_and_pixels(ds, acquisition.placement)
    ds.update(_dataset(PROTOCOLS[acquisition.kind]))
    if modality == "CT":
        _ct(ds)
    else:
        ds.MagneticFieldStrength = acquisition.scanner.tesla
        ds.ImagingFrequency = round(42.577 * acquisition.scanner.tesla, 3)
        ds.ImagedNucleus = "1H"
        ds.EchoNumbers = 1
        ds.PixelBandwidth = 300
    _traces_of_identity(ds, acquisition.person)
    return ds


def _patient_and_study(ds: Dataset, acquisition: Acquisition) -> None:
    person, started = acquisition.person, acquisition.started
    ds.PatientName = person.name
    ds.PatientID = person.hospital_number
    ds.IssuerOfPatientID = person.institution
    ds.PatientBirthDate = person.birth_date.strftime("%Y%m%d")
    ds.PatientSex = person.sex
    ds.PatientAge = f"{(started.date() - person.birth_date).days // 365:03d}Y"
    ds.PatientComments = SYNTHETIC
    ds.StudyInstanceUID = uid("study", acquisition.accession)
    ds.StudyID = acquisition.accession[-6:]
    ds.AccessionNumber = acquisition.accession
    ds.StudyDate, ds.StudyTime = started.strftime("%Y%m%d"), started.strftime("%H%M%S")
    ds.StudyDescription = f"上腹部平扫+增强 {ds.Modality}"
    ds.ReferringPhysicianName = "Referring^Synthetic=合成^医师"
    ds.InstitutionName = person.institution
    ds.InstitutionAddress = "Synthetic Road 1"
    ds.OperatorsName = "Operator^Synthetic"


def _series_and_equipment(ds: Dataset, acquisition: Acquisition) -> None:
    taken = acquisition.started + timedelta(seconds=ACQUIRED_AFTER[acquisition.kind])
    ds.SeriesInstanceUID = uid("series", acquisition.accession, acquisition.kind)
    ds.SeriesNumber = SERIES_NUMBER[acquisition.kind]
    for what in ("Series", "Acquisition", "Content"):
        setattr(ds, f"{what}Date", taken.strftime("%Y%m%d"))
        setattr(ds, f"{what}Time", taken.strftime("%H%M%S"))
    ds.AcquisitionNumber = 1
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "ABDOMEN"
    ds.Laterality = ""
    ds.FrameOfReferenceUID = uid("frame", acquisition.accession)
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = acquisition.scanner.manufacturer
    ds.ManufacturerModelName = acquisition.scanner.model
    ds.DeviceSerialNumber = str(int(uid(acquisition.scanner.model)[5:]) % 100000)
    ds.StationName = f"{ds.Modality}01"
    ds.SoftwareVersions = "lobule demo"
    ds.ImageComments = SYNTHETIC
    ds.BurnedInAnnotation = "NO"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if ds.Modality == "CT" else "M"]


def _plane_and_pixels(ds: Dataset, placement: Placement) -> None:
    _, rows, columns = placement.grid.shape
    ds.PixelSpacing = list(placement.grid.spacing[1:])
    ds.SliceThickness = ds.SpacingBetweenSlices = placement.grid.spacing[0]
    ds.ImageOrientationPatient = [_ds(value) for value in (*placement.axes[2], *placement.axes[1])]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = ("60", "350") if ds.Modality == "CT" else ("200", "450")


def _ct(ds: Dataset) -> None:
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.Manufacturer, ds.ManufacturerModelName = "CANON", "Aquilion ONE"
    del ds.SpacingBetweenSlices  # not an attribute of the CT image module


def _traces_of_identity(ds: Dataset, person: Person) -> None:
    """Where identity hides in real files: an address, a nested sequence, a private block."""
    ds.PatientAddress = "合成路1号"
    ds.PatientTelephoneNumbers = "000-0000"
    ds.OtherPatientIDs = person.hospital_number[::-1]
    before = _dataset({"PatientName": person.name, "PatientID": person.hospital_number})
    change = {
        "AttributeModificationDateTime": f"{ds.StudyDate}{ds.StudyTime}",
        "ModifyingSystem": "RIS",
        "SourceOfPreviousValues": person.institution,
        "ReasonForTheAttributeModification": "COERCE",
        "ModifiedAttributesSequence": Sequence([before]),
    }
    ds.OriginalAttributesSequence = Sequence([_dataset(change)])
    block = ds.private_block(0x0019, "LOBULE DEMO", create=True)
    block.add_new(0x0C, "LO", person.name.split("=")[0])


def _dataset(values: dict[str, object]) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, without a negative zero."""
    return f"{round(float(value), 6) + 0.0:.10g}"


def _elements(ds: Dataset) -> dict[int, bytes]:
    """Each element in Explicit VR Little Endian, by its tag."""
    found = {}
    for element in ds:
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        if element.tag == PIXEL_DATA:
            element.VR = "OW"
        write_data_element(file, element, ["utf-8"])
        found[int(element.tag)] = file.getvalue()
    return found


def _file(shared: Dataset, elements: dict[int, bytes], instance_uid: object) -> bytes:
    """A Part 10 file: preamble, meta information, then the elements in the order of their tags."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = shared.SOPClassUID
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("lobule demo")
    file = io.BytesIO()
    write_file_meta_info(file, meta, enforce_standard=True)
    return b"\0" * 128 + b"DICM" + file.getvalue() + b"".join(elements[tag] for tag in sorted(elements))
