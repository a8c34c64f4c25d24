"""The JSON doors of the forms' room."""

from crf.api.queries import QueryDetail, QueryList, QueryStep
from crf.api.records import RecordDetail, RecordList, SubjectList

__all__ = ["QueryDetail", "QueryList", "QueryStep", "RecordDetail", "RecordList", "SubjectList"]
