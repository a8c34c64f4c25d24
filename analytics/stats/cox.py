"""Cox proportional-hazards regression, Efron's treatment of ties."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm, rankdata

from analytics.stats import efron
from analytics.stats.concordance import harrell_c
from analytics.stats.inputs import DegenerateInput, Estimate, Floats, confidence, follow_up, numbers, same_length
from analytics.stats.kaplan_meier import kaplan_meier

Column: TypeAlias = Sequence[object] | np.ndarray
Covariates: TypeAlias = Mapping[str, Column]
# Above this many units of log hazard per SD the likelihood is climbing to infinity, not to an estimate.
MONOTONE = 15.0


@dataclass(frozen=True, slots=True)
class HazardRatio:
    """One column: `term` is the covariate it belongs to, `name` the column (a level of it, for text covariates)."""

    term: str
    name: str
    beta: float
    se: float
    hazard_ratio: Estimate
    z: float
    p: float


@dataclass(frozen=True, slots=True)
class ChiSquared:
    chi2: float
    df: int
    p: float


@dataclass(frozen=True, slots=True)
class ProportionalHazards:
    """Score test of a time-varying effect (R survival >= 3.0 cox.zph), by term and for all together."""

    terms: tuple[tuple[str, ChiSquared], ...]
    overall: ChiSquared
    transform: str


@dataclass(frozen=True, slots=True)
class CoxModel:
    coefficients: tuple[HazardRatio, ...]
    log_likelihood: float
    likelihood_ratio: ChiSquared
    score: ChiSquared
    concordance: Estimate
    ties: str
    n: int
    events: int


@dataclass(frozen=True, slots=True)
class _Design:
    t: Floats
    e: np.ndarray
    x: Floats
    names: tuple[str, ...]
    terms: tuple[str, ...]


def cox(
    time: ArrayLike,
    event: ArrayLike,
    covariates: Covariates,
    *,
    levels: Mapping[str, Sequence[str]] | None = None,
    level: float = 0.95,
) -> CoxModel:
    """Hazard ratios with Wald intervals, as R coxph.

    Text covariates become one column per level but the first (the reference); `levels` gives their order,
    otherwise it is alphabetical. Constant, collinear or separating covariates are refused by name.
    """
    design = _design(time, event, covariates, levels or {})
    beta, se, likelihood = _fit(design)
    start = efron.derivatives(design.t, design.e, design.x, np.zeros_like(beta))
    slope, curvature = start.residuals.sum(axis=0), start.information.sum(axis=0)
    shared = {"n": design.t.size, "events": int(design.e.sum())}
    return CoxModel(
        coefficients=tuple(_hazard_ratio(design, i, float(beta[i]), float(se[i]), level) for i in range(len(beta))),
        log_likelihood=likelihood,
        likelihood_ratio=_chi_squared(2 * (likelihood - start.log_likelihood), len(beta)),
        score=_chi_squared(float(slope @ np.linalg.solve(curvature, slope)), len(beta)),
        concordance=harrell_c(design.t, design.e.astype(float), design.x @ beta, level=level),
        ties="efron",
        **shared,
    )


def proportional_hazards(
    time: ArrayLike,
    event: ArrayLike,
    covariates: Covariates,
    *,
    levels: Mapping[str, Sequence[str]] | None = None,
    transform: str = "km",
) -> ProportionalHazards:
    """Test whether effects change with time; `transform` of time is km, rank, identity or log.

    lifelines' own test is the older approximation, whose values differ from current R.
    """
    design = _design(time, event, covariates, levels or {})
    beta, _, _ = _fit(design)
    steps = efron.derivatives(design.t, design.e, design.x, beta)
    if len(steps.times) < 2:
        raise DegenerateInput(
            "all events happened at one time: effects that change with time can't be tested",
            "所有事件发生在同一时间:无法检验效应是否随时间变化",
        )
    g = _transformed(design.t, design.e, steps.times, transform)
    slope = g @ steps.residuals
    main, cross, own = (np.tensordot(weight, steps.information, 1) for weight in (np.ones_like(g), g, g**2))

    def tested(columns: list[int]) -> ChiSquared:
        u, v = slope[columns], own[np.ix_(columns, columns)]
        v = v - cross[columns] @ np.linalg.solve(main, cross[:, columns])
        return _chi_squared(float(u @ np.linalg.solve(v, u)), len(columns))

    terms = tuple(
        (term, tested([i for i, name in enumerate(design.terms) if name == term]))
        for term in dict.fromkeys(design.terms)
    )
    return ProportionalHazards(terms, tested(list(range(len(beta)))), transform)


def _transformed(t: Floats, e: np.ndarray, times: Floats, transform: str) -> Floats:
    if transform == "identity":
        return times
    if transform == "log":
        return np.log(times)
    if transform == "rank":
        return rankdata(t)[[int(np.argmax(t == time)) for time in times]]
    if transform == "km":
        curve = kaplan_meier(t, e.astype(float))
        before = np.searchsorted(curve.times, times, side="left") - 1
        return 1 - np.array(curve.survival)[np.maximum(before, 0)]
    raise DegenerateInput(f"transform {transform!r}: use km, rank, identity or log", f"未知的时间变换{transform!r}")


def _design(
    time: ArrayLike,
    event: ArrayLike,
    covariates: Covariates,
    levels: Mapping[str, Sequence[str]],
) -> _Design:
    t, e = follow_up(time, event)
    if not e.any():
        raise DegenerateInput("no event was observed; a Cox model does not exist", "未观察到事件,无法拟合Cox模型")
    if not covariates:
        raise DegenerateInput("a Cox model needs at least one covariate", "Cox模型至少需要一个协变量")
    columns = [column for name, values in covariates.items() for column in _columns(name, values, levels.get(name))]
    for _, name, values in columns:
        same_length(time=t, **{name: values})
    x = np.column_stack([values for _, _, values in columns])
    _refuse_unfittable(x, e, [name for _, name, _ in columns])
    return _Design(t, e, x, tuple(name for _, name, _ in columns), tuple(term for term, _, _ in columns))


def _columns(name: str, values: Column, levels: Sequence[str] | None) -> list[tuple[str, str, Floats]]:
    """(term, column, values): numbers as they are, text as one indicator per level but the reference."""
    array = np.asarray(values)
    if levels is None and array.dtype.kind in "biuf":
        return [(name, name, numbers(array, name))]
    labels = np.array([str(value) for value in values])
    order = list(levels) if levels is not None else sorted(set(labels.tolist()))
    unknown = sorted(set(labels.tolist()) - set(order))
    if unknown:
        raise DegenerateInput(
            f"{name} has values outside its levels: {', '.join(unknown)}",
            f"{name}含有未列出的水平:{', '.join(unknown)}",
        )
    if len(order) < 2:
        raise _constant(name)
    return [(name, f"{name}[{label}]", (labels == label).astype(float)) for label in order[1:]]


def _refuse_unfittable(x: Floats, e: np.ndarray, names: list[str]) -> None:
    for name, column in zip(names, x.T, strict=True):
        if np.ptp(column) == 0:
            raise _constant(name)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for i in range(1, x.shape[1] + 1):
        if np.linalg.matrix_rank(scaled[:, :i]) < i:
            raise DegenerateInput(
                f"covariate {names[i - 1]} is a linear combination of the others; leave it out",
                f"协变量{names[i - 1]}是其他协变量的线性组合;请剔除",
            )
    if e.sum() < x.shape[1]:
        raise DegenerateInput(
            f"{int(e.sum())} events cannot estimate {x.shape[1]} coefficients; use fewer covariates",
            f"{int(e.sum())}例事件无法估计{x.shape[1]}个系数;请减少协变量",
        )


def _fit(design: _Design) -> tuple[Floats, Floats, float]:
    """Coefficients, standard errors and log partial likelihood by lifelines; refuses a monotone likelihood."""
    # Imported here: lifelines takes seconds to load, and every page that draws a curve would wait for it.
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    # Standardised inside, so that the convergence test means the same for every unit of measurement.
    scale = design.x.std(axis=0)
    frame = pd.DataFrame((design.x - design.x.mean(axis=0)) / scale, columns=[f"x{i}" for i in range(scale.size)])
    frame["time"], frame["event"] = design.t, design.e
    try:
        with warnings.catch_warnings():
            # Its advice about low variance also fires on sound data; separation is judged below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = CoxPHFitter().fit(frame, "time", "event")
    except (ConvergenceError, np.linalg.LinAlgError, ValueError) as error:
        raise _monotone(design.names) from error
    beta, se = fitted.params_.to_numpy(), fitted.standard_errors_.to_numpy()
    runaway = ~np.isfinite(beta) | ~np.isfinite(se) | (np.abs(beta) > MONOTONE) | (se > 10 * MONOTONE)
    if runaway.any():
        raise _monotone([name for name, bad in zip(design.names, runaway, strict=True) if bad])
    return _polished(design, beta / scale)


def _polished(design: _Design, beta: Floats) -> tuple[Floats, Floats, float]:
    """One Newton step: lifelines stops 2e-6 short of the maximum, whatever precision it is asked for."""
    near = efron.derivatives(design.t, design.e, design.x, beta)
    beta = beta + np.linalg.solve(near.information.sum(axis=0), near.residuals.sum(axis=0))
    best = efron.derivatives(design.t, design.e, design.x, beta)
    return beta, np.sqrt(np.diag(np.linalg.inv(best.information.sum(axis=0)))), best.log_likelihood


def _hazard_ratio(design: _Design, i: int, beta: float, se: float, level: float) -> HazardRatio:
    half, z = confidence(level) * se, beta / se
    ratio, lo, hi = (float(np.exp(value)) for value in (beta, beta - half, beta + half))
    estimate = Estimate(ratio, lo, hi, "wald", design.t.size, int(design.e.sum()), se, level)
    return HazardRatio(design.terms[i], design.names[i], beta, se, estimate, z, float(2 * norm.sf(abs(z))))


def _chi_squared(statistic: float, df: int) -> ChiSquared:
    return ChiSquared(statistic, df, float(chi2.sf(statistic, df)))


def _constant(name: str) -> DegenerateInput:
    return DegenerateInput(f"covariate {name} is the same for everybody; leave it out", f"协变量{name}无变化;请剔除")


def _monotone(names: Sequence[str]) -> DegenerateInput:
    listed = ", ".join(names)
    return DegenerateInput(
        f"the Cox model has no finite solution for {listed}: a value of it separates events from survivors",
        f"Cox模型对{listed}无有限解:其取值完全区分了事件与存活",
    )
