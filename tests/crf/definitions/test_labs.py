"""Normal ranges by unit, sex, age and site; L and H, grades, units that people choose."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crf.definitions import BadValue, Item, StudyDefinition, evaluate, parse_value
from crf.definitions.answers import read_answers
from crf.definitions.pydantic_faults import explain
from crf.definitions.units import to_own
from crf.definitions.values import typed_in_unit
from crf.definitions.verify import verify

TEXT = {"zh": "甲", "en": "A"}
ALT = {"name": "alt", "type": "decimal", "unit": "U/L", "lab": "ALT", "ctcae": "ALT increased"}
BILIRUBIN = {
    "name": "bili", "type": "decimal", "unit": "µmol/L", "precision": 1, "lab": "BILI",
    "units": [{"unit": "mg/dL", "factor": 17.104}],
}  # fmt: skip
RANGES = [
    {"high": 50, "unit": "U/L"},
    {"high": 40, "unit": "U/L", "sex": "F", "age": [18, None]},
    {"low": 9, "high": 60, "unit": "U/L", "sex": "M", "age": [18, None]},
    {"high": 45, "unit": "U/L", "sex": "F", "age": [18, None], "site": "02"},
    {"high": 33, "unit": "U/L", "age": [0, 18]},
]


def study(*items: dict, labs: dict | None = None, capture: dict | None = None) -> StudyDefinition:
    def form(oid: str, *asked: dict) -> dict:
        return {
            "oid": oid,
            "name": TEXT,
            "sections": [{"name": TEXT, "items": [{"label": TEXT, **one} for one in asked]}],
        }

    person = ({"name": "sex", "type": "choice", "codelist": "SEX"}, {"name": "age", "type": "integer"})
    found = labs or {"ALT": RANGES, "BILI": [{"high": 1.2, "unit": "mg/dL"}]}
    return StudyDefinition.model_validate(
        {
            "code": "S", "version": "1", "title": TEXT,
            "sites": [{"code": "01", "name": TEXT}, {"code": "02", "name": TEXT}],
            "events": [
                {"oid": oid, "name": TEXT, "anchor": "enrolment", "day": day, "forms": ["DM", "LB"]}
                for day, oid in enumerate(["BASE", "M1"])
            ],
            "forms": [form("DM", *person), form("LB", *items)],
            "codelists": {"SEX": {"name": TEXT, "choices": [{"code": code, "label": TEXT} for code in "MF"]}},
            "labs": {name: {"name": TEXT, "ranges": ranges} for name, ranges in found.items()},
            "capture": {"sex": "DM.sex", "age": "DM.age", "baseline": "BASE"} if capture is None else capture,
        }
    )  # fmt: skip


def result(value: Any, asked: StudyDefinition, name: str = "alt", **context: Any):
    return evaluate(asked.form("LB"), {name: value}, context).results.get(name)


def about(sex: str | None = None, age: int | None = None, site: str = "01") -> dict[str, Any]:
    return {"forms": {"DM": {"sex": sex, "age": age}}, "subject": {"site": site}, "visit": {"event": "M1"}}


@pytest.mark.parametrize(
    ("sex", "age", "site", "limits"),
    [
        (None, None, "01", (None, 50)), ("F", None, "01", (None, 50)), ("F", 30, "01", (None, 40)),
        ("F", 30, "02", (None, 45)),
        ("M", 30, "01", (9, 60)), ("M", None, "01", (None, 50)), ("M", 18, "01", (9, 60)), ("M", 17, "01", (None, 33)),
        ("M", 30, "02", (9, 60)), (None, 10, "02", (None, 33)),
    ],
)  # fmt: skip
def test_the_most_specific_range_that_fits_the_person_applies(sex, age, site, limits):
    found = result(20.0, study(ALT), **about(sex, age, site))
    assert (found.low, found.high, found.unit) == (*limits, "U/L")


@pytest.mark.parametrize(("value", "flag"), [(8.9, "L"), (9, "N"), (60, "N"), (60.1, "H")])
def test_a_result_outside_its_range_is_low_or_high(value, flag):
    assert result(value, study(ALT), **about("M", 30)).flag == flag


def test_flag_range_and_grade_are_said_in_both_languages():
    found = result(181.0, study(ALT), **about("M", 30))
    assert found.message.en == ("H high (normal range 9–60 U/L) · CTCAE 5.0 Alanine aminotransferase increased grade 2")
    assert found.message.zh == "H 偏高(参考范围 9–60 U/L) · CTCAE 5.0 丙氨酸氨基转移酶升高 2 级"
    assert found.is_notable
    assert not result(30, study(ALT), **about("M", 30)).is_notable


def test_a_result_is_no_finding():
    """Half of a liver clinic is abnormal: a flag informs, and asks for no comment and opens no query."""
    assert evaluate(study(ALT).form("LB"), {"alt": 500.0}, about("M", 30)).findings == []


@pytest.mark.parametrize("value", [None, {"missing": "not_done", "reason": ""}])
def test_what_is_not_measured_has_no_result(value):
    assert result(value, study(ALT), **about("M", 30)) is None


def test_a_grade_counts_from_an_abnormal_baseline_of_the_study():
    context = about("M", 30) | {"events": {"BASE": {"LB": {"alt": 200.0}}}}
    assert result(299.0, study(ALT), **context).grade == 0
    assert result(300.0, study(ALT), **context).grade == 1
    at_baseline = context | {"visit": {"event": "BASE"}}
    assert result(300.0, study(ALT), **at_baseline).grade == 2


def test_a_range_in_another_unit_is_converted():
    found = result(25.0, study(BILIRUBIN), "bili", **about())
    assert found.high == pytest.approx(20.5248)
    assert found.flag == "H"


def test_an_item_may_be_graded_both_ways():
    sodium = {"name": "na", "type": "integer", "unit": "mmol/L", "lab": "NA", "ctcae": "Hyponatremia; Hypernatremia"}
    asked = study(sodium, labs={"NA": [{"low": 137, "high": 147, "unit": "mmol/L"}]})
    assert verify(asked) == []
    assert "Hyponatremia grade 2 (125-129" in result(128, asked, "na").message.en
    assert "Hypernatremia grade 3" in result(156, asked, "na").message.en


def test_results_in_rows_are_weighed_too():
    rows = {"name": TEXT, "rows": {"name": "labs_rows"}, "items": [{"label": TEXT, **ALT}]}
    asked = study({"name": "x", "type": "text"})
    form = asked.forms[1].model_copy(update={"sections": (type(asked.forms[1].sections[0]).model_validate(rows),)})
    whole = StudyDefinition.model_validate(
        asked.model_dump() | {"forms": [asked.forms[0].model_dump(), form.model_dump()]}
    )
    state = evaluate(whole.form("LB"), {"labs_rows": [{"row": 4, "alt": 70.0}]}, about("M", 30))
    assert state.results["labs_rows[4].alt"].flag == "H"


FAULTY = [
    ([ALT | {"lab": "AST"}], {}, "`labs` has no 'AST'"),
    ([ALT | {"unit": "µkat/L"}], {}, "are in U/L, the item is in µkat/L"),
    ([ALT | {"ctcae": "ALT icnreased"}], {}, "no CTCAE term 'ALT icnreased'"),
    ([ALT | {"ctcae": "Hyperglycemia"}], {}, "by treatment"),
    ([ALT | {"ctcae": "Anemia"}], {}, "graded in g/L, g/dL, mmol/L"),
    ([{**ALT, "lab": None}], {}, "depends on the normal range"),
    ([{"name": "t", "type": "text", "lab": "ALT"}], {}, "text has no lab"),
    ([BILIRUBIN | {"unit": None}], {}, "write `unit`"),
    ([BILIRUBIN | {"units": [{"unit": "µmol/L", "factor": 1}]}], {}, "appears twice"),
    ([{"name": "t", "type": "text", "file": {"types": ["pdf"]}}], {}, "only a file"),
    ([{"name": "t", "type": "text", "complete_date": True}], {}, "only a date"),
    ([ALT], {"labs": {"ALT": [*RANGES, {"high": 41, "unit": "U/L", "sex": "F", "age": [40, 50]}]}}, "ranges 2 and 6"),
    ([ALT], {"labs": {"ALT": [*RANGES, {"high": 41, "unit": "U/L", "site": "01"}]}}, "could both be somebody's"),
    ([ALT], {"labs": {"ALT": [{"unit": "U/L"}]}}, "a low or a high"),
    ([ALT], {"labs": {"ALT": [{"unit": "U/L", "low": 5, "high": 4}]}}, "a low or a high"),
    ([ALT], {"labs": {"ALT": [{"unit": "U/L", "low": 5, "site": "09"}]}}, "no site '09'"),
    ([ALT], {"labs": {"ALT": [{"unit": "U/L", "low": 5, "sex": "W"}]}}, "no code 'W'"),
    ([ALT], {"labs": {"ALT": [{"unit": "U/L", "low": 5, "age": [9, 5]}]}}, "[from, below)"),
    ([ALT], {"capture": {}}, "needs capture.sex"),
    ([ALT], {"capture": {}}, "needs capture.age"),
    ([ALT], {"capture": {"sex": "DM.age", "age": "DM.sex"}}, "no choice item"),
    ([ALT], {"capture": {"sex": "DM.sex", "age": "DM.sex"}}, "no number item"),
    ([ALT], {"capture": {"sex": "DM.sex", "age": "DM.age", "baseline": "B"}}, "no event 'B'"),
    (
        [ALT, {"name": "g", "type": "derived", "value_type": "integer", "derive": "ctcae('ALT up', alt, 40)"}], {},
        "types do not fit",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("items", "more", "said"), FAULTY)
def test_what_cannot_be_right_is_found_at_load(items, more, said):
    assert verify(study(ALT, BILIRUBIN)) == []
    asked = study(*items, **more)
    assert any(said in fault.en and fault.zh and fault.remedy_zh for fault in verify(asked)), verify(asked)


def test_a_factor_that_is_no_finite_number_is_refused_in_both_languages():
    with pytest.raises(ValidationError) as refused:
        study(BILIRUBIN | {"units": [{"unit": "mg/dL", "factor": float("inf")}]})
    (fault,) = explain(refused.value, {})
    assert ("not inf" in fault.en, "不是 inf" in fault.zh) == (True, True)


def test_ranges_that_differ_in_age_or_site_do_not_contradict_each_other():
    ranges = [
        {"high": 1, "unit": "U/L", "age": [0, 18]}, {"high": 2, "unit": "U/L", "age": [18, None]},
        {"high": 3, "unit": "U/L", "site": "01", "sex": "M"}, {"high": 4, "unit": "U/L", "site": "02", "sex": "M"},
    ]  # fmt: skip
    assert verify(study(ALT, labs={"ALT": ranges})) == []


# Units that people choose


def item(**more: Any) -> Item:
    return Item.model_validate({"label": TEXT, **BILIRUBIN} | more)


@pytest.mark.parametrize(
    ("raw", "value", "typed"),
    [
        ({"value": "1.2", "unit": "mg/dL"}, 20.5, {"value": "1.2", "unit": "mg/dL"}),
        ({"value": "１，２", "unit": "mg/dL"}, 20.5, {"value": "1,2", "unit": "mg/dL"}),
        ("1.2 mg/dL", 20.5, {"value": "1.2", "unit": "mg/dL"}), ("20.5 µmol/L", 20.5, None),
        ("20.5μmol/L", 20.5, None), ({"value": "20.5", "unit": "µmol/L"}, 20.5, None),
        ({"value": "20.5", "unit": ""}, 20.5, None), ({"value": "", "unit": "mg/dL"}, None, None), ("20.5", 20.5, None),
        ({"value": "ND", "unit": "mg/dL"}, {"missing": "not_done", "reason": ""}, None),
    ],
)  # fmt: skip
def test_a_number_may_be_typed_in_a_declared_unit(raw, value, typed):
    assert parse_value(item(), None, raw) == value
    assert typed_in_unit(item(), raw) == typed


@pytest.mark.parametrize("raw", [{"value": "1", "unit": "g/L"}, "1 g/L", {"value": "x", "unit": "mg/dL"}, "mg/dL"])
def test_a_unit_that_is_not_declared_is_refused(raw):
    with pytest.raises(BadValue):
        parse_value(item(), None, raw)


def test_what_was_typed_is_kept_beside_the_value_until_it_is_typed_otherwise():
    asked = study(BILIRUBIN)
    form = asked.form("LB")
    values, _ = read_answers(form, asked, {"bili": {"value": "1.2", "unit": "mg/dL"}}, {})
    assert values == {"bili": 20.5, "_typed": {"bili": {"value": "1.2", "unit": "mg/dL"}}}
    assert evaluate(form, values).stored == values
    assert read_answers(form, asked, {}, values)[0] == values
    assert read_answers(form, asked, {"bili": "20.6"}, values)[0] == {"bili": 20.6}
    assert read_answers(form, asked, {"bili": ""}, values)[0] == {"bili": None}


def test_an_offset_belongs_to_a_conversion():
    fever = item(
        unit="°C", precision=1, units=[{"unit": "°F", "factor": 0.5555555555555556, "offset": -17.77777777777778}]
    )
    assert parse_value(fever, None, {"value": "98.6", "unit": "°F"}) == 37.0


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=4),
    st.floats(min_value=1e-6, max_value=1e6, allow_nan=False),
    st.integers(min_value=0, max_value=6),
)
def test_conversion_is_exact_to_the_last_digit_kept(number: Decimal, factor: float, precision: int):
    measured = item(precision=precision, units=[{"unit": "mg/dL", "factor": factor}])
    exact = Fraction(number) * Fraction(repr(factor))
    stored = Fraction(Decimal(repr(float(to_own(measured, number, "mg/dL")))))
    # Half a step of the digits kept, and the nearest binary number to that.
    assert abs(stored - exact) <= Fraction(1, 2 * 10**precision) + abs(exact) * Fraction(1, 2**52)


def test_a_date_may_have_to_be_whole():
    whole = Item.model_validate({"name": "d", "type": "date", "label": TEXT, "complete_date": True})
    assert parse_value(whole, None, "2026-4-3") == "2026-04-03"
    with pytest.raises(BadValue, match=r"without UK|takes no UK"):
        parse_value(whole, None, "2026-04-UK")
