"""The JSON door to queries: list, ask, read, and one step at a time, by the rules of the pages (source `api`)."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from crf.models import Query
from crf.selectors.queries import ASSIGNEES, WAITING, Filters, listed, thread, waits_for_second_entry, with_people
from crf.services import queries
from registry.models import Site, Study, Subject
from registry.permissions import Permission, Role, authorise

PER_PAGE = 100


class QueryFilters(serializers.Serializer):
    """What the list takes in its address; the words are those of the page."""

    status = serializers.ChoiceField([WAITING, *Query.Status.values], required=False, allow_blank=True)
    site = serializers.CharField(required=False, allow_blank=True)
    subject = serializers.CharField(required=False, allow_blank=True)
    event = serializers.CharField(required=False, allow_blank=True)
    form = serializers.CharField(required=False, allow_blank=True)
    item = serializers.CharField(required=False, allow_blank=True)
    origin = serializers.ChoiceField(Query.Origin.values, required=False, allow_blank=True)
    priority = serializers.ChoiceField(Query.Priority.values, required=False)
    assignee = serializers.ChoiceField(ASSIGNEES, required=False, allow_blank=True)
    older = serializers.IntegerField(min_value=0, max_value=36_500, required=False)
    text = serializers.CharField(required=False, allow_blank=True)


class QueryBody(serializers.Serializer):
    """What POST takes to ask: a place, and words."""

    subject = serializers.CharField()
    event = serializers.CharField()
    visit = serializers.IntegerField(min_value=1, max_value=9999, default=1)
    form = serializers.CharField()
    repeat = serializers.IntegerField(min_value=1, max_value=9999, default=1)
    item = serializers.CharField(allow_blank=True, default="")
    text = serializers.CharField(max_length=queries.MAX_WORDS)
    priority = serializers.ChoiceField(Query.Priority.values, default=Query.Priority.NORMAL)
    assignee = serializers.ChoiceField(ASSIGNEES, default=Role.COORDINATOR.value)


class StepBody(serializers.Serializer):
    """What POST takes for a step."""

    text = serializers.CharField(allow_blank=True, default="", max_length=queries.MAX_WORDS)


class QueryList(APIView):
    """The queries of a study inside the person's scope, a hundred a page; POST asks a new one."""

    def get(self, request: Request, code: str) -> Response:
        study = _study_or_404(request, code, Permission.RECORD_VIEW)
        asked = QueryFilters(data=request.query_params)
        if not asked.is_valid():
            return Response({"problems": asked.errors}, status=422)
        given = dict(asked.validated_data)
        if site := given.pop("site", ""):
            given["site"] = get_object_or_404(Site.objects.visible_to(request.user), study=study, code=site)
        page = Paginator(with_people(listed(study, request.user, Filters(**given))), PER_PAGE).get_page(
            request.query_params.get("page")
        )
        found = [_query(query) for query in page.object_list]
        return Response({"count": page.paginator.count, "pages": page.paginator.num_pages, "results": found})

    def post(self, request: Request, code: str) -> Response:
        study = _study_or_404(request, code, Permission.QUERY_RAISE)
        body = QueryBody(data=request.data)
        if not body.is_valid():
            return Response({"problems": body.errors}, status=422)
        given = dict(body.validated_data)
        visible = Subject.objects.visible_to(request.user).select_related("study", "site")
        subject = get_object_or_404(visible, study=study, number=given.pop("subject"))
        visit = get_object_or_404(subject.visits, event=given.pop("event"), repeat=given.pop("visit"))
        try:
            query = queries.raise_query(subject=subject, visit=visit, **given, by=request.user)
        except queries.QueryRefused as refusal:
            return Response({"problems": {"": [str(refusal)]}}, status=422)
        return Response(_whole(query), status=201)


class QueryDetail(APIView):
    """One query with its thread."""

    def get(self, request: Request, code: str, query_id: int) -> Response:
        return Response(_whole(_query_or_404(request, code, query_id)))


class QueryStep(APIView):
    """One step on a query: answer, close, reopen or comment. 409 says where it stands if it can't be taken any more."""

    def post(self, request: Request, code: str, query_id: int, act: str) -> Response:
        query = _query_or_404(request, code, query_id)
        body = StepBody(data=request.data)
        if not body.is_valid():
            return Response({"problems": body.errors}, status=422)
        try:
            done = queries.STEPS[act](query=query, text=body.validated_data["text"], by=request.user)
        except queries.QueryRefused as refusal:
            now = Query.objects.get(pk=query.pk)
            status = 422 if now.status in queries.BEFORE[act] else 409
            return Response({"problems": {"": [str(refusal)]}, "status": now.status}, status=status)
        return Response(_whole(done))


def _study_or_404(request: Request, code: str, needs: Permission) -> Study:
    study = get_object_or_404(Study.objects.visible_to(request.user), code=code)
    authorise(request.user, needs, study=study)
    return study


def _query_or_404(request: Request, code: str, query_id: int) -> Query:
    visible = Query.objects.visible_to(request.user).filter(~waits_for_second_entry(request.user), study__code=code)
    query = get_object_or_404(with_people(visible), pk=query_id)
    authorise(request.user, Permission.RECORD_VIEW, subject=query.subject)
    return query


def _query(query: Query) -> dict[str, Any]:
    return {
        "id": query.pk,
        "query": query.public_id,
        "status": query.status,
        "priority": query.priority,
        "assignee": query.assignee,
        "origin": query.origin,
        "cause": query.cause,
        "site": query.subject.site.code,
        "subject": query.subject.number,
        "event": query.visit.event,
        "visit": query.visit.repeat,
        "form": query.form,
        "repeat": query.repeat,
        "item": query.item,
        "value": query.value,
        "revision": query.revision,
        "text": {"zh": query.said("zh-hans"), "en": query.said("en")},
        "opened_by": _name(query.opened_by),
        "opened_at": query.opened_at,
        "answered_by": _name(query.answered_by),
        "answered_at": query.answered_at,
        "closed_by": _name(query.closed_by),
        "closed_at": query.closed_at,
        "age_days": query.age_days,
    }


def _whole(query: Query) -> dict[str, Any]:
    said = [
        {
            "act": one.act,
            "by": _name(one.by),
            "role": one.role,
            "at": one.at,
            "text": one.text,
            "revision": one.revision,
        }
        for one in thread(query)
    ]
    return _query(query) | {"thread": said}


def _name(user: Any) -> str | None:
    """The user name; null is the system."""
    return user.username if user else None
