"""XML as text: elements with escaped attributes and texts, so that what was written is what is read again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What XML 1.0 cannot hold, even escaped.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)


def escaped(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text).translate(_TEXT)


def attributes(values: Mapping[str, str | None]) -> str:
    """Attributes with a space before each; those that are None are left out."""
    return "".join(
        f' {name}="{FORBIDDEN.sub(chr(0xFFFD), value).translate(_ATTRIBUTE)}"'
        for name, value in values.items()
        if value is not None
    )


def element(
    tag: str, values: Mapping[str, str | None] | None = None, children: Iterable[str] = (), text: str | None = None
) -> str:
    """An element with its children on lines of their own, or with a text."""
    head = f"<{tag}{attributes(values or {})}"
    if text is not None:
        return f"{head}>{escaped(text)}</{tag}>"
    inner = [child for child in children if child]
    if not inner:
        return f"{head}/>"
    return "\n".join([f"{head}>", *inner, f"</{tag}>"])
