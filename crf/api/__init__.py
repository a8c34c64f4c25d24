"""The JSON doors of the forms' room."""

from crf.api.records import RecordDetail, RecordList, SubjectList

__all__ = ["RecordDetail", "RecordList", "SubjectList"]
