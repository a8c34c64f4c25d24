"""The tables of forms and answers."""

from crf.models.attachments import Attachment
from crf.models.builds import BuildDraft, BuildRelease, StudyBuild, definition_of_build
from crf.models.drafts import CalendarFeed, Draft, Presence
from crf.models.exports import RecordExport
from crf.models.imports import Import, ImportLine, ImportMapping
from crf.models.quality import QualityFinding, QualityRun
from crf.models.queries import Query, QueryMessage, QueryView, public_id
from crf.models.records import Record
from crf.models.sdv import SdvPlan, SourceVerification
from crf.models.second_entry import SecondEntry

__all__ = [
    "Attachment",
    "BuildDraft",
    "BuildRelease",
    "CalendarFeed",
    "Draft",
    "Import",
    "ImportLine",
    "ImportMapping",
    "Presence",
    "QualityFinding",
    "QualityRun",
    "Query",
    "QueryMessage",
    "QueryView",
    "Record",
    "RecordExport",
    "SdvPlan",
    "SecondEntry",
    "SourceVerification",
    "StudyBuild",
    "definition_of_build",
    "public_id",
]
