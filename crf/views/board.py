"""The casebooks of a study as one table of subjects × visits, and the way to one of them by its number."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from crf.definitions.model import StudyDefinition
from crf.models import Record
from crf.selectors import casebook, definition_of
from crf.selectors.board import STATES, BoardCell, BoardRow, board, subjects_on_board
from crf.views.entry_page import language
from crf.views.places import links, visit_name
from registry.models import Study, Subject, User
from registry.permissions import Permission
from registry.web import render_page, study_or_404

PER_PAGE = 40
STATE_NAMES = {
    "due": gettext_lazy("due"),
    "overdue": gettext_lazy("overdue"),
    "in_progress": gettext_lazy("in progress"),
    "complete": gettext_lazy("complete"),
    "queried": gettext_lazy("with open queries"),
    "verified": gettext_lazy("verified"),
    "signed": gettext_lazy("signed"),
    "locked": gettext_lazy("locked"),
}


class BoardFilter(forms.Form):
    """What of the study is shown; anything else in the address is ignored."""

    q = forms.CharField(required=False, max_length=40, label=gettext_lazy("Subject"))
    site = forms.ChoiceField(required=False, label=gettext_lazy("Site"))
    event = forms.ChoiceField(required=False, label=gettext_lazy("Visit"))
    state = forms.ChoiceField(required=False, label=gettext_lazy("State"))

    def __init__(self, data: Any, *, study: Study, user: User, definition: StudyDefinition) -> None:
        super().__init__(data)
        self.fields["q"].widget.attrs |= {"data-jump": "", "type": "search"}
        sites = study.sites.visible_to(user)
        self.fields["site"].choices = [("", _("all")), *((site.code, f"{site.code} {site.name}") for site in sites)]
        events = [(event.oid, event.name.of(language())) for event in definition.events]
        self.fields["event"].choices = [("", _("all")), *events]
        self.fields["state"].choices = [("", _("all")), *((state, STATE_NAMES[state]) for state in STATES)]

    def chosen(self) -> dict[str, str]:
        self.is_valid()
        given = self.cleaned_data
        return {"search": given.get("q", "").strip()} | {
            name: given.get(name, "") for name in ("site", "event", "state")
        }


@require_safe
def casebooks(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    definition = definition_of(study)
    filters = BoardFilter(request.GET, study=study, user=request.user, definition=definition)
    chosen = filters.chosen()
    found = subjects_on_board(study, request.user, **chosen)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    shown = [event for event in definition.events if not chosen["event"] or event.oid == chosen["event"]]
    only = definition.model_copy(update={"events": tuple(shown)})
    context = {
        "filters": filters,
        "page": page,
        "events": [event.name.of(language()) for event in shown],
        "rows": [_row(study, definition, row) for row in board(only, page.object_list)],
        "is_filtered": any(chosen.values()),
    }
    return render_page(request, "crf/casebooks.html", context, fragment="crf/_casebooks.html")


@require_safe
def jump(request: HttpRequest, code: str) -> HttpResponse:
    """To a subject by number, and to one of its forms by code: `01-0003`, `01-0003 LB`, or `LB` on a subject's page."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    words = request.GET.get("to", "").split()
    here = request.GET.get("subject", "")
    seen = Subject.objects.visible_to(request.user, needs=Permission.RECORD_VIEW).filter(study=study)
    number = words[0] if words and seen.filter(number__iexact=words[0]).exists() else here
    subject = seen.filter(number__iexact=number).select_related("site", "group").first() if number else None
    if subject is None:
        if words:
            return redirect(f"{reverse('crf:casebooks', args=[study.code])}?q={words[0]}")
        return redirect("crf:casebooks", study.code)
    subject.study = study
    rest = " ".join(words[1:] if number != here or (words and words[0].lower() == here.lower()) else words)
    url = _form_url(subject, rest) if rest else None
    if rest and url is None:
        messages.info(request, _("%(subject)s has no form “%(form)s”.") % {"subject": subject.number, "form": rest})
    return redirect(url or reverse("crf:subject", args=[study.code, subject.number]))


def _form_url(subject: Subject, wanted: str) -> str | None:
    """The form of that code or name: first where something is left to do, else the last that was entered."""
    wanted = wanted.casefold()
    found = [
        link
        for row in casebook(subject, language())
        for link in links(row, subject)
        if link["form"].casefold() == wanted or wanted in link["name"].casefold()
    ]
    exact = [link for link in found if link["form"].casefold() == wanted] or found
    order = ("overdue", "due", Record.Status.IN_PROGRESS, "not_started")
    return (
        min(exact, key=lambda one: order.index(one["state"]) if one["state"] in order else 9)["url"] if exact else None
    )


def _row(study: Study, definition: StudyDefinition, row: BoardRow) -> dict[str, Any]:
    subject = row.subject
    subject.study = study
    url = reverse("crf:subject", args=[study.code, subject.number])
    return {
        "subject": subject,
        "url": url,
        "cells": [[_cell(definition, url, cell) for cell in cells] for cells in row.cells],
    }


def _cell(definition: StudyDefinition, url: str, cell: BoardCell) -> dict[str, Any]:
    return {
        "state": cell.state,
        "name": visit_name(definition, cell.visit),
        "entered": cell.entered,
        "forms": cell.forms,
        "queries": cell.queries,
        "url": f"{url}#visit-{cell.visit.event}-{cell.visit.repeat}",
        "visit": cell.visit,
    }
