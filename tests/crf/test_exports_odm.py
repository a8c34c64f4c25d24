"""Records as ODM: CDISC's schema has nothing against the file, and what it says is what is stored."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crf.definitions.rows import nested
from crf.exchange.odm_data import read_odm_data
from crf.exports.rules import Wanted
from crf.models import Record
from crf.selectors import current_build
from crf.services import exports, queries, records, sdv
from registry import pseudonyms
from registry.services import people
from tests.crf.exchange.odm_schema import faults
from tests.crf.exported import filled, published
from tests.study import PASSWORD, enter, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(db):
    """Records of every kind; one was asked about, verified and signed."""
    by = people.system_user()
    study = published().study
    made = filled(study, by=by)
    subject = made[0].subject
    enter(subject, "KINDS", {"meds": [{"row": 1, "drug": "Sentinel drug", "units": "3"}]}, by=by)
    enter(subject, "DM", {"age": "40", "sex": "M"}, complete=True, by=by)
    record = Record.objects.get(subject=subject, form="DM")
    monitor, signer = person("monitor", study=study, role="monitor"), person("pi", study=study, role="pi")
    visit = subject.visits.get(event="BASELINE")
    queries.raise_query(subject=subject, visit=visit, form="DM", item="age", text="Sentinel question", by=monitor)
    queries.raise_query(subject=subject, visit=visit, form="LB", text="Where is the blood?", by=monitor)
    sdv.verify(record=record, by=monitor)
    records.sign(record=Record.objects.get(pk=record.pk), password=PASSWORD, by=signer)
    return study


def written(study, tmp_path: Path, **wanted) -> bytes:
    by = person("exporter", study=study, role="pi")
    password = PASSWORD if wanted else ""
    exports.export(
        study=study, folder=tmp_path / "out", format="odm", wanted=Wanted(**wanted), password=password, by=by
    )
    return (tmp_path / "out" / "records-1.0.odm.xml").read_bytes()


def test_an_identified_file_says_what_is_stored_and_who_asked_verified_and_signed(study, tmp_path):
    content = written(study, tmp_path, identified=True, blinded=True)
    assert faults(content) == []
    definition = current_build(study).study_definition
    reading = read_odm_data(content, definition)
    assert not reading.problems
    stored = {(one.subject.number, one.form): one for one in Record.objects.select_related("subject")}
    assert len(reading.records) == len(stored)
    for one in reading.records:
        record = stored[one.key.subject, one.key.form]
        read = nested({address: cell.value for address, cell in one.cells.items() if cell.value is not None})
        entered = {
            name: value
            for name, value in record.data.items()
            if definition.form(record.form).items[name].type != "derived"
        }
        assert read == entered, (one.key, read)
    text = content.decode()
    assert "Sentinel question" in text and "Where is the blood?" in text and "<Association" in text
    assert "<Signature>" in text and 'UserOID="USR.pi"' in text and "verified" in text and "Sentinel comment" in text


def test_a_deidentified_file_tells_nobody_and_keeps_the_shape(study, tmp_path):
    content = written(study, tmp_path)
    assert faults(content) == []
    text = content.decode()
    for secret in (
        "Sentinel",
        "ZXQ",
        "哨兵",
        "paper lost",
        "1933-02-01",
        "2026-04-03",
        "Where is the blood",
        "01-0001",
    ):
        assert secret not in text, secret
    assert "Q-0" in text and "<Association" in text and "<Signature>" in text
    record = Record.objects.filter(form="KINDS").order_by("pk")[0]
    subject = record.subject
    key = pseudonyms.person_key(subject.identity.hospital_number_hash, subject.number)
    days = pseudonyms.days_back(pseudonyms.study_key(study), key)
    assert (dt.date(2026, 4, 3) - dt.timedelta(days)).isoformat() in text
    today = dt.datetime.now(dt.UTC).date().isoformat()  # noqa: TID251
    assert today not in text, "when it was asked or signed would tell when the visit was"


def test_the_same_state_gives_the_same_file(study, tmp_path):
    by = people.system_user()
    for name in ("one", "two"):
        exports.export(study=study, folder=tmp_path / name, format="odm", wanted=Wanted(), by=by)
    one, two = ((tmp_path / name / "records-1.0.odm.xml").read_bytes() for name in ("one", "two"))
    assert one == two
