"""A real file: 418 patients of the Mayo PBC trial, from R's CSV to records, by the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command

from crf.models import Record
from registry.models import AuditEvent, Subject

PBC = Path(__file__).parent / "data" / "pbc"


def run(*arguments) -> dict:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.django_db
def test_418_real_patients_are_imported_once_with_every_value(shared):
    path = shared / "data/cohorts/pbc.csv"
    run("import_study", PBC)
    arguments = ("import_records", "PBC", path, "--mapping", PBC / "mapping.yaml")

    preview = run(*arguments, "--dry-run")
    assert (preview["subjects_new"], preview["records_new"], preview["refused"]) == (418, 836, 0)
    assert Subject.objects.filter(study__code="PBC").count() == 0

    done = run(*arguments)
    assert done["imported"] is True
    assert done["values_new"] == preview["values_new"]

    again = run(*arguments)
    assert (again["subjects_new"], again["records_new"], again["records_changed"]) == (0, 0, 0)
    assert again["records_unchanged"] == 836
    assert Record.history.filter(subject__study__code="PBC").count() == 836, (
        "one revision a record, also after a repeat"
    )
    assert AuditEvent.objects.filter(kind="records.import").count() == 1

    with path.open() as file:
        rows = list(csv.DictReader(file))
    stored = Record.objects.filter(subject__study__code="PBC").select_related("subject", "visit")
    baseline = {record.subject.sequence: record for record in stored if record.form == "BL"}
    ends = {record.subject.sequence: record for record in stored if record.form == "FU"}
    assert len(baseline) == len(ends) == 418
    for sequence, row in enumerate(rows, start=1):
        compare(row, baseline[sequence], ends[sequence])
    assert sum(record.data["dead"] for record in ends.values()) == 161, "the deaths that Therneau and Grambsch count"
    assert {record.status for record in stored} == {"complete"}
    assert {row.history_source for row in Record.history.filter(subject__study__code="PBC")} == {"import"}


def compare(row: dict[str, str], baseline: Record, end: Record) -> None:
    """Every cell of a row against what is stored."""
    data = baseline.data
    assert data["bilirubin"] == pytest.approx(float(row["bili"]) * 17.1, abs=0.005)
    assert data["albumin"] == pytest.approx(float(row["albumin"]) * 10, abs=0.05)
    assert data["age"] == pytest.approx(float(row["age"]), abs=0.00005)
    assert data["sex"] == row["sex"].upper()
    named = {"chol": "cholesterol", "copper": "copper", "trig": "triglycerides", "platelet": "platelets"}
    named |= {"ast": "ast", "alk.phos": "alp", "protime": "prothrombin_time", "stage": "stage"}
    for column, item in named.items():
        assert data.get(item) == (float(row[column]) if row[column] else None), (row["id"], column)
    assert data.get("oedema") == row["edema"]
    assert end.data["days"] == int(row["time"])
    assert end.data["status"] == row["status"]
    assert baseline.subject.group.code == ("TRIAL" if row["trt"] else "OTHER")
