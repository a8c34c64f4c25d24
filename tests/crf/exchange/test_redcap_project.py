"""REDCap project XML: events, arms, sites, repeats and fields become a study; what has no place is listed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from crf.definitions import DefinitionErrors, evaluate
from crf.exchange.loss import Imported
from crf.exchange.redcap_dictionary import read_dictionary, read_rows
from crf.exchange.redcap_project import read_project
from crf.exchange.redcap_write import write_dictionary

SMALL = Path(__file__).parent / "data" / "redcap_small.project.xml"
REDCAP = "{https://projectredcap.org}"


@pytest.fixture(scope="module")
def small() -> Imported:
    return read_project(SMALL.read_bytes(), file=SMALL.name)


def one_error(content: bytes) -> str:
    with pytest.raises(DefinitionErrors) as caught:
        read_project(content, file="p.xml")
    (error,) = caught.value.errors
    assert error.message_zh and error.remedy_zh and error.remedy
    return str(error)


def test_events_keep_their_day_window_arm_and_kind(small: Imported) -> None:
    events = {event.oid: event for event in small.definition.events}
    assert list(events) == ["BASELINE_ARM_1", "WEEK_4_ARM_1", "EXTRA_ARM_1", "BASELINE_ARM_2", "UNASSIGNED"]
    week = events["WEEK_4_ARM_1"]
    assert (week.kind, week.anchor, week.day, week.window) == ("scheduled", "enrolment", 28, (-3, 7))
    assert week.name.en == "Week 4" and week.forms == ("VISIT",) and week.groups == ("ARM_1",)
    assert events["EXTRA_ARM_1"].kind == "repeating"
    assert events["UNASSIGNED"].kind == "unscheduled" and events["UNASSIGNED"].forms == ("UNUSED",)


def test_arms_are_groups_and_data_access_groups_are_sites(small: Imported) -> None:
    assert [(group.code, group.name.en) for group in small.definition.groups] == [("ARM_1", "Drug"), ("ARM_2", "None")]
    assert [(site.code, site.name.en) for site in small.definition.sites] == [
        ("north_hosp", "North Hospital"), ("south", "South"),
    ]  # fmt: skip


def test_a_checkbox_is_one_item_and_redcaps_own_fields_are_none(small: Imported) -> None:
    start = small.definition.form("START")
    assert list(start.items) == ["id", "sign", "weight", "stage", "double_2", "consent"]
    codelist = small.definition.codelist(start.items["sign"])
    assert start.items["sign"].type == "choices" and codelist and codelist.codes() == ["1", "-2"]
    assert start.items["weight"].soft_range == (30, None)
    assert small.definition.form("MED").repeating and not start.repeating


def test_logic_reads_other_events_arms_and_checkboxes(small: Imported) -> None:
    visit = small.definition.form("VISIT")
    assert visit.items["gain"].derive == "events.BASELINE_ARM_1.START.weight + 1"
    shown = evaluate(visit, {}, {"visit": {"event": "EXTRA_ARM_1"}, "subject": {"group": "ARM_1"}}).visible
    assert "why_extra" in shown
    assert (
        "why_extra"
        not in evaluate(visit, {}, {"visit": {"event": "WEEK_4_ARM_1"}, "subject": {"group": "ARM_1"}}).visible
    )
    start = small.definition.form("START")
    assert "stage" in evaluate(start, {"sign": ["-2"]}).visible
    assert "stage" not in evaluate(start, {"sign": ["1"]}).visible


def test_every_setting_that_is_left_out_is_listed(small: Imported) -> None:
    said = {(loss.fate, loss.element): loss for loss in small.losses}
    assert said["dropped", "UserRoles"].what == "nurse"
    assert said["dropped", "ProjectNotes"].what == "Made by hand for a test."
    assert said["dropped", "RepeatingInstrument"].what == "[drug]"
    assert said["assumed", "event"].what == "UNUSED"
    assert small.definition.alias["redcap:missing"] == "-99, Refused | -98, Not done | -97, Does not apply"


def test_its_dictionary_reaches_a_fixed_point(small: Imported) -> None:
    first = write_dictionary(small.definition)
    second = write_dictionary(read_dictionary(first.content, file="d.csv").definition)
    assert first.content == second.content
    rows = {row.variable: row for row in read_rows(first.content, file="")[0]}
    assert rows["sign"].choices == "1, Pain | -2, Fever" and rows["gain"].choices == "[baseline_arm_1][weight] + 1"


SOURCE = SMALL.read_bytes()
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE ODM [<!ENTITY a "' + b"x" * 100 + b'">%s]><ODM>&%s;</ODM>'
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (at, b"&l%d;" % (at - 1) * 10 if at else b"ha") for at in range(10))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        SOURCE[:5000],
        SOURCE[:-20],
        SOURCE.replace(b"https://projectredcap.org", b"https://example.org"),
        b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3"/>',
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ODM>&e;</ODM>',
        ENTITIES % (LAUGHS, b"l9"),
        SOURCE.replace(b"FormDef", b"FormDeaf"),
        SOURCE.replace(b'ItemOID="weight" Mandatory', b'ItemOID="nothing" Mandatory'),
        SOURCE.replace(b'FieldType="textarea"', b'FieldType="hologram"'),
        SOURCE.replace(b"<TranslatedText>Weight", b"<TranslatedText>\xff\xfe"),
        SOURCE.replace(b"<CodeListItem CodedValue=\"B\">", b"<CodeListItem CodedValue=\"A\">"),
        b"<a>" * 100_000,
    ],
    ids=["empty", "text", "truncated", "unclosed", "other namespace", "plain ODM", "XXE", "billion laughs", "no forms",
         "dangling item", "unknown type", "bad bytes", "code twice", "depth"],
)  # fmt: skip
def test_a_bad_file_gets_one_clear_error_and_gives_nothing(content: bytes) -> None:
    assert "p.xml:" in one_error(content)


def test_an_unknown_item_is_named_with_its_line() -> None:
    said = one_error(SOURCE.replace(b'ItemOID="weight" Mandatory', b'ItemOID="nothing" Mandatory'))
    assert "p.xml:54: nothing: refers to a ItemOID 'nothing'" in said


# Files that nobody here wrote


def test_all_real_projects_import_with_every_field_event_and_site(shared: Path) -> None:
    found = sorted((shared / "data/redcap").glob("*.xml"))
    assert len(found) == 7
    for path in found:
        study = read_project(path.read_bytes(), file=path.name).definition
        root = ET.parse(path).getroot()
        items = {
            one.get(f"{REDCAP}Variable") for one in root.iter() if one.tag.endswith("}ItemDef")
            if not str(one.get("OID")).endswith("_complete") and one.get("OID") != "redcap_data_access_group"
        }  # fmt: skip
        assert {item.alias.get("redcap", item.name) for _form, item in study.items()} == items, path.name
        events = [one for one in root.iter() if one.tag.endswith("}StudyEventDef")]
        assert len(study.events) == max(1, len(events)), path.name
        sites = [one for one in root.iter() if one.tag.endswith("}DataAccessGroups")]
        assert len(study.sites) == max(1, len(sites)), path.name
        first = write_dictionary(study)
        again = read_dictionary(first.content, file="d.csv").definition
        assert write_dictionary(again).content == first.content, path.name


def test_a_project_and_its_dictionary_say_the_same_fields(shared: Path) -> None:
    folder = shared / "data/redcap"
    for path in sorted(folder.glob("redcapr_*.project.xml")):
        csv = folder / path.name.replace("project.xml", "dictionary.csv")
        theirs = {row.variable: row for row in read_rows(csv.read_bytes(), file="")[0]}
        ours = {row.variable: row for row in read_rows(write_dictionary(
            read_project(path.read_bytes(), file=path.name).definition).content, file="")[0]}  # fmt: skip
        assert set(ours) == set(theirs), path.name
        for name, row in ours.items():
            if row.type == "slider":  # REDCap's XML leaves a slider's ends out
                continue
            same = ("form", "type", "validation", "minimum", "maximum", "identifier", "branching", "required", "matrix")
            assert [getattr(row, one) for one in same] == [getattr(theirs[name], one) for one in same], name
