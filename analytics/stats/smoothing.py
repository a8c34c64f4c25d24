"""Local regression, as R's loess and lowess compute it."""

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.nonparametric.smoothers_lowess import lowess as _lowess

from analytics.stats.inputs import DegenerateInput, Floats, numbers, same_length

EVALUATED_DIRECTLY = 512


def loess(x: ArrayLike, y: ArrayLike, *, at: ArrayLike | None = None, span: float = 0.75, degree: int = 2) -> Floats:
    """Locally weighted polynomial (tricube, Gaussian; Cleveland 1979) at `at`, by default at `x`.

    Computed directly, without R's interpolation surface. More than 512 points are
    interpolated between 512 quantiles of `at`, so that time grows linearly with n.
    """
    a, b = numbers(x, "x"), numbers(y, "y")
    same_length(x=a, y=b)
    points = a if at is None else numbers(at, "at")
    knots = np.unique(points)
    if knots.size > EVALUATED_DIRECTLY:
        knots = np.unique(np.quantile(knots, np.linspace(0, 1, EVALUATED_DIRECTLY)))
    fitted = np.array([_local_fit(a, b, knot, span, degree) for knot in knots])
    return np.interp(points, knots, fitted)


def lowess(x: ArrayLike, y: ArrayLike, *, fraction: float = 2 / 3) -> Floats:
    """R's lowess(iter=0): local lines without robustness steps, at `x`, mean over tied x."""
    a, b = numbers(x, "x"), numbers(y, "y")
    same_length(x=a, y=b)
    smooth = _lowess(b, a, frac=fraction, it=0, delta=0.01 * np.ptp(a))
    knots, inverse = np.unique(smooth[:, 0], return_inverse=True)
    means = np.bincount(inverse, smooth[:, 1]) / np.bincount(inverse)
    return np.interp(a, knots, means)


def _local_fit(x: Floats, y: Floats, at: float, span: float, degree: int) -> float:
    neighbours = int(np.floor(x.size * min(span, 1) + 1e-5))
    if neighbours <= degree + 1:
        raise DegenerateInput(
            f"{x.size} subjects are too few for a smooth curve of degree {degree}",
            f"{x.size}例太少,无法作{degree}次平滑曲线",
        )
    distance = np.abs(x - at)
    radius = np.partition(distance, neighbours - 1)[neighbours - 1]
    if radius == 0:
        return float(y[distance == 0].mean())
    weight = np.sqrt(np.clip(1 - (distance / radius) ** 3, 0, None) ** 3)
    near = weight > 0
    design = ((x[near] - at) / radius)[:, None] ** np.arange(degree + 1)
    coefficients, *_ = np.linalg.lstsq(design * weight[near, None], y[near] * weight[near], rcond=1e-9)
    return float(coefficients[0])
