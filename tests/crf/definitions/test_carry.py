"""A record's data under another version of its form: nothing is ever cleared."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions.carry import Carried, carry, gone
from crf.definitions.model import Form, StudyDefinition
from crf.definitions.rows import ROW
from crf.definitions.values import TYPED
from tests.crf.definitions.test_difference import studies
from tests.study import DEFINITION, both

OLD = StudyDefinition.from_json(DEFINITION)


def under(
    form: str, data: dict[str, Any], edit: Any, context: dict[str, Any] | None = None, *, old: Any = None
) -> Carried:
    """`data` of the small study's form (as `old(definition)` makes it) under what `edit(definition, items)` does."""
    raw = copy.deepcopy(DEFINITION)
    if old:
        old(raw)
    before = StudyDefinition.from_json(raw)
    raw = copy.deepcopy(DEFINITION)
    items = {item["name"]: item for one in raw["forms"] for part in one["sections"] for item in part["items"]}
    edit(raw, items)
    new = StudyDefinition.from_json(raw)
    return carry(before.form(form), new.form(form), new, data, context, version="1.0")


def drop(raw: Any, items: Any) -> None:
    del raw["forms"][0]["sections"][0]["items"][2]


def test_a_value_that_nobody_asks_any_more_stays_under_its_name():
    found = under("DM", {"age": 50, "sex": "F", "pregnant": "no"}, drop)
    assert found.data == {"age": 50, "sex": "F", "pregnant": "no"}
    assert found.orphaned == {"pregnant": "no"}
    assert found.state.stored == found.data, "the next save keeps it too"


def test_an_orphan_of_an_earlier_migration_is_no_news():
    again = carry(OLD.form("DM"), OLD.form("DM"), OLD, {"age": 50, "sex": "F", "gone": 1, "x@0.9": 2}, version="1.0")
    assert again.data == {"age": 50, "sex": "F", "gone": 1, "x@0.9": 2} and again.is_clean


def test_a_code_that_is_gone_fails_and_stays():
    choices = [{"code": "F", "label": both("Female")}, {"code": "U", "label": both("Unknown")}]
    found = under("DM", {"age": 50, "sex": "M"}, lambda raw, items: raw["codelists"]["SEX"].update(choices=choices))
    assert found.data["sex"] == "M" and "'M' is not one of: F = Female" in found.failed["sex"].en


def test_a_code_that_is_gone_is_not_taken_for_a_label_nor_for_a_word_that_says_missing():
    def recode(raw, items):
        raw["codelists"]["SEX"]["choices"] = [{"code": "1", "label": both("M")}, {"code": "2", "label": both("W")}]

    def old(raw):
        raw["codelists"]["SEX"]["choices"] = [{"code": code, "label": both(code)} for code in ("M", "UK", "NA")]

    for code in ("M", "UK", "NA"):
        found = under("DM", {"age": 50, "sex": code}, recode, old=old)
        assert found.data == {"age": 50, "sex": code} and set(found.failed) == {"sex"}, code


def test_a_text_is_not_taken_for_a_word_that_says_missing():
    found = under("DM", {"sex": "F", "pregnant": "ND"}, lambda raw, items: items["pregnant"].update(type="integer"))
    assert found.data["pregnant"] == "ND" and set(found.failed) == {"pregnant"}


PER_DECILITRE = {"unit": "g/dL", "units": [{"unit": "g/L", "factor": 0.1}]}


def test_a_number_in_another_unit_is_converted_and_what_it_was_stays_beside_it():
    found = under("LB", {"albumin": 41.5}, lambda raw, items: items["albumin"].update(PER_DECILITRE, range=[1, 8]))
    assert found.data == {"albumin": 4.2, TYPED: {"albumin": {"value": "41.5", "unit": "g/L"}}}
    assert found.reread == {"albumin": (41.5, 4.2)} and not found.failed


def test_a_number_is_never_read_in_a_unit_that_it_was_not_entered_in():
    found = under("LB", {"albumin": 41.5}, lambda raw, items: items["albumin"].update(unit="g/dL"))
    assert found.data == {"albumin@1.0": 41.5} and found.state.effective.get("albumin") is None
    assert "entered in g/L; the item is in g/dL now" in found.failed["albumin"].en
    assert found.state.stored == found.data, "the next save keeps it too"


@pytest.mark.parametrize("unit", ["g/l", None])
def test_another_spelling_or_no_unit_changes_no_number(unit):
    assert under("LB", {"albumin": 41.5}, lambda raw, items: items["albumin"].update(unit=unit)).is_clean


def test_what_was_typed_goes_where_its_number_goes():
    def old(raw):
        raw["forms"][1]["sections"][0]["items"][1]["units"] = [{"unit": "g/dL", "factor": 10}]

    data = {"albumin": 41.0, TYPED: {"albumin": {"value": "4.1", "unit": "g/dL"}}}
    assert under("LB", data, lambda raw, items: None, old=old).data == {"albumin": 41.0}, "no such unit any more"
    found = under("LB", data, lambda raw, items: items["albumin"].update(PER_DECILITRE, range=[1, 8]), old=old)
    assert found.data == {"albumin": 4.1}, "it was typed in the unit that is the item's own now"
    found = under("LB", data, lambda raw, items: items["albumin"].update(unit="mmol/L"), old=old)
    assert found.data == {"albumin@1.0": 41.0, TYPED: {"albumin@1.0": {"value": "4.1", "unit": "g/dL"}}}
    assert found.state.stored == found.data


def test_a_number_outside_the_new_range_is_a_new_finding_and_one_outside_the_old_one_is_none():
    found = under("DM", {"age": 95, "sex": "F"}, lambda raw, items: items["age"].update(range=[0, 90]))
    assert [(one.item, one.check) for one in found.findings] == [("age", "range")]
    assert under("DM", {"age": 130, "sex": "F"}, lambda raw, items: items["age"].update(range=[0, 90])).is_clean


def test_text_that_reads_as_the_new_type_is_stored_as_that_type():
    found = under("DM", {"sex": "F", "pregnant": "3"}, lambda raw, items: items["pregnant"].update(type="integer"))
    assert found.data["pregnant"] == 3 and found.reread == {"pregnant": ("3", 3)}


def test_text_that_does_not_read_as_the_new_type_fails_and_stays():
    found = under("DM", {"sex": "F", "pregnant": "no"}, lambda raw, items: items["pregnant"].update(type="integer"))
    assert found.data["pregnant"] == "no" and set(found.failed) == {"pregnant"}


def test_what_was_entered_and_is_now_derived_stays_beside_the_derived_value():
    def derive(raw, items):
        del items["bilirubin"]["range"], items["bilirubin"]["soft_range"]
        items["bilirubin"].update(type="derived", value_type="decimal", derive="albumin * 2.0")

    found = under("LB", {"albumin": 40.0, "bilirubin": 12.0, "albi_score": -2.5}, derive)
    assert (found.data["bilirubin"], found.data["bilirubin@1.0"]) == (80.0, 12.0)
    assert found.orphaned == {"bilirubin": 12.0}


def test_what_is_derived_anew_is_told_with_both_results():
    found = under(
        "LB",
        {"albumin": 40.0, "bilirubin": 12.0, "albi_score": -2.5},
        lambda raw, items: items["albi_score"].update(derive="albumin / 2.0"),
    )
    assert found.derived == {"albi_score": (-2.5, 20.0)} and found.data["albi_score"] == 20.0


def test_a_derived_value_that_cannot_be_derived_any_more_stays_aside():
    found = under(
        "LB",
        {"albumin": 40.0, "albi_score": -2.5},
        lambda raw, items: items["albi_score"].update(derive="bilirubin / 2.0"),
    )
    assert found.data == {"albumin": 40.0, "albi_score@1.0": -2.5}
    assert found.derived == {"albi_score": (-2.5, None)}


def test_rows_keep_their_numbers_and_what_their_columns_held():
    raw = copy.deepcopy(DEFINITION)
    section = raw["forms"][2]["sections"][0]
    section["rows"] = {"name": "aes"}
    section["items"].append({"name": "grade", "type": "integer", "label": both("Grade")})
    old = StudyDefinition.from_json(raw)
    section["items"].pop(0)
    section["items"][0]["range"] = [1, 5]
    new = StudyDefinition.from_json(raw)
    data = {"aes": [{ROW: 2, "ae_term": "pain", "grade": 9}, {ROW: 5, "ae_term": "fever"}]}
    found = carry(old.form("AE"), new.form("AE"), new, data, version="1.0")
    assert found.data == data and found.state.stored == data
    assert found.orphaned == {"aes[2].ae_term": "pain", "aes[5].ae_term": "fever"}
    assert [(one.item, one.check) for one in found.findings] == [("aes[2].grade", "range")]


def test_a_record_without_a_place_in_the_new_version_says_why():
    raw = copy.deepcopy(DEFINITION)
    raw["events"][0]["forms"] = ["LB"]
    raw["forms"][2]["repeating"] = False
    new = StudyDefinition.from_json(raw)
    assert "has no form DM" in gone(new, "BASELINE", "DM", 1).en
    assert "has no visit WEEK9" in gone(new, "WEEK9", "DM", 1).en
    assert "does not repeat" in gone(new, "LOG", "AE", 2).en
    assert gone(new, "BASELINE", "LB", 1) is None


ANSWERS: dict[str, Any] = {
    "text": st.sampled_from(["1", "two", "3.5"]),
    "integer": st.integers(-20, 20),
    "decimal": st.sampled_from([-1.5, 0.25, 3.0]),
    "choice": st.sampled_from(["1", "2", "3"]),
}


def answers(draw: st.DrawFn, form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section in form.sections:
        rows = [{item.name: draw(ANSWERS[item.type]) for item in section.items if draw(st.booleans())}]
        if section.rows and rows[0]:
            found[section.rows.name] = [{ROW: 3} | rows[0]]
        elif not section.rows:
            found |= rows[0]
    return found


@given(st.data())
def test_no_value_is_ever_cleared_and_carrying_on_changes_nothing_more(data):
    old, new = data.draw(studies()), data.draw(studies())
    shared = [oid for oid in ("F", "G") if {oid} <= {f.oid for f in old.forms} & {f.oid for f in new.forms}]
    for oid in shared:
        before = answers(data.draw, old.form(oid))
        found = carry(old.form(oid), new.form(oid), new, before, version="1.0")
        for name, value in before.items():
            kept = [found.data.get(name), found.data.get(f"{name}@1.0")]
            reread = [after for place, (was, after) in found.reread.items() if place.split("[")[0] == name]
            assert value in kept or reread, (name, value, found.data)
            if isinstance(value, list):
                now = next(one for one in kept if isinstance(one, list))[0]
                assert set(value[0]) <= set(now)
        again = carry(new.form(oid), new.form(oid), new, found.data, version="2.0")
        assert again.data == found.data and not again.orphaned and not again.derived and not again.findings
