"""Agreement between readers, sessions and masks."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, numbers, same_length

# Between subjects, between raters, residual, within subjects.
MeanSquares = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Icc:
    """Intraclass correlation of one form, with the F test it rests on."""

    estimate: Estimate
    form: str
    f: float
    df1: float
    df2: float
    raters: int


@dataclass(frozen=True, slots=True)
class LimitsOfAgreement:
    """Bland-Altman: mean difference (first - second) and mean +/- 1.96 SD."""

    bias: float
    sd: float
    lo: float
    hi: float
    n: int


def icc(ratings: ArrayLike, *, form: str = "2,1", level: float = 0.95) -> Icc:
    """ICC of a subjects x raters table without gaps; forms "1,1" "2,1" "3,1" and means of raters "1,k" "2,k" "3,k".

    2 is two-way random, absolute agreement; 3 is two-way mixed, consistency (Shrout and Fleiss 1979), as R psych::ICC.
    """
    x = _ratings(ratings)
    kind, _, unit = form.partition(",")
    if kind not in ("1", "2", "3") or unit not in ("1", "k"):
        raise DegenerateInput(f"ICC form {form!r} is unknown; use '2,1' or '3,1'", f"未知的ICC形式{form!r}")
    squares = _mean_squares(x)
    compute = {"1": _one_way, "2": _two_way_agreement, "3": _two_way_consistency}[kind]
    value, lo, hi, f, df1, df2 = compute(squares, x.shape[0], x.shape[1], 1 - level)
    if unit == "k":
        value, lo, hi = (_mean_of_raters(v, x.shape[1]) for v in (value, lo, hi))
    return Icc(Estimate(value, lo, hi, "F", n=x.shape[0], level=level), f"ICC({form})", f, df1, df2, x.shape[1])


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    categories: Sequence[Hashable] | None = None,
    weights: str = "none",
) -> Estimate:
    """Kappa of two readers; `categories` in their order matter for weights "linear" and "quadratic"."""
    if len(first) != len(second):
        raise DegenerateInput(
            f"lengths differ: first {len(first)}, second {len(second)}", f"长度不一致:{len(first)}与{len(second)}"
        )
    order = list(categories) if categories is not None else sorted({*first, *second}, key=str)
    index = {category: i for i, category in enumerate(order)}
    unknown = sorted({str(v) for v in [*first, *second] if v not in index})
    if unknown:
        raise DegenerateInput(f"not among the categories: {', '.join(unknown)}", f"不在类别之内:{', '.join(unknown)}")
    table = np.zeros((len(order), len(order)))
    np.add.at(table, ([index[v] for v in first], [index[v] for v in second]), 1)
    return kappa_of_table(table, weights=weights)


def kappa_of_table(table: ArrayLike, *, weights: str = "none", level: float = 0.95) -> Estimate:
    """Kappa of a square table with the asymptotic SE of Fleiss, Cohen and Everitt (1969), as R vcd::Kappa."""
    counts = np.asarray(table, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.sum() > 0 or (counts < 0).any():
        raise DegenerateInput("kappa needs a square table of counts, not all zero", "kappa需要非全零的方形计数表")
    n, p = counts.sum(), counts / counts.sum()
    w, rows, columns = _weights(len(p), weights), p.sum(axis=1), p.sum(axis=0)
    agreed, chance = float((w * p).sum()), float(rows @ w @ columns)
    if np.isclose(chance, 1):
        raise DegenerateInput(
            "both readers used one category only; kappa does not exist", "两位阅片者仅使用了一个类别,kappa不存在"
        )
    kappa = (agreed - chance) / (1 - chance)
    marginal = (w @ columns)[:, None] + (rows @ w)[None, :]
    spread = (p * (w * (1 - chance) - marginal * (1 - agreed)) ** 2).sum() - (
        agreed * chance - 2 * chance + agreed
    ) ** 2
    se = float(np.sqrt(max(spread, 0.0)) / ((1 - chance) ** 2 * np.sqrt(n)))
    half = confidence(level) * se
    return Estimate(
        kappa, kappa - half, min(1.0, kappa + half), f"fleiss-cohen-everitt/{weights}", int(n), None, se, level
    )


def fleiss_kappa(counts: ArrayLike) -> float:
    """Kappa of several raters from a subjects x categories table of counts, with equal raters a subject."""
    x = np.asarray(counts, dtype=float)
    raters = x.sum(axis=-1)
    if x.ndim != 2 or np.ptp(raters) != 0 or raters[0] < 2:
        raise DegenerateInput(
            "every subject needs the same number (two or more) of raters", "每名受试者的评分者人数须相同且不少于2"
        )
    observed = float(((x**2).sum(axis=1) - raters[0]).mean() / (raters[0] * (raters[0] - 1)))
    chance = float(((x.sum(axis=0) / x.sum()) ** 2).sum())
    if np.isclose(chance, 1):
        raise DegenerateInput("one category only was used; kappa does not exist", "仅使用了一个类别,kappa不存在")
    return (observed - chance) / (1 - chance)


def dice(first: ArrayLike, second: ArrayLike) -> float:
    """Overlap of two masks on the same grid, 2|A and B| / (|A| + |B|)."""
    a, b = np.asarray(first) != 0, np.asarray(second) != 0
    if a.shape != b.shape:
        raise DegenerateInput(
            f"the masks differ in shape: {a.shape} and {b.shape}", f"掩膜大小不同:{a.shape}与{b.shape}"
        )
    total = int(a.sum()) + int(b.sum())
    if total == 0:
        raise DegenerateInput("both masks are empty; Dice does not exist", "两个掩膜均为空,Dice系数不存在")
    return 2 * int((a & b).sum()) / total


def limits_of_agreement(first: ArrayLike, second: ArrayLike) -> LimitsOfAgreement:
    """Bland-Altman limits of paired measurements in the same unit."""
    a, b = _pair(first, second)
    bias, sd = float((a - b).mean()), float((a - b).std(ddof=1))
    return LimitsOfAgreement(bias, sd, bias - 1.96 * sd, bias + 1.96 * sd, a.size)


def concordance_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Lin's concordance correlation with 1/n moments (Lin 1989)."""
    a, b = _pair(first, second)
    below = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    if below == 0:
        raise DegenerateInput("neither measurement varies; concordance does not exist", "两组测量均无变化,一致性不存在")
    return float(2 * np.mean((a - a.mean()) * (b - b.mean())) / below)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = numbers(first, "first"), numbers(second, "second")
    same_length(first=a, second=b)
    if a.size < 2:
        raise DegenerateInput("agreement needs at least two subjects", "一致性分析至少需要两名受试者")
    return a, b


def _ratings(ratings: ArrayLike) -> Floats:
    x = np.asarray(ratings, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2:
        raise DegenerateInput(
            "ICC needs a table of two or more subjects by two or more raters", "ICC至少需要两名受试者和两名评分者"
        )
    bad = np.argwhere(~np.isfinite(x))
    if bad.size:
        raise DegenerateInput(
            f"rating of subject {bad[0][0] + 1} by rater {bad[0][1] + 1} is missing; ICC needs complete ratings",
            f"第{bad[0][0] + 1}名受试者缺少第{bad[0][1] + 1}位评分者的评分;ICC需要完整评分",
        )
    if np.ptp(x) == 0:
        raise DegenerateInput("every rating is the same; ICC does not exist", "所有评分相同,ICC不存在")
    return x


def _mean_squares(x: Floats) -> MeanSquares:
    """Between subjects, between raters, residual, within subjects."""
    n, k = x.shape
    subjects = k * ((x.mean(axis=1) - x.mean()) ** 2).sum()
    raters = n * ((x.mean(axis=0) - x.mean()) ** 2).sum()
    total = ((x - x.mean()) ** 2).sum()
    residual = max(float(total - subjects - raters), 0.0)
    within = (total - subjects) / (n * (k - 1))
    return float(subjects / (n - 1)), float(raters / (k - 1)), residual / ((n - 1) * (k - 1)), float(within)


def _one_way(squares: MeanSquares, n: int, k: int, alpha: float) -> tuple[float, ...]:
    msb, _, _, msw = squares
    return _from_f(msb, msw, n - 1, n * (k - 1), k, alpha)


def _two_way_consistency(squares: MeanSquares, n: int, k: int, alpha: float) -> tuple[float, ...]:
    msb, _, mse, _ = squares
    return _from_f(msb, mse, n - 1, (n - 1) * (k - 1), k, alpha)


def _from_f(above: float, below: float, df1: int, df2: int, k: int, alpha: float) -> tuple[float, ...]:
    """ICC = (F - 1) / (F + k - 1); its limits put the limits of F in the same place."""
    value = (above - below) / (above + (k - 1) * below)
    if below == 0:
        return value, 1.0, 1.0, float("inf"), df1, df2
    f = above / below
    low = f / f_distribution.ppf(1 - alpha / 2, df1, df2)
    high = f * f_distribution.ppf(1 - alpha / 2, df2, df1)
    return value, float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)), f, df1, df2


def _two_way_agreement(squares: MeanSquares, n: int, k: int, alpha: float) -> tuple[float, ...]:
    """Interval by the Satterthwaite degrees of freedom of Shrout and Fleiss (1979)."""
    msb, msj, mse, _ = squares
    value = (msb - mse) / (msb + (k - 1) * mse + k * (msj - mse) / n)
    df1, df2 = n - 1, (n - 1) * (k - 1)
    if mse == 0:
        return value, float("nan"), float("nan"), float("inf"), df1, df2
    fj, rest = msj / mse, n * (1 + (k - 1) * value) - k * value
    v = df2 * (k * value * fj + rest) ** 2 / ((n - 1) * k**2 * value**2 * fj**2 + rest**2)
    upper, lower = f_distribution.ppf(1 - alpha / 2, n - 1, v), f_distribution.ppf(1 - alpha / 2, v, n - 1)
    spread = k * msj + (k * n - k - n) * mse
    lo = n * (msb - upper * mse) / (upper * spread + n * msb)
    hi = n * (lower * msb - mse) / (spread + n * lower * msb)
    return value, float(lo), float(hi), msb / mse, df1, df2


def _mean_of_raters(single: float, k: int) -> float:
    """Spearman-Brown."""
    return k * single / (1 + (k - 1) * single)


def _weights(size: int, kind: str) -> Floats:
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / max(size - 1, 1)
    kinds = {"none": np.eye(size), "linear": 1 - distance, "quadratic": 1 - distance**2}
    if kind not in kinds:
        raise DegenerateInput(f"weights {kind!r}: use none, linear or quadratic", f"未知的权重{kind!r}")
    return kinds[kind]
