"""Decode pixel data and apply the modality's rescaling, one object at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.reasons import Refused


def planes(dataset: Dataset) -> NDArray[Any]:
    """Frames × rows × columns, rescaled (HU for CT). Raises Refused where no decoder can read them."""
    try:
        stored = dataset.pixel_array
    except Exception as problem:  # decoders raise whatever their C code reports
        raise Refused("unreadable_pixels", error=type(problem).__name__) from problem
    frames = stored if int(dataset.get("NumberOfFrames") or 1) > 1 else stored[np.newaxis]
    return np.stack([_rescaled(frame, *_rescale_of(dataset, index)) for index, frame in enumerate(frames)])


def _rescale_of(dataset: Dataset, index: int) -> tuple[float, float]:
    for source in _transformations(dataset, index):
        if "RescaleSlope" in source:
            return float(source.RescaleSlope), float(source.get("RescaleIntercept") or 0)
    return 1.0, 0.0


def _transformations(dataset: Dataset, index: int) -> list[Dataset]:
    """Where a rescale may stand, the frame's own first (PS3.3 C.7.6.16.2.9)."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    sources = [groups[index]] if groups else []
    sources += list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    found = [
        group.PixelValueTransformationSequence[0] for group in sources if "PixelValueTransformationSequence" in group
    ]
    return [*found, dataset]


def _rescaled(frame: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Integers stay integers where slope and intercept are, so that masks of equal value stay equal."""
    if slope == 1 and intercept == int(intercept):
        return frame.astype(np.int32) + int(intercept) if intercept else frame
    return (frame.astype(np.float64) * slope + intercept).astype(np.float32)
