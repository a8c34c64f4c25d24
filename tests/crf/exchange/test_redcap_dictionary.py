"""A REDCap data dictionary becomes a study and comes back cell by cell; ours becomes one with every loss named."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition, evaluate, load_study
from crf.exchange.loss import Imported
from crf.exchange.redcap_dictionary import read_dictionary, read_rows
from crf.exchange.redcap_fields import COLUMNS, choices, readable, tags
from crf.exchange.redcap_write import write_dictionary

DATA = Path(__file__).parent / "data"
FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
HEADER = ",".join(f'"{name}"' for name in COLUMNS)


@pytest.fixture(scope="module")
def small() -> Imported:
    return read_dictionary((DATA / "redcap_small.csv").read_bytes(), title="Small", code="SMALL")


def dictionary(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows]).encode()


def one_error(content: bytes) -> str:
    with pytest.raises(DefinitionErrors) as caught:
        read_dictionary(content, file="d.csv")
    (error,) = caught.value.errors
    assert error.message_zh and error.remedy_zh and error.remedy
    return str(error)


def item(study: StudyDefinition, name: str) -> object:
    return next(item for _form, item in study.items() if item.name == name)


def test_field_types_and_validations_become_item_types(small: Imported) -> None:
    types = {one.name: one.type for _form, one in small.definition.items()}
    assert types == {
        "record_id": "text", "mrn": "text", "born": "date", "sex": "choice", "pregnant": "choice",
        "symptoms": "choices", "weight": "decimal", "height": "integer", "bmi": "derived", "age": "derived",
        "mood": "integer", "nausea": "choice", "sleep": "choice", "told": "label", "grade": "derived", "scan": "file",
        "taken": "text", "late": "date", "spread": "decimal", "site_code": "text", "notes": "text",
    }  # fmt: skip


def test_headers_are_sections_and_everything_else_of_a_field_finds_its_place(small: Imported) -> None:
    form = small.definition.form("BASELINE")
    assert [section.name.en for section in form.sections] == ["Baseline", "Who", "How they are", "Last week"]
    mrn, symptoms = form.items["mrn"], form.items["symptoms"]
    assert mrn.role == "identifier" and mrn.max_length == 12
    assert symptoms.label.en == "Symptoms now" and symptoms.help and symptoms.help.en == "tick all\nthat apply"
    codelist = small.definition.codelist(symptoms)
    assert codelist and [(one.code, one.label.en) for one in codelist.choices] == [
        ("1", "Pain, strong"), ("2", "Fever"), ("0", "None of these"),
    ]  # fmt: skip
    assert form.items["sex"].required is True
    assert form.items["weight"].precision == 1 and form.items["weight"].soft_range == (20, 200)
    assert form.items["height"].range == (100, 220) and form.items["height"].soft_range is None
    assert form.items["mood"].range == (0, 100)
    assert form.items["nausea"].codelist == form.items["sleep"].codelist


def test_logic_and_calculations_work(small: Imported) -> None:
    form = small.definition.form("BASELINE")
    state = evaluate(
        form,
        {"sex": "1", "born": "1983-09-23", "weight": 81.0, "height": 160, "symptoms": ["2"], "mrn": "AB"},
        {"today": "2026-04-03"},
    )
    assert state.values["bmi"] == 31.6 and state.values["age"] == 42
    assert {"pregnant", "mood"} <= state.visible
    assert not {"pregnant", "mood"} & evaluate(form, {"sex": "2"}).visible
    grade = item(small.definition, "grade")
    assert grade.derive == "given(forms.BASELINE.bmi) && forms.BASELINE.bmi > 25 ? 'high' : 'fair'"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "check", "severity"),
    [
        ({"symptoms": ["1", "0"]}, "symptoms.none", "hard"),
        ({"born": "2027-01-01"}, "born.range", "soft"),
        ({"born": "1899-12-31"}, "born.range", "soft"),
        ({"mrn": "A-1"}, "mrn.format", "soft"),
        ({"weight": 10.0}, "soft_range", "soft"),
        ({"height": 300}, "range", "hard"),
    ],
)
def test_limits_formats_and_tags_are_checked(
    small: Imported, values: dict[str, object], check: str, severity: str
) -> None:
    found = evaluate(small.definition.form("BASELINE"), values, {"today": "2026-04-03"}).findings
    assert [(one.check, one.severity) for one in found if one.check != "required"] == [(check, severity)]


def test_what_does_not_come_along_is_kept_word_for_word_and_listed(small: Imported) -> None:
    losses = {(loss.element, loss.place): loss for loss in small.losses}
    assert losses["branching", "late"].what == "[other_event][sex] = '1'"
    assert item(small.definition, "late").alias["redcap:branching"] == "[other_event][sex] = '1'"  # type: ignore[attr-defined]
    assert losses["calculation", "spread"].what == "stdev([weight], [height])"
    assert losses["sql", "site_code"].fate == "kept"
    assert losses["@DEFAULT", "sex"].what == "1" and ("@HIDDEN", "late") in losses
    assert losses["validation", "taken"].fate == "changed"
    assert ("label", "told") in losses
    assert all(loss.zh and loss.en for loss in small.losses)


def test_a_limit_that_is_another_field_is_a_check(small: Imported) -> None:
    (check,) = [one for one in small.definition.form("FOLLOW_UP").checks if one.id == "late.range"]
    assert check.require == "late >= forms.BASELINE.born"


def test_an_imported_dictionary_is_written_as_it_was(small: Imported) -> None:
    source = (DATA / "redcap_small.csv").read_bytes()
    written = write_dictionary(small.definition)
    assert read_rows(written.content, file="")[0] == read_rows(source, file="")[0]
    assert written.losses == ()


def fixed_point(study: StudyDefinition, language: str = "en") -> None:
    """Export, import, export: the second file and the second study are the first ones."""
    first = write_dictionary(study, language=language)
    again = read_dictionary(first.content, file="d.csv", code="AGAIN")
    second = write_dictionary(again.definition, language=language)
    assert second.content == first.content
    third = read_dictionary(second.content, file="d.csv", code="AGAIN")
    assert third.definition.sha256() == again.definition.sha256()


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("folder", sorted(path.parent.name for path in FIXTURES.glob("*/study.yaml")))
def test_a_study_defined_here_reaches_a_fixed_point_and_names_its_losses(folder: str, language: str) -> None:
    study = load_study(FIXTURES / folder)
    fixed_point(study, language)
    exported = write_dictionary(study, language=language)
    rows = read_rows(exported.content, file="")[0]
    items = sum(1 for _form, _item in study.items())
    assert len(rows) == items + 1  # REDCap's record id comes first
    assert {loss.element for loss in exported.losses} >= {"event", "check", "unit"}


def test_logic_changed_since_the_import_is_written_anew(small: Imported) -> None:
    raw = small.definition.model_dump(mode="json")
    for one in raw["forms"][0]["sections"][1]["items"]:
        if one["name"] == "pregnant":
            one["show_if"] = "sex == '2'"
    rows = read_rows(write_dictionary(StudyDefinition.model_validate(raw)).content, file="")[0]
    assert next(row.branching for row in rows if row.variable == "pregnant") == "[sex] = '2'"


def test_rows_of_a_group_become_an_instrument_of_their_own() -> None:
    raw = load_study(FIXTURES / "chictr2600121791").model_dump(mode="json")
    raw["forms"][0]["sections"][0]["rows"] = {"name": "rows_of_it"}
    for form in raw["forms"]:
        form["checks"] = []
    exported = write_dictionary(StudyDefinition.model_validate(raw))
    forms = dict.fromkeys(row.form for row in read_rows(exported.content, file="")[0])
    assert f"{raw['forms'][0]['oid'].lower()}_rows_of_it" in forms
    assert any(loss.element == "rows" for loss in exported.losses)


@pytest.mark.parametrize(
    "row",
    [
        "a,f,,checkbox,A,,,number,,soon,,,,,,,,",
        "a,f,,text,A,,,integer,0.5,9,,,,,,,,",
        "a,f,,text,A,,,number,[record_id],9,,,,,,,,",
        "a,f,,text,A,,,time,08:00,,,,,,,,,",
        "a,f,,slider,A,,,,-5,,,,,,,,,",
        "a,f,,slider,A,,,,NaN,1e999,,,,,,,,",
        "a,f,,text,A,,,number,inf,1_000,,,,,,,,",
        "a,f,,calc,A,NAN,,,,,,,,,,,,",
        "a,f,,text,A,,,,,,,,no,,,,,",
        "a,f,,calc,A,stdev([record_id]),,,1,2,,,,,,,,",
        "a,f,,text,A,,,number_2dp,,,,,,,,,,\"@CALCTEXT(if([record_id]='1','x','y'))\"",
    ],
)
def test_what_becomes_something_else_is_still_written_as_it_was(row: str) -> None:
    source = dictionary("record_id,f,,text,ID,,,,,,,,,,,,,", row)
    written = write_dictionary(read_dictionary(source, code="X").definition).content
    assert read_rows(written, file="")[0] == read_rows(source, file="")[0]


def test_a_calculation_of_itself_reaches_a_fixed_point_whatever_stands_in_its_other_cells() -> None:
    source = dictionary("record_id,f,,text,ID,,,,,,,,,,,,,", "a,f,,calc,A,[a] = '1',,number,,,,,0,,,,,")
    fixed_point(read_dictionary(source, code="X").definition)


# Spellings of the file


def semicolons(source: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows(csv.reader(io.StringIO(source)))
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def ragged(source: str) -> bytes:
    out = io.StringIO()
    table = csv.writer(out)
    for cells in csv.reader(io.StringIO(source)):
        while cells and not cells[-1]:
            cells.pop()
        table.writerow(cells)
    return out.getvalue().encode()


@pytest.mark.parametrize(
    "spell",
    [semicolons, ragged, lambda text: text.encode("utf-16"), lambda text: text.replace(",", "\t").encode()],
    ids=["semicolon and BOM", "ragged rows", "UTF-16", "tabs"],
)
def test_other_spellings_are_the_same_dictionary(spell: object) -> None:
    source = (DATA / "redcap_small.csv").read_text()
    if spell is not semicolons and spell is not ragged and "\t" in spell(source).decode("latin-1"):  # type: ignore[operator]
        source = "\n".join([",".join(COLUMNS), "record_id,baseline,,text,ID"])
    content: bytes = spell(source)  # type: ignore[operator]
    assert read_rows(content, file="")[0] == read_rows(source.encode(), file="")[0]


def test_a_chinese_dictionary_in_gb18030_is_read() -> None:
    source = dictionary(
        "record_id,入组,,text,受试者编号,,,,,,,,,,,,,", 'xb,入组,,radio,性别,"1, 男 | 2, 女",,,,,,,,,,,,'
    )
    study = read_dictionary(source.decode().encode("gb18030"), code="CN").definition
    assert item(study, "xb").label.zh == "性别"  # type: ignore[attr-defined]
    assert study.forms[0].alias["redcap"] == "入组"
    fixed_point(study)


# Bad input


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the column 'Variable / Field Name' is missing"),
        (b"a,b,c\n1,2,3\n", "not a REDCap data dictionary"),
        (HEADER.encode(), "no fields"),
        (dictionary("a,f,,text,A", "b,f,,text,B", "a,f,,text,A"), "d.csv:4: a: the variable 'a' is already in row 2"),
        (dictionary("a,f,,text,A", ",f,,text,B"), "d.csv:3: Variable / Field Name: row 3 has no"),
        (dictionary("a,,,text,A"), "Form Name"),
        (dictionary("a,f,,blob,A"), "d.csv:2: a: there is no field type 'blob'"),
        (dictionary('a,f,,radio,A,"1, x | 1, y"'), "the code '1' is used twice"),
        (dictionary(f'a,f,,radio,A,"{"9" * 70}, x"'), "too long"),
        (dictionary("a,f,,text,A" + "," * 20 + "more"), "row 2 has 25 cells"),
        (dictionary('a,f,,text,"A'), "open quote"),
        (dictionary("a,f,,text," + "A" * 10_000_000), "d.csv:2: Field Label: a cell of more than 50000"),
        (dictionary("a,f,,text,A\x01"), "control character"),
        (bytes(range(128, 256)) * 3, "encoding"),
        ((HEADER + "\nx,f,,text,ID").encode("utf-16")[:-1], "encoding"),
        ((HEADER + "," + COLUMNS[0] + "\n").encode(), "is there twice"),
        (b"PK\x03\x04" + b"\x00" * 100, "missing"),
    ],
)
def test_a_bad_dictionary_gets_one_clear_error(content: bytes, says: str) -> None:
    assert says in one_error(content)


def test_a_truncated_dictionary_is_refused_or_whole_rows_of_it_are_read() -> None:
    source = (DATA / "redcap_small.csv").read_bytes()
    for length in range(len(source) - 900, len(source), 37):
        try:
            study = read_dictionary(source[:length], file="d.csv").definition
        except DefinitionErrors as refused:
            assert len(refused.errors) == 1
        else:
            fixed_point(study)


CELLS = st.one_of(
    st.sampled_from(
        ["", "1, a | 2, b", "[a] = '1'", "[b(1)] <> ''", "y", "number", "date_ymd", "5", "@HIDDEN", "<b>x</b>"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12),
)
KINDS = ["text", "notes", "calc", "dropdown", "radio", "checkbox", "yesno", "file", "slider", "descriptive"]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["form_a", "form_b"]),
        st.sampled_from(KINDS),
        st.lists(CELLS, min_size=13, max_size=14),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


def lines(rows: list[tuple[str, str, list[str]]]) -> Iterator[list[str]]:
    yield list(COLUMNS)
    yield ["record_id", "form_a", "", "text", "ID"]
    for at, (form, kind, cells) in enumerate(rows):
        yield [f"f{at}" if at > 1 else "ab"[at], form, cells[0], kind, *cells[1:]]


@settings(max_examples=120, deadline=None)
@given(rows=ROWS)
def test_any_dictionary_is_refused_with_a_reason_or_reaches_a_fixed_point(
    rows: list[tuple[str, str, list[str]]],
) -> None:
    out = io.StringIO()
    csv.writer(out).writerows(lines(rows))
    try:
        study = read_dictionary(out.getvalue().encode(), file="d.csv").definition
    except DefinitionErrors as refused:
        assert all(error.message_zh and error.remedy for error in refused.errors)
        return
    fixed_point(study)


# Small readers


def test_choices_labels_and_tags_are_read_as_redcap_writes_them() -> None:
    assert choices("1, one|2, two, and more | x") == [("1", "one"), ("2", "two, and more"), ("x", "x")]
    assert choices("1, one\n2, two") == [("1", "one"), ("2", "two")]
    assert readable('<p style="x">A&nbsp;&lt; 5</p>B<br/>C a<b') == "A < 5\nB\nC a<b"
    text = "see @HIDDEN @DEFAULT='a b' @CALCTEXT(if([a]=')', 'x', \"y\")) @CHARLIMIT=20 mail me@home"
    assert list(tags(text)) == [
        ("HIDDEN", ""), ("DEFAULT", "a b"), ("CALCTEXT", "if([a]=')', 'x', \"y\")"), ("CHARLIMIT", "20"),
    ]  # fmt: skip


# Files that nobody here wrote


def dictionaries(shared: Path) -> list[Path]:
    return sorted(path for path in (shared / "data/redcap").iterdir() if "ictionary" in path.name)


def test_all_real_dictionaries_import_and_come_back_cell_by_cell(shared: Path) -> None:
    found = dictionaries(shared)
    assert len(found) == 7
    for path in found:
        content = path.read_bytes()
        imported = read_dictionary(content, file=path.name)
        rows = read_rows(content, file=path.name)[0]
        assert sum(1 for _form, _item in imported.definition.items()) == len(rows), path.name
        assert read_rows(write_dictionary(imported.definition).content, file="")[0] == rows, path.name
        fixed_point(imported.definition)


def test_all_logic_of_the_real_dictionaries_is_translated(shared: Path) -> None:
    for path in dictionaries(shared):
        losses = read_dictionary(path.read_bytes(), file=path.name).losses
        assert [loss for loss in losses if loss.element in ("branching", "calculation", "limits")] == [], path.name
