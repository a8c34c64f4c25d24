"""The tables of forms and answers."""

from crf.models.builds import StudyBuild, definition_of_build
from crf.models.queries import Query, QueryMessage, QueryView, public_id
from crf.models.records import Record
from crf.models.sdv import SdvPlan, SourceVerification

__all__ = [
    "Query",
    "QueryMessage",
    "QueryView",
    "Record",
    "SdvPlan",
    "SourceVerification",
    "StudyBuild",
    "definition_of_build",
    "public_id",
]
