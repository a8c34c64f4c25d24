"""What our pages and code ask gettext for: templates as Django reads them, Python by babel; no C tools needed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
KEYWORDS = {
    "gettext": None, "gettext_lazy": None, "gettext_noop": None, "_": None,
    "ngettext": (1, 2), "ngettext_lazy": (1, 2), "pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3),
}  # fmt: skip
OF_REGISTRY = ("_components", "errors", "base.html")


def asked(app: str) -> set[str]:
    """Every msgid that the app's Python and templates use."""
    return {message for path in _sources(app) for message in _messages(path)}


def _sources(app: str) -> Iterator[Path]:
    yield from sorted((ROOT / app).rglob("*.py"))
    names = (app, *OF_REGISTRY) if app == "registry" else (app,)
    for name in names:
        place = ROOT / "templates" / name
        yield from sorted(place.rglob("*.html")) if place.is_dir() else [place]


def _messages(path: Path) -> Iterator[str]:
    text = path.read_text()
    # templatize leaves calls between filler: no longer Python, but tokens that babel's JavaScript reader takes.
    method, source = ("javascript", templatize(text, origin=str(path))) if path.suffix == ".html" else ("python", text)
    for _line, message, _comments, _context in extract(method, io.BytesIO(source.encode()), keywords=KEYWORDS):
        yield message[-2] if isinstance(message, tuple) else message
