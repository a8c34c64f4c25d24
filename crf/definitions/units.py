"""Numbers in another declared unit: converted exactly to the item's own, with what was typed kept beside."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from .ctcae import plain_unit
from .model import Item, UnitConversion

EXACT = Context(prec=60)  # fifteen digits entered times seventeen of a factor lose nothing


def conversion(item: Item, unit: str) -> UnitConversion | None:
    """How `unit` becomes the item's own; None where the item declares no such unit."""
    return next((one for one in item.units if one.unit == unit), None)


def units_of(item: Item) -> tuple[str, ...]:
    """The units that a person may choose, the item's own first; empty where there is no choice."""
    return (item.unit or "", *(one.unit for one in item.units)) if item.units else ()


def to_own(item: Item, number: Decimal, unit: str) -> float | int:
    """`entered × factor + offset`, exact, then rounded half up to the digits that the item keeps.

    Raises KeyError for a unit that the item does not declare.
    """
    found = conversion(item, unit)
    if found is None:
        raise KeyError(unit)
    exact = EXACT.add(EXACT.multiply(number, _exactly(found.factor)), _exactly(found.offset))
    if item.value_kind == "integer":
        return int(exact.quantize(Decimal(1), ROUND_HALF_UP, EXACT))
    if item.precision is not None:
        exact = exact.quantize(Decimal(1).scaleb(-item.precision), ROUND_HALF_UP, EXACT)
    return float(exact) + 0.0


def is_same_unit(one: str | None, other: str | None) -> bool:
    """Whether two spellings are one unit: umol/L and µmol/L, 10⁹/L and ×10^9/L, g/dl and g/dL."""
    return plain_unit(one).casefold() == plain_unit(other).casefold()


def limit_in(unit: str, item: Item, limit: float | None) -> float | None:
    """A limit given in `unit` as one in the item's own unit, unrounded. Raises KeyError."""
    if limit is None or unit == item.unit:
        return limit
    found = conversion(item, unit)
    if found is None:
        raise KeyError(unit)
    return float(EXACT.add(EXACT.multiply(_exactly(limit), _exactly(found.factor)), _exactly(found.offset)))


def _exactly(number: float) -> Decimal:
    """The decimal that a definition wrote: 88.4, not 88.400000000000005684…"""
    return Decimal(repr(number)) if math.isfinite(number) else Decimal(0)


def as_typed(given: Any) -> tuple[str, str]:
    """Number and unit of `{"value": "1.2", "unit": "mg/dL"}`, as text."""
    return str(given.get("value", "")), str(given.get("unit", ""))
