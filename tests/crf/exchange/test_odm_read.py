"""CDISC ODM as a study: what it says is there, what has no place is in the report, and the way back is the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition, load_study
from crf.definitions.model import Event, Form, Item
from crf.exchange.loss import Imported, Loss, as_csv
from crf.exchange.odm_data import read_odm_data
from crf.exchange.odm_oids import negation
from crf.exchange.odm_read import read_odm
from crf.exchange.odm_write import write_metadata
from crf.exchange.xml_text import FORBIDDEN
from tests.crf.exchange.odm_schema import faults
from tests.crf.exchange.synthetic import odm_of

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).resolve().parents[3]
SMALL = (DATA / "small_odm.xml").read_bytes()
# File under ../shared/data/odm, its events, forms, and items as forms show them (an ItemDef in two forms counts twice).
SHARED = [
    ("cdisc_Dave_Result_ODMv2.xml", 5, 7, 90),
    ("cdisc_IE_Simple_Workflow.xml", 1, 1, 4),
    ("cdisc_MetaData_Dave_1_3_2_extra_languages.xml", 5, 7, 90),
    ("odmlib_cdash-odm-test.xml", 2, 4, 48),
    ("odmlib_odm-data-snapshot.xml", 4, 7, 52),
    ("odmxmltools_test.xml", 1, 2, 7),
    ("openedc_metadata.xml", 3, 5, 29),
]


@pytest.fixture(scope="module")
def small() -> Imported:
    return read_odm(SMALL, file="small_odm.xml")


@pytest.fixture
def study(small: Imported) -> StudyDefinition:
    return small.definition


def item(study: StudyDefinition, form: str, name: str) -> Item:
    return next(one for section in study.form(form).sections for one in section.items if one.name == name)


def losses(imported: Imported, element: str, place: str = "") -> list[Loss]:
    return [one for one in imported.losses if one.element == element and (not place or one.place == place)]


def checks(form: Form) -> dict[str, str]:
    return {check.id: check.require for check in form.checks}


# What is there


def test_events_keep_their_order_and_kind(study):
    assert [(event.oid, event.kind, event.optional) for event in study.events] == [
        ("BASE", "scheduled", False),
        ("MONTH", "repeating", True),
        ("EXTRA", "unscheduled", True),
        ("AE", "log", True),
    ]


def test_a_visit_day_is_assumed_and_said(small):
    event: Event = small.definition.event("BASE")
    assert (event.anchor, event.day, event.origin) == ("enrolment", 0, "assumed")
    [loss] = losses(small, "StudyEventDef/day")
    assert (loss.fate, loss.place) == ("assumed", "SE.BASE")


def test_sites_come_from_the_locations(study):
    assert [(site.code, site.name.en) for site in study.sites] == [("10", "Shanghai"), ("20", "Munich")]


def test_a_location_with_a_long_oid_is_a_site_with_a_short_code_and_its_subjects_are_there():
    oid = b"HOSPITAL OF THE NORTH"
    found = read_odm(SMALL.replace(b"LOC.20", oid), file="small_odm.xml")
    code = found.definition.sites[1].code
    assert len(code) <= 10 and found.definition.sites[1].name.en == "Munich"
    [loss] = losses(found, "Location")
    assert (loss.fate, loss.what) == ("assumed", oid.decode()) and code in loss.en
    data = DATA.joinpath("small_odm_data.xml").read_bytes()
    data = data.replace(b'<SiteRef LocationOID="LOC.10"/>', b'<SiteRef LocationOID="' + oid + b'"/>', 1)
    assert code in {record.key.site for record in read_odm_data(data, found.definition).records}


def test_a_repeating_group_is_rows_and_a_repeating_form_repeats(study):
    medication = study.form("DM").sections[2]
    assert medication.rows.name == "medication"
    assert [one.name for one in medication.items] == ["drug", "dose"]
    assert study.form("AE").repeating
    assert not study.form("DM").repeating


def test_groups_stand_in_the_order_of_their_numbers(study):
    assert [section.name.en for section in study.form("DM").sections] == [
        "Please answer everything.",
        "Demographics",
        "Medication",
    ]


def test_a_group_with_only_a_description_is_a_text_on_the_form(study):
    [text] = study.form("DM").sections[0].items
    assert (text.type, text.label.en) == ("label", "Please answer everything.")


def test_both_languages_are_read_and_a_missing_one_is_borrowed_and_said(small):
    assert item(small.definition, "DM", "sex").label.zh == "性别"
    assert item(small.definition, "DM", "age").label.zh == "Age"
    [missing] = losses(small, "TranslatedText", "xml:lang=zh")
    assert missing.fate == "assumed"
    [german] = losses(small, "TranslatedText", "xml:lang=de")
    assert (german.fate, german.what) == ("dropped", "1 ×")


@pytest.mark.parametrize(
    ("name", "type_", "more"),
    [
        ("sex", "choice", {"codelist": "sex", "required": True, "cdisc": "SEX"}),
        ("age", "integer", {"range": (18, 119), "soft_range": (None, 90)}),
        ("weight", "decimal", {"unit": "kg", "precision": 1}),
        ("birth", "date", {}),
        ("meds", "choice", {"codelist": "boolean"}),
        ("when", "text", {}),
        ("scan", "file", {}),
        ("bmi", "derived", {"value_type": "decimal", "derive": "weight / pow(height, 2)", "required": False}),
    ],
)
def test_data_types_limits_and_units_become_ours(study, name, type_, more):
    found = item(study, "DM", name)
    assert found.type == type_
    assert {key: getattr(found, key) for key in more} == more


def test_a_description_beside_a_question_is_the_definition(study):
    assert item(study, "DM", "age").definition.en == "Completed years at consent"


def test_terminology_codes_are_codings(study):
    sex = study.codelists["sex"]
    assert [(one.system, one.code) for one in sex.codings] == [("NCIt", "C66731")]
    assert [choice.codings[0].code for choice in sex.choices] == ["C20197", "C16576"]


def test_a_code_that_cannot_be_spelt_here_is_changed_and_said(small):
    assert small.definition.codelists["grade"].codes() == ["A", "(B)"]
    [loss] = losses(small, "EnumeratedItem", "CL.GRADE/{B}")
    assert loss.fate == "changed"


def test_a_dictionary_outside_the_file_leaves_text_and_stays_a_reference(small):
    drug = item(small.definition, "DM", "drug")
    assert drug.type == "text"
    assert "WHODrug" in drug.alias["odm:external"]
    assert losses(small, "CodeList", "CL.WHODRUG")


# Rules


def test_an_exception_condition_shows_what_it_does_not_except(study):
    assert study.form("DM").sections[2].show_if == "meds == '1'"


def test_a_condition_on_a_form_is_on_its_sections(study):
    [section] = study.form("PREG").sections
    assert section.show_if == "!given(forms.DM.sex) || forms.DM.sex != '1'"


def test_comparisons_that_are_no_limits_become_checks(study):
    assert checks(study.form("DM")) == {
        "rc_age_1": "age != 99",
        "rc_weight_1": "weight > 0",
        "rc_weight_2": "weight < 300",
    }
    first = study.form("DM").checks[0]
    assert (first.severity, first.message.en) == ("soft", "99 is a code for unknown")
    assert study.form("DM").checks[1].severity == "hard"


@pytest.mark.parametrize(
    ("element", "place", "text"),
    [
        ("ConditionDef", "C.ODD", "CheckSteps(1)"),
        ("RangeCheck", "I.WEIGHT", "MU.LB"),
        ("require", "DM.rc_grade_1", "grade in ['Z', 'Y']"),
        ("RangeCheck/ErrorMessage", "I.AGE", "Really?"),
        ("ItemDef/MeasurementUnitRef", "I.WEIGHT", "lb"),
    ],
)
def test_a_rule_that_cannot_be_translated_is_kept_word_for_word_and_said(small, element, place, text):
    [loss] = losses(small, element, place)
    assert loss.fate == "kept"
    assert text in loss.what
    assert loss.zh and loss.en
    assert text in small.definition.canonical_json()


@pytest.mark.parametrize(
    ("fate", "element", "place"),
    [
        ("dropped", "Presentation", "PR.1"),
        ("dropped", "MethodDef", "M.UNUSED"),
        ("dropped", "ItemDef", "I.UNUSED"),
        ("dropped", "User", "U.1"),
        ("dropped", "ItemRef", "I.GONE"),
        ("dropped", "ItemRef/@KeySequence", "F.DM/I.SEX"),
        ("kept", "ItemDef/@SASFieldName", "I.SEX"),
        ("kept", "ItemDef/@widget", "I.AGE"),
        ("kept", "ItemDef/@Length", "I.SEX"),
        ("kept", "ItemGroupDef/@Domain", "IG.DM"),
        ("kept", "StudyEventDef/@Category", "SE.BASE"),
        ("kept", "Alias", "I.SEX"),
        ("changed", "ItemDef/@DataType", "I.EVENTTIME"),
    ],
)
def test_what_has_no_place_is_in_the_report_with_its_line(small, fate, element, place):
    found = losses(small, element, place)
    assert [one.fate for one in found] == [fate]
    line = SMALL.decode().splitlines()[found[0].line - 1]
    assert place.rpartition("/")[2] in line or found[0].what.rpartition("=")[2] in line


# The words of a definition that a reader of ODM must take up or report. A new one in the small file, such as an
# attribute that nobody reads, must show up in the report: nothing is dropped in silence.
@pytest.mark.parametrize(
    "tag",
    ["StudyEventRef", "StudyEventDef", "FormRef", "FormDef", "ItemGroupRef", "ItemGroupDef", "ItemRef", "ItemDef",
     "RangeCheck", "CodeList", "CodeListItem", "ConditionDef", "MethodDef", "MeasurementUnit"],
)  # fmt: skip
def test_an_unknown_attribute_or_element_is_never_dropped_in_silence(tag):
    content = re.sub(rf"<{tag} ", f'<{tag} Unheard="of" ', SMALL.decode(), count=1)
    assert [one.what for one in read_odm(content.encode()).losses if one.element == f"{tag}/@Unheard"] == ["of"]
    opened = re.sub(rf"<({tag}) ([^>]*)/>", r"<\1 \2></\1>", SMALL.decode())
    content = re.sub(rf"(<{tag} [^>/]*>)", r"\1<Unheard>of</Unheard>", opened, count=1)
    assert [one.fate for one in read_odm(content.encode()).losses if one.element == f"{tag}/Unheard"] == ["dropped"]


def test_the_report_is_a_table_that_no_spreadsheet_runs():
    table = as_csv([Loss("kept", "ItemDef", "I.X", '=HYPERLINK("http://x")', "原因", "why", 3)])
    assert "'=HYPERLINK" in table
    assert table.startswith("\ufeff")


# The way back


def test_the_same_oids_come_out_again(small):
    written = write_metadata(small.definition).decode()
    kinds = "StudyEventDef|FormDef|ItemGroupDef|ItemDef|CodeList|ConditionDef|MethodDef"
    for oid in re.findall(rf'<(?:{kinds}) OID="([^"]+)"', SMALL.decode()):
        expected = oid not in ("I.UNUSED", "M.UNUSED")
        assert (f'OID="{oid}"' in written) == expected, oid


def comes_back(study: StudyDefinition, version: str) -> None:
    """Export follows CDISC's schema, import gives the same definition, and export again the same bytes."""
    first = write_metadata(study, version=version)
    assert f'ODMVersion="{version}"'.encode() in first
    assert faults(first, "2.0" if version == "2.0" else "1.3.2") == []
    again = read_odm(first).definition
    assert again == study
    assert write_metadata(again, version=version) == first


VERSIONS = pytest.mark.parametrize("version", ["1.3.1", "1.3.2", "2.0"])


@VERSIONS
def test_export_import_export_is_a_fixed_point_that_follows_cdiscs_schema(small, version):
    comes_back(small.definition, version)


def test_an_unknown_version_of_odm_is_not_written(study):
    with pytest.raises(ValueError, match=r"1\.2 is not written"):
        write_metadata(study, version="1.2")


@VERSIONS
@pytest.mark.parametrize("name", ["chictr2600121791", "chictr2600121618"])
def test_a_study_of_ours_comes_back_whole(name, version):
    comes_back(load_study(ROOT / "fixtures" / name), version)


def test_a_changed_condition_is_not_exported_with_the_words_it_had(study):
    form = study.form("DM")
    sections = list(form.sections)
    sections[2] = sections[2].model_copy(update={"show_if": "age > 50"})
    forms = [one if one.oid != "DM" else one.model_copy(update={"sections": tuple(sections)}) for one in study.forms]
    changed = StudyDefinition.model_validate(study.model_copy(update={"forms": tuple(forms)}).model_dump())
    written = write_metadata(changed)
    assert b"!(I.MEDS" not in written
    assert read_odm(written).definition.form("DM").sections[2].show_if == "age > 50"


@given(st.sampled_from(["a", "!(a)", "!(a) && (b)", "!('(' == a)", "(a)", "!(a || !(b))", "!a"]))
def test_a_negation_is_undone_by_a_second_one(cel):
    assert negation(negation(cel)) == cel


@pytest.mark.parametrize(("name", "events", "forms", "items"), SHARED)
def test_real_files_import_and_come_back_the_same(shared, name, events, forms, items):
    imported = read_odm((shared / "data" / "odm" / name).read_bytes(), file=name)
    study = imported.definition
    shown = sum(len(section.items) for form in study.forms for section in form.sections)
    assert (len(study.events), len(study.forms), shown) == (events, forms, items)
    comes_back(study, "1.3.2")
    comes_back(study, "2.0")


def test_openedcs_rules_are_all_translated(shared):
    imported = read_odm((shared / "data" / "odm" / "openedc_metadata.xml").read_bytes())
    assert losses(imported, "ConditionDef") == losses(imported, "MethodDef") == losses(imported, "RangeCheck") == []
    first, fourth = imported.definition.forms[0], imported.definition.forms[3]
    assert {one.name: one.derive for one in first.sections[0].items if one.derive} == {"bmi": "weight / pow(height, 2)"}
    assert fourth.sections[2].items[0].derive.endswith("* 4")
    shown = [
        one for form in imported.definition.forms for section in form.sections for one in section.items if one.show_if
    ]
    assert len(shown) == 9


def test_cdiscs_example_in_odm_2_is_the_study_that_it_is_in_odm_1(shared):
    one, two = (
        read_odm((shared / "data" / "odm" / name).read_bytes()).definition
        for name in ("cdisc_MetaData_Dave_1_3_2_extra_languages.xml", "cdisc_Dave_Result_ODMv2.xml")
    )

    def questions(study):
        return [(form.oid, one.name, one.type, one.label.en, one.show_if)
                for form in study.forms for section in form.sections for one in section.items]  # fmt: skip

    assert {form.oid for form in one.forms} == {form.oid for form in two.forms}
    assert sorted(questions(one), key=str) == sorted(questions(two), key=str)


def shared_between_kinds(raw):
    raw["codelists"]["grade"]["alias"] = {"odm": "SE.BASE"}
    raw["codelists"]["sex"]["alias"] = {"odm": "F.DM"}


def shared_within_a_kind(raw):
    raw["events"][0]["alias"] = {"odm": "SE.MONTH"}
    raw["forms"][0]["alias"] = {"odm": "F.PREG"}
    raw["codelists"]["grade"]["alias"] = {"odm": "CL.sex"}


@VERSIONS
@pytest.mark.parametrize("share", [shared_between_kinds, shared_within_a_kind])
def test_what_is_numbered_since_its_oid_is_anothers_keeps_its_code(study, share, version):
    raw = study.model_dump(mode="json", exclude_defaults=True)
    share(raw)
    written = write_metadata(StudyDefinition.model_validate(raw), version=version)
    assert faults(written, "2.0" if version == "2.0" else "1.3.2") == []
    again = read_odm(written).definition
    assert [event.oid for event in again.events] == [event.oid for event in study.events]
    assert [form.oid for form in again.forms] == [form.oid for form in study.forms]
    assert sorted(again.codelists) == sorted(study.codelists)
    assert write_metadata(again, version=version) == written


# Bad files


def test_a_study_can_be_chosen_and_given_a_code():
    mine = read_odm(SMALL, code="MINE").definition
    assert mine.code == "MINE"
    assert read_odm(write_metadata(mine), code="OURS").definition.code == "OURS"
    assert b'<Study OID="ST.1">' in write_metadata(mine)


def test_a_file_of_another_version_of_the_study_with_repeated_oids_keeps_the_first(small):
    content = SMALL.replace(b'<ItemDef OID="I.HEIGHT"', b'<ItemDef OID="I.WEIGHT"')
    imported = read_odm(content)
    assert losses(imported, "ItemDef", "I.WEIGHT")


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><ODM>&lol2;</ODM>"""
XXE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><ODM>&x;</ODM>"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not well-formed"),
        (b"\x00\x01\x02", "not well-formed"),
        (b"PK\x03\x04", "not well-formed"),
        (SMALL[:3000], "not well-formed"),
        (LAUGHS, "DOCTYPE"),
        (XXE, "DOCTYPE"),
        (b"<ODM>" * 500, "nested more than"),
        (b"<ODM><a>" + b"x" * 1_100_000 + b"</a></ODM>", "a text of more than"),
        (b"<ODM a='" + b"x" * 1_100_000 + b"'/>", "a text of more than"),
        (b"<html/>", "no CDISC ODM"),
        (b'<?xml version="1.0" encoding="rot13"?><ODM/>', "encoding"),
        (b'<?xml version="1.0" encoding="GB18030"?><ODM>\xff\xff</ODM>', "declared gb18030"),
        (b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="9.9"/>', "ODM 9.9 is not read"),
        (b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3"/>', "defines no study"),
        (b'<ODM xmlns="urn:other"/>', "no CDISC ODM"),
        (b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3"><Study OID="S"><MetaDataVersion OID="M"/></Study></ODM>', ""),
    ],
)
def test_a_bad_file_gets_one_clear_error_in_both_languages(content, said):
    with pytest.raises(DefinitionErrors) as caught:
        read_odm(content, file="bad.xml")
    [error, *more] = caught.value.errors
    assert said in error.message
    assert error.file == "bad.xml" and error.line >= 1
    assert error.message_zh and error.remedy_zh and error.remedy
    if said:
        assert not more


def test_chinese_encodings_are_read():
    content = SMALL.replace(b'encoding="UTF-8"', b'encoding="GB18030"', 1).decode().encode("gb18030")
    assert item(read_odm(content).definition, "DM", "sex").label.zh == "性别"


def read_or_refused(content: bytes) -> None:
    """A definition whose export is a fixed point, or errors that say what to do; nothing else."""
    try:
        study = read_odm(content).definition
    except DefinitionErrors as errors:
        assert all(error.message_zh and error.remedy for error in errors.errors)
        return
    written = write_metadata(study)
    assert write_metadata(read_odm(written).definition) == written


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(SMALL) - 1), length=st.integers(0, 400), junk=st.binary(max_size=12))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(at, length, junk):
    read_or_refused(SMALL[:at] + junk + SMALL[at + length :])


VALUES = [match.span(1) for match in re.finditer(r'="([^"]*)"', SMALL.decode())][4:]
TEXTS = [match.span(1) for match in re.finditer(r">([^<>]+)<", SMALL.decode())]
WORDS = st.text(max_size=12) | st.sampled_from(
    ["", " ", "1", "-1", "1e9", "NaN", "{x}", "Yes", "I.AGE", "CL.SEX", "SE.BASE", "a b", "\u540d", "x" * 300]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VALUES + TEXTS), WORDS), min_size=1, max_size=4))
def test_a_file_with_strange_values_is_read_or_refused_and_nothing_else(changes):
    text = SMALL.decode()
    for (start, end), word in sorted(changes, reverse=True):
        safe = FORBIDDEN.sub("", word).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        text = text[:start] + safe + text[end:]
    read_or_refused(text.encode())


def test_a_synthetic_study_of_hundreds_of_items_comes_back_the_same():
    study = read_odm(odm_of(400)).definition
    assert sum(len(section.items) for form in study.forms for section in form.sections) == 400
    comes_back(study, "1.3.2")
