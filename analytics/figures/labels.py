"""The words on the figures, in English and Chinese."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RocLabels:
    title: str
    x: str
    y: str
    chance: str
    auc: str  # formatted with name, value, lo, hi


@dataclass(frozen=True, slots=True)
class CalibrationLabels:
    title: str
    x: str
    y: str
    ideal: str
    smooth: str
    groups: str


@dataclass(frozen=True, slots=True)
class DecisionLabels:
    title: str
    x: str
    y: str
    treat_all: str
    treat_none: str


@dataclass(frozen=True, slots=True)
class ImpactLabels:
    title: str
    x: str
    y: str  # formatted with per
    high_risk: str
    high_risk_with_event: str


@dataclass(frozen=True, slots=True)
class SurvivalLabels:
    title: str
    x: str
    y: str
    at_risk: str
    censored: str
    log_rank: str  # formatted with p, which carries its own sign: "= 0.03" or "< 0.001"
    names: tuple[tuple[str, str], ...] = ()  # group code, printed name


@dataclass(frozen=True, slots=True)
class FigureLabels:
    roc: RocLabels
    calibration: CalibrationLabels
    decision: DecisionLabels
    impact: ImpactLabels
    survival: SurvivalLabels


EN = FigureLabels(
    RocLabels("ROC curve", "1 − specificity", "Sensitivity", "Chance", "{name}: AUC {value:.3f} ({lo:.3f}–{hi:.3f})"),
    CalibrationLabels("Calibration", "Predicted probability", "Observed proportion", "Ideal", "Loess", "Risk groups"),
    DecisionLabels("Decision curve", "Threshold probability", "Net benefit", "Treat all", "Treat none"),
    ImpactLabels(
        "Clinical impact curve",
        "Threshold probability",
        "Number of {per:,} subjects",
        "High risk",
        "High risk with event",
    ),
    SurvivalLabels(
        "Kaplan–Meier estimate", "Time", "Survival probability", "Number at risk", "Censored", "Log-rank p {p}"
    ),
)
ZH = FigureLabels(
    RocLabels("ROC曲线", "1 − 特异度", "灵敏度", "随机", "{name}:AUC {value:.3f}({lo:.3f}–{hi:.3f})"),
    CalibrationLabels("校准曲线", "预测概率", "实际比例", "理想", "Loess平滑", "风险分组"),
    DecisionLabels("决策曲线", "阈概率", "净获益", "全部干预", "全部不干预"),
    ImpactLabels("临床影响曲线", "阈概率", "每{per:,}名受试者中的人数", "高风险", "高风险且发生事件"),
    SurvivalLabels("Kaplan–Meier估计", "时间", "生存率", "风险人数", "删失", "对数秩检验 p {p}"),
)


def for_language(language: str) -> FigureLabels:
    """Labels of "zh-hans" (any zh) or of English."""
    return ZH if language.lower().startswith("zh") else EN
