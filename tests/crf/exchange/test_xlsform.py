"""An XLSForm becomes a study of one form, a study an XLSForm that reads back as itself; hostile workbooks neither."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition, evaluate, load_study
from crf.exchange.loss import Imported
from crf.exchange.xlsform import read_xlsform
from crf.exchange.xlsform_write import write_xlsform

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
COLUMNS = {
    "en": "label::English (en)", "zh": "label::中文 (zh)", "fr": "label::Français (fr)", "hint": "hint::English (en)",
    "says": "constraint_message::English (en)",
}  # fmt: skip
ROWS: list[dict[str, str]] = [
    {"type": "text", "name": "family_name", "en": "Family name", "zh": "姓", "fr": "Nom", "required": "yes"},
    {"type": "begin_group", "name": "who", "en": "About you", "zh": "关于您"},
    {"type": "integer", "name": "age", "en": "Age", "zh": "年龄", "hint": "in years",
     "constraint": ". >= 0 and . < 130", "says": "an age", "required": "true()"},
    {"type": "select_one yn", "name": "smokes", "en": "Smokes?", "zh": "吸烟?", "relevant": "${age} >= 18"},
    {"type": "select_multiple sign", "name": "signs", "en": "Signs", "zh": "症状",
     "constraint": "not(selected(., 'none') and count-selected(.) > 1)", "says": "none stands alone"},
    {"type": "end_group"},
    {"type": "begin_repeat", "name": "meds", "en": "Medicines", "zh": "用药", "relevant": "${smokes} = '1'"},
    {"type": "text", "name": "drug", "en": "Drug", "zh": "药名"},
    {"type": "begin_group", "name": "amount", "en": "Amount", "zh": "量", "relevant": "${drug} != ''"},
    {"type": "decimal", "name": "dose", "en": "Dose", "zh": "剂量", "constraint": ". < 100"},
    {"type": "end_group"},
    {"type": "end_repeat"},
    {"type": "calculate", "name": "total", "calculation": "sum(${dose})"},
    {"type": "calculate", "name": "many", "calculation": "count(${meds}) > 2"},
    {"type": "calculate", "name": "secret", "calculation": "uuid()"},
    {"type": "range", "name": "pain", "en": "Pain", "zh": "疼痛", "parameters": "start=0 end=10 step=1"},
    {"type": "select_one town", "name": "town", "en": "Town", "zh": "城市", "choice_filter": "land=${smokes}"},
    {"type": "date", "name": "seen", "en": "Seen on", "zh": "日期", "constraint": ". <= today()",
     "default": "2020-01-01"},
    {"type": "note", "name": "thanks", "en": "Thank you, ${family_name}", "zh": "谢谢"},
    {"type": "image", "name": "photo", "en": "Photo", "zh": "照片"},
    {"type": "geopoint", "name": "place", "en": "Place", "zh": "地点", "read_only": "true()"},
    {"type": "today", "name": "day"},
]  # fmt: skip
HEADINGS = list(dict.fromkeys(key for row in ROWS for key in row))
SURVEY = "\n".join(
    [
        " | ".join(COLUMNS.get(key, key) for key in HEADINGS),
        *(" | ".join(row.get(key, "") for key in HEADINGS) for row in ROWS),
    ]
)
CHOICES = """
list_name | name | label::English (en) | label::中文 (zh) | land
yn | 1 | Yes | 是 |
yn | 0 | No | 否 |
sign | pain | Pain | 痛 |
sign | fever | “Fever” | “发热” |
sign | none | None | 无 |
town | a | Here | 这里 | 1
town | b | There | 那里 | 0
"""
SETTINGS = """
form_title | form_id | version | default_language
My form | my_form | 2024 v1 | English (en)
"""


def workbook(survey: str = SURVEY, choices: str = CHOICES, settings_: str = SETTINGS, formula: str = "") -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        for name, text in (("survey", survey), ("choices", choices), ("settings", settings_)):
            sheet = book.add_worksheet(name)
            for row, line in enumerate(text.strip().splitlines()):
                for column, cell in enumerate(line.removesuffix(" |").split(" | ")):
                    sheet.write_string(row, column, cell.strip())
        if formula:
            book.get_worksheet_by_name("survey").write_formula("C3", formula)
    return out.getvalue()


@pytest.fixture(scope="module")
def small() -> Imported:
    return read_xlsform(workbook(), file="my_form.xlsx")


def one_error(content: bytes) -> str:
    with pytest.raises(DefinitionErrors) as caught:
        read_xlsform(content, file="f.xlsx")
    (error,) = caught.value.errors
    assert error.message_zh and error.remedy_zh and error.remedy
    return str(error)


def test_groups_are_sections_and_a_repeat_is_a_group_of_rows(small: Imported) -> None:
    (form,) = small.definition.forms
    assert (small.definition.code, small.definition.version, form.name.en) == ("MY_FORM", "2024-v1", "My form")
    assert [(one.name.en, one.rows.name if one.rows else "") for one in form.sections] == [
        ("My form", ""), ("About you", ""), ("Medicines", "meds"), ("My form", ""),
    ]  # fmt: skip
    assert [one.name for one in form.sections[2].items] == ["drug", "dose"]
    assert form.sections[2].show_if == "smokes == '1'"
    assert form.sections[2].items[1].show_if == "given(drug)"


def test_questions_keep_both_languages_hints_types_and_choices(small: Imported) -> None:
    items = {item.name: item for section in small.definition.forms[0].sections for item in section.items}
    assert {name: item.type for name, item in items.items()} == {
        "family_name": "text", "age": "integer", "smokes": "choice", "signs": "choices", "drug": "text",
        "dose": "decimal", "total": "derived", "many": "derived", "secret": "text", "pain": "integer",
        "town": "choice", "seen": "date", "thanks": "label", "photo": "file", "place": "text",
    }  # fmt: skip
    assert (items["age"].label.zh, items["age"].label.en) == ("年龄", "Age")
    assert items["age"].help and items["age"].help.en == "in years"
    assert items["age"].required is True and items["family_name"].required is True
    assert items["pain"].range == (0, 10)
    assert items["photo"].file and items["photo"].file.types == ("jpg", "jpeg", "png")
    signs = small.definition.codelist(items["signs"])
    assert signs and signs.codes() == ["pain", "fever", "none"] and signs.choices[1].label.zh == "“发热”"


def test_relevance_calculations_and_constraints_work(small: Imported) -> None:
    (form,) = small.definition.forms
    grown = {"age": 40, "smokes": "1", "signs": ["pain"], "meds": [{"row": 1, "drug": "A", "dose": 2.5},
                                                                   {"row": 2, "drug": "B", "dose": 4.0}]}  # fmt: skip
    state = evaluate(form, grown, {"today": "2026-04-03"})
    assert state.values["total"] == 6.5 and state.values["many"] == "false"
    assert "smokes" in state.visible
    assert "smokes" not in evaluate(form, {"age": 9}).visible
    found = evaluate(form, {"age": 140, "signs": ["pain", "none"], "seen": "2027-01-01"}, {"today": "2026-04-03"})
    said = {one.item: (one.severity, one.message.en) for one in found.findings if "." in one.check}
    assert said == {
        "age": ("hard", "an age"), "signs": ("hard", "none stands alone"),
        "seen": ("hard", "should satisfy . <= today()"),
    }  # fmt: skip


def test_what_does_not_come_along_is_listed(small: Imported) -> None:
    losses = {(loss.element, loss.place): loss for loss in small.losses}
    assert losses["choice_filter", "town"].what == "land=${smokes}"
    assert losses["calculation", "secret"].what == "uuid()" and "uuid()" in losses["calculation", "secret"].en
    assert losses["default", "seen"].what == "2020-01-01"
    assert losses["readonly", "place"].fate == "kept" and losses["geopoint", "place"].fate == "changed"
    assert losses["today", "day"].fate == "dropped"
    assert losses["language", ""].what == "Français (fr)"
    assert ("label", "thanks") in losses


def fixed_point(study: StudyDefinition) -> None:
    first = write_xlsform(study)
    again = read_xlsform(first.content, file="again.xlsx")
    assert write_xlsform(again.definition).content == first.content
    third = read_xlsform(write_xlsform(again.definition).content, file="again.xlsx")
    assert third.definition.sha256() == again.definition.sha256()


def test_export_import_export_is_a_fixed_point(small: Imported) -> None:
    fixed_point(small.definition)
    again = read_xlsform(write_xlsform(small.definition).content, file="again.xlsx").definition
    ours, theirs = ({item.name: item for _form, item in one.items()} for one in (small.definition, again))
    for name, item in ours.items():
        same = ("type", "label", "help", "show_if", "derive", "required", "codelist")
        assert [getattr(item, key) for key in same] == [getattr(theirs[name], key) for key in same], name


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in FIXTURES.glob("*/study.yaml")))
def test_a_study_defined_here_reaches_a_fixed_point_and_names_its_losses(folder: str) -> None:
    study = load_study(FIXTURES / folder)
    fixed_point(study)
    exported = write_xlsform(study)
    again = read_xlsform(exported.content, file="again.xlsx").definition
    assert sum(1 for _form, _item in again.items()) == sum(1 for _form, _item in study.items())
    assert {"event", "check", "soft_range"} <= {loss.element for loss in exported.losses}


# Bad input


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(22):
            archive.writestr(f"xl/worksheets/sheet{number}.xml", b"\0" * 10_000_000)
    return out.getvalue()


def lying_bomb() -> bytes:
    """An archive whose directory claims 10 bytes for a part that unpacks to 50 MB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"\0" * 50_000_000)
    size = (50_000_000).to_bytes(4, "little")
    return out.getvalue().replace(size, (10).to_bytes(4, "little"))


def with_part(name: str, xml: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as source, zipfile.ZipFile(out, "w") as target:
        for part in source.infolist():
            target.writestr(part.filename, xml if part.filename == name else source.read(part))
    return out.getvalue()


def gap(empty: int) -> bytes:
    return workbook(SURVEY + "\n |" * empty + "\n" + "text | last_of_all | Last | 最后")


def claimed(rows: str) -> bytes:
    """The same workbook with another size in its sheet."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as source:
        sheet = source.read("xl/worksheets/sheet1.xml")
    return with_part("xl/worksheets/sheet1.xml", re.sub(rb'<dimension ref="[^"]*"', rows.encode(), sheet))


def huge_cell() -> bytes:
    with zipfile.ZipFile(io.BytesIO(workbook())) as source:
        return source.read("xl/sharedStrings.xml").replace(b"Family name", b"A" * 10_000_000)


XXE = b'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e SYSTEM "file:///etc/passwd">]><workbook>&e;</workbook>'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an Excel workbook"),
        (b"type,name,label\ntext,a,A\n", "not an Excel workbook"),
        (workbook()[:3000], "damaged"),
        (workbook()[:-60], "damaged"),
        (bomb(), "zip bomb"),
        (lying_bomb(), "damaged"),
        (with_part("xl/workbook.xml", XXE), "DTD"),
        (with_part("xl/workbook.xml", b"<workbook"), "cannot be read"),
        (workbook(formula="=1+1"), "f.xlsx:3: C3: the cell C3 is a formula"),
        (with_part("xl/sharedStrings.xml", huge_cell()), "f.xlsx:2: survey.label::English (en): a cell of"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "cannot be read"),
        (workbook("type | name | label\nselect_one nolist | a | A"), "f.xlsx:2"),
        (workbook("type | name | label\ntext | a | A\ntext | a | B"), "f.xlsx:3"),
        (workbook("type | name | label\nbegin_group | a | A\ntext | b | B"), "f.xlsx:2"),
        (workbook("type | name | label\ntext | a | A\nnote | b | ${nobody}"), "nobody"),
        (workbook("kind | title\nx | y"), "f.xlsx"),
        (gap(61), "below too many empty rows"),
        (claimed('<dimension ref="A1:L9"'), "to be read"),
    ],
)  # fmt: skip
def test_a_bad_workbook_gets_one_clear_error(content: bytes, says: str) -> None:
    assert says in one_error(content)


def test_a_workbook_with_any_byte_altered_is_read_or_gets_one_error() -> None:
    whole = workbook()
    refused = 0
    for at in range(0, len(whole), len(whole) // 60):
        content = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        try:
            read_xlsform(content, file="f.xlsx")
        except DefinitionErrors as errors:
            refused += 1
            assert all(error.message_zh and error.remedy for error in errors.errors)
    assert refused > 20


def test_a_few_empty_rows_part_no_question_from_its_form() -> None:
    (form,) = read_xlsform(gap(40), file="f.xlsx").definition.forms
    assert "last_of_all" in form.items


WORDS = st.sampled_from(
    [
        "text",
        "integer",
        "select_one yn",
        "begin_group",
        "end_group",
        "begin_repeat",
        "end_repeat",
        "note",
        "calculate",
        "x",
    ]
)
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "${a} = '1'", ". > 1", "sum(${b})", "yes", "${a} + ${b}", "selected(${a}, '1')"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="|"), max_size=8),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(WORDS, st.sampled_from("abcd"), TEXTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=7))
def test_any_form_is_refused_with_a_reason_or_reaches_a_fixed_point(rows: list[tuple[str, ...]]) -> None:
    lines = ["type | name | label | relevant | constraint | calculation", *(" | ".join(row) for row in rows)]
    try:
        study = read_xlsform(workbook("\n".join(lines), settings_="form_id | version\nf | 1"), file="f.xlsx").definition
    except DefinitionErrors as refused:
        assert all(error.message_zh and error.remedy for error in refused.errors)
        return
    fixed_point(study)


# Files that nobody here wrote


def test_all_real_forms_import_and_reach_a_fixed_point(shared: Path) -> None:
    found = sorted((shared / "data/xlsform").glob("*.xls"))
    counts = {}
    for path in found:
        imported = read_xlsform(path.read_bytes(), file=path.name)
        fixed_point(imported.definition)
        counts[path.name] = sum(len(section.items) for section in imported.definition.forms[0].sections)
        assert not [one for one in imported.losses if one.element in ("relevant", "constraint", "calculation")], (
            path.name
        )
    assert counts == {
        "pyxform_cascading_select_test_equivalent.xls": 9, "pyxform_group_name_test.xls": 3,
        "pyxform_repeat_date_test.xls": 5, "pyxform_widgets.xls": 34,
    }  # fmt: skip


def test_cascading_selects_show_one_level_after_the_other(shared: Path) -> None:
    path = shared / "data/xlsform/pyxform_cascading_select_test_equivalent.xls"
    (form,) = read_xlsform(path.read_bytes(), file=path.name).definition.forms
    state = evaluate(form, {"mylga_zone": "zone_2", "mylga_state_in_zone_2": "state_3"})
    assert state.values["mylga_state"] == "state_3"
    assert {"mylga_state_in_zone_2", "mylga_lga_in_state_3"} <= state.visible
    assert not {"mylga_state_in_zone_1", "mylga_lga_in_state_1"} & state.visible
