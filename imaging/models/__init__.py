"""Imaging's tables."""

from imaging.models.intake import Instance, Intake, Quarantined
from imaging.models.series import Segmentation, Series

__all__ = ["Instance", "Intake", "Quarantined", "Segmentation", "Series"]
