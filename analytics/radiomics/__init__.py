"""From an image and a mask to features: values, or the reason why there is none. Pure: no Django, no database."""

from analytics.radiomics.digests import (
    engine_version,
    feature_key,
    geometry_digest,
    image_digest,
    mask_digest,
    pixel_digest,
)
from analytics.radiomics.engine import Extraction, extract, extract_many, feature_names
from analytics.radiomics.reasons import REASONS, NotExtractable, describe
from analytics.radiomics.settings import BadParameters, Parameters

__all__ = [
    "REASONS",
    "BadParameters",
    "Extraction",
    "NotExtractable",
    "Parameters",
    "describe",
    "engine_version",
    "extract",
    "extract_many",
    "feature_key",
    "feature_names",
    "geometry_digest",
    "image_digest",
    "mask_digest",
    "pixel_digest",
]
