"""What sorting and classifying need to know of an object, as plain values that identify nobody."""

import math
from datetime import date
from typing import Any

import numpy as np
from pydicom import Dataset

from imaging.dicom.dates import read_date
from imaging.dicom.descriptors import clean_text

# Creator, group, element of the b-value before the standard had one.
VENDOR_B_VALUES = (
    ("SIEMENS MR HEADER", 0x0019, 0x0C),
    ("GEMS_PARM_01", 0x0043, 0x39),
    ("Philips Imaging DD 001", 0x2001, 0x03),
)
ACQUISITION_NUMBERS = {
    "te": "EchoTime",
    "tr": "RepetitionTime",
    "ti": "InversionTime",
    "flip": "FlipAngle",
    "field": "MagneticFieldStrength",
    "kvp": "KVP",
    "thickness": "SliceThickness",
}
ACQUISITION_TEXTS = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "sequence": "ScanningSequence",
    "variant": "SequenceVariant",
    "kernel": "ConvolutionKernel",
    "agent": "ContrastBolusAgent",
    "image_type": "ImageType",
    "body_part": "BodyPartExamined",
}
GAUSS_PER_TESLA = 10_000


def facts(dataset: Dataset) -> dict[str, Any]:
    """JSON-safe facts of one object: modality, acquisition and, for each frame, geometry and what may tell it apart."""
    return {
        "modality": text(dataset.get("Modality"))[:16],
        "sop_class": str(dataset.SOPClassUID),
        "order": int(number(dataset.get("InstanceNumber")) or 0),
        "acquisition": acquisition(dataset),
        "description": description(dataset),
        "frames": frames(dataset),
    }


def description(dataset: Dataset) -> str:
    """Known words of the series' description and, where it says more, of the protocol's name."""
    series, protocol = (clean_text(str(dataset.get(each) or "")) for each in ("SeriesDescription", "ProtocolName"))
    return series if protocol in series else f"{series} {protocol}".strip()


def acquired_on(dataset: Dataset) -> date | None:
    """The day of acquisition, else of the series or study; frames' own dates in enhanced objects."""
    for keyword in ("AcquisitionDate", "SeriesDate", "AcquisitionDateTime", "ContentDate", "StudyDate"):
        if found := read_date(str(dataset.get(keyword) or "")[:10]) or read_date(str(dataset.get(keyword) or "")[:8]):
            return found
    return None


def acquisition(dataset: Dataset) -> dict[str, Any]:
    shared = _group_items(dataset, 0) if "PerFrameFunctionalGroupsSequence" in dataset else {}
    numbers = {name: number(_find(dataset, shared, keyword)) for name, keyword in ACQUISITION_NUMBERS.items()}
    if (field := numbers["field"]) and field > 100:
        numbers["field"] = field / GAUSS_PER_TESLA  # some scanners write gauss
    numbers["te"] = numbers["te"] or number(_find(dataset, shared, "EffectiveEchoTime"))
    texts = {name: text(dataset.get(keyword)) for name, keyword in ACQUISITION_TEXTS.items()}
    for name in ("agent", "body_part"):
        texts[name] = clean_text(texts[name]) or ("YES" if _is_given(texts[name]) and name == "agent" else "")
    times = {
        "contrast_start": seconds(dataset.get("ContrastBolusStartTime")),
        "time": seconds(dataset.get("AcquisitionTime")) or seconds(str(dataset.get("AcquisitionDateTime") or "")[8:]),
    }
    return {key: value for key, value in {**numbers, **texts, **times}.items() if value not in (None, "")}


def frames(dataset: Dataset) -> list[dict[str, Any]]:
    if "PixelData" not in dataset:
        return []
    count = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        return [_classic_frame(dataset, index) for index in range(count)]
    return [_enhanced_frame(dataset, index) for index in range(min(count, len(groups)))]


def _classic_frame(dataset: Dataset, index: int) -> dict[str, Any]:
    # A classic multi-frame object states one position for all frames, so only its first frame has a place.
    placed = dataset if index == 0 else Dataset()
    keys = {
        "temporal": number(dataset.get("TemporalPositionIdentifier")),
        "acquisition": number(dataset.get("AcquisitionNumber")),
        "b": b_value(dataset),
        "gradient": text(dataset.get("DiffusionGradientOrientation")),
        "te": number(dataset.get("EchoTime")),
        "trigger": number(dataset.get("TriggerTime")),
        "type": text(dataset.get("ImageType")),
        "acquired": seconds(dataset.get("AcquisitionTime")),
        "content": seconds(dataset.get("ContentTime")),
    }
    return _frame(dataset, placed, placed, placed, keys)


def _enhanced_frame(dataset: Dataset, index: int) -> dict[str, Any]:
    groups = _group_items(dataset, index)
    empty = Dataset()
    content = groups.get("FrameContentSequence", empty)
    diffusion = groups.get("MRDiffusionSequence", empty)
    direction = (diffusion.get("DiffusionGradientDirectionSequence") or [empty])[0]
    kind = groups.get("MRImageFrameTypeSequence") or groups.get("CTImageFrameTypeSequence") or empty
    keys = {
        "temporal": number(content.get("TemporalPositionIndex")),
        "acquisition": number(content.get("FrameAcquisitionNumber")),
        "b": number(diffusion.get("DiffusionBValue")),
        "gradient": text(direction.get("DiffusionGradientOrientation")),
        "te": number(groups.get("MREchoSequence", empty).get("EffectiveEchoTime")),
        "trigger": number(groups.get("CardiacSynchronizationSequence", empty).get("NominalCardiacTriggerDelayTime")),
        "type": text(kind.get("FrameType")),
        "acquired": seconds(str(content.get("FrameAcquisitionDateTime") or "")[8:]),
        "content": seconds(str(content.get("FrameReferenceDateTime") or "")[8:]),
    }
    position = groups.get("PlanePositionSequence", empty)
    orientation = groups.get("PlaneOrientationSequence", empty)
    return _frame(dataset, position, orientation, groups.get("PixelMeasuresSequence", empty), keys)


def _frame(
    dataset: Dataset, position: Dataset, orientation: Dataset, measures: Dataset, keys: dict[str, Any]
) -> dict[str, Any]:
    return {
        "position": numbers(position.get("ImagePositionPatient"), 3),
        "orientation": numbers(orientation.get("ImageOrientationPatient"), 6),
        "spacing": numbers(measures.get("PixelSpacing"), 2),
        "thickness": number(measures.get("SpacingBetweenSlices")) or number(measures.get("SliceThickness")),
        "size": [int(dataset.Rows), int(dataset.Columns)],
        "samples": int(dataset.SamplesPerPixel),
        "keys": {key: value for key, value in keys.items() if value not in (None, "")},
    }


def _group_items(dataset: Dataset, index: int) -> dict[str, Dataset]:
    """First items of the functional groups of a frame: its own before the shared ones (PS3.3 C.7.6.16)."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    merged: dict[str, Dataset] = {}
    for source in (shared[0], dataset.PerFrameFunctionalGroupsSequence[index]):
        for element in source:
            if element.VR == "SQ" and element.value and not element.tag.is_private:
                merged[element.keyword] = element.value[0]
    return merged


def _find(dataset: Dataset, groups: dict[str, Dataset], keyword: str) -> Any:
    if keyword in dataset:
        return dataset.get(keyword)
    return next((item.get(keyword) for item in groups.values() if keyword in item), None)


def b_value(dataset: Dataset) -> float | None:
    """Diffusion b-value in s/mm²: the standard's attribute, else the vendor's private one."""
    if (standard := number(dataset.get("DiffusionBValue"))) is not None:
        return standard
    for creator, group, element in VENDOR_B_VALUES:
        try:
            value = dataset.private_block(group, creator)[element].value
        except KeyError:
            continue
        value = _from_bytes(value) if isinstance(value, bytes) else value
        first = number(value if isinstance(value, (str, int, float)) else value[0] if value else None)
        # GE adds 10^9 as a flag to the number of b.
        return first % 100_000 if first is not None else None
    return None


def _from_bytes(value: bytes) -> Any:
    if len(value) == 8:
        return float(np.frombuffer(value, "<f8")[0])
    if len(value) == 4:
        return float(np.frombuffer(value, "<f4")[0])
    return value.decode("ascii", "ignore").split("\\")[0].strip(" \0")


def number(value: Any) -> float | None:
    """A finite number, or None; the first of several."""
    if value is not None and not isinstance(value, (str, int, float)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def numbers(value: Any, count: int) -> list[float] | None:
    """Exactly `count` finite numbers, or None."""
    try:
        found = [float(part) for part in value]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def text(value: Any) -> str:
    if value is None:
        return ""
    joined = str(value) if isinstance(value, str) else "\\".join(str(part) for part in value)
    return joined.replace("\0", "")[:200]  # the database stores no NUL


def seconds(value: Any) -> float | None:
    """Seconds since midnight of a TM value or the time part of a DT."""
    digits = str(value or "").replace(":", "").split("+")[0].split("-")[0].strip()
    whole, _, fraction = digits.partition(".")
    if not whole.isdecimal() or len(whole) not in (2, 4, 6):
        return None
    parts = [int(whole[start : start + 2]) for start in range(0, len(whole), 2)] + [0, 0]
    total = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return total + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)


def _is_given(agent: str) -> bool:
    return agent.strip().upper() not in ("", "NONE", "NO", "N", "NA", "N/A", "WITHOUT")
