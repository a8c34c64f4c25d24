"""Numbers in foreign definitions: read from text, and written without a needless `.0`."""

from __future__ import annotations

import math
import re

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)


def read_number(text: object) -> float | None:
    """The number that `text` writes, with a decimal point or comma; None for anything else, `NaN` and 1e999 too."""
    plain = str(text).strip().replace(",", ".")
    if not NUMBER.fullmatch(plain):
        return None
    number = float(plain)
    return number if math.isfinite(number) else None


def read_whole(text: str) -> int | None:
    """The whole number of at most nine digits that `text` writes; None for anything else, `²` and 5,000 digits too."""
    return int(text) if WHOLE.fullmatch(text) else None


def write_number(value: float) -> str:
    """`5` for 5.0, else the shortest text that reads as the same number."""
    return str(int(value)) if float(value).is_integer() else repr(value)
