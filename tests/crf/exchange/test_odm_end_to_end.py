"""A study and its records from ODM files through the commands into the database, and out again."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from crf.exchange.odm_data import read_odm_data
from crf.models import Record
from crf.selectors import definition_of, read_entry
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


def answered(study, records) -> int:
    """How many answers that a person gives the records hold."""
    entered = {(form.oid, item.name) for form in study.forms for item in form.questions.values() if item.is_entered}
    values = ((record.form, name, value) for record in records for name, value in record.data.items())
    return sum((form, name) in entered and value not in (None, "", []) for form, name, value in values)


def findings(record):
    entry = read_entry(subject=record.subject, visit=record.visit, form=record.form, typed={}, record=record)
    return entry.state.findings


@pytest.mark.slow
def test_openedcs_ninety_subjects_and_1684_values_come_in(shared, mapping):
    """The example is random and breaks its own skip logic in 330 places; 117 values are calculated, here as there."""
    folder = shared / "data" / "odm"
    run("import_study", folder / "openedc_metadata.xml")
    data = folder / "openedc_clinicaldata.xml"
    out = StringIO()
    with translation.override("en"), pytest.raises(CommandError, match="330 problems"):
        call_command("import_records", "S_1", str(data), mapping=mapping, dry_run=True, stdout=out)
    refused = [line for line in out.getvalue().splitlines() if line.startswith("row ")]
    assert refused and all("does not apply given the other answers" in line for line in refused)
    mapping.write_text(f"{MAPPING}hidden: keep\n")
    assert "subjects_new 90" in run("import_records", "S_1", data, "--mapping", mapping)
    study = definition_of(Study.objects.get(code="S_1"))
    reading = read_odm_data(data.read_bytes(), study)
    calculated = [note for note in reading.notes if "calculated here" in note.en]
    assert (Subject.objects.count(), Record.objects.count()) == (90, 337)
    assert (answered(study, Record.objects.all()), len(calculated), reading.values) == (1567, 117, 1684)
    assert "records_unchanged 337" in run("import_records", "S_1", data, "--mapping", mapping)
    told = [finding for record in Record.objects.select_related("subject", "visit") for finding in findings(record)]
    assert sum(finding.check == "hidden" for finding in told) == 330, "each is told where it stands"


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
