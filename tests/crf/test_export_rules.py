"""What an export leaves out of items that are worked out from others, and how it knows an age and a date of birth."""

from __future__ import annotations

from typing import Any

import pytest

from crf.definitions.model import StudyDefinition
from crf.exports.layout import tables
from crf.exports.rules import Rule, Wanted, rule_of
from crf.exports.values import rules_of, treated
from tests.study import DEFINITION, both


def item(name: str, type: str = "integer", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type, "label": both(name.title()), **more}


def derived(name: str, derive: str, value_type: str = "decimal", **more: Any) -> dict[str, Any]:
    return item(name, "derived", value_type=value_type, derive=derive, **more)


ITEMS = [
    item("initials", "text", role="identifier"),
    item("phone", role="identifier"),
    item("born", "date", cdisc="BRTHDTC", role="identifier"),
    item("seen", "date"),
    item("operated", "date", blinded=True),
    item("outcome", "choice", codelist="SEX", blinded=True),
    item("weight", "decimal"),
    item("scan", "series"),
    derived("phone_copy", "phone + 0"),
    derived("success", "outcome == 'F' ? 1 : 0", "integer"),
    derived("success_again", "success * 2"),
    derived("lived", "years(born, seen)", "integer"),
    derived("age_then", "years(born, operated)", "integer"),
    derived("score", "weight * age_then"),
    derived("wait", "days(seen, operated)", "integer"),
    derived("lived_days", "days(born, seen)", "integer"),
    derived("lived_weeks", "lived_days / 7"),
    derived("per_year", "weight / lived"),
    derived("since_start", "days('2026-01-01', seen)", "integer"),
    derived("since_start_weeks", "since_start / 7"),
    derived("enrolled_late", "subject.enrolled_on > '2026-06-01' ? 'M' : 'F'", "choice", codelist="SEX"),
    derived("follow_up", "days(subject.enrolled_on, seen)", "integer"),
    derived("heavy", "weight > 80 ? 'M' : 'F'", "choice", codelist="SEX"),
    derived("grown", "weight - events.BASELINE.X.grown"),
]


def study(items: list[dict[str, Any]]) -> StudyDefinition:
    form = {"oid": "X", "name": both("X"), "sections": [{"name": both("All"), "items": items}]}
    events = [{**DEFINITION["events"][0], "forms": ["DM", "LB", "X"]}, *DEFINITION["events"][1:]]
    return StudyDefinition.from_json({**DEFINITION, "events": events, "forms": [*DEFINITION["forms"], form]})


def rules(items: list[dict[str, Any]], **wanted: Any) -> dict[str, Rule]:
    definition = study(items)
    found = definition.form("X").questions.values()
    return {one.name: rule_of(definition, "X", one, Wanted(**wanted)) for one in found}


def test_what_is_worked_out_tells_nothing_that_its_sources_may_not_tell():
    found = rules(ITEMS)
    assert {name: rule for name, rule in found.items() if rule is not Rule.KEEP} == {
        "initials": Rule.IDENTIFIER,
        "phone": Rule.IDENTIFIER,
        "phone_copy": Rule.IDENTIFIER,
        "outcome": Rule.BLINDED,
        "success": Rule.BLINDED,
        "success_again": Rule.BLINDED,
        "born": Rule.IDENTIFIER,
        "lived": Rule.AGE,
        "operated": Rule.BLINDED,
        "age_then": Rule.AGE,
        "wait": Rule.BLINDED,
        "lived_days": Rule.IDENTIFIER,
        "lived_weeks": Rule.IDENTIFIER,
        "seen": Rule.SHIFT,
        "since_start": Rule.TRUE_DATE,
        "since_start_weeks": Rule.TRUE_DATE,
        "enrolled_late": Rule.TRUE_DATE,
        "scan": Rule.FREE_TEXT,
    }


def test_an_identified_export_that_stays_blinded_leaves_out_what_a_blinded_item_decides():
    found = rules(ITEMS, identified=True)
    left_out = {name for name, rule in found.items() if rule is not Rule.KEEP}
    assert left_out == {"outcome", "success", "success_again", "operated", "wait"}
    assert set(rules(ITEMS, identified=True, blinded=True).values()) == {Rule.KEEP}


def test_days_from_a_date_of_birth_are_left_out_with_it():
    items = [one | {"role": "none"} if one["name"] == "born" else one for one in ITEMS]
    found = rules(items)
    assert {name for name, rule in found.items() if rule is Rule.BIRTH} == {"born", "lived_days", "lived_weeks"}


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (item("age_at_surgery", unit="years"), Rule.AGE),
        (item("age_months"), Rule.KEEP),
        (item("age", unit="months"), Rule.KEEP),
        (item("nl", unit="岁") | {"label": {"zh": "年龄", "en": "Years lived"}}, Rule.AGE),
        (item("stage"), Rule.KEEP),
        (item("patient_dob", "date"), Rule.BIRTH),
        (item("csrq", "date") | {"label": {"zh": "出生日期", "en": "First day"}}, Rule.BIRTH),
        (item("surgery_date", "date"), Rule.SHIFT),
    ],
)
def test_an_age_and_a_date_of_birth_are_known_by_name_or_label(one, rule):
    assert rules([one])[one["name"]] is rule


def test_what_a_migration_put_aside_is_in_an_identified_odm_file_and_in_no_other():
    data = {"weight": 70.5, "weight@1.0": 71, "outcome@1.0": "F", "gone": "x", "_typed": {"weight": {}}}

    def shown(**wanted: Any) -> set[str]:
        asked = Wanted(**wanted)
        return set(treated(data, rules_of(tables([study(ITEMS)], asked), "X"), 100, asked))

    assert shown() == {"weight"}
    assert shown(identified=True) == {"weight", "weight@1.0"}
    assert shown(identified=True, blinded=True) == {"weight", "weight@1.0", "outcome@1.0", "gone"}
