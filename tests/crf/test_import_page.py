"""The import pages: upload, assign columns, preview, confirm, stop, refused rows; nothing for those who may not."""

from __future__ import annotations

import html as escaping
import io
import re
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from python_calamine import CalamineWorkbook

from crf import tasks
from crf.exchange.redcap_project import read_project
from crf.models import Import, ImportLine, ImportMapping, Record
from crf.services import builds, import_jobs
from registry.models import AuditEvent, Job
from registry.services.people import system_user
from tests.study import enrol, enter, person

pytestmark = pytest.mark.django_db

GOOD = "subject,event,lb_date,albumin\n01-0001,BASELINE,2026-03-02,39\n"
STANDARD = {"target-0": "subject", "target-1": "event", "target-2": "LB.lb_date", "target-3": "LB.albumin"}


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path):
    backend = {**settings.STORAGES["default"], "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = settings.STORAGES | {"default": backend}


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def address(study):
    return reverse("crf:import-records", args=[study.code])


@pytest.fixture
def browser(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def text_of(response) -> str:
    return escaping.unescape(response.content.decode())


def upload(client, address, content=GOOD, mapping="", name="a.csv", **fields):
    content = content if isinstance(content, bytes) else content.encode()
    files = {"file": SimpleUploadedFile(name, content), **fields}
    if mapping:
        files["mapping"] = SimpleUploadedFile("m.yaml", mapping.encode())
    return client.post(address, files, follow=True)


def assign(client, fields=STANDARD, **more):
    """Post the columns of the newest import; the page of its preview."""
    one = Import.objects.latest("pk")
    to = reverse("crf:import-columns", args=[one.study.code, one.pk])
    return client.post(to, {"match": "number", "empty": "keep", **fields, **more}, follow=True)


def act(client, name, **fields):
    one = Import.objects.latest("pk")
    return client.post(reverse("crf:import", args=[one.study.code, one.pk]), {"act": name, **fields}, follow=True)


def work() -> Import:
    """What the worker does with the newest import."""
    one = Import.objects.latest("pk")
    tasks.import_records(job_id=one.job_id, import_id=one.pk)
    one.refresh_from_db()
    return one


def test_a_file_is_mapped_previewed_confirmed_and_imported(browser, address, subject):
    columns = upload(browser, address)
    assert 'value="LB.albumin"' in text_of(columns), "columns that bear an item's name are assigned to it"
    assert "2026-03-02" in text_of(columns), "beside what the file holds"
    preview = text_of(assign(browser))
    assert re.search(r"<dt>New values</dt><dd>2</dd>", preview)
    assert Record.objects.count() == 0
    act(browser, "start", mode="all", reason="")
    assert Record.objects.count() == 0, "the worker does it"
    assert work().state == "done"
    assert Record.objects.get().data["albumin"] == 39
    assert Job.objects.latest("pk").state == "done"
    assert "1 new and 0 changed records" in text_of(
        browser.get(reverse("crf:import", args=["LIVER", Import.objects.get().pk]))
    )


def test_leaving_the_page_loses_nothing(browser, address, subject):
    upload(browser, address)
    assign(browser)
    one = Import.objects.get()
    assert f'href="{reverse("crf:import", args=["LIVER", one.pk])}"' in text_of(browser.get(address))
    assert "New records" in text_of(browser.get(reverse("crf:import", args=["LIVER", one.pk])))


def test_the_file_lies_sealed_outside_the_web_root(browser, address, subject, tmp_path):
    upload(browser, address, GOOD.replace("39", "39.125"))
    [stored] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert b"39.125" not in stored.read_bytes()
    assert b"39.125" in import_jobs.import_files.get(Import.objects.get().key)


def test_what_a_preview_keeps_of_a_file_names_nobody_in_the_database(browser, address, study):
    upload(browser, address, "号,入组日期,白蛋白\nZY2026001,2026-03-02,39\nZY2026002,2026-13-01,39\n")
    fields = {"target-0": "subject", "target-1": "enrolled_on", "target-2": "LB.albumin", "fixed-event": "BASELINE"}
    page = text_of(assign(browser, fields, match="identifier", create_subjects="on", **{"fixed-site": "01"}))
    assert "enrolled_on '2026-13-01' is not a whole date" in page
    one = Import.objects.get()
    assert "ZY2026001" in text_of(browser.get(reverse("crf:import", args=["LIVER", one.pk]) + "?kind=new"))
    assert "ZY2026001" in text_of(browser.get(reverse("crf:import-columns", args=["LIVER", one.pk])))
    stored = str(list(Import.objects.values())) + str(list(ImportLine.objects.values()))
    assert "sealed:" in stored and "ZY2026" not in stored and "2026-13-01" not in stored
    refused = browser.get(reverse("crf:import-refused", args=["LIVER", one.pk, "csv"])).content.decode()
    assert "ZY2026002,2026-13-01,39,3,入组日期: enrolled_on '2026-13-01' is not a whole date" in refused


def test_changed_values_are_shown_old_and_new_and_ask_for_a_reason(browser, address, subject, coordinator):
    enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    upload(browser, address)
    page = text_of(assign(browser))
    assert re.search(r"<del>38\.0</del>.*?39\.0", page, re.DOTALL)
    assert "give a reason" in text_of(act(browser, "start", mode="all", reason=" "))
    assert Import.objects.get().state == "previewed"
    act(browser, "start", mode="all", reason="source corrected")
    work()
    assert Record.objects.get().data["albumin"] == 39
    assert Record.history.first().history_change_reason == "source corrected"


def test_characters_that_nobody_types_do_no_harm(browser, address, subject):
    upload(browser, address)
    assign(browser, name="lab\x00")
    one = Import.objects.get()
    assert browser.get(reverse("crf:import", args=["LIVER", one.pk]), {"kind": "\x00", "page": "x"}).status_code == 200
    act(browser, "start", mode="all", reason="as\x00agreed")
    work()
    assert (ImportMapping.objects.get().name, Record.history.get().history_change_reason) == ("lab", "as agreed")


def test_refused_rows_are_listed_and_only_the_good_ones_can_be_imported(browser, address, site, subject, coordinator):
    enrol(site, by=coordinator)
    upload(browser, address, GOOD + "01-0002,BASELINE,2026-03-02,<b>about</b>\n")
    response = assign(browser)
    assert "'<b>about</b>' is not a number" in text_of(response)
    assert "&lt;b&gt;" in response.content.decode(), "a cell is text, never markup"
    assert "Rows are refused" in text_of(act(browser, "start", mode="all", reason=""))
    act(browser, "start", mode="good", reason="")
    assert work().result["rows_refused"] == 1
    assert [record.subject for record in Record.objects.all()] == [subject]


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_the_refused_rows_come_back_to_be_corrected_and_sent_again(
    browser, address, site, subject, coordinator, format
):
    enrol(site, by=coordinator)
    upload(browser, address, GOOD + "01-0002,BASELINE,2026-03-02,=about\n")
    assign(browser)
    act(browser, "start", mode="good", reason="")
    one = work()
    content = browser.get(reverse("crf:import-refused", args=["LIVER", one.pk, format])).content
    if format == "csv":
        assert content.startswith(b"\xef\xbb\xbf")
        assert b",'=about,3,albumin: looks like a formula" in content, "nothing in it runs"
        corrected = content.replace(b"'=about", b"41")
    else:
        [header, row] = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
        assert header == ["subject", "event", "lb_date", "albumin", "import_row", "import_problem"]
        assert row[3:5] == ["=about", "3"]
        corrected = ",".join(header).encode() + b"\n" + ",".join(row[:3]).encode() + b",41,3,x\n"
    upload(browser, address, corrected, name="corrected.csv")
    assert re.search(r"<dt>New values</dt><dd>2</dd>", text_of(assign(browser)))
    act(browser, "start", mode="all", reason="")
    work()
    assert sorted(record.data["albumin"] for record in Record.objects.all()) == [39, 41]


def test_a_mapping_is_remembered_for_the_study_and_the_layout(browser, address, subject, cast):
    upload(browser, address, "号,白蛋白(g/dL)\n01-0001,3.9\n")
    fields = {"target-0": "subject", "target-1": "LB.albumin", "factor-1": "10", "fixed-event": "BASELINE"}
    assign(browser, fields, name="hospital")
    assert Import.objects.get().counts["values_new"] == 1
    kept = ImportMapping.objects.get()
    assert (kept.name, kept.mapping["columns"]["白蛋白(g/dL)"]["factor"]) == ("hospital", 10)
    assert kept.history.get().history_user.username == "coordinator"
    browser.force_login(cast["data_manager"])
    again = text_of(upload(browser, address, "号,白蛋白(g/dL)\n01-0001,4.1\n"))
    assert 'value="LB.albumin"' in again
    assert re.search(r'name="factor-1" value="10\.0"', again)
    assign(browser, fields | {"factor-1": "1"}, name="hospital")
    assert ImportMapping.objects.get().history.count() == 2


def test_cells_are_translated_dates_turned_and_words_left_out(browser, address, subject):
    upload(browser, address, "subject,day,a,s\n01-0001,02/03/2026,-9,female\n")
    fields = {"target-0": "subject", "target-1": "LB.lb_date", "target-2": "LB.albumin", "target-3": "DM.sex"}
    fields |= {"date-1": "dmy", "missing-2": "-9", "values-3": "female = F\nmale = M", "fixed-event": "BASELINE"}
    assign(browser, fields)
    act(browser, "start", mode="all", reason="")
    work()
    assert {record.form: record.data for record in Record.objects.all()} == {
        "LB": {"lb_date": "2026-03-02"}, "DM": {"sex": "F"},
    }  # fmt: skip


@pytest.mark.parametrize("fields", [{"values-3": "no sign"}, {"target-3": "nonsense"}, {"factor-3": "much"}])
def test_columns_that_cannot_be_read_so_are_said(browser, address, subject, fields):
    upload(browser, address)
    response = assign(browser, STANDARD | fields)
    assert response.status_code == 422
    assert "The columns cannot be read like this" in text_of(response)


def test_the_page_speaks_chinese(browser, address, subject):
    browser.cookies["django_language"] = "zh-hans"
    upload(browser, address, GOOD.replace("39", "约40"))
    page = text_of(assign(browser))
    assert "“约40”不是数字" in page
    assert "处理办法" in page


def test_a_preview_belongs_to_the_person_who_made_it(browser, address, subject, cast):
    upload(browser, address)
    assign(browser)
    one = Import.objects.get()
    browser.force_login(cast["data_manager"])
    for name in ("crf:import", "crf:import-columns"):
        assert browser.get(reverse(name, args=["LIVER", one.pk])).status_code == 404
    assert browser.post(reverse("crf:import", args=["LIVER", one.pk]), {"act": "start"}).status_code == 404


def test_what_changed_since_the_preview_is_not_imported_but_shown_again(browser, address, subject, coordinator):
    upload(browser, address)
    assign(browser)
    enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    act(browser, "start", mode="all", reason="x")
    assert work().state == "failed"
    assert "changed since the preview" in text_of(
        act(browser, "none") if False else browser.get(reverse("crf:import", args=["LIVER", Import.objects.get().pk]))
    )
    assert Record.objects.get().data["albumin"] == 38
    assert re.search(r"<del>38\.0</del>", text_of(act(browser, "preview")))


def test_a_stopped_import_of_all_or_nothing_leaves_nothing(browser, address, subject):
    upload(browser, address)
    assign(browser)
    act(browser, "start", mode="all", reason="")
    act(browser, "stop")
    assert Job.objects.latest("pk").state == "cancelled"
    one = Import.objects.get()
    import_jobs.stop(upload=one, by=one.by)
    tasks.import_records(job_id=one.job_id, import_id=one.pk)
    one.refresh_from_db()
    assert (one.state, Record.objects.count()) == ("stopped", 0)
    assert Job.objects.latest("pk").state == "cancelled"
    assert not AuditEvent.objects.filter(kind="records.import").exists()
    assert act(browser, "preview").status_code == 200
    act(browser, "start", mode="all", reason="")
    assert work().state == "done"


def test_a_task_that_arrives_twice_imports_once(browser, address, subject):
    upload(browser, address)
    assign(browser)
    act(browser, "start", mode="all", reason="")
    work()
    work()
    assert Record.history.count() == 1
    assert AuditEvent.objects.filter(kind="records.import").count() == 1


def test_a_forgotten_file_is_gone_and_its_records_stay(browser, address, subject, tmp_path):
    upload(browser, address)
    assign(browser)
    act(browser, "start", mode="all", reason="")
    work()
    act(browser, "discard")
    assert not Import.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert Record.objects.count() == 1


def test_a_file_that_is_no_table_is_said_at_its_field_and_kept_nowhere(browser, address, subject, tmp_path):
    response = upload(browser, address, b"\xff\xff\xff\xff")
    assert response.status_code == 422
    assert "encoding of the file is not recognised" in text_of(response)
    assert not Import.objects.exists()
    assert not list(tmp_path.iterdir())


def test_a_bad_mapping_is_said_at_its_field(browser, address, subject):
    response = upload(browser, address, mapping="colums: {}")
    assert response.status_code == 422
    assert "m.yaml:1: colums: unknown key 'colums'" in text_of(response)


def test_a_mapping_that_is_not_utf_8_is_refused(browser, address, subject):
    files = {
        "file": SimpleUploadedFile("a.csv", GOOD.encode()),
        "mapping": SimpleUploadedFile("m.yaml", "{}".encode("utf-16")),
    }
    assert "Save the mapping as UTF-8." in browser.post(address, files).content.decode()


def test_an_uploaded_mapping_is_used_at_once(browser, address, subject):
    text = "号,白蛋白\n01-0001,39\n"
    response = upload(browser, address, text, "subject: {column: 号}\nevent: BASELINE\ncolumns: {白蛋白: LB.albumin}")
    assert "New values" in text_of(response)
    act(browser, "start", mode="all", reason="")
    work()
    assert Record.objects.get().data["albumin"] == 39


@pytest.mark.parametrize("role", ["monitor", "reader", "statistician", "administrator", "pi"])
def test_who_may_not_import_is_refused_at_the_door(client, cast, address, role):
    client.force_login(cast[role])
    assert client.get(address).status_code == 403
    assert client.post(address, {"upload": "x"}).status_code == 403


def test_another_sites_coordinator_imports_nothing_here(client, cast, address, subject):
    client.force_login(cast["stranger"])
    client.cookies["django_language"] = "en"
    upload(client, address)
    page = text_of(assign(client))
    assert "there is no subject '01-0001', or not at your sites" in page


REDCAP = "record_id,redcap_event_name,lb_date,albumin,bilirubin\n"


def test_a_refused_row_of_a_redcap_file_takes_no_part_and_comes_back_to_be_corrected(
    browser, address, site, subject, coordinator
):
    enrol(site, by=coordinator)
    upload(browser, address, REDCAP + "01-0001,BASELINE,2026-03-02,39,12\n01-0002,BASELINE,2026-03-02,about,15\n")
    act(browser, "start", mode="good", reason="")
    one = work()
    assert one.result["rows_refused"] == 1
    assert [record.subject for record in Record.objects.all()] == [subject], "nothing of the refused row is stored"
    content = browser.get(reverse("crf:import-refused", args=["LIVER", one.pk, "csv"])).content.decode("utf-8-sig")
    header, row = content.splitlines()
    assert header == REDCAP.strip() + ",import_row,import_problem"
    assert row.startswith("01-0002,BASELINE,2026-03-02,about,15,3,")
    upload(browser, address, content.replace("about", "41"))
    assert Import.objects.latest("pk").counts["refused"] == 0
    act(browser, "start", mode="all", reason="")
    work()
    assert sorted(record.data["albumin"] for record in Record.objects.all()) == [39, 41]


def test_start_pressed_twice_starts_once_and_a_second_worker_leaves_the_end_as_it_is(browser, address, subject):
    upload(browser, address)
    assign(browser)
    first = Import.objects.get()
    act(browser, "start", mode="all", reason="")
    with pytest.raises(import_jobs.NotNow):
        import_jobs.start(upload=first, mode="all", reason="", by=first.by)
    late = Import.objects.get()
    work()
    import_jobs.run(upload=late, progress=import_jobs.jobs.Progress(late.job), by=late.by)
    assert (Import.objects.get().state, Record.history.count()) == ("done", 1)


def test_an_import_that_no_worker_will_carry_out_can_be_stopped_and_started_again(browser, address, subject):
    upload(browser, address)
    assign(browser)
    act(browser, "start", mode="all", reason="")
    act(browser, "stop")
    assert Import.objects.get().state == "stopped", "it waited; there is nobody to tell"
    act(browser, "preview")
    act(browser, "start", mode="all", reason="")
    Job.objects.filter(pk=Import.objects.get().job_id).update(state="failed", error="the queue does not answer")
    assert "the queue does not answer" in text_of(act(browser, "stop"))
    assert Import.objects.get().state == "failed"
    act(browser, "preview")
    act(browser, "start", mode="all", reason="")
    assert work().state == "done"


def test_whose_the_records_of_a_redcap_project_are_is_chosen_on_the_page(client):
    content = (Path(__file__).parent / "exchange/data/redcap_small.project.xml").read_bytes()
    definition = read_project(content, file="small.xml").definition
    study = builds.publish(definition=definition, by=system_user()).study
    client.force_login(person("manager", study=study, role="data_manager"))
    client.cookies["django_language"] = "en"
    to = reverse("crf:import-records", args=[study.code])
    page = text_of(upload(client, to, content, name="small.project.xml"))
    assert "there is no subject" in page and "Whose the records are" in page
    asked = text_of(client.get(reverse("crf:import-columns", args=[study.code, Import.objects.get().pk])))
    assert "Enrol those who are not there yet" in asked and "Columns of the file" not in asked
    fields = {"match": "identifier", "create_subjects": "on", "fixed-enrolled_on": "2026-01-05"}
    assert re.search(r"<dt>New subjects</dt><dd>2</dd>", text_of(assign(client, fields, name="REDCap")))
    act(client, "start", mode="all", reason="")
    assert work().result["subjects_new"] == 2
    again = text_of(upload(client, to, content, name="small.project.xml"))
    assert re.search(r"<dt>Changed values</dt><dd>0</dd>", again), "what was chosen is remembered for the study"


def test_a_preview_that_never_came_can_be_asked_for_again(browser, address, subject, monkeypatch):
    upload(browser, address)
    monkeypatch.setattr(import_jobs, "AT_ONCE_BYTES", 1)
    assign(browser)
    act(browser, "stop")
    one = Import.objects.get()
    tasks.preview_import(job_id=one.job_id, import_id=one.pk)
    page = text_of(browser.get(reverse("crf:import", args=["LIVER", one.pk])))
    assert "There is no preview yet" in page and "Preview again" in page and "Assign the columns" in page
    monkeypatch.setattr(import_jobs, "AT_ONCE_BYTES", 1000)
    assert "New values" in text_of(act(browser, "preview"))
    assert Import.objects.get().state == "previewed"


def odm(*subjects: tuple[str, str]) -> str:
    """Snapshots of one albumin each, every value on a line of its own."""
    data = "".join(
        f'<SubjectData SubjectKey="{number}"><StudyEventData StudyEventOID="SE.BASELINE"><FormData FormOID="F.LB">\n'
        f'<ItemGroupData ItemGroupOID="IG.LB.1">\n<ItemData ItemOID="I.LB.albumin" Value="{value}"/>\n'
        "</ItemGroupData>\n</FormData></StudyEventData></SubjectData>\n"
        for number, value in subjects
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3.2"'
        ' FileType="Snapshot" FileOID="x" CreationDateTime="2026-01-01T00:00:00+00:00">\n'
        f'<ClinicalData StudyOID="LIVER" MetaDataVersionOID="MDV.1.0">\n{data}</ClinicalData></ODM>\n'
    )


def test_the_refused_subjects_of_an_xml_file_come_back_to_be_corrected(browser, address, site, subject, coordinator):
    enrol(site, by=coordinator)
    page = text_of(upload(browser, address, odm(("01-0001", "39"), ("01-0002", "about")), name="odm.xml"))
    assert "Refused subjects (XML)" in page
    act(browser, "start", mode="good", reason="")
    one = work()
    assert [record.subject for record in Record.objects.all()] == [subject]
    to = reverse("crf:import-refused", args=["LIVER", one.pk, "xml"])
    content = browser.get(to).content.decode()
    assert "01-0001" not in content and "01-0002" in content
    [line] = ImportLine.objects.filter(kind="refused").values_list("row", flat=True)
    assert "about" in content.splitlines()[line - 1], "the lines keep their numbers"
    upload(browser, address, content.replace("about", "41"), name="odm.xml")
    act(browser, "start", mode="all", reason="")
    work()
    assert sorted(record.data["albumin"] for record in Record.objects.all()) == [39, 41]
    upload(browser, address)
    assert (
        browser.get(reverse("crf:import-refused", args=["LIVER", Import.objects.latest("pk").pk, "xml"])).status_code
        == 404
    )
