"""Importing records: preview, all or nothing, the same checks and rights as typing."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import translation

from crf.definitions.errors import DefinitionErrors
from crf.definitions.mapping import read_mapping
from crf.models import Record
from crf.selectors import record_changes
from crf.services import imports, records
from registry.models import AuditEvent, Subject
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


def csv(*lines: str, encoding: str = "utf-8") -> bytes:
    return "\n".join(lines).encode(encoding)


LB = "subject,event,lb_date,albumin,bilirubin"


def problems(plan, language: str = "en") -> list[tuple[int, str, str]]:
    return [(one.row, one.column, one.of(language)) for one in plan.problems]


def test_a_file_with_the_names_of_items_needs_no_mapping(study, subject, coordinator):
    content = csv(LB, '01-0001,BASELINE,2026-03-02,"38,5",12', "01-0001,MONTH1,2026/4/1,40,ND")
    plan = imports.commit(study=study, content=content, by=coordinator)
    assert plan.counts["records_new"] == 2
    baseline, month = Record.objects.filter(subject=subject).order_by("visit__target_on")
    assert baseline.data == {"lb_date": "2026-03-02", "albumin": 38.5, "bilirubin": 12, "albi_score": -2.56}
    assert month.data["bilirubin"] == {"missing": "not_done", "reason": ""}
    assert month.data["albumin_change"] == 1.5


def test_a_preview_writes_nothing_and_tells_what_would_change(study, subject, coordinator):
    enter(subject, "LB", {"lb_date": "2026-03-02", "albumin": "38"}, by=coordinator)
    content = csv(LB, "01-0001,BASELINE,2026-03-02,39,12")
    plan = imports.preview(study=study, content=content, by=coordinator)
    [planned] = plan.records
    assert planned.kind == "changed"
    assert [(change.item, change.old, change.new) for change in planned.changes] == [
        ("albumin", 38.0, 39.0),
        ("bilirubin", None, 12.0),
    ]
    assert plan.counts["values_changed"] == 1
    assert Record.objects.get(subject=subject).data["albumin"] == 38


def test_a_stored_value_changes_only_with_a_reason_which_the_trail_keeps(study, subject, coordinator):
    record = enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    content = csv(LB, "01-0001,BASELINE,,39,")
    with pytest.raises(imports.ImportRefused) as refused:
        imports.commit(study=study, content=content, by=coordinator)
    assert problems(refused.value.plan) == [(0, "", "stored values would change")]
    imports.commit(study=study, content=content, reason="Laboratory corrected", by=coordinator)
    record.refresh_from_db()
    change = record_changes(record, "albumin")[0]
    assert (change.old, change.new, change.reason, change.source) == (38, 39, "Laboratory corrected", "import")
    assert change.by == str(coordinator)


def test_an_addition_to_a_complete_record_needs_a_reason_too(study, subject, coordinator):
    enter(subject, "LB", {"albumin": "38"}, by=coordinator, complete=True)
    content = csv(LB, "01-0001,BASELINE,,38,12")
    with pytest.raises(imports.ReasonMissing):
        imports.commit(study=study, content=content, by=coordinator)
    imports.commit(study=study, content=content, reason="came later", by=coordinator)
    assert Record.objects.get(subject=subject).data["bilirubin"] == 12


def test_an_answer_that_the_import_makes_inapplicable_is_shown_to_go(study, subject, coordinator):
    enter(subject, "DM", {"age": "30", "sex": "F", "pregnant": "no"}, by=coordinator)
    content = csv("subject,sex", "01-0001,M")
    [planned] = imports.preview(study=study, content=content, by=coordinator).records
    assert {(one.item, one.old, one.new) for one in planned.overwrites} == {("sex", "F", "M"), ("pregnant", "no", None)}
    imports.commit(study=study, content=content, reason="source", by=coordinator)
    assert Record.objects.get(subject=subject).data == {"age": 30, "sex": "M"}


def test_importing_the_same_file_again_changes_nothing(study, subject, coordinator):
    content = csv(LB, "01-0001,BASELINE,2026-03-02,38.5,12")
    imports.commit(study=study, content=content, by=coordinator)
    again = imports.commit(study=study, content=content, by=coordinator)
    assert again.counts["records_unchanged"] == 1
    assert Record.history.filter(subject=subject).count() == 1
    assert AuditEvent.objects.filter(kind="records.import").count() == 1


def test_one_bad_cell_refuses_the_whole_file(study, subject, coordinator):
    enrol(subject.site, by=coordinator)
    content = csv(LB, "01-0001,BASELINE,2026-03-02,38.5,12", "01-0002,BASELINE,2026-02-30,about 40,12")
    with pytest.raises(imports.ImportRefused) as refused:
        imports.commit(study=study, content=content, by=coordinator)
    found = problems(refused.value.plan)
    assert [(row, column) for row, column, _ in found] == [(3, "albumin"), (3, "lb_date")]
    assert "'about 40' is not a number" in found[0][2]
    assert all(one.remedy("zh-hans") for one in refused.value.plan.problems)
    assert Record.objects.count() == 0


@pytest.mark.parametrize(
    ("lines", "row", "column", "said"),
    [
        (["subject,event,albumin", "01-0009,BASELINE,40"], 2, "subject", "no subject '01-0009'"),
        (["subject,event,albumin", ",BASELINE,40"], 2, "subject", "names no subject"),
        (["subject,event,albumin", "01-0001,WEEK1,40"], 2, "event", "not part of event 'WEEK1'"),
        (["subject,albumin", "01-0001,40"], 2, "", "does not say at which event LB"),
        (["subject,event,repeat,albumin", "01-0001,BASELINE,2,40"], 2, "repeat", "has no number 2"),
        (["subject,event,repeat,albumin", "01-0001,BASELINE,x,40"], 2, "repeat", "whole number"),
        (["subject,event,number,albumin", "01-0001,BASELINE,2,40"], 2, "number", "does not repeat"),
        (["subject,event,weight", "01-0001,BASELINE,40"], 1, "weight", "no item has this name"),
        (["subject,event,albi_score", "01-0001,BASELINE,-2"], 1, "albi_score", "derived"),
        (["subject,event,form,albumin", "01-0001,BASELINE,XX,40"], 2, "form", "no form 'XX'"),
        (["subject,event,form,albumin", "01-0001,BASELINE,DM,40"], 2, "albumin", "form DM has no such item"),
        (["subject,sex,pregnant", "01-0001,M,no"], 2, "pregnant", "does not apply"),
        (["subject,sex", "01-0001,Q"], 2, "sex", "not one of: F = Female, M = Male"),
        (["subject,event,albumin", "01-0001,BASELINE,=1+1"], 2, "albumin", "formula"),
        (["subject,event,albumin", "01-0001,BASELINE,40", "01-0001,BASELINE,41"], 3, "albumin", "row 2"),
        (["event,albumin", "BASELINE,40"], 1, "subject", "no such column"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_refused_with_row_column_and_remedy(
    study, subject, coordinator, lines, row, column, said
):
    plan = imports.preview(study=study, content=csv(*lines), by=coordinator)
    first = plan.problems[0]
    assert (first.row, first.column) == (row, column)
    assert said in first.en
    assert first.zh
    assert first.remedy_zh
    assert first.remedy_en


def test_a_locked_record_is_refused(study, subject, coordinator, cast):
    record = enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    plan = imports.preview(study=study, content=csv(LB, "01-0001,BASELINE,,39,"), by=coordinator)
    assert "locked" in plan.problems[0].en


def test_other_sites_subjects_do_not_exist_for_a_coordinator(study, other_site, cast, coordinator):
    enrol(other_site, by=cast["stranger"])
    content = csv(LB, "02-0001,BASELINE,,39,")
    assert "no subject" in imports.preview(study=study, content=content, by=coordinator).problems[0].en
    assert imports.commit(study=study, content=content, by=cast["data_manager"]).counts["records_new"] == 1


@pytest.mark.parametrize("role", ["monitor", "reader", "statistician", "administrator", "pi"])
def test_who_may_not_import_is_refused(study, cast, role):
    for act in (imports.preview, imports.commit):
        with pytest.raises(PermissionDenied):
            act(study=study, content=csv(LB), by=cast[role])


MAPPING = """
subject: {column: 住院号}
match: identifier
create_subjects: true
site: "01"
group: ALL
enrolled_on: {column: 入组日期}
visited_on: {column: 入组日期}
complete: true
columns:
  年龄: DM.age
  性别: DM.sex
  白蛋白(g/dL): {item: LB.albumin, factor: 10}
  总胆红素: LB.bilirubin
constants: {LB.lb_date: "2026-03-02"}
event: BASELINE
ignore: [备注]
missing: ["/"]
"""
HOSPITAL = (
    "住院号,入组日期,年龄,性别,白蛋白(g/dL),总胆红素,备注",
    "A001,2026-03-02,51,女,3.85,12,无",
    "A002,20260303,60,男,/,15,",
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_hospitals_file_enrols_its_patients_and_finds_them_again(study, coordinator, encoding):
    content, mapping = csv(*HOSPITAL, encoding=encoding), read_mapping(MAPPING)
    plan = imports.commit(study=study, content=content, mapping=mapping, by=coordinator)
    assert plan.counts["subjects_new"] == 2
    first, second = Subject.objects.filter(study=study).order_by("number")
    assert (first.number, first.enrolled_on.isoformat(), first.group.code) == ("01-0001", "2026-03-02", "ALL")
    values = {record.form: record for record in Record.objects.filter(subject=first)}
    assert values["DM"].data == {"age": 51, "sex": "F"}
    assert values["LB"].data["albumin"] == 38.5
    assert values["LB"].data["lb_date"] == "2026-03-02"
    assert {record.status for record in values.values()} == {"complete"}
    assert first.visits.get(event="BASELINE").occurred_on.isoformat() == "2026-03-02"
    assert "albumin" not in Record.objects.get(subject=second, form="LB").data
    assert {row.history_source for row in Subject.history.filter(study=study)} == {"import"}
    assert imports.commit(study=study, content=content, mapping=mapping, by=coordinator).counts["subjects_new"] == 0


def test_an_imported_visit_keeps_the_dates_that_an_imported_record_planned(study, subject, coordinator):
    rows = ("01-0001,BASELINE,2026-03-02,2026-03-02", "01-0001,MONTH1,2026-04-03,2026-04-03")
    content = csv("subject,event,lb_date,day", *rows)
    mapping = read_mapping("event: {column: event}\nvisited_on: {column: day}")
    imports.commit(study=study, content=content, mapping=mapping, by=coordinator)
    month = subject.visits.get(event="MONTH1")
    assert (month.target_on.isoformat(), month.occurred_on.isoformat()) == ("2026-04-01", "2026-04-03")


@pytest.mark.parametrize(
    ("cell", "stored"),
    [("3.85", 38.5), ('"3,85"', 38.5), ("3.845", 38.5), ("未做", {"missing": "not_done", "reason": ""})],
)
def test_a_converted_cell_is_read_like_any_other(study, subject, coordinator, cell, stored):
    mapping = read_mapping("event: BASELINE\ncolumns: {g: {item: LB.albumin, factor: 10}}")
    imports.commit(study=study, content=csv("subject,g", f"01-0001,{cell}"), mapping=mapping, by=coordinator)
    assert Record.objects.get(subject=subject).data["albumin"] == stored


def test_no_patient_is_enrolled_when_one_row_is_refused(study, coordinator):
    content = csv(*HOSPITAL, "A003,2027-13-01,50,男,4,12,")
    with pytest.raises(imports.ImportRefused) as refused:
        imports.commit(study=study, content=content, mapping=read_mapping(MAPPING), by=coordinator)
    assert problems(refused.value.plan) == [(4, "入组日期", "enrolled_on '2027-13-01' is not a whole date")]
    assert Subject.objects.filter(study=study).count() == 0


def test_empty_cells_leave_values_alone_unless_told_to_clear(study, subject, coordinator):
    enter(subject, "LB", {"albumin": "38", "bilirubin": "12"}, by=coordinator)
    content = csv(LB, "01-0001,BASELINE,,39,")
    imports.commit(study=study, content=content, reason="corrected", by=coordinator)
    assert Record.objects.get(subject=subject).data["bilirubin"] == 12
    mapping = read_mapping("event: {column: event}\nempty: clear")
    plan = imports.commit(study=study, content=content, mapping=mapping, reason="corrected", by=coordinator)
    assert plan.counts["values_changed"] == 1
    assert "bilirubin" not in Record.objects.get(subject=subject).data


def test_several_rows_fill_the_numbers_of_a_repeating_form(study, subject, coordinator):
    content = csv("subject,number,ae_term", "01-0001,1,发热", "01-0001,2,皮疹")
    assert imports.commit(study=study, content=content, by=coordinator).counts["records_new"] == 2
    assert [record.data["ae_term"] for record in Record.objects.order_by("repeat")] == ["发热", "皮疹"]


def test_what_is_confirmed_is_what_was_shown(study, subject, coordinator):
    content = csv(LB, "01-0001,BASELINE,2026-03-02,39,12")
    shown = imports.preview(study=study, content=content, by=coordinator).fingerprint()
    enter(subject, "LB", {"albumin": "38"}, by=coordinator)
    with pytest.raises(imports.PreviewOutdated):
        imports.commit(study=study, content=content, fingerprint=shown, reason="x", by=coordinator)
    assert Record.objects.get(subject=subject).data == {"albumin": 38}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colums: {a: LB.albumin}", "unknown key 'colums'; did you mean columns?"),
        ("columns: {a: albumin}", "not spelt"),
        ("site: {}", "either `column` or `value`"),
        ("create_subjects: true", "match: identifier"),
        ("a: [", "YAML syntax"),
    ],
)
def test_a_bad_mapping_is_refused_with_its_line(text, said):
    with pytest.raises(DefinitionErrors, match=r"mapping\.yaml:") as refused:
        read_mapping(text)
    assert said in str(refused.value)


def test_a_mapping_that_names_no_such_column_or_item_is_refused(study, subject, coordinator):
    mapping = read_mapping("columns: {a: LB.albumine, missing_column: LB.albumin}\nevent: BASELINE")
    plan = imports.preview(study=study, content=csv("subject,a", "01-0001,40"), mapping=mapping, by=coordinator)
    assert [(row, column) for row, column, _ in problems(plan)] == [(1, "a"), (1, "missing_column")]


def test_the_command_reports_as_json_and_fails_when_anything_is_refused(study, subject, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(csv(LB, "01-0001,BASELINE,2026-03-02,38.5,12"))
    bad.write_bytes(csv(LB, "01-0001,BASELINE,2026-03-02,x,12"))
    out = StringIO()
    call_command("import_records", "LIVER", good, "--dry-run", "--json", stdout=out)
    assert (json.loads(out.getvalue())["imported"], Record.objects.count()) == (False, 0)
    out = StringIO()
    with translation.override("en"), pytest.raises(CommandError, match="1 problems"):
        call_command("import_records", "LIVER", bad, "--json", stdout=out)
    [problem] = json.loads(out.getvalue())["problems"]
    assert (problem["row"], problem["column"]) == (2, "albumin")
    call_command("import_records", "LIVER", good, stdout=StringIO())
    assert Record.objects.count() == 1


@pytest.mark.parametrize("format", ["csv", "redcap"])
def test_the_command_takes_of_a_file_what_its_user_may_enter(study, subject, other_site, cast, tmp_path, format):
    enrol(other_site, by=cast["stranger"])
    names = "record_id,redcap_event_name" if format == "redcap" else "subject,event"
    file = tmp_path / "both.csv"
    file.write_bytes(csv(f"{names},albumin", "01-0001,BASELINE,38", "02-0001,BASELINE,39"))
    for mode, left in (("all", 0), ("good", 1)):
        with translation.override("en"), pytest.raises(CommandError, match="1 problems"):
            call_command("import_records", "LIVER", file, "--user", "coordinator", "--mode", mode, stdout=StringIO())
        assert Record.objects.count() == left
    assert Record.objects.get().subject == subject and Record.history.get().history_user == cast["coordinator"]


def test_the_command_names_a_study_it_does_not_find(tmp_path):
    with translation.override("en"), pytest.raises(CommandError, match="Check study, file and user"):
        call_command("import_records", "NOPE", tmp_path / "a.csv")


def test_import_study_checks_without_writing_and_publishes_once(tmp_path):
    from crf.models import StudyBuild
    from tests.crf.definitions.conftest import MINI

    out = StringIO()
    call_command("import_study", MINI, "--check", "--json", stdout=out)
    assert json.loads(out.getvalue())["published"] is False
    assert not StudyBuild.objects.filter(study__code="MINI").exists()
    for _ in range(2):
        call_command("import_study", MINI, stdout=StringIO())
    assert StudyBuild.objects.filter(study__code="MINI").count() == 1


def test_import_study_lists_every_fault_and_fails(tmp_path):
    out = StringIO()
    with pytest.raises(CommandError, match=r"study\.yaml:1"):
        call_command("import_study", tmp_path, "--check", "--json", stdout=out)
    assert {error["file"] for error in json.loads(out.getvalue())["errors"]} == {"study.yaml", "forms/*.yaml"}
