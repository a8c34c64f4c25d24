"""The lines of a form: `{% line item marks %}`, and `{{ marks|at:item.name }}`, what stands beside an item."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from crf.forms import ItemView

register = template.Library()

# Stand-ins, of Unicode's private use area, for what differs from subject to subject on a line that is kept.
ANSWER, HISTORY, QUERIES = "\ue000", "\ue001", "\ue002"
STAND_INS = re.compile(f"[{ANSWER}{HISTORY}{QUERIES}]")
# Not a file, nor a list to pick from: that may name the subject's own images.
ALIKE = frozenset({"text", "long", "number", "date", "time", "datetime", "radio", "checkboxes", "derived", "label"})


@register.filter
def at(marks: Any, path: str) -> Any:
    """The mark of an item; nothing on a page that has no marks."""
    return marks.at(path) if marks else None


@register.simple_tag
def line(item: ItemView, marks: Any = None) -> SafeString:
    """An item with its answer and what stands beside it.

    Most lines of most pages differ in the answer alone. Such a line is rendered once, and kept with stand-ins.
    """
    queries = _queries(at(marks, item.name), item.label)
    if item.control not in ALIKE or item.findings or item.comment or item.missing_reason or item.result or item.file:
        return _rendered(item, queries)
    pattern = _kept(
        replace(item, text=ANSWER if item.text else "", history_url=HISTORY if item.history_url else ""),
        QUERIES if queries else "",
        get_language(),
    )
    own = {ANSWER: escape(item.text), HISTORY: escape(item.history_url), QUERIES: queries}
    return mark_safe(STAND_INS.sub(lambda found: own[found[0]], pattern))  # noqa: S308 - all of it is escaped


def _queries(mark: Any, label: str) -> SafeString:
    if not mark or not (mark.is_shown or mark.sdv):
        return SafeString()
    return render_to_string("crf/_queries.html", {"mark": mark, "label": label})


@lru_cache(maxsize=4096)  # some 3 kB each
def _kept(item: ItemView, queries: str, _language: str | None) -> SafeString:
    return _rendered(item, SafeString(queries))


def _rendered(item: ItemView, queries: SafeString) -> SafeString:
    return render_to_string("crf/_item.html", {"item": item, "queries": queries})
