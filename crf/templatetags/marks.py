"""`{{ marks|at:item.name }}`: what stands beside an item."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def at(marks: Any, path: str) -> Any:
    """The mark of an item; nothing on a page that has no marks."""
    return marks.at(path) if marks else None
