"""What a finding says, in both languages; the page, the query and the export tell it alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crf.definitions.model import Text
from crf.definitions.values import plain_number

RULES: dict[str, Text] = {
    "duplicate_subject": Text(zh="重复受试者", en="Duplicate subject"),
    "future_date": Text(zh="日期在将来", en="Date in the future"),
    "visit_order": Text(zh="访视日期次序颠倒", en="Visits out of order"),
    "outside_window": Text(zh="访视超窗", en="Visit outside its window"),
    "far_from_visit": Text(zh="日期远离访视日", en="Date far from its visit"),
    "outlier": Text(zh="离群值", en="Outlying value"),
    "site_shift": Text(zh="中心间差异", en="Site differs from the others"),
    "digit_preference": Text(zh="末位数偏好", en="Digit preference"),
    "missingness": Text(zh="缺失率高", en="Often missing"),
}
SAME = {
    "id": Text(zh="证件号相同", en="the same ID number"),
    "hospital": Text(zh="住院号相同", en="the same hospital number"),
    "name": Text(zh="姓名、性别、年龄相同", en="the same name, sex and age"),
}


def told(rule: str, details: Mapping[str, Any], *, label: Text, other: str = "") -> Text:
    """One sentence on a finding of `rule`; `label` is the item's or the visit's, `other` the other subject's number."""
    zh, en = _SENTENCES[rule]
    facts = {key: _shown(value) for key, value in details.items()}
    chinese = facts | {"label": label.zh, "other": other or facts.get("other", "")}
    english = facts | {"label": label.en, "other": other or facts.get("other", "")}
    if rule == "duplicate_subject":
        chinese["same"], english["same"] = SAME[details["by"]].zh, SAME[details["by"]].en
        chinese["whom"] = f"受试者 {other}" if other else "另一中心的受试者"
        english["whom"] = f"subject {other}" if other else "a subject of another site"
    return Text(zh=zh.format_map(chinese), en=en.format_map(english))


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return plain_number(float(f"{value:.4g}")) if isinstance(value, float) else str(value)


_SENTENCES = {
    "duplicate_subject": ("与{whom}{same},请核对是否为同一人", "Has {same} as {whom}; check whether it is one person"),
    "future_date": ("{label}为 {date},在将来,请核对", "{label} is {date}, which lies in the future"),
    "visit_order": ("{label}日期 {date} 早于计划在前的访视({other}),请核对",
                    "{label} on {date} lies before a visit that was planned earlier ({other})"),
    "outside_window": ("{label}日期 {date} 超出访视窗(界限 {other}),请核对或说明",
                       "{label} on {date} lies outside its window (limit {other})"),
    "far_from_visit": ("{label} {date} 与访视日 {other} 相差较远,请核对",
                       "{label} {date} is far from the day of the visit ({other})"),
    "outlier": ("{label}为 {value},本研究多数在 {low}–{high},请对照原始资料",
                "{label} is {value}; most values lie from {low} to {high}. Compare with the source"),
    "site_shift": ("{label}:本中心中位数 {median}(n={n}),其他中心 {others};请核对单位和方法",
                   "{label}: median {median} here (n={n}), {others} at the other sites; check units and method"),
    "digit_preference": ("{label}:{n} 个值中末位 {digits} 占 {percent}%,请核对读数方法",
                         "{label}: the last digit is {digits} in {percent} % of {n} values; check how it is read"),
    "missingness": ("{label}:{asked} 份中缺 {missing} 份({percent}%)",
                    "{label}: missing in {missing} of {asked} records ({percent} %)"),
}  # fmt: skip
