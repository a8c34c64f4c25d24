"""Names as each format allows them: unique, the same every time, and as near to the item's name as can be."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence


def unique(name: str, taken: Container[str], limit: int = 200) -> str:
    """`name` within `limit` characters, with a number behind it where it is taken."""
    short, number = name[:limit], 2
    while short in taken:
        tail = f"_{number}"
        short, number = name[: limit - len(tail)] + tail, number + 1
    return short


# Longest names of variables: SAS transport 5 and 8, Stata, SPSS, a column of PostgreSQL.
LIMITS = {"xpt": 8, "xpt8": 32, "dta": 32, "sav": 64, "sql": 63}
# Words that SPSS and Stata keep for themselves.
RESERVED = {
    "sav": frozenset(["all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with"]),
    "dta": frozenset(["byte", "double", "float", "if", "in", "int", "long", "strl", "using", "with"]),
}
STATA_TEXT = re.compile(r"str\d+", re.IGNORECASE | re.ASCII)  # Stata's types of texts: str1, str2, …


def adapted(names: Sequence[str], format: str) -> dict[str, str]:
    """By name, its name in a format. A name that fits keeps it, whatever the others are cut to."""
    limit = LIMITS.get(format)
    if limit is None:
        return {name: name for name in names}
    spelt = {name: name.upper() if format == "xpt" else name for name in names}
    kept_words = RESERVED.get(format, frozenset())
    if format == "dta":
        kept_words |= {name.casefold() for name in names if STATA_TEXT.fullmatch(name)}
    found = {name: short for name, short in spelt.items() if len(short) <= limit and short.casefold() not in kept_words}
    taken = {short.casefold() for short in found.values()} | kept_words
    for name, long in spelt.items():
        if name not in found:
            found[name] = _cut(long, taken, limit)
            taken.add(found[name].casefold())
    return {name: found[name] for name in names}


def _cut(name: str, taken: set[str], limit: int) -> str:
    """The beginning of the item and, of a companion, the beginning of its part: `bilirubin__missing` is BILIRU_M."""
    item, mark, part = name.partition("__")
    tail = f"_{part.strip('_')[:1]}" if mark else ""
    short = unique((item[: limit - len(tail)].rstrip("_") + tail).casefold(), taken, limit)
    return short.upper() if name.isupper() else short
