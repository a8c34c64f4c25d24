"""Everything a reviewer asks of a model's predictions, in one result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from analytics.stats import calibration, classification, roc, utility
from analytics.stats.inputs import (
    DegenerateInput,
    Estimate,
    Floats,
    Unavailable,
    attempt,
    binary_outcome,
    numbers,
    probabilities,
    same_length,
)

# Below this many events or non-events, calibration curves and Hosmer-Lemeshow say nothing.
FEW = 20


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader of the numbers must know; `code` is stable."""

    code: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Cutoff:
    """`rule`: "given" (pre-specified), "youden" (found on these development data) or "default" (0.5)."""

    value: float
    rule: str


@dataclass(frozen=True, slots=True)
class Calibration:
    recalibration: calibration.Recalibration | Unavailable
    observed_expected: Estimate | Unavailable
    brier: calibration.BrierScore | Unavailable
    hosmer_lemeshow: calibration.HosmerLemeshow | Unavailable
    curve: calibration.CalibrationCurve | Unavailable


@dataclass(frozen=True, slots=True)
class Utility:
    decision_curve: utility.DecisionCurve
    clinical_impact: utility.ClinicalImpact


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """One model. Scores that are no probabilities have neither calibration nor utility."""

    name: str
    auc: Estimate | Unavailable
    auc_logit: Estimate | Unavailable
    roc: roc.RocCurve | Unavailable
    threshold: Cutoff | None
    classification: classification.Classification | None
    calibration: Calibration | None
    utility: Utility | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired DeLong test of two models in the same subjects."""

    first: str
    second: str
    auc: roc.AucComparison | Unavailable


@dataclass(frozen=True, slots=True)
class Evaluation:
    dataset: str
    n: int
    events: int
    prevalence: float
    models: tuple[ModelEvaluation, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[Note, ...]


def evaluate(
    outcome: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    dataset: str = "external",
    scores: bool = False,
) -> Evaluation:
    """Discrimination, calibration, utility and paired comparison of one model or more.

    `dataset` "development" or "external" sets the Hosmer-Lemeshow degrees of freedom and who may choose a
    threshold: without one, development data give Youden's, external data are cut at 0.5 and never searched.
    `scores` takes predictions that are no probabilities: discrimination only.
    """
    if dataset not in ("development", "external"):
        raise DegenerateInput(f"dataset {dataset!r}: use 'development' or 'external'", f"数据集类型{dataset!r}无效")
    if threshold is not None and not scores and not 0 <= threshold <= 1:
        raise DegenerateInput(f"threshold {threshold:g} does not lie in 0-1", f"阈值{threshold:g}不在0-1之间")
    y = binary_outcome(outcome)
    read: Callable[[ArrayLike, str], Floats] = numbers if scores else probabilities
    columns = {name: read(values, name) for name, values in predictions.items()}
    for name, values in columns.items():
        same_length(outcome=y.astype(float), **{name: values})
    models = tuple(_model(name, y, values, threshold, dataset, scores) for name, values in columns.items())
    pairs = combinations(columns, 2)
    comparisons = tuple(Comparison(a, b, attempt(roc.compare_auc, y, columns[a], columns[b])) for a, b in pairs)
    events = int(y.sum())
    return Evaluation(dataset, y.size, events, events / y.size, models, comparisons, _notes(y, models, dataset))


def _model(
    name: str, y: np.ndarray, values: Floats, threshold: float | None, dataset: str, scores: bool
) -> ModelEvaluation:
    cutoff = _cutoff(y, values, threshold, dataset, scores)
    table = classification.confusion_table(y, values, cutoff.value) if cutoff else None
    return ModelEvaluation(
        name=name,
        auc=attempt(roc.auc, y, values),
        auc_logit=attempt(roc.auc, y, values, interval="logit"),
        roc=attempt(roc.roc_curve, y, values),
        threshold=cutoff,
        classification=classification.classify(table) if table else None,
        calibration=None if scores else _calibration(y, values, dataset),
        utility=None if scores else Utility(utility.decision_curve(y, values), utility.clinical_impact(y, values)),
    )


def _cutoff(y: np.ndarray, values: Floats, threshold: float | None, dataset: str, scores: bool) -> Cutoff | None:
    if threshold is not None:
        return Cutoff(float(threshold), "given")
    if dataset == "development" and np.ptp(values) > 0:
        return Cutoff(roc.youden_threshold(y, values).value, "youden")
    return None if scores else Cutoff(0.5, "default")


def _calibration(y: np.ndarray, p: Floats, dataset: str) -> Calibration:
    return Calibration(
        recalibration=attempt(calibration.recalibration, y, p),
        observed_expected=attempt(calibration.observed_expected, y, p),
        brier=attempt(calibration.brier_score, y, p),
        hosmer_lemeshow=attempt(calibration.hosmer_lemeshow, y, p, dataset=dataset),
        curve=attempt(calibration.calibration_curve, y, p),
    )


def _notes(y: np.ndarray, models: tuple[ModelEvaluation, ...], dataset: str) -> tuple[Note, ...]:
    notes, smaller = [], int(min(y.sum(), (~y).sum()))
    if smaller < FEW:
        notes.append(
            Note(
                "precision_limited",
                f"Only {smaller} subjects in the smaller class: intervals are wide, and the calibration curve and "
                "the Hosmer-Lemeshow test can't be interpreted.",
                f"较小类别仅{smaller}例:置信区间较宽,校准曲线和Hosmer-Lemeshow检验不可解释。",
            )
        )
    rules = {model.threshold.rule for model in models if model.threshold}
    if "default" in rules:
        notes.append(
            Note(
                "threshold_default",
                "No threshold was given: 0.5 is used. External data are not searched for one.",
                "未给出阈值:使用0.5。不在外部数据上寻找阈值。",
            )
        )
    if "youden" in rules:
        notes.append(
            Note(
                "threshold_optimistic",
                "The threshold was found on these data (Youden): accuracy at it is optimistic.",
                "阈值在本数据上确定(约登指数):该阈值下的准确性偏乐观。",
            )
        )
    if dataset == "development":
        notes.append(
            Note(
                "apparent",
                "Development data: unless the predictions come from resampling, performance is apparent.",
                "开发数据:除非预测值来自重抽样,否则为表观性能。",
            )
        )
    return tuple(notes)
