"""Reads of datasets."""

from __future__ import annotations

from analytics.models import Dataset
from registry.models import Study


def newest(study: Study) -> list[Dataset]:
    """The latest version of each dataset of the study."""
    found: dict[str, Dataset] = {}
    for one in Dataset.objects.filter(study=study).select_related("study", "build", "rules").order_by("version"):
        found[one.name] = one
    return list(found.values())
