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
from tests.crf.exported import FULL, KINDS, filled, published
from tests.study import DEFINITION, PASSWORD, both, enrol, enter, person

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
    asked = queries.raise_query(
        subject=subject, visit=visit, form="DM", item="age", text="Sentinel question", by=monitor
    )
    queries.answer(query=asked, text="Sentinel answer", by=by)
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
    assert "Sentinel answer" in text and 'CodeListOID="CL.LOBULE.STATUS">answer<' in text
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
    assert text.count('CodeListOID="CL.LOBULE.KIND">query<') == 2 and "<Association" in text and "<Signature>" in text
    assert "Q-0" not in text, "numbers count up over all subjects: with moved times they would tell the days"
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


def two_builds(study):
    """A record of a newer build, with a query, beside those of the first one; a visit at which nobody began a form."""
    by = people.system_user()
    published(version="2.0", forms=[*DEFINITION["forms"], KINDS | {"name": both("Kinds again")}])
    subject = enrol(study.sites.get(code="01"), by=by, hospital_number="HN9")
    enter(subject, "KINDS", FULL, by=by)
    monitor = person("monitor2", study=study, role="monitor")
    baseline = subject.visits.get(event="BASELINE")
    for item in ("outcome", "age"):
        queries.raise_query(subject=subject, visit=baseline, form="KINDS", item=item, text=f"Newer {item}?", by=monitor)


def test_a_query_stands_once_with_its_record_and_never_beside_what_is_left_out(study, tmp_path):
    two_builds(study)
    written(study, tmp_path, identified=True)
    files = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.odm.xml")}
    assert files.keys() == {"records-1.0.odm.xml", "records-2.0.odm.xml"}
    whole = "".join(files.values())
    assert whole.count("Newer age?") == whole.count("Sentinel question") == whole.count("Where is the blood?") == 1
    assert "Newer age?" in files["records-2.0.odm.xml"] and "Newer outcome?" not in whole
    assert [faults(content.encode()) for content in files.values()] == [[], []]


def test_queries_about_forms_that_were_not_asked_for_stay_behind(study, tmp_path):
    content = written(study, tmp_path, identified=True, forms=("DM",)).decode()
    assert "Sentinel question" in content and "Where is the blood?" not in content
    exports.export(
        study=study, folder=tmp_path / "month", format="odm", wanted=Wanted(events=("MONTH1",)),
        by=people.system_user(),
    )  # fmt: skip
    assert ">query<" not in (tmp_path / "month" / "records-1.0.odm.xml").read_text()


def test_a_study_without_records_is_a_file_without_records(tmp_path):
    study = published().study
    exports.export(study=study, folder=tmp_path / "out", format="odm", wanted=Wanted(), by=people.system_user())
    content = (tmp_path / "out" / "records-1.0.odm.xml").read_bytes()
    assert faults(content) == [] and b"<SubjectData" not in content
