"""The tables of forms and answers."""

from crf.models.builds import StudyBuild, definition_of_build
from crf.models.records import Record

__all__ = ["Record", "StudyBuild", "definition_of_build"]
