"""The JSON door to subjects and records: the same scope, checks and audit as the pages (source `api`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from crf.models import Record
from crf.selectors import subject_records
from crf.services import records, second_entry
from registry.models import Study, Subject
from registry.permissions import Permission, authorise

MOST_DEPTH = 8  # rows of a group: body, data, group, row, answer, missing value


class ShallowJson(JSONParser):
    """JSON that nests no deeper than answers do: what nests without end would exhaust whatever walks through it."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            body = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The JSON nests too deep.")) from None
        level = [body]
        for _depth in range(MOST_DEPTH):
            level = [inner for one in level for inner in _inside(one)]
            if not level:
                return body
        raise ParseError(_("The JSON nests too deep."))


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


class RecordBody(serializers.Serializer):
    """What PUT takes: typed values by item, and the revision they are based on (0: there is no record yet).

    The revision is never left out, since answers based on another one would overwrite what somebody saved meanwhile.
    """

    data = serializers.DictField(child=serializers.JSONField(allow_null=True))
    comments = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    reason = serializers.CharField(allow_blank=True, default="")
    complete = serializers.BooleanField(default=False)
    expected_revision = serializers.IntegerField(min_value=0)


class SubjectList(APIView):
    """The subjects of a study inside the person's scope."""

    def get(self, request: Request, code: str) -> Response:
        study = get_object_or_404(Study.objects.visible_to(request.user), code=code)
        authorise(request.user, Permission.SUBJECT_VIEW, study=study)
        subjects = Subject.objects.visible_to(request.user, needs=Permission.SUBJECT_VIEW).filter(study=study)
        return Response([_subject(subject) for subject in subjects.select_related("site", "group")])


class RecordList(APIView):
    """Every record of one subject, with revision and digest."""

    def get(self, request: Request, code: str, number: str) -> Response:
        subject = _subject_or_404(request, code, number)
        authorise(request.user, Permission.RECORD_VIEW, subject=subject)
        shown = [one for one in subject_records(subject) if not second_entry.is_blind(one, request.user)]
        return Response([_record(record) for record in shown])


class RecordDetail(APIView):
    """One record: read it, or save answers to it (422 lists item and message, 409 what the record is now)."""

    parser_classes = (ShallowJson,)

    def get(self, request: Request, code: str, number: str, event: str, visit: int, form: str, repeat: int) -> Response:
        subject = _subject_or_404(request, code, number)
        authorise(request.user, Permission.RECORD_VIEW, subject=subject)
        found = get_object_or_404(
            Record, subject=subject, visit__event=event, visit__repeat=visit, form=form, repeat=repeat
        )
        if second_entry.is_blind(found, request.user):
            raise PermissionDenied(_("This form waits for your second entry; its first entry is not shown before."))
        return Response(_record(found))

    def put(self, request: Request, code: str, number: str, event: str, visit: int, form: str, repeat: int) -> Response:
        subject = _subject_or_404(request, code, number)
        authorise(request.user, Permission.RECORD_ENTER, subject=subject)
        place = get_object_or_404(subject.visits, event=event, repeat=visit)
        body = RecordBody(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            saved = records.save(
                subject=subject,
                visit=place,
                form=form,
                repeat=repeat,
                explained=True,
                language=request.LANGUAGE_CODE,  # type: ignore[attr-defined]
                by=request.user,
                **body.validated_data,
            )
        except records.EditConflict as conflict:
            return Response({"current": _record(conflict.current)}, status=409)
        except records.RecordRefused as refused:
            return Response({"problems": [{"item": i, "message": m} for i, m in refused.problems]}, status=422)
        findings = [
            {"item": one.item, "check": one.check, "severity": one.severity, "message": one.message.model_dump()}
            for one in saved.state.findings
        ]
        return Response(_record(saved.record) | {"findings": findings, "changed": saved.changed})


def _subject_or_404(request: Request, code: str, number: str) -> Subject:
    scoped = Subject.objects.visible_to(request.user).select_related("study", "site", "group")
    return get_object_or_404(scoped, study__code=code, number=number)


def _subject(subject: Subject) -> dict[str, Any]:
    return {
        "number": subject.number,
        "site": subject.site.code,
        "group": subject.group.code if subject.group_id else None,
        "enrolled_on": subject.enrolled_on.isoformat(),
        "status": subject.status,
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "event": record.visit.event,
        "visit": record.visit.repeat,
        "form": record.form,
        "repeat": record.repeat,
        "status": record.status,
        "revision": record.revision,
        "digest": record.digest,
        "data": record.data,
        "comments": record.comments,
    }
