"""What every statistic asks of its arrays before it computes, and how it refuses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
T = TypeVar("T")


class DegenerateInput(ValueError):
    """Data for which the number asked for does not exist. Says why and what to do, in English and Chinese."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval; `lo`, `hi` are NaN where no interval exists, and `note` says why."""

    value: float
    lo: float
    hi: float
    method: str
    n: int
    events: int | None = None
    se: float | None = None
    level: float = 0.95
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A number that does not exist on these data, and why."""

    unavailable: str
    unavailable_zh: str


def attempt(compute: Callable[..., T], *arguments: object, **options: object) -> T | Unavailable:
    """The result, or why there is none: in a report one missing number must not take the others with it."""
    try:
        return compute(*arguments, **options)
    except DegenerateInput as reason:
        return Unavailable(reason.en, reason.zh)


def numbers(values: ArrayLike, name: str) -> Floats:
    """One-dimensional finite floats; otherwise names the first position (counted from 1) at fault."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DegenerateInput(f"{name} must be numbers: {error}", f"{name}必须是数值:{error}") from error
    if array.ndim != 1:
        raise DegenerateInput(
            f"{name} must be one column, not {array.ndim}-dimensional", f"{name}必须是一列,而不是{array.ndim}维"
        )
    if array.size == 0:
        raise DegenerateInput(f"{name} is empty", f"{name}为空")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DegenerateInput(
            f"{name} is missing or infinite in {bad.size} place(s), first at position {bad[0] + 1}; "
            "remove or complete these subjects first",
            f"{name}有{bad.size}处缺失或无穷大,首个位于第{bad[0] + 1}个;请先剔除或补全这些受试者",
        )
    return array


def same_length(**columns: Floats) -> None:
    """All columns describe the same subjects."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DegenerateInput(f"lengths differ: {listed}", f"长度不一致:{listed}")


def indicator(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """A 0/1 column as booleans."""
    array = numbers(values, name)
    bad = np.flatnonzero((array != 0) & (array != 1))
    if bad.size:
        raise DegenerateInput(
            f"{name} must be 0 or 1, but position {bad[0] + 1} is {array[bad[0]]:g}; recode it",
            f"{name}只能取0或1,但第{bad[0] + 1}个为{array[bad[0]]:g};请重新编码",
        )
    return array == 1


def binary_outcome(values: ArrayLike, name: str = "outcome") -> NDArray[np.bool_]:
    """A 0/1 outcome in which both classes occur."""
    outcome = indicator(values, name)
    events = int(outcome.sum())
    if events in (0, outcome.size):
        raise DegenerateInput(
            f"{name} has one class only ({events} events in {outcome.size}); both events and non-events are needed",
            f"{name}只有一类({outcome.size}例中{events}例事件);需同时有事件与非事件",
        )
    return outcome


def probabilities(values: ArrayLike, name: str = "probability") -> Floats:
    """Predicted probabilities in [0, 1]."""
    array = numbers(values, name)
    bad = np.flatnonzero((array < 0) | (array > 1))
    if bad.size:
        raise DegenerateInput(
            f"{name} must lie in 0-1, but position {bad[0] + 1} is {array[bad[0]]:g}; "
            "divide percentages by 100, or pass a score where a score is accepted",
            f"{name}必须在0-1之间,但第{bad[0] + 1}个为{array[bad[0]]:g};百分数请除以100,评分请按评分传入",
        )
    return array


def scored_outcome(outcome: ArrayLike, score: ArrayLike, name: str = "score") -> tuple[NDArray[np.bool_], Floats]:
    """Outcome with both classes, and a score that is not the same for everybody."""
    y, s = binary_outcome(outcome), numbers(score, name)
    same_length(outcome=y.astype(float), **{name: s})
    if np.ptp(s) == 0:
        raise DegenerateInput(
            f"{name} is {s[0]:g} for every subject; it ranks nobody", f"所有受试者的{name}均为{s[0]:g},无法区分"
        )
    return y, s


def predicted_outcome(outcome: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Outcome with both classes, and its predicted probabilities."""
    y, p = binary_outcome(outcome), probabilities(probability)
    same_length(outcome=y.astype(float), probability=p)
    return y, p


def follow_up(time: ArrayLike, event: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Times from time zero, not negative, with the event indicator (1 event, 0 censored)."""
    t, e = numbers(time, "time"), indicator(event, "event")
    same_length(time=t, event=e.astype(float))
    bad = np.flatnonzero(t < 0)
    if bad.size:
        raise DegenerateInput(
            f"time is negative at position {bad[0] + 1} ({t[bad[0]]:g}); check the dates",
            f"第{bad[0] + 1}个时间为负({t[bad[0]]:g});请核对日期",
        )
    return t, e


def confidence(level: float) -> float:
    """The two-sided normal quantile of a confidence level such as 0.95."""
    if not 0 < level < 1:
        raise DegenerateInput(
            f"confidence level must lie between 0 and 1, not {level:g}", f"置信水平应在0与1之间:{level:g}"
        )
    return float(ndtri(0.5 + level / 2))
