"""A small picture of a volume's middle slice."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.dicom.geometry import Volume
from imaging.models import Instance, blobs
from imaging.selectors import volumes

LONGEST = 256  # pixels
CT_WINDOW = (-160.0, 240.0)  # soft tissue, HU


def make(volume: Volume, modality: str) -> str:
    """Store the picture; returns its key. Raises Refused where the pixels can't be decoded."""
    frame = volume.frames[len(volume.frames) // 2]
    plane = volumes.frames(Instance.objects.get(pk=frame.source))[frame.number]
    return blobs.put("thumbnails", png(plane, modality, volume.spacing[:2]), ".png")


def png(plane: NDArray[Any], modality: str, spacing: tuple[float, float]) -> bytes:
    """8-bit grey, in true proportions; CT in a soft-tissue window, else between the 1st and 99th percentile."""
    low, high = CT_WINDOW if modality == "CT" else (float(edge) for edge in np.percentile(plane, (1, 99)))
    grey = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
    width, height = plane.shape[1] * spacing[0], plane.shape[0] * spacing[1]
    scale = LONGEST / max(width, height)
    picture = Image.fromarray(grey.astype(np.uint8)).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR
    )
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
