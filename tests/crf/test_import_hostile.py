"""Whatever is sent, an import either does what it showed or says one clear thing and changes nothing."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys

import pytest
import xlsxwriter
from django.db import connections, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crf import tasks
from crf.definitions.mapping import read_mapping
from crf.models import Import, ImportLine, Record
from crf.services import import_jobs, import_source, imports, integrity
from registry.models import AuditEvent, Job, Subject
from registry.services.people import system_user
from tests import servers
from tests.study import DEFINITION, both, enrol, enter, publish

HEADER = "subject,event,lb_date,albumin,bilirubin"
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><ODM>&b;</ODM>'
XXE = b'<?xml version="1.0"?><!DOCTYPE o [<!ENTITY x SYSTEM "file:///etc/passwd">]><ODM>&x;</ODM>'
OTHER_STUDY = (
    b'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3.2" FileOID="f" FileType="Snapshot" '
    b'CreationDateTime="2026-01-01T00:00:00"><ClinicalData StudyOID="ANOTHER" MetaDataVersionOID="1">'
    b'<SubjectData SubjectKey="01-0001"/></ClinicalData></ODM>'
)


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


def everything() -> tuple[int, ...]:
    return Subject.history.count(), Record.history.count(), AuditEvent.objects.count()


def one_cell(text: str) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate([HEADER.split(","), ["01-0001", "BASELINE", "", text, ""]]):
            for column, cell in enumerate(row):
                sheet.write_string(at, column, cell)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x00" * 1000, "no usable name"),
        (b"\xff\xfe\x00\xd8", "encoding"),
        (f"{HEADER}\n01-0001,BASELINE,2026-03-02,38".encode(), "4 cells under 5"),
        (f'{HEADER}\n01-0001,BASELINE,2026-03-02,"38'.encode(), "well-formed"),
        (f"{HEADER}\n01-0001,BASELINE,,{'9' * 10_000_000},".encode(), "longer than 10000"),
        (f"{HEADER}\n01-0001,BASELINE,,\"=HYPERLINK(\"\"http://x\"\")\",".encode(), "formula"),
        (f"{HEADER}\n01-0001,BASELINE,,＝1+1,".encode("gb18030"), "formula"),
        (f"{HEADER}\n01-0001,BASELINE,,约四十,".encode("gb18030"), "'约四十' is not a number"),
        ("subject,event,Größe\n01-0001,BASELINE,40\n".encode("latin-1"), "encoding|no item has this name"),
        (one_cell("=1+1"), "formula"),
        (one_cell("@SUM(A1)"), "formula"),
        (b"PK\x03\x04" + os.urandom(300), "damaged"),
        (b"%PDF-1.7\n1 0 obj\n", "no item has this name|no such column"),
        (b"subject,event,weight\n01-0001,BASELINE,40\n", "no item has this name"),
        (b"subject,event,albumin\n77-0001,BASELINE,40\n", "no subject"),
        (LAUGHS, ""),
        (XXE, ""),
        (OTHER_STUDY, ""),
        (b"<ODM", ""),
        (b"record_id,redcap_event_name,x\n1,baseline_arm_1,2\n", ""),
    ],
)  # fmt: skip
def test_a_bad_file_gets_a_clear_error_and_changes_nothing(study, subject, coordinator, content, said):
    before = everything()
    for mode in (imports.ALL, imports.GOOD):
        try:
            plan = imports.commit(study=study, content=content, mode=mode, by=coordinator)
        except imports.ImportRefused as refused:
            plan = refused.plan
        assert plan.problems
        first = plan.problems[0]
        assert any(re.search(said, one.en) for one in plan.problems), plan.problems
        assert first.zh and first.remedy_zh and first.remedy_en
        assert b"root:" not in repr(plan.problems).encode()
        assert everything() == before


CELL = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["38.5", "2026-03-02", "01-0001", "BASELINE", "MONTH1", "ND", "=1+1", "1,5", "", '"', "\n", "\x00"]
    ),
)


@pytest.mark.django_db
@given(rows=st.lists(st.lists(CELL, min_size=4, max_size=6), max_size=5), head=st.sampled_from([HEADER, HEADER + "\n"]))
@example(rows=[["01-0001", "BASELINE", "2026-03-02", "38.5", "12"]], head=HEADER + "\n")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_is_imported_as_previewed_or_refused_as_previewed(study, subject, coordinator, rows, head):
    content = (head + "\n".join(",".join(row) for row in rows)).encode("utf-8", "surrogatepass")
    with transaction.atomic():
        shown = imports.preview(study=study, content=content, by=coordinator)
        before = everything()
        try:
            done = imports.commit(
                study=study, content=content, fingerprint=shown.fingerprint(), reason="why", by=coordinator
            )
        except imports.ImportRefused as refused:
            assert shown.problems
            assert [one.en for one in refused.plan.problems] == [one.en for one in shown.problems]
            assert everything() == before
        else:
            assert done.counts == shown.counts
            again = imports.commit(study=study, content=content, reason="why", by=coordinator)
            assert not again.writes, "repeating it changes nothing"
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_good_rows_go_in_whole_and_a_refused_row_leaves_nothing_of_itself(study, site, coordinator):
    for _ in range(2):
        enrol(site, by=coordinator)
    content = b"subject,age,sex,albumin,event\n01-0001,51,F,38,BASELINE\n01-0002,52,Q,39,BASELINE\n"
    plan = imports.commit(study=study, content=content, mode="good", by=coordinator)
    assert (plan.counts["records_new"], plan.counts["rows_refused"]) == (2, 1)
    assert {record.subject.number for record in Record.objects.all()} == {"01-0001"}


@pytest.mark.django_db
def test_what_depends_on_a_refused_row_is_refused_with_it(study, subject, coordinator):
    enter(subject, "DM", {"sex": "M"}, by=coordinator)
    content = b"subject,age,sex,pregnant,event\n01-0001,many,F,,BASELINE\n01-0001,,,no,BASELINE\n"
    plan = imports.commit(study=study, content=content, mode="good", reason="why", by=coordinator)
    assert [(one.row, one.column) for one in plan.problems] == [(2, "age"), (3, "pregnant")]
    assert Record.objects.get().data == {"sex": "M"}


MEDS = {
    "name": both("Medication"),
    "rows": {"name": "meds"},
    "items": [
        {"name": "drug", "type": "text", "label": both("Drug")},
        {"name": "dose", "type": "decimal", "label": both("Dose"), "unit": "mg", "range": [0, 1000]},
    ],
}


@pytest.fixture
def grouped(db):
    form = {"oid": "CM", "name": both("Medication"), "sections": [MEDS]}
    scan = {"name": "scan", "type": "file", "label": both("Scan")}
    filed = {"oid": "FL", "name": both("Files"), "sections": [{"name": both("Files"), "items": [scan]}]}
    events = [DEFINITION["events"][0] | {"forms": ["DM", "LB", "CM", "FL"]}, *DEFINITION["events"][1:]]
    study = publish(forms=[*DEFINITION["forms"], form, filed], events=events).study
    enrol(study.sites.get(code="01"), by=system_user())
    return study


def test_rows_of_the_file_become_rows_of_a_repeating_group(grouped):
    content = b"subject,row,drug,dose\n01-0001,1,A,5\n01-0001,3,B,2.5\n"
    imports.commit(study=grouped, content=content, mapping=read_mapping("row: {column: row}"), by=system_user())
    assert Record.objects.get().data["meds"] == [
        {"row": 1, "drug": "A", "dose": 5},
        {"row": 3, "drug": "B", "dose": 2.5},
    ]
    more = b"subject,row,drug,dose\n01-0001,3,,3\n01-0001,4,C,1\n"
    plan = imports.commit(
        study=grouped, content=more, mapping=read_mapping("row: {column: row}"), reason="why", by=system_user()
    )
    assert next((c.item, c.old, c.new) for c in plan.records[0].changes) == ("meds[3].dose", 2.5, 3)
    assert [row["row"] for row in Record.objects.get().data["meds"]] == [1, 3, 4]


def test_without_numbers_rows_count_up_and_the_same_file_changes_nothing(grouped):
    content = b"subject,drug,dose\n01-0001,A,5\n01-0001,B,2\n"
    for _ in range(2):
        plan = imports.commit(study=grouped, content=content, by=system_user())
    assert plan.counts["records_unchanged"] == 1
    assert [row["row"] for row in Record.objects.get().data["meds"]] == [1, 2]


def test_columns_may_be_named_for_the_rows_they_fill(grouped):
    content = b"subject,meds[1].drug,CM.meds[2].drug,meds[2].dose\n01-0001,A,B,2\n"
    imports.commit(study=grouped, content=content, by=system_user())
    assert Record.objects.get().data["meds"] == [{"row": 1, "drug": "A"}, {"row": 2, "drug": "B", "dose": 2}]


def test_a_file_item_is_refused_with_the_reason(grouped):
    plan = imports.preview(study=grouped, content=b"subject,scan\n01-0001,x.pdf\n", by=system_user())
    assert "no table can bring it" in plan.problems[0].en


# What only a real commit shows


def many(subjects: int) -> bytes:
    lines = [f"01-{n:04d},{event},{30 + n % 20}" for n in range(1, subjects + 1) for event in ("BASELINE", "MONTH1")]
    return "\n".join(["subject,event,albumin", *lines]).encode()


@pytest.fixture
def ready(transactional_clone, study, settings, tmp_path):
    """Subjects for several parts, and an import of them that is ready to start; commits are real."""
    settings.STORAGES = settings.STORAGES | {
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": str(tmp_path)}}
    }
    site, by = study.sites.get(code="01"), system_user()
    content = "\n".join(["subject,enrolled_on", *(f"H{n},2026-03-02" for n in range(1, 61))]).encode()
    mapping = read_mapping(
        'match: identifier\ncreate_subjects: true\nsite: "01"\nenrolled_on: {column: enrolled_on}\n'
        "visited_on: {column: enrolled_on}\nevent: BASELINE"
    )
    imports.commit(study=study, content=content, mapping=mapping, by=by)
    assert site.subjects.count() == 60
    upload = import_jobs.upload(study=study, file_name="many.csv", content=many(60), by=by)
    return import_jobs.preview(upload=upload, by=by)


@pytest.mark.parametrize(("mode", "left"), [("all", 0), ("good", 20)])
def test_stopping_keeps_what_the_mode_promises(ready, monkeypatch, mode, left):
    ready = in_parts(ready, monkeypatch)
    import_jobs.start(upload=ready, mode=mode, reason="", by=ready.by)
    is_stopped, asked = import_jobs._Aside.is_stopped, []

    def press_stop(self, rows):
        asked.append(rows)
        if len(asked) == 3:
            pressed_elsewhere(ready)
        return is_stopped(self, rows)

    monkeypatch.setattr(import_jobs._Aside, "is_stopped", press_stop)
    import_jobs.run(upload=ready, progress=import_jobs.jobs.Progress(ready.job), by=ready.by)
    ready.refresh_from_db()
    assert ready.state == "stopped"
    assert Record.objects.count() == left
    assert integrity.problems() == []


def test_a_preview_is_seen_on_its_way_and_can_be_stopped(ready, monkeypatch):
    read = import_source.read_batches
    monkeypatch.setattr(import_source, "read_batches", lambda *about: read(*about, size=20))
    ready.job = import_jobs.jobs.create(kind="records.preview", study=ready.study, by=ready.by)
    ready.save()
    is_stopped, seen = import_jobs._Aside.is_stopped, []

    def press_stop(self, rows):
        found = is_stopped(self, rows)
        aside = connections["default"].copy()
        with aside.cursor() as cursor:
            cursor.execute("SELECT done FROM registry_job WHERE id = %s", [ready.job_id])
            seen.append(cursor.fetchone()[0])
        aside.close()
        if len(seen) == 3:
            pressed_elsewhere(ready)
        return found

    monkeypatch.setattr(import_jobs._Aside, "is_stopped", press_stop)
    lines = ImportLine.objects.count()
    tasks.preview_import(job_id=ready.job_id, import_id=ready.pk)
    assert seen == [0, 20, 40, 40]
    assert Job.objects.get(pk=ready.job_id).state == "cancelled"
    assert ImportLine.objects.count() == lines and Record.objects.count() == 0


def pressed_elsewhere(upload) -> None:
    """The button is pressed by another process: on a connection of its own."""
    aside = connections["default"].copy()
    with aside.cursor() as cursor:
        cursor.execute("UPDATE registry_job SET state = 'cancelled' WHERE id = %s", [upload.job_id])
    aside.close()


def in_parts(upload: Import, monkeypatch) -> Import:
    """The same import previewed and read in parts of twenty rows."""
    read = import_source.read_batches
    monkeypatch.setattr(import_source, "read_batches", lambda *about: read(*about, size=20))
    return import_jobs.preview(upload=upload, by=upload.by)


@pytest.mark.parametrize(("mode", "left"), [("all", 0), ("good", 20)])
def test_a_worker_that_dies_leaves_all_or_nothing_of_each_part_and_the_next_goes_on(ready, monkeypatch, mode, left):
    ready = in_parts(ready, monkeypatch)
    import_jobs.start(upload=ready, mode=mode, reason="", by=ready.by)
    is_stopped, asked = import_jobs._Aside.is_stopped, []

    def die(self, rows):
        asked.append(rows)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return is_stopped(self, rows)

    with monkeypatch.context() as dying:
        dying.setattr(import_jobs._Aside, "is_stopped", die)
        with pytest.raises(KeyboardInterrupt):
            import_jobs.run(upload=ready, progress=import_jobs.jobs.Progress(ready.job), by=ready.by)
    assert Record.objects.count() == left
    ready = Import.objects.select_related("study", "by", "job").get(pk=ready.pk)
    assert ready.state == "running"
    import_jobs.run(upload=ready, progress=import_jobs.jobs.Progress(ready.job), by=ready.by)
    assert Record.objects.count() == Record.history.count() == 120
    assert (Import.objects.get().state, Import.objects.get().result["records_new"]) == ("done", 120)
    assert integrity.problems() == []


KILLED = """
import os, signal, django
django.setup()
from crf.models import Import
from crf.services import import_jobs, import_source
from registry.jobs import Progress

read, is_stopped, asked = import_source.read_batches, import_jobs._Aside.is_stopped, []
import_source.read_batches = lambda *about: read(*about, size=20)

def die(self, rows):
    asked.append(rows)
    if len(asked) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return is_stopped(self, rows)

import_jobs._Aside.is_stopped = die
upload = Import.objects.select_related("study", "by", "job").get()
import_jobs.run(upload=upload, progress=Progress(upload.job), by=upload.by)
"""


@pytest.mark.parametrize(("mode", "left"), [("all", 0), ("good", 40)])
def test_a_process_that_is_killed_leaves_whole_parts_and_the_next_one_goes_on(
    ready, transactional_clone, monkeypatch, tmp_path, mode, left
):  # fmt: skip
    ready = in_parts(ready, monkeypatch)
    import_jobs.start(upload=ready, mode=mode, reason="", by=ready.by)
    url = servers.attached().database_url("lobule_app", transactional_clone)
    environment = os.environ | {"DATABASE_URL": url, "STORAGE_FOLDER": str(tmp_path)}
    environment |= {"DJANGO_SETTINGS_MODULE": "deploy.settings"}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert Record.objects.count() == Record.history.count() == left
    assert integrity.problems() == []
    ready = Import.objects.select_related("study", "by", "job").get()
    import_jobs.run(upload=ready, progress=import_jobs.jobs.Progress(ready.job), by=ready.by)
    assert Record.objects.count() == Record.history.count() == 120
    assert (Import.objects.get().state, Import.objects.get().result["records_new"]) == ("done", 120)
    told = AuditEvent.objects.filter(kind="records.import").latest("pk").details
    assert (told["records_new"], told.get("went_on_after_part")) == (120 - left, None if mode == "all" else 2)


def test_progress_is_seen_before_the_import_commits(ready, monkeypatch):
    ready = in_parts(ready, monkeypatch)
    import_jobs.start(upload=ready, mode="all", reason="", by=ready.by)
    is_stopped, seen = import_jobs._Aside.is_stopped, []

    def look(self, rows):
        found = is_stopped(self, rows)
        aside = connections["default"].copy()
        with aside.cursor() as cursor:
            cursor.execute(
                "SELECT done, (SELECT count(*) FROM crf_record) FROM registry_job WHERE id = %s", [ready.job_id]
            )
            seen.append(cursor.fetchone())
        aside.close()
        return found

    monkeypatch.setattr(import_jobs._Aside, "is_stopped", look)
    import_jobs.run(upload=ready, progress=import_jobs.jobs.Progress(ready.job), by=ready.by)
    assert [records for _, records in seen] == [0] * len(seen)
    assert seen[-1][0] == 120


def test_old_files_are_forgotten_at_night(ready):
    Import.objects.update(created_at="2026-01-01T00:00:00Z")
    assert import_jobs.discard_old(by=ready.by) == 1
    assert not Import.objects.exists() and not ImportLine.objects.exists()
