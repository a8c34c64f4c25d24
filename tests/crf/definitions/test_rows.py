"""Repeating groups: rows with numbers of their own, answers at meds[3].dose, expressions inside and over them."""

from __future__ import annotations

from typing import Any

import pytest

from crf.definitions import BadValue, DefinitionErrors, StudyDefinition, evaluate
from crf.definitions.answers import read_answers
from crf.definitions.rows import address, flat, last_number, nested, value_at
from crf.definitions.verify import verify

TEXT = {"zh": "甲", "en": "A"}


def study(*sections: dict, checks: tuple = (), more_forms: tuple = ()) -> StudyDefinition:
    """A study with the form CM of these sections; labels are filled in."""
    labelled = [{"name": TEXT, **one, "items": [{"label": TEXT, **item} for item in one["items"]]} for one in sections]
    form = {"oid": "CM", "name": TEXT, "sections": labelled, "checks": [{"message": TEXT, **one} for one in checks]}
    return StudyDefinition.model_validate(
        {
            "code": "S", "version": "1", "title": TEXT, "sites": [{"code": "01", "name": TEXT}],
            "events": [{"oid": "LOG", "name": TEXT, "kind": "log", "forms": ["CM", *(f["oid"] for f in more_forms)]}],
            "forms": [form, *more_forms],
            "codelists": {"YN": {"name": TEXT, "choices": [{"code": code, "label": TEXT} for code in "YN"]}},
        }
    )  # fmt: skip


MEDS = {
    "rows": {"name": "meds", "max": 4},
    "items": [
        {"name": "drug", "type": "text", "required": True},
        {"name": "dose", "type": "decimal", "range": [0, 100]},
        {"name": "times", "type": "integer"},
        {"name": "daily", "type": "derived", "value_type": "decimal", "derive": "dose * times * factor"},
        {"name": "ongoing", "type": "choice", "codelist": "YN"},
        {"name": "stopped", "type": "date", "show_if": "ongoing == 'N'", "required": True},
    ],
}
OUTSIDE = {
    "items": [
        {"name": "factor", "type": "integer"},
        {"name": "many", "type": "derived", "value_type": "integer", "derive": "size(meds)"},
        {"name": "total", "type": "derived", "value_type": "decimal", "derive": "sum(meds.map(r, r.daily))"},
        {"name": "strong", "type": "text", "show_if": "meds.exists(r, r.dose > 50)"},
        {
            "name": "stops", "type": "derived", "value_type": "integer",
            "derive": "size(meds.filter(r, given(r.stopped)))",
        },
    ]
}  # fmt: skip
CM = study(OUTSIDE, MEDS)


def rows(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"row": number, **one} for number, one in enumerate(given, start=1)]


def test_a_group_is_one_item_of_the_form_and_its_columns_are_addressed():
    form = CM.form("CM")
    assert list(form.items)[-1] == "meds"
    assert form.items["meds"].type == "group"
    assert form.groups["meds"].items[0].name == "drug"
    assert form.item("meds[3].dose").type == "decimal"
    assert form.has("meds")
    assert not form.has("dose")
    assert not form.has("meds[3].factor")
    assert not form.has("meds[0].dose")
    assert form.renewed == {"many", "total", "stops", "meds"}
    assert verify(CM) == []


def test_each_row_is_derived_shown_and_checked_by_itself_with_the_form_behind_it():
    given = rows(
        {"drug": "x", "dose": 5.0, "times": 2, "ongoing": "N"},
        {"dose": 101.0, "times": 1, "ongoing": "Y", "stopped": "2026-04-UK"},
    )
    state = evaluate(CM.form("CM"), {"factor": 10, "meds": given})
    assert [row["daily"] for row in state.values["meds"]] == [100.0, 1010.0]
    assert state.values["total"] == 1110
    assert state.values["many"] == 2
    assert {(one.item, one.check, one.severity) for one in state.findings} == {
        ("meds[1].stopped", "required", "soft"), ("meds[2].drug", "required", "soft"),
        ("meds[2].dose", "range", "hard"), ("meds[2].stopped", "hidden", "soft"),
    }  # fmt: skip
    assert [one.item for one in state.findings] == [
        "meds[1].stopped",
        "meds[2].drug",
        "meds[2].dose",
        "meds[2].stopped",
    ]
    assert {"meds", "meds[1].stopped", "meds[2].dose"} <= state.visible
    assert "meds[2].stopped" not in state.visible
    assert "strong" in state.visible


def test_a_hidden_answer_of_a_row_is_reported_kept_on_the_page_and_not_stored():
    state = evaluate(CM.form("CM"), {"meds": rows({"drug": "x", "ongoing": "Y", "stopped": "2026-04-03"})})
    assert state.values["meds"][0]["stopped"] == "2026-04-03"
    assert state.stored["meds"] == [{"row": 1, "drug": "x", "ongoing": "Y"}]
    assert state.values["stops"] == 0


def test_no_rows_are_known_to_be_none_and_an_unanswered_row_leaves_a_sum_unknown():
    form = CM.form("CM")
    assert evaluate(form, {"factor": 1}).values == {"factor": 1, "many": 0, "total": 0.0, "stops": 0}
    state = evaluate(form, {"factor": 1, "meds": rows({"dose": 1.0, "times": 1}, {"drug": "y"})})
    assert "total" not in state.values
    assert state.values["many"] == 2


def test_a_partial_date_in_a_row_is_given_though_nothing_can_be_calculated_with_it():
    state = evaluate(CM.form("CM"), {"meds": rows({"ongoing": "N", "stopped": "2026-04-UK"})})
    assert state.values["stops"] == 1


@pytest.mark.parametrize(("count", "found"), [(4, set()), (5, {("meds", "rows", "hard")})])
def test_a_group_has_a_most_of_rows(count, found):
    state = evaluate(CM.form("CM"), {"meds": rows(*[{"drug": "x"}] * count)})
    assert {(one.item, one.check, one.severity) for one in state.findings} == found


def test_a_group_may_ask_for_rows():
    asked = study({"rows": {"name": "lesions", "min": 1}, "items": [{"name": "size_mm", "type": "integer"}]})
    findings = evaluate(asked.form("CM"), {}).findings
    assert [(one.item, one.check, one.blocks_completion) for one in findings] == [("lesions", "required", True)]
    assert evaluate(asked.form("CM"), {"lesions": rows({"size_mm": 1})}).findings == []


def test_a_hidden_group_counts_as_no_answer():
    hidden = study(
        {"items": [{"name": "any_meds", "type": "choice", "codelist": "YN"}]},
        MEDS | {"show_if": "any_meds == 'Y'", "items": MEDS["items"][:2]},
    )
    state = evaluate(hidden.form("CM"), {"any_meds": "N", "meds": rows({"drug": "x"})})
    assert [(one.item, one.check) for one in state.findings] == [("meds", "hidden")]
    assert state.stored == {"any_meds": "N"}


def test_a_check_over_columns_looks_at_each_row_and_one_over_the_group_at_all():
    checked = study(
        {"items": [{"name": "limit", "type": "integer"}]},
        MEDS | {"items": MEDS["items"][:3]},
        checks=(
            {"id": "low", "items": ["dose", "limit"], "require": "dose < limit"},
            {
                "id": "twice",
                "items": ["meds"],
                "require": "!meds.exists(r, size(meds.filter(s, s.drug == r.drug)) > 1)",
            },
        ),
    )
    assert verify(checked) == []
    given = {"limit": 7, "meds": rows({"drug": "x", "dose": 5.0}, {"drug": "x", "dose": 9.0})}
    findings = evaluate(checked.form("CM"), given).findings
    assert [(one.item, one.check, one.items) for one in findings] == [
        ("meds", "twice", ("meds",)),
        ("meds[2].dose", "low", ("meds[2].dose", "limit")),
    ]


def test_other_forms_read_rows_too():
    reader = {
        "oid": "SUM", "name": TEXT,
        "sections": [
            {"name": TEXT, "items": [
                {"name": "n", "type": "derived", "value_type": "integer", "label": TEXT,
                 "derive": "size(forms.CM.meds.filter(r, r.ongoing == 'Y'))"},
            ]},
        ],
    }  # fmt: skip
    both = study(OUTSIDE, MEDS, more_forms=(reader,))
    assert verify(both) == []
    assert both.readers["CM"] == {"SUM"}
    context = {"forms": {"CM": {"meds": rows({"ongoing": "Y"}, {"ongoing": "N"}, {"drug": "x", "ongoing": "Y"})}}}
    assert "n" not in evaluate(both.form("SUM"), {}, {"forms": {}}).values
    assert evaluate(both.form("SUM"), {}, context).values["n"] == 2


FAULTY = [
    ({"items": [{"name": "meds", "type": "text"}]}, (), "'meds' is used twice"),
    ({"items": [{"name": "dose", "type": "text"}]}, (), "'dose' is used twice"),
    ({"items": [{"name": "x", "type": "text", "show_if": "dose > 1"}]}, (), "in the rows of the group meds"),
    ({"items": [{"name": "x", "type": "text", "show_if": "meds.exists(r, r.dosis > 1)"}]}, (), "have no item 'dosis'"),
    ({"items": [{"name": "x", "type": "text", "show_if": "meds.exists(r, r.ongoing == 'X')"}]}, (), "no code 'X'"),
    ({"items": [{"name": "x", "type": "text", "show_if": "meds.exists(r, 'X' == r.ongoing)"}]}, (), "no code 'X'"),
    ({"items": [{"name": "x", "type": "text", "show_if": "meds.exists(r, r.drug > 1)"}]}, (), "types do not fit"),
    ({"items": [{"name": "x", "type": "text", "show_if": "meds.map(r, r.dose)"}]}, (), "not true or false"),
    ({"items": [{"name": "x", "type": "text", "show_if": "forms.CM.meds.exists(r, r.no == 1)"}]}, (), "no item 'no'"),
    ({"items": [{"name": "y", "type": "text", "show_if": "y.exists(r, r.dose > 1)"}]}, (), "no rows here"),
    (
        {"items": [{"name": "factor", "type": "derived", "value_type": "integer", "derive": "size(meds)"}]}, (),
        "circular dependency: CM.factor -> CM.meds -> CM.factor",
    ),
    (
        {"items": [{"name": "x", "type": "text"}]}, ({"id": "c", "items": ["x", "dose"], "require": "true"},),
        "row by row",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "checks", "said"), FAULTY)
def test_what_cannot_work_with_rows_is_found_at_load(section, checks, said):
    needs_factor = any(item["name"] == "factor" for item in section["items"])
    outside = section if needs_factor else {"items": [*section["items"], {"name": "factor", "type": "integer"}]}
    found = [fault.en for fault in verify(study(outside, MEDS, checks=checks))]
    assert any(said in text for text in found), found


def test_a_circle_inside_a_row_is_found():
    items = [
        {"name": "a", "type": "derived", "value_type": "integer", "derive": "b + 1"},
        {"name": "b", "type": "derived", "value_type": "integer", "derive": "a + 1"},
    ]
    found = verify(study({"rows": {"name": "g"}, "items": items}))
    assert "CM.a -> CM.b -> CM.a" in found[0].en


@pytest.mark.parametrize("rows_of", [{"name": "g", "min": 3, "max": 2}, {"name": "g"}])
def test_a_group_with_impossible_limits_or_an_item_called_row_is_refused(rows_of):
    name = "x" if "min" in rows_of else "row"
    found = verify(study({"rows": rows_of, "items": [{"name": name, "type": "text"}]}))
    assert len(found) == 1


# Reading what was typed


def read(typed: dict[str, Any], stored: dict[str, Any] | None = None, last: int = 0):
    return read_answers(CM.form("CM"), CM, typed, stored or {}, last_row=lambda group: last)


HELD = {"factor": 1, "meds": rows({"drug": "x", "dose": 5.0}, {"drug": "y"})}


def test_rows_are_read_by_their_items_rules_and_new_ones_numbered():
    values, unread = read({"meds": [{"drug": " a ", "dose": "1,5"}, {"dose": "２"}, {"drug": ""}]})
    assert values["meds"] == [{"row": 1, "drug": "a", "dose": 1.5}, {"row": 2, "dose": 2.0}]
    assert unread == {}


def test_rows_not_named_go_and_items_not_named_stay():
    values, _ = read({"meds": [{"row": "2", "dose": "7"}]}, HELD)
    assert values["meds"] == [{"row": 2, "drug": "y", "dose": 7.0}]
    assert read({"factor": "2"}, HELD)[0]["meds"] == HELD["meds"]
    assert read({"meds": []}, HELD)[0]["meds"] is None


def test_an_emptied_row_goes():
    assert read({"meds": [{"row": 1, "drug": "", "dose": ""}, {"row": 2}]}, HELD)[0]["meds"] == [
        {"row": 2, "drug": "y"}
    ]


@pytest.mark.parametrize(("asked", "given"), [(None, 10), (4, 10), (9, 10), (10, 10), (12, 12), ("x", 10), (2, 10)])
def test_a_removed_rows_number_is_never_given_again(asked, given):
    values, _ = read({"meds": [{"row": 1}, {"row": asked, "drug": "new"}]}, {"meds": rows({"drug": "x"})}, last=9)
    assert values["meds"] == [{"row": 1, "drug": "x"}, {"row": given, "drug": "new"}]


def test_two_rows_of_one_number_are_two_rows():
    values, _ = read({"meds": [{"row": 1, "drug": "a"}, {"row": 1, "drug": "b"}]})
    assert values["meds"] == [{"row": 1, "drug": "a"}, {"row": 2, "drug": "b"}]


def test_one_answer_may_be_given_by_its_address():
    values, unread = read({"meds[2].dose": "3", "meds[7].drug": "z", "meds[1].dose": ""}, HELD)
    assert flat(values) == {
        "factor": 1, "meds[1].drug": "x", "meds[2].drug": "y", "meds[2].dose": 3.0, "meds[7].drug": "z",
    }  # fmt: skip
    assert unread == {}


def test_what_cannot_be_read_is_told_at_its_address_and_changes_nothing():
    values, unread = read({"meds": [{"row": 1, "drug": "x", "dose": "five"}, {"row": 2, "drug": "y"}]}, HELD)
    assert list(unread) == ["meds[1].dose"]
    assert values["meds"] == HELD["meds"]


@pytest.mark.parametrize("raw", ["x", 3, [1], {"a": 1}, [{}] * 1000, [[]]])
def test_what_are_no_rows_is_refused(raw):
    _, unread = read({"meds": raw})
    assert isinstance(unread["meds"], BadValue)


@pytest.mark.parametrize("name", ["no", "dose", "meds[1].no", "meds[1].factor", "meds[1]", "_typed"])
def test_an_item_that_the_form_does_not_have_is_an_error(name):
    with pytest.raises(KeyError):
        read({name: "1"})
    with pytest.raises(KeyError):
        read({"meds": [{"factor": "1"}]})


def test_derived_answers_of_rows_are_not_entered():
    assert read({"meds": [{"drug": "x", "daily": "5"}]})[0]["meds"] == [{"row": 1, "drug": "x"}]


# Addresses


def test_addresses_lead_to_answers_and_back():
    answers = flat(HELD)
    assert answers == {"factor": 1, "meds[1].drug": "x", "meds[1].dose": 5.0, "meds[2].drug": "y"}
    assert nested(answers) == HELD
    assert value_at(HELD, "meds[1].dose") == 5.0
    assert value_at(HELD, "meds[3].dose") is None
    assert value_at(HELD, "factor") == 1
    assert last_number([HELD, {"meds": [{"row": 8}]}, {}], "meds") == 8


@pytest.mark.parametrize("text", ["", "meds[0].dose", "meds[1]", "meds[1].", "Meds[1].dose", "meds[１].dose", "a.b"])
def test_what_is_no_address_is_told_apart(text):
    assert address(text) is None


def test_the_canonical_json_of_a_group_is_read_back_the_same():
    again = StudyDefinition.from_json(CM.canonical_json())
    assert again.sha256() == CM.sha256()
    assert again.form("CM").groups["meds"].items == CM.form("CM").groups["meds"].items


def test_a_group_is_written_in_yaml_with_faults_at_their_line(broken):
    old = "    items:\n"
    errors: DefinitionErrors = broken("forms/AE.yaml", old, "    rows: {name: ae_rows, least: 1}\n    items:\n")
    assert errors.errors[0].file == "forms/AE.yaml"
    assert "unknown key 'least'" in errors.errors[0].message
