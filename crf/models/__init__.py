"""The tables of forms and answers."""

from crf.models.builds import StudyBuild
from crf.models.records import Record

__all__ = ["Record", "StudyBuild"]
