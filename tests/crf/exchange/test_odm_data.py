"""Clinical data in ODM, in and out: every value is stored, refused with its place, or noted; nothing is lost."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition
from crf.definitions.rows import nested
from crf.exchange.odm_data import OdmReading, read_odm_data
from crf.exchange.odm_read import read_odm
from crf.exchange.odm_write import OdmDataWriter, OdmNote, OdmSignature
from tests.crf.exchange.odm_schema import faults

DATA = Path(__file__).parent / "data"
SMALL = (DATA / "small_odm_data.xml").read_bytes()
STUDY = read_odm((DATA / "small_odm.xml").read_bytes()).definition
AT = "2026-01-02T03:04:05+00:00"


def body(inner: str, subject: str = 'SubjectKey="1"', study: str = "ST.1") -> bytes:
    return (
        '<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3.2" FileType="Transactional">'
        f'<ClinicalData StudyOID="{study}" MetaDataVersionOID="MDV 1"><SubjectData {subject}>{inner}</SubjectData>'
        "</ClinicalData></ODM>"
    ).encode()


def dm(
    items: str,
    form: str = 'FormOID="F.DM"',
    event: str = 'StudyEventOID="SE.BASE"',
    group: str = 'ItemGroupOID="IG.DM"',
) -> bytes:
    group = f"<ItemGroupData {group}>{items}</ItemGroupData>"
    return body(f"<StudyEventData {event}><FormData {form}>{group}</FormData></StudyEventData>")


def read(content: bytes, study: StudyDefinition = STUDY) -> OdmReading:
    return read_odm_data(content, study, file="data.xml")


def values(reading: OdmReading) -> dict[str, Any]:
    """Every cell by where it belongs."""
    return {
        f"{key.subject}/{key.event}.{key.repeat}/{key.form}.{key.number}/{address}": cell.value
        for record in reading.records
        for key in [record.key]
        for address, cell in record.cells.items()
    }


def written(reading: OdmReading, study: StudyDefinition = STUDY, **more: Any) -> bytes:
    out = io.BytesIO()
    with OdmDataWriter(out, study, created=AT, file_oid="X", users={"ann": "Ann 安"}) as writer:
        for record in sorted(reading.records, key=lambda one: (one.key.subject, one.key.event, one.key.repeat)):
            key = record.key
            data = nested({address: cell.value for address, cell in record.cells.items()})
            writer.record(subject=key.subject, site=key.site or study.sites[0].code, event=key.event,
                          repeat=key.repeat, form=key.form, number=key.number, data=data, **more)  # fmt: skip
    return out.getvalue()


# In


def test_typed_and_untyped_values_rows_and_repeats_are_read():
    reading = read(SMALL)
    assert reading.problems == []
    assert reading.values == 14
    assert values(reading) == {
        "10-0001/BASE.1/DM.1/sex": "2",
        "10-0001/BASE.1/DM.1/age": 61,
        "10-0001/BASE.1/DM.1/weight": 70.5,
        "10-0001/BASE.1/DM.1/birth": "1964-07-UK",
        "10-0001/BASE.1/DM.1/meds": "1",
        "10-0001/BASE.1/DM.1/grade": "(B)",
        "10-0001/BASE.1/DM.1/when": "2026-01-02T10",
        "10-0001/BASE.1/DM.1/medication[2].drug": "aspirin",
        "10-0001/BASE.1/DM.1/medication[2].dose": 100.0,
        "10-0001/BASE.1/DM.1/medication[3].drug": "heparin",
        "10-0001/MONTH.2/DM.1/age": 62,
        "10-0001/AE.1/AE.1/term": "Nausea",
        "10-0001/AE.1/AE.2/term": "Pain",
    }
    assert {record.key.site for record in reading.records} == {"10"}


def test_what_is_not_imported_is_noted_with_its_reason():
    notes = [(note.row, note.column, note.en) for note in read(SMALL).notes]
    assert (13, "SE.BASE/F.DM/IG.DM/I.BMI", "subject 10-0001: '22.9' is calculated here and not imported") in notes
    assert any("1 audit records" in text for _line, _column, text in notes)
    assert all(note.zh for note in read(SMALL).notes)


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (dm('<ItemData ItemOID="I.AGE" Value="old"/>'), "SE.BASE/F.DM/IG.DM/I.AGE", "not a number"),
        (dm('<ItemData ItemOID="I.NONE" Value="1"/>'), "SE.BASE/F.DM/IG.DM/I.NONE", "has no item 'I.NONE'"),
        (dm('<ItemData ItemOID="I.SEX" Value="3"/>'), "SE.BASE/F.DM/IG.DM/I.SEX", "is not one of"),
        (
            dm('<ItemDataBase64Binary ItemOID="I.SCAN">AAAA</ItemDataBase64Binary>'),
            "SE.BASE/F.DM/IG.DM/I.SCAN",
            "upload",
        ),
        (dm("", form='FormOID="F.NONE"'), "SE.BASE/F.NONE", "no form 'F.NONE'"),
        (dm("", event='StudyEventOID="SE.NONE"'), "SE.NONE", "no event 'SE.NONE'"),
        (dm("", form='FormOID="F.AE"'), "SE.BASE/F.AE", "BASE has no form AE"),
        (dm("", form='FormOID="F.DM" FormRepeatKey="2"'), "SE.BASE/F.DM/FormRepeatKey", "does not repeat"),
        (dm("", event='StudyEventOID="SE.BASE" StudyEventRepeatKey="2"'), "SE.BASE/StudyEventRepeatKey", "not repeat"),
        (
            dm("", group='ItemGroupOID="IG.DM" ItemGroupRepeatKey="2"'),
            "SE.BASE/F.DM/IG.DM/ItemGroupRepeatKey",
            "does not repeat",
        ),
        (dm("", form='FormOID="F.DM" TransactionType="Remove"'), "SE.BASE/F.DM", "imports remove no record"),
        (
            dm('<ItemData ItemOID="I.WEIGHT" Value="150"><MeasurementUnitRef MeasurementUnitOID="MU.LB"/></ItemData>'),
            "SE.BASE/F.DM/IG.DM/I.WEIGHT",
            "has no conversion",
        ),
        (
            dm('<ItemData ItemOID="I.AGE" Value="1"/><ItemData ItemOID="I.AGE" Value="2"/>'),
            "SE.BASE/F.DM/IG.DM/I.AGE",
            "differs from the value in line 1",
        ),
        (body("", subject='SubjectKey=" "'), "SubjectKey", "has no SubjectKey"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_with_its_place(content, column, said):
    [problem] = read(content).problems
    assert problem.column == column
    assert said in problem.en
    assert problem.zh and problem.remedy_zh and problem.remedy_en and problem.row == 1


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [(["A", "1", "B"], [1, 2, 3]), (["", "1"], [1]), (["2", "x", "1", "2"], [2, 3, 1]), (["9" * 5000, "²"], [1, 2])],
)
def test_repeats_with_different_keys_are_never_one_record(keys, numbers):
    forms = "".join(
        f'<FormData FormOID="F.AE" FormRepeatKey="{key}"><ItemGroupData ItemGroupOID="IG.AE">'
        f'<ItemData ItemOID="I.TERM" Value="Pain"/></ItemGroupData></FormData>'
        for key in keys
    )
    reading = read(body(f'<StudyEventData StudyEventOID="SE.AE">{forms}</StudyEventData>'))
    assert reading.problems == []
    assert [record.key.number for record in reading.records] == numbers


def test_transactions_clear_and_context_says_nothing():
    reading = read(dm(
        '<ItemData ItemOID="I.AGE" TransactionType="Remove"/>'
        '<ItemData ItemOID="I.SEX" Value="1" TransactionType="Context"/>'
        '<ItemData ItemOID="I.WEIGHT" Value="70" TransactionType="Upsert"/>'
    ))  # fmt: skip
    assert values(reading) == {"1/BASE.1/DM.1/age": None, "1/BASE.1/DM.1/weight": 70.0}


def test_a_declared_unit_is_converted():
    weight = {"units": [{"unit": "lb", "factor": 0.45359237}]}
    fields = STUDY.model_dump(mode="json", exclude_defaults=True)
    [item] = [one for section in fields["forms"][0]["sections"] for one in section["items"] if one["name"] == "weight"]
    item |= weight
    study = StudyDefinition.model_validate(fields)
    content = '<ItemDataFloat ItemOID="I.WEIGHT" MeasurementUnitOID="lb">150</ItemDataFloat>'
    assert values(read(dm(content), study)) == {"1/BASE.1/DM.1/weight": 68.0}


def test_odm_2_nests_groups_and_writes_values_as_elements():
    content = """<ODM xmlns="http://www.cdisc.org/ns/odm/v2.0" ODMVersion="2.0">
      <ClinicalData StudyOID="ST.1" MetaDataVersionOID="MDV 1"><SubjectData SubjectKey="1">
        <StudyEventData StudyEventOID="SE.BASE"><ItemGroupData ItemGroupOID="F.DM">
          <ItemGroupData ItemGroupOID="IG.DM"><ItemData ItemOID="I.AGE"><Value>61</Value></ItemData></ItemGroupData>
          <ItemGroupData ItemGroupOID="IG.MED" ItemGroupRepeatKey="1">
            <ItemData ItemOID="I.DOSE"><Value>2.5</Value></ItemData>
          </ItemGroupData>
        </ItemGroupData></StudyEventData>
      </SubjectData></ClinicalData></ODM>"""
    assert values(read(content.encode())) == {"1/BASE.1/DM.1/age": 61, "1/BASE.1/DM.1/medication[1].dose": 2.5}


def test_other_studies_in_the_file_are_left_and_noted():
    other = body("", study="ST.OTHER").decode()
    both = SMALL.decode().replace("</ODM>", other[other.index("<ClinicalData") : other.index("</ODM>")] + "</ODM>")
    reading = read(both.encode())
    assert reading.rows == 1
    assert any("ST.OTHER" in note.en for note in reading.notes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (body("", study="ST.OTHER"), "the data are of study ST.OTHER, not of ST.1"),
        ((DATA / "small_odm.xml").read_bytes(), "holds no subject's data"),
        (SMALL[:1500], "not well-formed"),
        (b"<html/>", "no CDISC ODM"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><ODM>&b;</ODM>', "DOCTYPE"),
        (dm(f'<ItemData ItemOID="I.ODD" Value="{"x" * 1_100_000}"/>'), "a text of more than"),
    ],
)
def test_a_wrong_or_bad_file_gets_one_clear_error(content, said):
    with pytest.raises(DefinitionErrors) as caught:
        read(content)
    [error] = caught.value.errors
    assert said in error.message
    assert error.file == "data.xml" and error.message_zh and error.remedy and error.remedy_zh


@settings(max_examples=100, deadline=None)
@given(at=st.integers(200, len(SMALL) - 1), length=st.integers(0, 60), junk=st.text(max_size=8))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(at, length, junk):
    try:
        reading = read(SMALL[:at] + junk.encode("utf-8", "ignore") + SMALL[at + length :])
    except DefinitionErrors as errors:
        assert errors.errors
    else:
        assert reading.values >= sum(len(record.cells) for record in reading.records)


def test_openedcs_subjects_and_all_their_values_are_accounted_for(shared):
    folder = shared / "data" / "odm"
    study = read_odm((folder / "openedc_metadata.xml").read_bytes()).definition
    reading = read((folder / "openedc_clinicaldata.xml").read_bytes(), study)
    cells = sum(len(record.cells) for record in reading.records)
    calculated = [note for note in reading.notes if "calculated here" in note.en]
    assert (reading.rows, reading.values, reading.problems) == (90, 1684, [])
    assert cells + len(calculated) == 1684
    assert {note.column.rpartition("/")[2] for note in calculated} == {"BMI", "I.2"}


@pytest.mark.parametrize(
    ("name", "subjects", "stored", "problems"),
    [("odmlib_odm-data-snapshot.xml", 2, 165, 0), ("odmxmltools_test.xml", 4, 25, 3)],
)
def test_files_with_metadata_and_data_are_read_with_both(shared, name, subjects, stored, problems):
    content = (shared / "data" / "odm" / name).read_bytes()
    reading = read(content, read_odm(content).definition)
    assert (reading.rows, len(values(reading)), len(reading.problems)) == (subjects, stored, problems)


# Out


def test_records_come_back_value_by_value_and_follow_cdiscs_schema():
    reading = read(SMALL)
    content = written(reading)
    assert faults(content) == []
    assert values(read(content)) == values(reading)
    assert read_odm(content).definition == STUDY
    assert written(read(content)) == content


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30)
    | st.sampled_from(["a\tb\nc\rd", "<&>\"'"]),
    number=st.decimals(-1000, 1000, places=1),
    missing=st.sampled_from(["not_done", "unknown", "not_applicable"]),
    reason=st.text(st.characters(categories=["L", "N"]), max_size=10),
)
def test_any_value_comes_back_as_it_was(text, number, missing, reason):
    data = {"odd": text, "weight": float(number), "age": {"missing": missing, "reason": reason}, "birth": "1964-UK-UK",
            "medication": [{"row": 7, "dose": 1.0}, {"row": 9, "drug": text}]}  # fmt: skip
    out = io.BytesIO()
    with OdmDataWriter(out, STUDY, created=AT, file_oid="X", users={}) as writer:
        writer.record(subject="1", site="10", event="BASE", repeat=1, form="DM", number=1, data=data)
    [record] = read(out.getvalue()).records
    found = nested({address: cell.value for address, cell in record.cells.items()})
    clean = re.sub("[\ufffe\uffff]", "\ufffd", text)
    assert found["weight"] == data["weight"]
    assert found["age"] == data["age"]
    assert found.get("odd", "").strip() == unicodedata.normalize("NFC", clean.strip())
    assert [row["row"] for row in found["medication"]] == ([7, 9] if clean.strip() else [7])


def test_queries_verification_and_signatures_stand_where_they_belong():
    out = io.BytesIO()
    query = OdmNote(kind="query", status="open", text="Sure?", item="age", by="ann", at=AT, ref="Q-1")
    row = OdmNote(kind="sdv", status="verified", item="medication[3].dose", by="ann", at=AT)
    lost = OdmNote(kind="query", status="closed", text="where?", item="medication[9].dose", by="ann", at=AT)
    whole = OdmNote(kind="query", status="answered", text="form", by="ann", at=AT)
    with OdmDataWriter(out, STUDY, created=AT, file_oid="X", users={"ann": "Ann"}) as writer:
        writer.record(
            subject="1", site="20", event="BASE", repeat=1, form="DM", number=1,
            data={"age": 61, "medication": [{"row": 3, "dose": 1.5}], "orphan": "kept"},
            signatures=[OdmSignature("ann", AT, "entered"), OdmSignature("ann", AT, "checked")],
            notes=[query, row, lost, whole],
        )  # fmt: skip
        writer.association(subject="1", site="20", event="BASE", repeat=1, form="PREG", number=1,
                           note=OdmNote(kind="query", status="open", text="missing form", by="ann", at=AT))  # fmt: skip
    content = out.getvalue()
    assert faults(content) == []
    text = content.decode()
    age = text[text.index('ItemOID="I.AGE" Value="61"') :]
    assert "Sure?" in age[: age.index("</ItemData>")]
    assert "verified" in text[text.index('ItemOID="I.DOSE" Value="1.5"') :].split("</ItemData>")[0]
    form = text[text.index("<FormData") : text.index("<ItemGroupData")]
    assert form.count("<Signature>") == 1
    for said in ("entered", "medication[9].dose: where?", ">form<", "orphan", "answered"):
        assert said in form
    association = text[text.index("<Association") :]
    assert 'FormOID="F.PREG"' in association and "missing form" in association
    assert text.index("</ClinicalData>") < text.index("<Association")
    assert [record.cells.keys() for record in read(content).records] == [{"age", "medication[3].dose"}]


def test_an_export_that_fails_in_the_middle_is_no_whole_file():
    out = io.BytesIO()
    with pytest.raises(AttributeError), OdmDataWriter(out, STUDY, created=AT, file_oid="X", users={}) as writer:
        writer.record(subject="1", site="20", event="BASE", repeat=1, form="DM", number=1, data=None)
    assert not out.getvalue().rstrip().endswith(b"</ODM>")


def test_records_of_events_and_forms_that_the_build_lost_keep_their_values():
    out = io.BytesIO()
    with OdmDataWriter(out, STUDY, created=AT, file_oid="X", users={}) as writer:
        writer.record(subject="1", site="20", event="GONE", repeat=2, form="OLD", number=1, data={"old": 17.5})
    assert faults(out.getvalue()) == []
    assert b'<StudyEventData StudyEventOID="SE.GONE" StudyEventRepeatKey="2">' in out.getvalue()
    assert b"old: 17.5" in out.getvalue()


def test_the_writer_holds_one_record_at_a_time():
    class Counted(io.RawIOBase):
        length = 0

        def write(self, content: Any) -> int:
            self.length = max(self.length, len(content))
            return len(content)

    out = Counted()
    with OdmDataWriter(out, STUDY, created=AT, file_oid="X", users={}) as writer:
        head, out.length = out.length, 0
        for number in range(500):
            writer.record(
                subject=f"{number:04d}", site="10", event="BASE", repeat=1, form="DM", number=1, data={"age": 1}
            )
        assert out.length < min(head, 1000)
