"""What the numbers rest on, in words, so that each report says it: choices of the plan, rules, completions, limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analytics.learning.plan import Plan

Said = dict[str, str]


def _said(code: str, en: str, zh: str) -> Said:
    return {"code": code, "en": en, "zh": zh}


def assumptions(plan: Plan, facts: Mapping[str, Any]) -> list[Said]:
    """In the order of the analysis: rules, data, model, evaluation."""
    return [*_rules(plan, facts), *_data(plan, facts), *_model(plan), *_evaluation(plan)]


def _rules(plan: Plan, facts: Mapping[str, Any]) -> Iterator[Said]:
    if plan.origin == "assumed":
        yield _said(
            "plan_assumed",
            "How the models are built and validated is assumed; the PI and the statistician have to confirm it.",
            "建模与验证方法为假定，需经主要研究者和统计人员确认。",
        )
    for endpoint in facts["endpoints"]:
        origin = {"protocol": ("protocol", "方案"), "standard": ("standard", "标准"), "assumed": ("assumed", "假定")}
        en, zh = origin[endpoint["origin"]]
        yield _said(
            "endpoint",
            f"{endpoint['name']['en']} ({endpoint['code']} {endpoint['version']}, {en}): {endpoint['sentence']['en']}",
            f"{endpoint['name']['zh']}（{endpoint['code']} {endpoint['version']}，{zh}）：{endpoint['sentence']['zh']}",
        )


def _data(plan: Plan, facts: Mapping[str, Any]) -> Iterator[Said]:
    if count := facts["completed_dates"]:
        rule = facts["endpoints"][0]["completion"]
        day, month, month_day = rule["day"], rule["month"], rule["month_day"]
        yield _said(
            "partial_dates",
            f"{count} partial date(s) used by the endpoints were completed: unknown day {day}, unknown month {month}-"
            f"{month_day}, never before time zero where the known part allows it.",
            f"终点所用的 {count} 个不完整日期已补全：日未知取 {day} 日，月未知取 {month} 月 {month_day} 日，"
            "已知部分允许时不早于时间零点。",
        )
    worst = max(facts["missing"].values(), default=0)
    if worst:
        yield _said(
            "imputation",
            f"Missing predictors (at most {worst} subjects for one item) are imputed by the {plan.pipeline.impute} "
            "of the development part of each fold.",
            f"预测变量缺失值（单项最多 {worst} 例）用各折开发部分的{_STATISTIC[plan.pipeline.impute]}填补。",
        )
    for place, about in facts["readers"].items():
        if about["readers"] > 1:
            known = "median_icc" in about
            yield _said(
                "readers",
                f"{place}: features are the mean of {about['readers']} readers' last round"
                + (f", median ICC(2,1) {about['median_icc']:.2f}." if known else "."),
                f"{place}：特征为 {about['readers']} 名阅片者末轮勾画的均值"
                + (f"，ICC(2,1) 中位数 {about['median_icc']:.2f}。" if known else "。"),
            )


_STATISTIC = {"median": "中位数", "mean": "均值"}
_RULE = {"youden": ("Youden's index", "约登指数"), "sensitivity": ("the sensitivity asked for", "要求的灵敏度")}


def _model(plan: Plan) -> Iterator[Said]:
    yield _said(
        "folds",
        f"Every learned step lies inside the folds: {plan.validation.outer} outer, {plan.validation.inner} inner, "
        f"{plan.validation.repeats} repeat(s), seed {plan.seed}.",
        f"所有需学习的步骤均在折内：外层 {plan.validation.outer} 折，内层 {plan.validation.inner} 折，"
        f"重复 {plan.validation.repeats} 次，随机种子 {plan.seed}。",
    )
    en, zh = _RULE[plan.threshold.rule]
    yield _said(
        "threshold",
        f"The threshold is {en} on development subjects that the model had not seen, fixed before it meets others.",
        f"阈值由模型未见过的开发受试者按{zh}确定，在应用于其他受试者之前固定。",
    )


def _evaluation(plan: Plan) -> Iterator[Said]:
    yield _said(
        "hosmer_lemeshow",
        "Predictions are for subjects that the model had not seen: Hosmer-Lemeshow has df = g. It is reported because "
        "the protocol asks for it; slope, intercept and the smoothed curve are the evidence.",
        "预测对象均为模型未见过的受试者：Hosmer-Lemeshow 自由度为 g。"
        "该检验按方案要求报告；斜率、截距和平滑曲线是主要依据。",
    )
    if plan.validation.holdout and plan.validation.holdout.site:
        yield _said(
            "pooled",
            "Pooled predictions come from several models (one per fold or site left out).",
            "汇总的预测来自多个模型（每折或每个留出中心一个）。",
        )
    if plan.survival:
        yield _said(
            "survival",
            "Groups are cut at the median predicted probability of development. Kaplan-Meier intervals are log-log; "
            "Cox models use Efron's ties; months are days / 30.4375.",
            "按开发集预测概率的中位数分组。Kaplan-Meier 置信区间为 log-log 型；"
            "Cox 模型以 Efron 法处理结；月 = 天数 / 30.4375。",
        )
