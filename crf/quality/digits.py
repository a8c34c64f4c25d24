"""Last digits that come too often: values that were rounded, guessed or copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from scipy import stats

DIGITS = "0123456789"


@dataclass(frozen=True)
class DigitPreference:
    """The last digits of `n` values are not spread evenly; `digits` come more often, with their share (0-1)."""

    n: int
    p: float
    digits: tuple[str, ...]
    share: float


def digit_preference(
    values: Sequence[float], *, decimals: int = 0, p: float = 1e-6, least: int = 100
) -> DigitPreference | None:
    """Whether the last digit (at `decimals` places) is spread as chance would, by a chi-square test on 9 df.

    None where it is, where there are fewer than `least` values, or where the values span fewer than 30 units of the
    last digit: then their distribution decides the digit. Buyse et al., Stat Med 1999;18:3435, section 4.
    """
    if len(values) < least:
        return None
    scaled = [int(Decimal(repr(abs(float(value)))).scaleb(decimals).to_integral_value()) for value in values]
    ordered = sorted(scaled)
    if ordered[len(ordered) * 3 // 4] - ordered[len(ordered) // 4] < 30:
        return None
    counts = Counter(str(number)[-1] for number in scaled)
    test = stats.chisquare([counts[digit] for digit in DIGITS])
    if test.pvalue >= p:
        return None
    expected = len(scaled) / 10
    often = tuple(digit for digit in DIGITS if counts[digit] > 1.5 * expected)
    return DigitPreference(len(scaled), float(test.pvalue), often, sum(counts[digit] for digit in often) / len(scaled))
