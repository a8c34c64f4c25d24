"""The difference of two versions: complete, the same seen from the other side, and honest about data."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions.difference import ASPECTS, Change, difference, effects, said, worst
from crf.definitions.model import Item, StudyDefinition
from tests.study import DEFINITION, both

MIRRORED = {"added": "removed", "removed": "added", "codes_added": "codes_removed", "codes_removed": "codes_added"}


def changed(edit: Any) -> tuple[Change, ...]:
    """What `edit(definition, items by name)` makes of the small study."""
    raw = copy.deepcopy(DEFINITION)
    items = {item["name"]: item for form in raw["forms"] for part in form["sections"] for item in part["items"]}
    edit(raw, items)
    return difference(StudyDefinition.from_json(DEFINITION), StudyDefinition.from_json(raw))


def only(changes: tuple[Change, ...]) -> tuple[str, str, str]:
    assert len(changes) == 1, changes
    return changes[0].name, changes[0].aspect, changes[0].effect


def test_a_removed_item_orphans_its_values_and_an_added_one_asks_nothing_of_old_records():
    def swap(raw, items):
        raw["forms"][0]["sections"][0]["items"][2] = {"name": "smoker", "type": "text", "label": both("Smoker")}

    assert {(c.name, c.aspect, c.effect) for c in changed(swap)} == {
        ("pregnant", "removed", "orphan"),
        ("smoker", "added", "none"),
    }


def test_an_added_item_that_is_required_leaves_records_incomplete():
    def add(raw, items):
        new = {"name": "smoker", "type": "text", "label": both("Smoker"), "required": True}
        raw["forms"][0]["sections"][0]["items"].append(new)

    assert only(changed(add)) == ("smoker", "added", "look")


@pytest.mark.parametrize(
    ("item", "field", "value", "effect"),
    [
        ("age", "range", [0, 150], "none"),
        ("age", "range", [0, 90], "may_fail"),
        ("age", "range", [1, None], "may_fail"),
        ("age", "soft_range", [18, 70], "look"),
        ("age", "type", "decimal", "none"),
        ("age", "type", "text", "look"),
        ("lb_date", "type", "datetime", "may_fail"),
        ("albumin", "precision", 0, "may_fail"),
        ("albumin", "precision", 3, "none"),
        ("albumin", "unit", "g/dL", "may_fail"),
        ("albumin", "unit", "g/l", "look"),
        ("albumin", "label", both("Serum albumin"), "look"),
        ("albumin", "guideline", both("Fasting"), "none"),
        ("albumin", "required", True, "look"),
        ("age", "required", False, "none"),
        ("pregnant", "show_if", "sex == 'M'", "look"),
        ("pregnant", "max_length", 3, "may_fail"),
        ("albi_score", "derive", "albi(bilirubin, albumin) * 1.0", "look"),
    ],
)
def test_each_change_of_an_item_says_what_it_may_do_to_stored_values(item, field, value, effect):
    assert only(changed(lambda raw, items: items[item].update({field: value}))) == (item, field, effect)


def test_another_unit_fails_nobody_where_the_item_converts_the_old_one():
    def convert(raw, items):
        items["albumin"] |= {"unit": "g/dL", "units": [{"unit": "g/L", "factor": 0.1}]}

    assert {(c.aspect, c.effect) for c in changed(convert)} == {("unit", "look"), ("units", "none")}


def test_an_item_that_is_derived_from_now_on_loses_what_was_entered():
    def derive(raw, items):
        del items["bilirubin"]["range"], items["bilirubin"]["soft_range"]
        items["bilirubin"].update(type="derived", value_type="decimal", derive="albumin")

    assert ("type", "orphan") in {(c.aspect, c.effect) for c in changed(derive)}


def test_codes_are_told_at_each_item_that_uses_their_list_and_at_the_list():
    def codes(raw, items):
        raw["codelists"]["SEX"]["choices"] = [
            {"code": "F", "label": {"zh": "女性", "en": "Female"}},
            {"code": "U", "label": {"zh": "不详", "en": "Unknown"}},
        ]

    found = {(c.part, c.name, c.aspect, c.effect): c for c in changed(codes)}
    assert set(found) == {
        ("codelist", "SEX", "choices", "none"),
        ("item", "sex", "codes_removed", "orphan"),
        ("item", "sex", "codes_added", "none"),
        ("item", "sex", "codes_relabelled", "look"),
    }
    assert found["item", "sex", "codes_removed", "orphan"].old_of("en") == "M: Male"
    assert found["item", "sex", "codes_relabelled", "look"].new_of("zh-hans") == "F: 女性"


def test_a_word_that_changes_in_the_other_language_only_is_shown_in_both():
    found = changed(lambda raw, items: items["age"].update(label={"zh": "周岁", "en": "Age"}))[0]
    assert (found.old_of("en"), found.new_of("en")) == ("Age(中) · Age", "周岁 · Age")
    assert (found.old_of("zh-hans"), found.new_of("zh-hans")) == ("Age(中)", "周岁")


def test_a_terminology_code_that_changes_is_shown():
    def code(raw, items):
        raw["codelists"]["SEX"]["choices"][0]["codings"] = [{"system": "NCIt", "code": "C16576"}]

    found = changed(code)
    assert only(found) == ("SEX", "choices", "none")
    assert "C16576" in found[0].new_of("en") and "C16576" not in found[0].old_of("en")


def test_moving_one_item_is_one_change_and_the_others_stay():
    def move(raw, items):
        about = raw["forms"][0]["sections"][0]["items"]
        about.append(about.pop(0))

    assert only(changed(move)) == ("age", "order", "none")


def test_a_renamed_section_is_renamed_and_its_items_stay():
    def rename(raw, items):
        raw["forms"][0]["sections"][0]["name"] = both("Person")

    assert only(changed(rename)) == ("Person", "name", "none")


def test_an_item_that_moves_into_rows_is_no_longer_found_where_it_was():
    def rows(raw, items):
        raw["forms"][2]["sections"][0]["rows"] = {"name": "aes"}

    assert {(c.part, c.aspect, c.effect) for c in changed(rows)} == {
        ("section", "rows", "look"),
        ("item", "group", "orphan"),
    }


def test_visits_and_forms_that_go_leave_records_behind_and_new_days_are_looked_at():
    def visits(raw, items):
        del raw["events"][2], raw["forms"][2]
        raw["events"][1]["day"] = 28
        raw["events"][0]["forms"] = ["DM"]

    found = {(c.part, c.name, c.aspect): c.effect for c in changed(visits)}
    assert found == {
        ("event", "LOG", "removed"): "orphan",
        ("event", "MONTH1", "day"): "look",
        ("event", "BASELINE", "forms"): "orphan",
        ("form", "AE", "removed"): "orphan",
        ("item", "ae_term", "removed"): "orphan",
    }


@pytest.mark.parametrize(("severity", "effect"), [("soft", "look"), ("hard", "may_fail")])
def test_a_new_check_may_fail_only_where_it_is_hard(severity, effect):
    check = {"id": "C1", "items": ["age"], "require": "age > 20", "severity": severity, "message": both("Adults")}
    assert only(changed(lambda raw, items: raw["forms"][0].update(checks=[check]))) == ("C1", "added", effect)


def test_the_effects_are_counted_and_the_worst_is_named():
    changes = changed(lambda raw, items: items["age"].update(range=[0, 90], label=both("Years")))
    assert effects(changes) == {"none": 0, "look": 1, "may_fail": 1, "orphan": 0}
    assert worst(changes) == "may_fail" and worst(()) == "none"


def test_values_are_said_in_the_readers_language():
    assert said((0.0, None), "en") == "0, …"
    assert (said(True, "zh-hans"), said(True, "en"), said(None, "en")) == ("是", "yes", "")


def test_every_field_of_an_item_has_a_word_in_both_languages():
    assert set(Item.model_fields) - set(ASPECTS) == {"name", "cdisc", "dicom", "origin"} - set(ASPECTS)


names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
texts = st.sampled_from([both("one"), both("two")])
limits = st.sampled_from([None, [0, 10], [2, 8], [None, 5]])
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "integer", "decimal", "choice"]), "label": texts},
    optional={"range": limits, "required": st.booleans(), "codelist": st.sampled_from(["L1", "L2"])},
)


@st.composite
def studies(draw: st.DrawFn) -> StudyDefinition:
    """Any arrangement of a few items in sections, groups, forms and visits; expressions play no part."""
    forms = []
    for oid in draw(st.lists(st.sampled_from(["F", "G"]), min_size=1, unique=True)):
        chosen = draw(st.lists(names, min_size=1, unique=True))
        cuts = sorted(draw(st.sets(st.integers(1, len(chosen)), max_size=2)) | {len(chosen)})
        parts = [chosen[start:end] for start, end in zip([0, *cuts], cuts, strict=False) if chosen[start:end]]
        sections: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            section = {"name": draw(texts), "items": [{"name": name} | draw(items) for name in part]}
            if draw(st.booleans()):
                section["rows"] = {"name": f"rows{number}", "max": draw(st.sampled_from([3, 100]))}
            sections.append(section)
        checks = [
            {"id": key, "items": [chosen[0]], "require": "true", "message": draw(texts), "severity": draw(severities)}
            for key in draw(st.lists(st.sampled_from(["X", "Y"]), unique=True))
        ]
        forms.append({"oid": oid, "name": draw(texts), "sections": sections, "checks": checks})
    codes = st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, unique=True)
    lists = {
        key: {"name": both(key), "choices": [{"code": code, "label": draw(texts)} for code in draw(codes)]}
        for key in ("L1", "L2")
    }
    events = [
        {"oid": oid, "name": both(oid), "kind": "log", "forms": [form["oid"] for form in forms]}
        for oid in draw(st.lists(st.sampled_from(["V1", "V2", "V3"]), min_size=1, unique=True))
    ]
    sites = [{"code": code, "name": both(code)} for code in draw(codes)]
    raw = {"code": "S", "version": draw(st.sampled_from(["1", "2"])), "title": both("S"), "sites": sites}
    return StudyDefinition.from_json(raw | {"forms": forms, "codelists": lists, "events": events})


severities = st.sampled_from(["hard", "soft"])


@given(studies())
def test_nothing_differs_from_itself(study):
    assert difference(study, study) == ()


@given(studies(), studies())
def test_what_differs_is_found_and_what_is_found_differs(one, other):
    assert (difference(one, other) == ()) == (one.sha256() == other.sha256())


@given(studies(), studies())
def test_the_way_back_has_as_many_changes_of_each_kind(one, other):
    def kinds(changes, aspects):
        # Of two forms that changed places either may be the one that moved.
        found = ((c.part, c.form if c.aspect != "order" else "", aspects.get(c.aspect, c.aspect)) for c in changes)
        return Counter(found)

    assert kinds(difference(one, other), MIRRORED) == kinds(difference(other, one), {})
