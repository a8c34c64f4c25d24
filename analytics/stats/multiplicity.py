"""Adjustment of p values for several tests."""

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats.inputs import DegenerateInput, Floats, probabilities


def adjust(p: ArrayLike, *, method: str = "holm") -> Floats:
    """Adjusted p values in the order given; "holm" (family-wise) or "bh" (false discovery rate), as R p.adjust."""
    values = probabilities(p, "p value")
    m, order = values.size, np.argsort(values)
    ranks = np.arange(1, m + 1)
    if method == "holm":
        adjusted = np.maximum.accumulate(values[order] * (m - ranks + 1))
    elif method == "bh":
        adjusted = np.minimum.accumulate((values[order] * m / ranks)[::-1])[::-1]
    else:
        raise DegenerateInput(f"method {method!r}: use 'holm' or 'bh'", f"未知的校正方法{method!r}")
    result = np.empty(m)
    result[order] = np.minimum(adjusted, 1)
    return result
