"""Run an expression on specimen values of its items' types, to find at load what could only fail later."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .expressions import BadExpression, ExpressionFailed, RowList, comparisons, compile_expression, compiled
from .model import Item, StudyDefinition
from .rows import ROW

FACTS: dict[str, list[Any]] = {
    "today": ["2026-04-03"],
    "subject.enrolled_on": ["2026-04-01"],
    "visit.occurred_on": ["2026-04-03"],
    "visit.repeat": [1, 2],
}
NUMBERS: list[Any] = [1, 40, 0.5]
TEXTS: dict[str, list[Any]] = {
    "date": ["2026-04-01", "2025-12-31"],
    "time": ["10:30"],
    "datetime": ["2026-04-01T10:30"],
    "text": ["1", "a"],
    "file": [{"file": "1", "name": "a.pdf"}],
    "series": [{"series": "1"}],
}
MOST_RUNS = 24
MOST_TRIED = 6  # comparisons with a calculated side; each costs as much as the whole expression
DATES = ("today", "subject.enrolled_on", "visit.occurred_on")  # the facts that are dates
KINDS = {"integer": "number", "decimal": "number", "choices": "list", "group": "list"}
KINDS |= {"date": "day", "datetime": "day", "time": "time", "choice": "code"}
COUNTED = ("count", "days", "months", "years", "number", "round", "sum", "abs", "floor", "ceil", "ln", "log10", "sqrt")
RESULTS = {"given": "bool", "string": "text"} | dict.fromkeys(COUNTED, "number")
TEXTS_OF_ANY = ({"text", "day"}, {"text", "time"}, {"text", "code"})


def misfit(
    study: StudyDefinition, text: str, target: Item | None, resolve: Callable[[str], tuple[Item | None, Iterable[Item]]]
) -> tuple[str, str, str, str] | None:
    """What is wrong with the type of an expression or its result (zh, en, remedies); None when all is well.

    `target` is the derived item that the result is for; without one the result must be true or false. `resolve`
    gives the item of a name and, of a group, the items of its rows.
    """
    expression = compile_expression(text)
    numbers = [*NUMBERS, *_thresholds(text)]
    specimens = [_specimens(study, name, *resolve(name), numbers) for name in expression.names]
    for values in _runs(specimens):
        try:
            result = expression.evaluate(dict(zip(expression.names, values, strict=True)).get)
        except ExpressionFailed as failure:
            reason = str(failure).removeprefix(f"{text}: ").split(". CEL does not")[0]
            return (
                f"类型不符:{reason}", f"types do not fit: {reason}",
                "文字与数字不能混算;文字转数字用 number(x)", "text and numbers do not mix; number(x) reads a number",
            )  # fmt: skip
        trouble = _result(study, target, result)
        if trouble:
            return trouble
    return _unlike(text, expression.names, specimens, resolve)


def _unlike(
    text: str,
    names: tuple[str, ...],
    specimens: list[list[Any]],
    resolve: Callable[[str], tuple[Item | None, Iterable[Item]]],
) -> tuple[str, str, str, str] | None:
    """What is wrong with an expression that compares values of two types: they are never equal."""
    kinds = {name: item.value_kind for name in names if (item := resolve(name)[0])}
    tried = 0
    for left, right, ordered in comparisons(text):
        one, other = _kind(left, kinds), _kind(right, kinds)
        if one and other:
            is_fine = one == other or {one, other} in TEXTS_OF_ANY
        elif is_fine := not ordered or tried == MOST_TRIED:
            continue
        else:
            tried, is_fine = tried + 1, _runs_through(ordered, names, specimens)
        if not is_fine:
            return (
                "类型不符:比较的两边类型不同,永不相等", "types do not fit: values of two types are never equal",
                "代码和文字加引号:x == '1';文字转数字用 number(x);多选用 'A' in x",
                "quote codes and text: x == '1'; number(x) reads a number; 'A' in x asks a multiple choice",
            )  # fmt: skip
    return None


def _kind(side: str, kinds: Mapping[str, str]) -> str:
    """What one side of a comparison is: number, list, bool, day, time, code, or text, which may be any of the last."""
    if side.endswith("()"):
        return RESULTS.get(side[:-2], "")
    if side in kinds:
        return KINDS.get(kinds[side], "text")
    if side in FACTS or side.startswith(("subject.", "visit.")):
        return "day" if side in DATES else "number" if side == "visit.repeat" else "text"
    if side in ("true", "false"):
        return "bool"
    if side[:1].isdigit() or side[:1] == ".":
        return "number"
    return "text" if side.endswith(("'", '"')) else ""


def _runs_through(text: str, names: tuple[str, ...], specimens: list[list[Any]]) -> bool:
    try:
        expression = compiled(text)
        for values in _in_step(specimens):
            expression.evaluate(dict(zip(names, values, strict=True)).get)
    except BadExpression:  # it was fine before we changed it
        return True
    except ExpressionFailed:
        return False
    return True


def _thresholds(text: str) -> list[float]:
    """The numbers that an expression mentions, with either sign: its branches part there."""
    found = [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)][:5]
    return [sign * number for number in found for sign in (1, -1)]


def _specimens(
    study: StudyDefinition, name: str, item: Item | None, columns: Iterable[Item], numbers: list[Any]
) -> list[Any]:
    if item is None:
        return FACTS.get(name, ["A"])
    if item.type == "group":
        return _row_specimens({one.name: _specimens(study, "", one, (), numbers) for one in columns})
    kind = item.value_kind
    if kind in ("integer", "decimal"):
        return numbers
    if kind in ("choice", "choices"):
        codelist = study.codelist(item)
        codes = codelist.codes() if codelist else ["A"]
        return [[code] for code in codes] if kind == "choices" else codes
    return TEXTS.get(kind, [])


def _row_specimens(columns: dict[str, list[Any]]) -> list[Any]:
    """No row, one, and several with each specimen of every column in turn."""
    most = max((len(values) for values in columns.values()), default=1)
    rows = [
        {ROW: number + 1} | {name: values[number % len(values)] for name, values in columns.items() if values}
        for number in range(most)
    ]
    return [RowList(rows), RowList(rows[:1]), RowList()]


def _in_step(specimens: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    longest = max((len(values) for values in specimens), default=1)
    for index in range(min(longest, MOST_RUNS)):
        yield tuple(values[index % len(values)] for values in specimens)


def _runs(specimens: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """Some combinations: each list in step with the others, then a few of the full product."""
    yield from _in_step(specimens)
    yield from itertools.islice(itertools.product(*specimens), MOST_RUNS)


def _result(study: StudyDefinition, target: Item | None, result: Any) -> tuple[str, str, str, str] | None:
    if result is None:
        return None
    if target is None:
        if isinstance(result, bool):
            return None
        return (
            "结果应为真或假",
            f"gives {result!r}, not true or false",
            "写成比较,如 x == 'Y'",
            "compare, such as x == 'Y'",
        )
    try:
        as_stored(target, result)
    except ValueError as error:
        zh, en = f"结果与 value_type {target.value_kind} 不符", f"{error}, but value_type is {target.value_kind}"
        return zh, en, "改 value_type 或表达式", "change value_type or the expression"
    codelist = study.codelist(target)
    if codelist and str(as_stored(target, result)) not in codelist.codes():
        known = ", ".join(codelist.codes())
        return (
            f"结果“{result}”不在代码表中",
            f"gives {result!r}, which is no code",
            f"可用:{known}",
            f"there are: {known}",
        )
    return None


def as_stored(item: Item, result: Any) -> Any:
    """A derived result as the item stores it; ValueError when it is of another type.

    Decimals are rounded half up to the item's precision; a whole number may stand for an integer or a code.
    """
    kind = item.value_kind
    if isinstance(result, bool) or not isinstance(result, str | int | float):
        raise ValueError(f"gives {result!r}")
    if kind in ("integer", "decimal"):
        return _as_number(item, result)
    if isinstance(result, str):
        return result
    if kind in ("choice", "text") and float(result).is_integer():
        return str(int(result))
    raise ValueError(f"gives the number {result}")


def _as_number(item: Item, result: str | float) -> int | float:
    if isinstance(result, str):
        raise ValueError(f"gives the text {result!r}")
    if item.value_kind == "integer":
        if abs(result - round(result)) > 1e-9:
            raise ValueError(f"gives {result}, not a whole number")
        return round(result)
    return rounded(result, item.precision)


def rounded(value: float, precision: int | None) -> float:
    """Half up at the decimal digits that people see: 2.675 becomes 2.68."""
    if precision is None:
        return float(value)
    return float(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)) + 0.0
