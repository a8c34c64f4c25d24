"""Everything that can be wrong with a study folder is found at load, with file, line, item and the way out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition, json_schema, load_study
from crf.definitions.yaml_lines import BadYaml, parse

from .conftest import MINI

STUDY, DM, LB, AE, CODES = "study.yaml", "forms/DM.yaml", "forms/LB.yaml", "forms/AE.yaml", "codelists.yaml"

# file, what is replaced, by what, line of the error, item named, part of the message, part of the remedy
FAULTS = [
    (DM, "type: date, label: {zh: 出生日期", "typ: date, label: {zh: 出生日期", 7, "DM.birth_date", "unknown key 'typ'",
    "type?"),
    (DM, "name: sex, type: choice", "name: sex, type: chioce", 6, "DM.sex", "'chioce' is not possible", "'choice'"),
    (DM, "{zh: 性别, en: Sex}", "{en: Sex}", 6, "DM.sex", "Chinese text (zh) is missing", "zh and en"),
    (DM, "{zh: 性别, en: Sex}", "{zh: 性别}", 6, "DM.sex", "English text (en) is missing", "zh and en"),
    (DM, "{zh: 性别, en: Sex}", "{zh: '', en: Sex}", 6, "DM.sex", "must not be empty", "fill it in"),
    (DM, "codelist: SEX", "codelist: SEXES", 6, "DM.sex", "no code list 'SEXES'", "GRADE, SEX"),
    (DM, "codelist: SEX, ", "", 6, "DM.sex", "needs a codelist", "add codelist"),
    (DM, "type: text", "type: text\n        codelist: SEX", 13, "DM.other_cause", "only choices", "remove"),
    (DM, "type: text", "type: text\n        range: [1, 2]", 13, "DM.other_cause", "text has no range", "check"),
    (DM, "name: birth_date, type: date", "name: sex, type: date", 7, "DM.sex", "'sex' is used twice", "rename"),
    (DM, "name: birth_date", "name: Birth-Date", 7, "DM.Birth-Date", "not spelt as it must be", "[a-z]"),
    (DM, "name: birth_date", "name: in", 7, "DM.in", "expression language", "correct"),
    (DM, "oid: DM", "oid: dm", 1, "dm", "not spelt", "A-Z"),
    (DM, "birth_date, surgery_date)\"", "birth_day, surgery_date)\"", 9, "DM.age", "no item 'birth_day'",
    "birth_date"),
    (DM, "derive: \"years(birth_date, surgery_date)\", ", "", 9, "DM.age", "needs derive", "expression"),
    (DM, "value_type: integer, ", "", 9, "DM.age", "needs value_type", "add one"),
    (DM, "'OTHER' in causes", "'OTHERS' in causes", 14, "DM.other_cause", "no code 'OTHERS'", "HBV"),
    (DM, "'OTHER' in causes", "'OTHER' in", 14, "DM.other_cause", "syntax error", "expression"),
    (DM, "'OTHER' in causes", "count(causes)", 14, "DM.other_cause", "not true or false", "compare"),
    (DM, "\"'OTHER' in causes\"", "\"causes == 'OTHER'\"", 14, "DM.other_cause", "never equal", "'A' in x"),
    (DM, "\"'OTHER' in causes\"", "\"sex == 1\"", 14, "DM.other_cause", "never equal", "x == '1'"),
    (DM, "\"'OTHER' in causes\"", "\"sex in ['F', 1]\"", 14, "DM.other_cause", "never equal", "x == '1'"),
    (DM, "\"'OTHER' in causes\"", "\"age == '5'\"", 14, "DM.other_cause", "never equal", "number(x)"),
    (DM, "\"'OTHER' in causes\"", "\"count(causes) == '1'\"", 14, "DM.other_cause", "never equal", "number(x)"),
    (DM, "\"'OTHER' in causes\"", "\"surgery_date == sex\"", 14, "DM.other_cause", "never equal", "x == '1'"),
    (DM, "\"'OTHER' in causes\"", "\"subject.group == 'ALL'\"", 14, "DM.other_cause", "no code 'ALL'", "CASE"),
    (DM, "\"'OTHER' in causes\"", "\"subject.site != '02'\"", 14, "DM.other_cause", "no code '02'", "01"),
    (DM, "\"'OTHER' in causes\"", "\"visit.event in ['M7']\"", 14, "DM.other_cause", "no code 'M7'", "M6"),
    (DM, "<= death_date", "<= '01/05/2026'", 19, "DM.DM1", "is no date", "2026-04-03"),
    (DM, "id: DM1", "id: required", 19, "DM.required", "every form has", "rename"),
    (DM, "required: true}", "required: yes_please(}", 6, "DM.sex", "no function yes_please", "expression"),
    (DM, "[death_date, surgery_date]", "[death, surgery_date]", 19, "DM.DM1", "no item 'death'", "death_date"),
    (DM, "require: \"surgery_date <= death_date\"", "require: \"surgery_date <= 5\"", 19, "DM.DM1",
    "types do not fit", "mix"),
    (DM, "id: DM1, ", "", 19, "DM", "'id' is missing", "add it"),
    (DM, "severity: hard", "severity: error", 19, "DM.DM1", "'error' is not possible", "'hard' or 'soft'"),
    (LB, "range: [10, 70]", "range: [70, 10]", 7, "LB.albumin", "[lowest, highest]", "swap"),
    (LB, "range: [10, 70]", "range: ten", 7, "LB.albumin", "should be a list", "[..]"),
    (LB, "soft_range: [3, 400]", "soft_range: [0, 400]", 6, "LB.bilirubin", "reaches beyond range", "narrow"),
    (LB, "range: [1, 2000]", "range: [0.5, 2000]", 10, "LB.platelets", "integer is whole", "whole"),
    (LB, "name: platelets, type: integer", "name: platelets, precision: 1, type: integer", 10, "LB.platelets",
    "precision", "remove"),
    (LB, "albi(bilirubin, albumin)", "albi(bilirubin)", 8, "LB.albi", "takes 2 arguments", "expression"),
    (LB, "albi(bilirubin, albumin)", "albi_grade == '1' ? 1 : 2", 8, "LB.albi", "albi -> LB.albi", "references"),
    (LB, "events.BASELINE.LB", "events.SCREENING.LB", 11, "LB.change", "no event 'SCREENING'", "BASELINE"),
    (LB, "events.BASELINE.LB", "events.LOG.LB", 11, "LB.change", "LOG has no form 'LB'", "AE"),
    (LB, "? 1 : albi", "? 4 : albi", 9, "LB.albi_grade", "no code", "1, 2, 3"),
    (LB, "value_type: decimal, precision: 1, derive", "value_type: date, derive", 11, "LB.change",
    "value_type is date", "change"),
    (DM, "name: birth_date, type: date", "name: birth_date, dicom: AcquisitionDate, type: date", 7, "DM.birth_date",
    "in the event of the images", "move"),
    (DM, "name: birth_date, type: date", "name: birth_date, dicom: PatientName, type: date", 7, "DM.birth_date",
    "not spelt", "AcquisitionDate"),
    (AE, "forms.DM.surgery_date", "forms.DMX.surgery_date", 12, "AE.AE2", "no form 'DMX'", "DM"),
    (AE, "term, type: text", "term, derive: \"1\", type: text", 7, "AE.term", "only a derived item", "derived"),
    (AE, "onset, type: date", "onset, max_length: 3, type: date", 8, "AE.onset", "only text", "remove"),
    (AE, "note, type: label", "note, required: true, type: label", 9, "AE.note", "nobody can fill", "remove"),
    (AE, "onset <= today", "note == 'x'", 11, "AE.AE1", "no item 'note'", "term"),
    (CODES, "code: F", "code: M", 5, "SEX.M", "'M' is used twice", "rename"),
    (CODES, "code: \"1\"", "code: 1", 14, "GRADE", "should be text, not 1", "quotes"),
    (STUDY, "forms: [DM, LB]", "forms: [DM, LX]", 10, "BASELINE", "no form 'LX'", "AE, DM, LB"),
    (STUDY, "forms: [AE]", "forms: [DM]", 1, "AE", "in no event", "event"),
    (STUDY, "oid: M6", "oid: BASELINE", 11, "BASELINE", "used twice", "rename"),
    (STUDY, "anchor: DM.surgery_date", "anchor: DM.sex", 11, "M6", "no date item", "OPER.transplant_date"),
    (STUDY, "anchor: enrolment, day: 0", "day: 0", 10, "BASELINE", "needs `anchor` and `day`", "correct"),
    (STUDY, "window: [-30, 0]", "window: [0, -30]", 10, "BASELINE", "earlier to the later", "correct"),
    (STUDY, "day: 90, every: 90, window: [-7, 14], ", "every: 90, ", 12, "FOLLOW", "no effect without `day`", "add"),
    (STUDY, "kind: log, ", "kind: log, day: 3, ", 13, "LOG", "a log has no date", "correct"),
    (STUDY, "version: \"1.0\"", "version: 1.0", 2, "MINI", "should be text, not 1.0", "quotes"),
    (STUDY, "registration_number: none", "registration: none", 4, "MINI", "unknown key 'registration'",
    "registration_number?"),
    (STUDY, "code: \"01\"", "code: NORTHERN-HOSPITAL", 6, "NORTHERN-HOSPITAL", "too long", "at most 10"),
    (STUDY, "code: CASE,", "code: CASES_OF_THE_MAIN_STUDY,", 8, "CASES_OF_THE_MAIN_STUDY", "too long", "at most 20"),
    (STUDY, "target: 10, origin: assumed}\ngroups", "target: 9999999999, origin: assumed}\ngroups", 6, "01",
    "too large", "1000000"),
    (STUDY, "code: MINI", f"subject_number: '{'x' * 30}-{{site}}-{{sequence:04d}}'\ncode: MINI", 1, "MINI", "too long",
    "at most 40"),
    (STUDY, "code: MINI", "imaging: {modality: MR, event: SCAN}\ncode: MINI", 1, "MINI", "no event 'SCAN'", "BASELINE"),
    (STUDY, "code: MINI", "code: MINI\ncode: MAXI", 2, "", "'code' appears twice", "correct"),
    (STUDY, "code: MINI", "code: [MINI", 2, "", "YAML syntax", "correct"),
    (STUDY, "code: MINI", "code: !!python/name:os.system x", 1, "", "tag", "correct"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "line", "item", "said", "remedy"), FAULTS)
def test_a_fault_is_found_with_file_line_item_and_remedy(broken, file, old, new, line, item, said, remedy):
    errors = broken(file, old, new).errors
    matching = [error for error in errors if said in error.message]
    assert matching, [str(error) for error in errors]
    error = matching[0]
    assert (error.item, remedy in error.remedy) == (item, True), str(error)
    assert error.remedy_zh
    assert re.search("[一-鿿]", error.message_zh), error.message_zh
    # An unused form is reported where the form is written.
    assert (error.file, error.line) == (AE if "in no event" in said else file, line)


@pytest.mark.parametrize(
    "fine",
    [
        "sex == alive && causes == causes",
        "age == -5 || age in [1, 2.5] || 3 == age + count(causes)",
        "other_cause == sex || other_cause == '2026' || other_cause >= 'b'",
        "birth_date == today && birth_date != '2026-02-28' && '2026-02-28' <= subject.enrolled_on",
        "given(age) == given(sex) || (sex == 'F') == true",
        "visit.repeat == 1 && visit.event == 'M6' && subject.group in ['CASE'] && '01' == subject.site",
        "number(other_cause) == age && string(age) == other_cause",
        "causes.exists(c, c == 'HBV') && causes == ['HBV', 'HCV']",
    ],
)
def test_what_can_be_equal_is_no_fault(tmp_path: Path, fine: str):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    path = folder / DM
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("surgery_date <= death_date", fine), encoding="utf-8")
    assert load_study(folder).form("DM").checks[0].require == fine


def test_all_faults_are_told_at_once(tmp_path: Path):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    for file, old, new in (
        (DM, "type: choice", "type: chioce"),
        (LB, "range: [10, 70]", "range: ten"),
        (CODES, "zh: 男, ", ""),
    ):
        path = folder / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DefinitionErrors) as caught:
        load_study(folder)
    assert {error.file for error in caught.value.errors} == {DM, LB, CODES}
    assert str(caught.value).count("\n") == 2
    assert "forms/DM.yaml:6: DM.sex: " in str(caught.value)
    assert "可用" in caught.value.of("zh-hans")


def test_a_circle_through_two_forms_is_found(tmp_path: Path):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    for file, old, new in (
        (DM, "years(birth_date, surgery_date)", "forms.LB.change"),
        (LB, "platelets - events.BASELINE.LB.platelets", "forms.DM.age"),
    ):
        path = folder / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DefinitionErrors, match=r"DM\.age -> LB\.change -> DM\.age"):
        load_study(folder)


@pytest.mark.parametrize("missing", [STUDY, "forms"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DefinitionErrors, match=r"the file is missing; a study folder has study\.yaml"):
        load_study(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"- 1", b"true", b"\x00", "中文".encode("gb18030"), b"[" * 5000 + b"]" * 5000]
)
def test_a_file_that_is_no_study_is_one_clear_error(tmp_path: Path, content: bytes):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    (folder / STUDY).write_bytes(content)
    with pytest.raises(DefinitionErrors) as caught:
        load_study(folder)
    assert {error.file for error in caught.value.errors} == {STUDY}


def test_an_alias_bomb_is_refused_before_it_unfolds():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadYaml, match="too much content"):
        parse("\n".join(levels))


@pytest.mark.parametrize(("text", "value"), [("NO", "NO"), ("Y", "Y"), ("01", "01"), ("2026-04-01", "2026-04-01"),
("1_000", "1_000"),
                                             ("1", 1), ("-1.5", -1.5), ("true", True), ("~", None),
                                             ("'1'", "1")])  # fmt: skip
def test_codes_and_dates_stay_text(text, value):
    assert parse(f"a: {text}")[0] == {"a": value}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1500), st.integers(1, 40), st.sampled_from([DM, LB, AE, CODES, STUDY]))
def test_a_truncated_or_holed_file_is_refused_or_loads_never_crashes(
    tmp_path: Path, start: int, length: int, file: str
):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder, dirs_exist_ok=True)
    text = (MINI / file).read_text(encoding="utf-8")
    (folder / file).write_text(text[:start] + text[start + length :], encoding="utf-8")
    try:
        assert isinstance(load_study(folder), StudyDefinition)
    except DefinitionErrors as errors:
        assert errors.errors
        assert all(error.file and error.line >= 1 and error.message for error in errors.errors)


def test_a_build_read_back_from_storage_is_the_same(mini: StudyDefinition):
    again = StudyDefinition.from_json(mini.canonical_json())
    assert again == mini
    assert again.sha256() == mini.sha256()
    assert again.form("LB").order == mini.form("LB").order


def test_the_hash_changes_with_any_word(mini: StudyDefinition, tmp_path: Path):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    path = folder / AE
    path.write_text(path.read_text(encoding="utf-8").replace("en: Term", "en: Name"), encoding="utf-8")
    assert load_study(folder).sha256() != mini.sha256()


def test_comments_and_key_order_do_not_change_the_hash(mini: StudyDefinition, tmp_path: Path):
    folder = tmp_path / "study"
    shutil.copytree(MINI, folder)
    path = folder / STUDY
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("# a comment\n" + "\n".join([*lines[1:], lines[0]]), encoding="utf-8")
    assert load_study(folder).sha256() == mini.sha256()


def test_a_definition_is_frozen(mini: StudyDefinition):
    with pytest.raises(ValueError, match="frozen"):
        mini.version = "2.0"  # type: ignore[misc]


def test_editors_get_a_schema_of_each_file():
    schemas = json_schema()
    assert set(schemas) == {"study.yaml", "forms/*.yaml", "codelists.yaml"}
    assert "events" in schemas["study.yaml"]["properties"]
    assert "forms" not in schemas["study.yaml"]["properties"]


@pytest.mark.parametrize("code", ["chictr2600121791", "chictr2600121618"])
def test_the_shipped_studies_load(code: str):
    study = load_study(Path(__file__).parents[3] / "fixtures" / code)
    assert study.code == code.upper()
    assert all(item.origin for _, item in study.items())


HOSTILE = {
    "brackets": b"[" * 100_000,  # ended the process, not only the request
    "mappings": b"\n".join(b" " * level + b"a:" for level in range(400)),
    "words as numbers": b"a: !!int abc",
    "a number of 5000 digits": b"a: " + b"9" * 5000,
    "names of code": b"a: !!python/name:os.system ''",
    "unfolding": b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 123)),
    "itself": b"a: &a [*a]",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_with_its_line(content: bytes):
    with pytest.raises(BadYaml):
        parse(content)
