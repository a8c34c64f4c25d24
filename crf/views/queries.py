"""Queries on pages: the list of a study with its bulk acts, one query with its thread, and the panel beside an item."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.models import Query, QueryView
from crf.selectors import definition_of
from crf.selectors.queries import (
    ASSIGNEES,
    WAITING,
    Filters,
    listed,
    queries_at,
    saved_views,
    shown_value,
    thread,
    threads,
    waits_for_second_entry,
    with_people,
)
from crf.services import queries, query_export
from crf.views.entry_page import language
from crf.views.places import Place, form_choices, place_or_404, record_url, visit_name
from registry.models import Study, User
from registry.permissions import Permission, Role, authorise, rights
from registry.web import render_page, study_or_404

PER_PAGE = 50
LONG_AGO = 36_500
SPEAKERS = (Permission.QUERY_RAISE, Permission.QUERY_ANSWER, Permission.QUERY_CLOSE)


# The list


@require_safe
def query_list(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    filters = QueryFilter(request.GET, study=study, user=request.user)
    found = with_people(listed(study, request.user, filters.chosen()))
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    definition = definition_of(study)
    held = rights(request.user, study=study)
    for query in page.object_list:
        query.study = query.subject.study = study
    context = {
        "filters": filters,
        "page": page,
        "lines": [line(definition, query) for query in page.object_list],
        "is_filtered": filters.is_used,
        "views": [_view(study, view, request.user) for view in saved_views(request.user, study)],
        "view_filters": _kept_filters(request.GET),
        "acts": _acts(held),
        "assignees": _roles(),
        "priorities": Query.Priority.choices,
        "is_mine": filters.chosen().mine,
    }
    return render_page(request, "crf/queries.html", context, fragment="crf/_queries_table.html")


@require_POST
def act_on_queries(request: HttpRequest, code: str) -> HttpResponse:
    """One step on the queries that are ticked; the page then says on which it was taken, and why not on others."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    back = f"{reverse('crf:queries', args=[study.code])}?{_kept_filters(request.GET)}".rstrip("?")
    keys = [int(key) for key in request.POST.getlist("query") if key.isdecimal() and len(key) < 19]
    act = request.POST.get("act", "")
    if act not in queries.NEEDS or not keys:
        messages.error(request, _("Tick the queries, and choose what to do with them."))
        return redirect(back)
    try:
        report = queries.act_on_many(
            study=study, act=act, keys=keys, text=request.POST.get("text", ""), **_set_to(act, request), by=request.user
        )
    except queries.QueryRefused as refusal:
        messages.error(request, str(refusal))
        return redirect(back)
    done = {"done": len(report.done), "of": len(set(keys))}
    messages.success(request, _("Done on %(done)s of %(of)s queries.") % done)
    for why, ids in _by_reason(report.refused).items():
        messages.warning(request, f"{', '.join(ids)}: {why}")
    return redirect(back)


def _set_to(act: str, request: HttpRequest) -> dict[str, Any]:
    if act != "assign":
        return {}
    priority = request.POST.get("priority", "")
    return {
        "assignee": request.POST.get("assignee", ""),
        "priority": int(priority) if priority.isdecimal() and len(priority) < 3 else None,
    }


def _by_reason(refused: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for public_id, why in refused.items():
        # A refusal names the query that it is about; told together, they are named once.
        found.setdefault(why.replace(public_id, _("the query")), []).append(public_id)
    return found


@require_POST
def export_queries(request: HttpRequest, code: str) -> FileResponse:
    """The queries that the filters of the address choose, with their threads, as CSV that spreadsheets open safely."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    filters = QueryFilter(request.GET, study=study, user=request.user)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    query_export.export(study=study, filters=filters.chosen(), file=text, language=language(), by=request.user)
    text.detach()  # flushes, and leaves the file open for the response
    file.seek(0)
    name = f"{slugify(study.code)}-queries-{timezone.now():%Y%m%dT%H%MZ}.csv"
    return FileResponse(file, as_attachment=True, filename=name, content_type="text/csv; charset=utf-8")


@require_POST
def keep_view(request: HttpRequest, code: str) -> HttpResponse:
    """Keep the filters of the address under a name."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    kept = _kept_filters(request.GET)
    try:
        queries.keep_view(
            study=study,
            name=request.POST.get("name", ""),
            filters=kept,
            is_shared=request.POST.get("is_shared") == "on",
            by=request.user,
        )
        messages.success(request, _("The view is kept."))
    except queries.QueryRefused as refusal:
        messages.error(request, str(refusal))
    return redirect(f"{reverse('crf:queries', args=[study.code])}?{kept}".rstrip("?"))


@require_POST
def drop_view(request: HttpRequest, code: str) -> HttpResponse:
    """Forget one's own view of this name; nothing happens where there is none."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    name = request.POST.get("name", "")
    if view := QueryView.objects.filter(study=study, owner=request.user, name=name).first():
        queries.drop_view(view=view, by=request.user)
    return redirect("crf:queries", study.code)


def _view(study: Study, view: QueryView, user: User) -> dict[str, Any]:
    url = f"{reverse('crf:queries', args=[study.code])}?{view.filters}"
    return {"view": view, "url": url, "is_own": view.owner_id == user.pk}


def _kept_filters(given: QueryDict) -> str:
    """The filters of an address, without the page and what is no filter."""
    kept = QueryDict(mutable=True)
    for name in QueryFilter.base_fields:
        if given.get(name):
            kept[name] = given[name]
    return kept.urlencode()[:2000]


class QueryFilter(forms.Form):
    """The filters of the list; a wrong value filters nothing."""

    status = forms.ChoiceField(label=gettext_lazy("State"), required=False)
    site = forms.ChoiceField(label=gettext_lazy("Site"), required=False)
    form = forms.ChoiceField(label=gettext_lazy("Form"), required=False)
    event = forms.ChoiceField(label=gettext_lazy("Visit"), required=False)
    item = forms.CharField(label=gettext_lazy("Item"), required=False, max_length=160)
    origin = forms.ChoiceField(label=gettext_lazy("Origin"), required=False)
    priority = forms.ChoiceField(label=gettext_lazy("Priority"), required=False)
    assignee = forms.ChoiceField(label=gettext_lazy("For"), required=False)
    older = forms.IntegerField(
        label=gettext_lazy("Days open, at least"), required=False, min_value=0, max_value=LONG_AGO
    )
    subject = forms.CharField(
        label=gettext_lazy("Subject"), required=False, max_length=40, widget=forms.TextInput(attrs={"type": "search"})
    )
    text = forms.CharField(
        label=gettext_lazy("Number or words"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    mine = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sites = {site.code: site for site in study.sites.visible_to(user, needs=Permission.RECORD_VIEW)}
        definition = definition_of(study)
        everything = [("", _("all"))]
        choices = {
            "status": [(WAITING, _("open or answered")), *Query.Status.choices],
            "site": [(site.code, f"{site.code} {site.name}") for site in self.sites.values()],
            "event": [(event.oid, event.name.of(language())) for event in definition.events],
            "origin": Query.Origin.choices,
            "priority": Query.Priority.choices,
            "assignee": [(role, Role(role).label) for role in ASSIGNEES],
        }
        for name, own in choices.items():
            self.fields[name].choices = everything + own
        self.fields["form"].choices = form_choices(definition, self.data.get("form", ""))

    def chosen(self) -> Filters:
        self.is_valid()
        given = {name: self.cleaned_data.get(name) for name in self.fields}
        words = {
            name: (given[name] or "").strip() for name in given if name not in ("older", "mine", "priority", "site")
        }
        return Filters(
            **words,
            site=self.sites.get(given["site"] or ""),
            priority=int(given["priority"]) if given["priority"] else None,
            older=given["older"],
            mine=bool(given["mine"]),
        )

    @property
    def is_used(self) -> bool:
        return self.chosen() != Filters()


# One query


@require_http_methods(["GET", "POST"])
def query_page(request: HttpRequest, code: str, query_id: int) -> HttpResponse:
    """One query with its thread; a step on it by POST. The panel beside an item shows the same."""
    query = _query_or_404(request, code, query_id)
    if request.method == "POST":
        return _step(request, query)
    return _shown(request, query)


def _query_or_404(request: HttpRequest, code: str, query_id: int) -> Query:
    study = study_or_404(request, code)
    visible = Query.objects.visible_to(request.user).filter(~waits_for_second_entry(request.user), study=study)
    query = get_object_or_404(with_people(visible), pk=query_id)
    query.subject.study = query.study = study
    authorise(request.user, Permission.RECORD_VIEW, subject=query.subject)
    return query


def _step(request: HttpRequest, query: Query) -> HttpResponse:
    act = request.POST.get("act", "")
    if act not in queries.STEPS:
        return _shown(request, query, problem=_("Choose what to do."), status=422)
    given = {"text": request.POST.get("text", "")} | _set_to(act, request)
    try:
        queries.STEPS[act](query=query, **given, by=request.user)
    except queries.QueryRefused as refusal:
        return _shown(request, query, problem=str(refusal), text=given["text"], status=422)
    if getattr(request, "htmx", False):
        return _shown(request, _query_or_404(request, query.study.code, query.pk))
    messages.success(request, _("%(query)s is up to date.") % {"query": query.public_id})
    return redirect("crf:query", query.study.code, query.pk)


def _shown(request: HttpRequest, query: Query, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {"one": detail(request, query)} | more
    return render_page(request, "crf/query.html", context, fragment="crf/_query.html", status=status)


def detail(request: HttpRequest, query: Query) -> dict[str, Any]:
    """A query with its thread and what its reader may do with it."""
    held = rights(request.user, site=query.subject.site)
    return line(definition_of(query.study), query) | {
        "thread": [_message(message) for message in thread(query)],
        "acts": _acts(held, query),
        "may_speak": any(right in held for right in SPEAKERS),
        "assignees": _roles(),
        "priorities": Query.Priority.choices,
    }


def _acts(held: Iterable[Permission], query: Query | None = None) -> list[tuple[str, str]]:
    """The steps that the reader may take (on this query as it stands), with their names."""
    names = {"answer": _("Answer"), "close": _("Close"), "reopen": _("Reopen"), "assign": _("Assign")}
    return [
        (act, names[act])
        for act, needed in queries.NEEDS.items()
        if needed in held and (query is None or query.status in queries.BEFORE[act])
    ]


def _message(message: Any) -> dict[str, Any]:
    return {"message": message, "text": message.said(language())}


def line(definition: StudyDefinition, query: Query) -> dict[str, Any]:
    """A query as the list shows it: its words and place in the reader's language; asks the database nothing."""
    form, item = _names(definition, query)
    return {
        "query": query,
        "text": query.said(language()),
        "visit": _visit_name(definition, query),
        "form": form,
        "item": item,
        "value": shown_value(definition, query.form, query.item, query.value, language()) if query.item else "",
        "assignee": Role(query.assignee).label,
        "url": reverse("crf:query", args=[query.study.code, query.pk]),
        "record_url": place_url(query),
    }


def place_url(query: Query) -> str:
    """The entry page, at the item that the query is about."""
    url = record_url("crf:edit-record", query.visit, query.form, query.repeat, query.subject)
    return f"{url}#item-{query.item}" if query.item else url


def _names(definition: StudyDefinition, query: Query) -> tuple[str, str]:
    """Form and item by their labels; by their codes where the present build has none."""
    try:
        form = definition.form(query.form)
        name = form.name.of(language()) + (f" #{query.repeat}" if form.repeating else "")
    except NotInDefinition:
        return query.form, query.item
    try:
        label = form.item(query.item).label.of(language()) if query.item else ""
    except NotInDefinition:
        return name, query.item
    row = f" [{query.item.partition('[')[2].partition(']')[0]}]" if "[" in query.item else ""
    return name, label + row


def _visit_name(definition: StudyDefinition, query: Query) -> str:
    try:
        return visit_name(definition, query.visit)
    except NotInDefinition:
        return query.visit.event


# Beside an item


@require_http_methods(["GET", "POST"])
def place_queries(request: HttpRequest, **address: Any) -> HttpResponse:
    """The queries of one item (`?item=` its path) or of the form; a new one by POST."""
    place = place_or_404(request, **address)
    item = request.GET.get("item", "")
    if item and _label(place, item) is None:
        raise Http404(f"{place.form.oid} has no item {item}")
    if request.method == "POST":
        return _raise(request, place, item)
    return _beside(request, place, item)


def _raise(request: HttpRequest, place: Place, item: str) -> HttpResponse:
    given = request.POST
    priority = given.get("priority", "")
    try:
        query = queries.raise_query(
            subject=place.subject,
            visit=place.visit,
            form=place.form.oid,
            repeat=place.repeat,
            item=item,
            text=given.get("text", ""),
            priority=int(priority) if priority in map(str, Query.Priority.values) else Query.Priority.NORMAL,
            assignee=given.get("assignee") or Role.COORDINATOR,
            by=request.user,
        )
    except queries.QueryRefused as refusal:
        return _beside(request, place, item, problem=str(refusal), text=given.get("text", ""), status=422)
    if getattr(request, "htmx", False):
        return _beside(request, place, item)
    messages.success(request, _("%(query)s is asked.") % {"query": query.public_id})
    return redirect(place.url)


def _beside(request: HttpRequest, place: Place, item: str, *, status: int = 200, **more: Any) -> HttpResponse:
    found = [one for one in queries_at(place.visit, place.form.oid, place.repeat) if one.item == item]
    said = threads(found)
    details = []
    for query in found:
        query.subject, query.study, query.visit = place.subject, place.subject.study, place.visit
        own = line(place.study, query) | {"acts": _acts(place.held, query), "priorities": Query.Priority.choices}
        own |= {"thread": [_message(one) for one in said.get(query.pk, [])], "assignees": _roles()}
        details.append(own | {"may_speak": any(right in place.held for right in SPEAKERS)})
    context = {
        "place": place,
        "item": item,
        "title": _label(place, item) if item else place.form.name.of(language()),
        "queries": details,
        "may_raise": Permission.QUERY_RAISE in place.held and (place.record is not None or not item),
        "assignees": _roles(),
        "priorities": Query.Priority.choices,
        "address": f"{place.url_of('crf:place-queries')}?{_item_parameter(item)}",
    }
    return render_page(request, "crf/query_place.html", context | more, fragment="crf/_query_place.html", status=status)


def _item_parameter(item: str) -> str:
    given = QueryDict(mutable=True)
    given["item"] = item
    return given.urlencode()


def _roles() -> list[tuple[str, Any]]:
    return [(role, Role(role).label) for role in ASSIGNEES]


def _label(place: Place, item: str) -> str | None:
    try:
        return place.form.item(item).label.of(language())
    except NotInDefinition:
        return None
