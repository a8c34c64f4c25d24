"""The functions that expressions may call. None, or a value outside a function's domain, gives no value."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from . import response, scores
from .ctcae import ctcae

# The CEL library logs each exception that a function raises; here raising is how "no value" is said.
logging.getLogger("cel").setLevel(logging.CRITICAL + 1)


class NoValue(ArithmeticError):
    """A function's arguments are given but have no result, such as ln(0) or a day count from a partial date."""


def days(start: str, end: str) -> float:
    """Days from `start` to `end`, negative when `end` is earlier."""
    return float((_date(end) - _date(start)).days)


def months(start: str, end: str) -> float:
    """Months of 30.4375 days."""
    return days(start, end) / 30.4375


def years(start: str, end: str) -> float:
    """Completed years, as an age is counted; 29 February counts from 1 March in other years."""
    first, last = _date(start), _date(end)
    return float(last.year - first.year - ((last.month, last.day) < (first.month, first.day)))


def _date(text: str) -> date:
    return date.fromisoformat(text[:10])


def half_up(value: float, digits: float = 0) -> float:
    """round(x, n): halves go away from zero, as people round."""
    return scores.half_up(value, int(digits))


def number(text: str) -> float:
    """The number that a text or a choice's code spells."""
    return float(text)


def _numbers(values: tuple[Any, ...]) -> Iterable[Any]:
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def smallest(*values: Any) -> Any:
    return min(_numbers(values))


def largest(*values: Any) -> Any:
    return max(_numbers(values))


def total(*values: Any) -> float:
    return float(math.fsum(_numbers(values)))


def count(values: list[Any]) -> float:
    """How many choices are ticked, or elements a list has."""
    return float(len(values))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give CEL one number type (it refuses int * double) and turn domain errors into NoValue."""

    def called(*args: Any) -> Any:
        try:
            result = function(*args)
        except (ValueError, ArithmeticError) as error:
            raise NoValue(str(error)) from error
        if result is None:
            raise NoValue
        return float(result) if isinstance(result, int) and not isinstance(result, bool) else result

    return called


_SOURCES: dict[str, Callable[..., Any]] = {
    "days": days, "months": months, "years": years, "round": half_up, "number": number, "count": count,
    "min": smallest, "max": largest, "sum": total, "abs": abs, "floor": math.floor, "ceil": math.ceil,
    "ln": math.log, "log10": math.log10, "exp": math.exp, "sqrt": math.sqrt, "pow": math.pow,
    "meld": scores.meld, "meld_raw": scores.meld_raw, "meld_na": scores.meld_na, "meld_na_raw": scores.meld_na_raw,
    "meld3": scores.meld3, "meld3_raw": scores.meld3_raw,
    "child_pugh": scores.child_pugh, "child_pugh_pt": scores.child_pugh_pt,
    "child_pugh_class": scores.child_pugh_class,
    "albi": scores.albi, "albi_grade": scores.albi_grade, "malbi_grade": scores.malbi_grade,
    "fib4": scores.fib4, "apri": scores.apri, "nlr": scores.nlr, "plr": scores.plr,
    "spleen_index": scores.spleen_index, "spleen_volume": scores.spleen_volume,
    "spleen_volume_ellipsoid": scores.spleen_volume_ellipsoid, "platelet_spleen_ratio": scores.platelet_spleen_ratio,
    "bsa": scores.bsa, "bmi": scores.bmi, "liver_volume": scores.liver_volume, "to_si": scores.to_si,
    "ctcae": ctcae, "mrecist_target": response.mrecist_target, "mrecist": response.mrecist,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., Any]] = {name: _plain(function) for name, function in _SOURCES.items()}


def _arity(function: Callable[..., Any]) -> tuple[int, int | None]:
    if function is math.log:  # its second argument, the base, is not offered
        return 1, 1
    kinds = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in kinds):
        return 1, None
    needed = sum(parameter.default is parameter.empty for parameter in kinds)
    return needed, len(kinds)


# How many arguments each takes: least and most, None = any number.
ARITY: dict[str, tuple[int, int | None]] = {name: _arity(function) for name, function in _SOURCES.items()}
ARITY |= {"given": (1, 1), "coalesce": (2, None), "string": (1, 1)}
