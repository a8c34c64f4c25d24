"""What all figures share: size, colours, fonts, and rendering that repeats byte for byte."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import escape
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with any colour vision; line styles say it again for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
GREY = "#6E6E6E"
# Older matplotlib sees the first face of a collection only, and Noto's first is JP; its glyphs serve.
CHINESE = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",
)
SIZE_INCHES = (5.0, 4.2)


@contextmanager
def style() -> Iterator[None]:
    """Settings for building and rendering; glyphs become paths, so that a figure looks alike everywhere."""
    settings: dict[Any, Any] = {
        "svg.hashsalt": "lobule",
        "svg.fonttype": "path",
        "font.family": list(_fonts()),
        "font.size": 9,
        "axes.unicode_minus": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "path.simplify": False,
    }
    with matplotlib.rc_context(settings):
        yield


def blank(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with one labelled plot."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def line(index: int) -> dict[str, Any]:
    """Colour and style of the series at this position."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index % len(STYLES)], "linewidth": 1.6}


def svg(figure: Figure, description: str) -> str:
    """SVG text with an accessible name, without date and with the same ids every time."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": description})
    named = f'<svg role="img" aria-label="{escape(description)}" '
    return buffer.getvalue().replace("<svg ", named, 1)


def png(figure: Figure, *, dots_per_inch: int = 300) -> bytes:
    """PNG of the same figure."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


@cache
def _fonts() -> tuple[str, ...]:
    """DejaVu Sans, which matplotlib brings, then the first Chinese font of this machine."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in CHINESE if name in installed][:1])
