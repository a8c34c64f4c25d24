"""The few tags that pages of every app share: an icon, a form control."""

from collections.abc import Hashable
from functools import lru_cache

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from registry.wording import details_shown, fact_name, kind_name, person_name, reason_shown, role_names, source_name

register = template.Library()
register.filter("details_shown", details_shown)
register.filter("fact_name", fact_name)
register.filter("kind_name", kind_name)
register.filter("person_name", person_name)
register.filter("reason_shown", reason_shown)
register.filter("role_names", role_names)
register.filter("source_name", source_name)


@register.simple_tag
@lru_cache(maxsize=512)  # a page of forms shows dozens of them
def icon(name: str, css: str = "") -> SafeString:
    """A decorative icon of registry/static/registry/icons.svg; the words beside it carry the meaning."""
    return format_html(
        '<svg class="icon {}" width="20" height="20" aria-hidden="true" focusable="false">'
        '<use href="{}#{}"></use></svg>',
        css,
        static("registry/icons.svg"),
        name,
    )


@register.simple_tag
def kept(template_name: str, **values: Hashable) -> SafeString:
    """`{% kept "crf/_state.html" state=form.state %}`: as `include … only`, rendered once per values and language.

    For fragments that a page shows dozens of times and that say nothing of a person: words of the study or the product.
    """
    return _kept(template_name, get_language(), **values)


@lru_cache(maxsize=8192)  # some 1.5 kB each
def _kept(template_name: str, _language: str | None, **values: Hashable) -> SafeString:
    return render_to_string(template_name, values)


@register.filter
def control(field: BoundField) -> SafeString:
    """The field's widget in Tabler's dress; Django itself adds aria-describedby and aria-invalid."""
    widget = field.field.widget
    if isinstance(widget, CheckboxInput | RadioSelect | CheckboxSelectMultiple):
        css = "form-check-input"
    else:
        css = "form-select" if isinstance(widget, Select) else "form-control"
    return field.as_widget(attrs={"class": f"{css} is-invalid" if field.errors else css})
