"""A study and its records from ODM files through the commands into the database, and out again."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from crf.exchange.odm_data import read_odm_data
from crf.models import Record
from crf.selectors import definition_of
from registry.models import Study, Subject

pytestmark = pytest.mark.django_db

# A file of another system has its own names for subjects, and no day on which they were enrolled.
MAPPING = "match: identifier\ncreate_subjects: true\nenrolled_on: 2026-01-02\n"


def run(*arguments: object) -> str:
    out = StringIO()
    with translation.override("en"):
        call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING)
    return path


@pytest.mark.slow
def test_openedcs_ninety_subjects_and_1684_values_are_stored_refused_or_calculated(shared, mapping):
    """The example is random and breaks its own skip logic: what does not apply is refused, line by line."""
    folder = shared / "data" / "odm"
    run("import_study", folder / "openedc_metadata.xml")
    data = folder / "openedc_clinicaldata.xml"
    out = StringIO()
    with translation.override("en"), pytest.raises(CommandError, match="good rows were imported; 330 problems"):
        call_command("import_records", "S_1", str(data), mapping=mapping, mode="good", stdout=out)
    said = out.getvalue()
    assert "subjects_new 90" in said
    refused = [line for line in said.splitlines() if line.startswith("row ")]
    assert len(refused) == 330
    assert all("does not apply given the other answers" in line for line in refused)
    study = definition_of(Study.objects.get(code="S_1"))
    reading = read_odm_data(data.read_bytes(), study)
    calculated = [note for note in reading.notes if "calculated here" in note.en]
    entered = {(form.oid, item.name) for form in study.forms for item in form.questions.values() if item.is_entered}
    stored = sum(
        1
        for record in Record.objects.all()
        for name, value in record.data.items()
        if (record.form, name) in entered and value not in (None, "", [])
    )
    assert (Subject.objects.count(), Record.objects.count()) == (90, 337)
    assert stored + len(refused) + len(calculated) == reading.values == 1684


def test_the_small_study_and_its_records_come_in_with_rows_and_repeats(mapping):
    folder = Path(__file__).parent / "data"
    run("import_study", folder / "small_odm.xml")
    run("import_records", "ST_1", folder / "small_odm_data.xml", "--mapping", mapping)
    [subject] = Subject.objects.all()
    assert subject.site.code == "10"
    demographics = Record.objects.get(form="DM", visit__event="BASE")
    assert demographics.data["medication"] == [
        {"row": 2, "drug": "aspirin", "dose": 100},
        {"row": 3, "drug": "heparin"},
    ]
    assert demographics.data["birth"] == "1964-07-UK"
    assert sorted(record.data["term"] for record in Record.objects.filter(form="AE")) == ["Nausea", "Pain"]
    assert Record.objects.get(form="DM", visit__event="MONTH").visit.repeat == 2
