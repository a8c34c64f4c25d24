"""REDCap's records come in whole: every value counted against the file itself."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition
from crf.exchange.redcap_data import RedcapReading, read_redcap_data
from crf.exchange.redcap_dictionary import read_dictionary
from crf.exchange.redcap_project import read_project

DATA = Path(__file__).parent / "data"
PROJECT = (DATA / "redcap_small.project.xml").read_bytes()


@pytest.fixture(scope="module")
def study() -> StudyDefinition:
    return read_project(PROJECT, file="p.xml").definition


def values(reading: RedcapReading) -> dict[tuple[object, ...], dict[str, object]]:
    return {
        (*record.key[:4], record.key.form, record.key.number): {name: cell.value for name, cell in record.cells.items()}
        for record in reading.records
    }


EXPECTED = {
    ("north_hosp", "N-1", "BASELINE_ARM_1", 1, "START", 1): {
        "id": "N-1", "weight": 61.5, "stage": {"missing": "not_done", "reason": "Not done"}, "sign": ["1", "-2"],
    },
    ("north_hosp", "N-1", "BASELINE_ARM_1", 1, "MED", 1): {"drug": "A", "dose": 2.5},
    ("north_hosp", "N-1", "BASELINE_ARM_1", 1, "MED", 3): {
        "drug": "B", "dose": {"missing": "unknown", "reason": "Refused"},
    },
    ("north_hosp", "N-1", "EXTRA_ARM_1", 2, "VISIT", 1): {"seen": "2026-04-03"},
    ("south", "S-1", "BASELINE_ARM_2", 1, "START", 1): {"id": "S-1"},
}  # fmt: skip
CSV = """id,redcap_event_name,redcap_repeat_instrument,redcap_repeat_instance,redcap_data_access_group,\
sign___1,sign____2,weight,stage,double,consent,start_complete,drug,dose,med_complete,seen,gain,why_extra,visit_complete
N-1,baseline_arm_1,,,north_hospital,1,1,61.5,-98,123,consent.pdf,2,,,,,,,
N-1,baseline_arm_1,med,1,north_hospital,,,,,,,,A,"2,5",2,,,,
N-1,baseline_arm_1,med,3,north_hospital,,,,,,,,B,-99,0,,,,
N-1,extra_arm_1,,2,north_hospital,,,,,,,,,,,2026-04-03,,,1
S-1,baseline_arm_2,,,south,0,0,,,,,0,,,,,,,
"""


def test_the_projects_own_data_come_in_as_records(study: StudyDefinition) -> None:
    reading = read_redcap_data(PROJECT, study, file="p.xml")
    assert reading.problems == []
    assert values(reading) == EXPECTED
    assert [record.group for record in reading.records] == ["ARM_1"] * 4 + ["ARM_2"]
    assert {(note.column, note.en) for note in reading.notes} == {
        ("double", "calculated here, not imported (1 values)"),
        ("consent", "a file is not part of the data; upload it to its item (1 values)"),
    }  # fmt: skip


def test_a_csv_export_gives_the_same_records(study: StudyDefinition) -> None:
    reading = read_redcap_data(CSV.encode(), study)
    assert reading.problems == []
    assert values(reading) == EXPECTED
    assert sorted(reading.status.values()) == [0, 0, 1, 2, 2]


def test_labels_of_events_instruments_groups_and_choices_are_understood(study: StudyDefinition) -> None:
    labelled = (
        CSV.replace("baseline_arm_1,med", "Baseline (Arm 1: Drug),Medication")
        .replace("north_hospital", "North Hospital")
        .replace(",1,1,61.5", ",Checked,Checked,61.5")
        .replace(",med,", ",Medication,")
    )
    # Two arms have an event called Baseline: by its label it is the first.
    assert values(read_redcap_data(labelled.encode(), study)) == EXPECTED


def changed(row: str, to: str) -> bytes:
    assert row in CSV
    return CSV.replace(row, to).encode()


@pytest.mark.parametrize(
    ("content", "row", "column", "says"),
    [
        (changed("61.5", "heavy"), 2, "weight", "Weight: 'heavy' is not a number"),
        (changed("-98", "Z"), 2, "stage", "Stage: 'Z' is not one of"),
        (changed(",1,1,61.5", ",1,7,61.5"), 2, "sign____2", "neither 0 nor 1"),
        (changed("extra_arm_1", "never_arm_1"), 5, "redcap_event_name", "no event 'never_arm_1'"),
        (changed("arm_1,med,1", "arm_1,pill,1"), 3, "redcap_repeat_instrument", "no instrument 'pill'"),
        (changed("med,3", "med," + "9" * 5000), 4, "redcap_repeat_instance", "no number from 1"),
        (changed("med,3", "med,0"), 4, "redcap_repeat_instance", "no number from 1"),
        (changed("S-1,baseline", ",baseline"), 6, "id", "no record id"),
        (changed("2026-04-03,,,1", "2026-02-30,,,1"), 5, "seen", "not a day of the calendar"),
        (changed(",,,,,,,,,,,2026-04-03", ",,,55,,,,,,,,2026-04-03"), 5, "weight", "event has no form START"),
        (changed("id,redcap_event_name", "key,redcap_event_name"), 1, "id", "no column 'id'"),
        (changed(",weight,", ",weihgt,"), 1, "weihgt", "no such field"),
        (changed("61.5", "=1+1"), 2, "weight", "formula"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_names_row_column_and_remedy(
    study: StudyDefinition, content: bytes, row: int, column: str, says: str
) -> None:
    (problem,) = read_redcap_data(content, study).problems
    assert (problem.row, problem.column) == (row, column)
    assert says in problem.en and problem.zh and problem.remedy_zh and problem.remedy_en


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", PROJECT[:6000], PROJECT[: PROJECT.index(b"<ClinicalData")] + b"</ODM>",
     b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><ODM>&e;</ODM>', b'a,"b\n1,2'],
    ids=["empty", "half UTF-16", "truncated", "no data", "XXE", "open quote"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_gets_one_error(study: StudyDefinition, content: bytes) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read_redcap_data(content, study, file="f")
    assert len(caught.value.errors) == 1 and caught.value.errors[0].message_zh


def test_another_projects_records_are_refused(study: StudyDefinition) -> None:
    reading = read_redcap_data(b"id,tumour_size\n1,3\n", study)
    assert reading.records == [] and [problem.column for problem in reading.problems] == ["tumour_size"]


def test_rows_of_a_group_are_the_instances_of_its_instrument() -> None:
    raw = read_dictionary((DATA / "redcap_small.csv").read_bytes(), code="S").definition.model_dump(mode="json")
    raw["forms"][1]["sections"] = [
        {"name": {"zh": "用药", "en": "Drugs"}, "rows": {"name": "meds"},
         "items": [{"name": "drug", "type": "text", "label": {"zh": "药", "en": "Drug"}}]},
    ]  # fmt: skip
    grouped = StudyDefinition.model_validate(raw)
    content = b"record_id,redcap_repeat_instrument,redcap_repeat_instance,drug\n7,follow_up_meds,2,A\n"
    (record,) = read_redcap_data(content, grouped).records
    assert record.key.form == "FOLLOW_UP" and {name: cell.value for name, cell in record.cells.items()} == {
        "meds[2].drug": "A"
    }


TEXTS = st.one_of(st.sampled_from(["", "1", "N-1", "baseline_arm_1", "med", "2026-04-03", "-99"]), st.text(max_size=6))
HEADINGS = CSV.split("\n")[0].split(",")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(TEXTS, min_size=len(HEADINGS), max_size=len(HEADINGS)), max_size=4))
def test_any_cells_are_read_or_refused_with_their_place(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([HEADINGS, *rows])
    try:
        reading = read_redcap_data(out.getvalue().encode("utf-8", "replace"), STUDY)
    except DefinitionErrors as refused:
        assert len(refused.errors) == 1
        return
    assert all(problem.zh and problem.en for problem in reading.problems)
    for record in reading.records:
        form = STUDY.form(record.key.form)
        assert record.key.form in STUDY.event(record.key.event).forms
        assert set(record.cells) <= set(form.items)


STUDY = read_project(PROJECT, file="p.xml").definition


# Files that nobody here wrote


def counted(path: Path) -> tuple[int, int, int]:
    """Subjects, answers and forms' states of a project XML, counted without our reader: a tick counts when it is 1."""
    root = ET.parse(path).getroot()
    subjects = [one for one in root.iter() if one.tag.endswith("}SubjectData")]
    answers = states = 0
    for one in root.iter():
        name, text = one.get("ItemOID", ""), one.get("Value", "")
        if one.tag.endswith("}ItemDataBase64Binary"):
            answers += 1
        elif not one.tag.endswith("}ItemData") or not text or name == "redcap_data_access_group":
            continue
        elif name.endswith("_complete"):
            states += 1
        elif "___" not in name or text == "1":
            answers += 1
    return len(subjects), answers, states


def test_all_records_of_all_real_projects_come_in(shared: Path) -> None:
    totals = {}
    for path in sorted((shared / "data/redcap").glob("redcapr_*.project.xml")):
        study = read_project(path.read_bytes(), file=path.name).definition
        reading = read_redcap_data(path.read_bytes(), study, file=path.name)
        subjects, answers, states = counted(path)
        assert reading.problems == [], path.name
        assert (reading.rows, reading.values, len(reading.status)) == (subjects, answers, states), path.name
        totals[path.name] = (subjects, answers)
    assert totals["redcapr_clinical-trial-1.project.xml"] == (500, 6000)


def test_the_csv_of_500_subjects_gives_every_cell_of_the_file(shared: Path) -> None:
    folder = shared / "data/redcap"
    study = read_dictionary((folder / "redcapr_clinical-trial-1.dictionary.csv").read_bytes(), code="CT").definition
    content = (folder / "redcapr_clinical-trial-1.data.csv").read_bytes()
    reading = read_redcap_data(content, study)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert len(rows) == len(reading.records) == 500 and reading.problems == []
    for row, record in zip(rows, reading.records, strict=True):
        assert record.key.subject == row["record_id"]
        for name, text in row.items():
            if name.endswith("_complete"):
                assert reading.status[record.key] == int(text)
                continue
            value = record.cells[name].value
            assert (float(value) == float(text)) if name in ("height", "weight") else value == text, (row, name)


def test_csv_and_xml_of_one_project_say_the_same(shared: Path) -> None:
    for path in sorted((shared / "data/redcap").glob("redcapr_*.project.xml")):
        study = read_project(path.read_bytes(), file=path.name).definition
        xml = values(read_redcap_data(path.read_bytes(), study))
        table = read_redcap_data(path.with_name(path.name.replace("project.xml", "data.csv")).read_bytes(), study)
        assert table.problems == [], path.name
        # XML turns the line breaks of an attribute into spaces; nothing else may differ.
        assert flattened(xml) == flattened(values(table)), path.name


def flattened(records: dict[tuple[object, ...], dict[str, object]]) -> dict[tuple[object, ...], dict[str, object]]:
    return {
        key: {name: " ".join(value.split()) if isinstance(value, str) else value for name, value in cells.items()}
        for key, cells in records.items()
    }
