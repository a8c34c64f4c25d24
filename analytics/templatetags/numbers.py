"""Numbers as reports print them: each carries the hash of the dataset it comes from."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.selectors.presentation import RISK_NAMES, plan_title, set_name

register = template.Library()
register.filter("plan_title", plan_title)
register.filter("set_name", set_name)


@register.simple_tag(takes_context=True)
def figure(context: dict[str, Any], value: float | int | None, digits: int = 3) -> SafeString:
    """One number; whole numbers as they are."""
    text = "–" if value is None else str(value) if isinstance(value, int) else f"{value:.{digits}f}"
    return _sourced(context, text)


@register.simple_tag(takes_context=True)
def interval(context: dict[str, Any], found: dict[str, float] | None, digits: int = 3) -> SafeString:
    """Estimate and 95% interval."""
    if not found or found["value"] is None:
        return _sourced(context, "–")
    lo, hi = ("–" if found[end] is None else f"{found[end]:.{digits}f}" for end in ("lo", "hi"))
    return _sourced(context, f"{found['value']:.{digits}f} ({lo}–{hi})")


@register.simple_tag(takes_context=True)
def p_value(context: dict[str, Any], p: float | None) -> SafeString:
    return _sourced(context, "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}")


def _sourced(context: dict[str, Any], text: str) -> SafeString:
    """The number, and the dataset it is computed from: `data-dataset` for machines, the title for people."""
    source = context["dataset_hash"]
    return format_html('<span class="sourced" data-dataset="{}" title="{}">{}</span>', source, context["source"], text)


@register.filter
def is_of(name: str, prefix: str) -> bool:
    """Whether a figure belongs to a split (or to survival)."""
    return name.startswith(f"{prefix}-")


@register.filter
def get(found: dict[str, Any], name: str) -> Any:
    return found.get(name, "")


@register.filter
def risk_name(code: str) -> Any:
    return RISK_NAMES.get(code, code)
