"""Who changed what, when and why: of a record, or of one of its items."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from crf import forms
from crf.definitions.units import as_typed
from crf.definitions.values import display_value
from crf.selectors import ItemChange, record_changes
from crf.views.entry_page import language
from crf.views.places import Place, place_or_404
from registry.web import render_page
from registry.wording import reason_shown


@require_safe
def record_history(request: HttpRequest, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    return _history(request, place, None, place.form.name.of(language()))


@require_safe
def item_history(request: HttpRequest, item: str, **address: Any) -> HttpResponse:
    place = place_or_404(request, **address)
    if not place.form.has(item):
        raise Http404(f"{place.form.oid} has no item {item}")
    return _history(request, place, item, forms.label_of(place.form, item, language()))


def _history(request: HttpRequest, place: Place, item: str | None, name: str) -> HttpResponse:
    changes = record_changes(place.record, item) if place.record else []
    context = {
        "title": _("History of %(name)s") % {"name": name},
        "form": {"name": place.form.name.of(language())},
        "place": place,
        "subject": place.subject,
        "subject_url": reverse("crf:subject", args=[place.subject.study.code, place.subject.number]),
        "versions": [_version(place, list(group)) for _revision, group in groupby(changes, lambda c: c.revision)],
    }
    return render_page(request, "crf/record_history.html", context, fragment="crf/_history.html")


def _version(place: Place, changes: list[ItemChange]) -> dict[str, Any]:
    """One save: who, when, why, and its changes in the order of the form."""
    first = changes[0]
    changes.sort(key=lambda change: forms.position_of(place.form, change.item))
    return {
        "at": first.at,
        "who": first.by,
        "role": first.role,
        "organisation": first.organisation,
        "source": first.source,
        "reason": reason_shown(first.reason),
        "revision": first.revision,
        "changes": [_change(place, change) for change in changes],
    }


def _change(place: Place, change: ItemChange) -> dict[str, str]:
    if not place.form.has(change.item):
        return {"label": change.item, "old": str(change.old or ""), "new": str(change.new or "")}
    item = place.form.item(change.item)
    codelist = place.study.codelist(item)
    return {
        "label": forms.label_of(place.form, change.item, language()),
        "old": display_value(item, codelist, change.old, language(), unit=True),
        "new": display_value(item, codelist, change.new, language(), unit=True),
        "typed": " ".join(as_typed(change.typed)) if change.typed else "",
    }
