"""The tables of analytics. All are facts: rows come in, none changes or leaves (append-only by trigger)."""

from analytics.models.dataset import Dataset, DatasetRecord, StudyRules
from analytics.models.results import Evaluation, FeatureSet

__all__ = ["Dataset", "DatasetRecord", "Evaluation", "FeatureSet", "StudyRules"]
