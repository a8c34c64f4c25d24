"""The exported trail tells every change, to whom it may be told."""

import csv
import datetime as dt
import io
import json

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from imaging.models import Segmentation, Series
from registry import audit
from registry.management.commands.export_audit import moment
from registry.services import audit_export, people, visits
from tests.study import enrol, enter, person

pytestmark = pytest.mark.django_db


def exported(study, by, **filters):
    file = io.StringIO()
    audit_export.export(study=study, file=file, filters=audit_export.Filters(**filters), by=by)
    file.seek(0)
    return list(csv.DictReader(file))


@pytest.fixture
def subject(site, coordinator):
    subject = enrol(site, by=coordinator, name="Li Lei", hospital_number="H-1001")
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    enter(subject, "DM", {"age": "53"}, by=coordinator, reason="source says 53")
    return subject


def test_a_change_is_one_line_with_old_new_who_role_where_and_why(study, cast, subject):
    [line] = [one for one in exported(study, cast["monitor"]) if one["item"] == "age" and one["action"] == "change"]
    assert (line["old"], line["new"], line["reason"]) == ("52", "53", "source says 53")
    assert (line["user"], line["role"], line["organisation"]) == ("coordinator", "coordinator@01", "First hospital")
    assert (line["site"], line["subject"], line["event"], line["form"]) == ("01", "01-0001", "BASELINE", "DM")
    assert (line["build"], line["revision"], line["source"]) == ("1.0", "2", "command")
    assert line["at"].endswith("Z")


def test_a_change_of_the_calendar_names_its_visit(study, cast, coordinator, subject):
    visits.occurred(visit=subject.visits.get(event="MONTH1"), on=dt.date(2026, 4, 3), by=coordinator)
    [line] = [one for one in exported(study, cast["monitor"]) if one["item"] == "occurred_on"]
    assert (line["site"], line["subject"], line["event"], line["form"]) == ("01", "01-0001", "MONTH1", "visit")


def test_a_part_of_the_trail_tells_the_old_value_from_before_it(study, cast, coordinator, subject):
    since = timezone.now()
    enter(subject, "DM", {"age": "54"}, by=coordinator, reason="source says 54")
    lines = [one for one in exported(study, cast["monitor"], since=since) if one["form"] == "DM"]
    assert [(one["item"], one["old"], one["new"]) for one in lines] == [("age", "53", "54")]
    assert not [one for one in exported(study, cast["monitor"], until=since) if one["new"] == "54"]


def test_what_follows_from_a_change_has_its_reason_and_source(study, cast, coordinator, subject):
    enter(subject, "LB", {"lb_date": "2026-03-02"}, by=coordinator)
    enter(subject, "LB", {"lb_date": "2026-03-09"}, by=coordinator, reason="source says 9", source="import")
    lines = [one for one in exported(study, cast["monitor"]) if one["reason"] == "source says 9"]
    assert {("LB", "lb_date"), ("visit", "target_on")} <= {(one["form"], one["item"]) for one in lines}
    assert {one["source"] for one in lines} == {"import"}


def test_what_a_reader_drew_belongs_to_the_subject_and_site_of_the_series(study, site, cast, coordinator, subject):
    with audit.change(by=coordinator):
        series = Series(study=study, site=site, subject=subject, volume_number=1)
        series.save()
        Segmentation(series=series, reader=cast["reader"], roi="tumour", voxels=1, volume_ml=0.1).save()
    drawn = [one for one in exported(study, cast["monitor"]) if one["form"] == "segmentation"]
    assert drawn and {(one["site"], one["subject"]) for one in drawn} == {("01", "01-0001")}


def test_the_trail_is_in_time_order_and_counts_creation(study, cast, subject):
    lines = exported(study, cast["monitor"])
    assert [one["at"] for one in lines] == sorted(one["at"] for one in lines)
    assert {"create", "change", "build.publish", "membership.grant"} <= {one["action"] for one in lines}


def test_no_identity_leaves_with_the_trail(study, site, cast, coordinator, subject):
    with audit.change(by=coordinator):
        Series(study=study, site=site, subject=subject, volume_number=1, patient_key="keyed hash").save()
    text = json.dumps(exported(study, cast["monitor"]), ensure_ascii=False)
    assert "Li Lei" not in text and "H-1001" not in text and "hash" not in text


def test_the_export_is_itself_in_the_trail(study, cast, subject):
    exported(study, cast["monitor"])
    last = exported(study, cast["monitor"])[-1]
    assert last["action"] == "audit.export" and last["user"] == "monitor"


def test_a_monitor_of_another_site_sees_nothing_of_this_one(study, other_site, subject):
    monitor = person("monitor2", study=study, role="monitor", site=other_site)
    assert not [one for one in exported(study, monitor) if one["site"] == "01" or one["subject"]]


def test_a_role_at_another_site_does_not_widen_a_monitors_trail(study, site, other_site, cast, subject):
    enrol(other_site, by=cast["stranger"])
    monitor = person("monitor2", study=study, role="monitor", site=other_site)
    people.grant(user=monitor, study=study, role="coordinator", site=site, by=people.system_user())
    people.grant(user=monitor, study=study, role="data_manager", site=site, by=people.system_user())
    assert {one["site"] for one in exported(study, monitor)} <= {"02", ""}
    assert {"01", "02"} <= {line.site for line in audit_export.lines(study=study, by=monitor)}


def test_filters_narrow_by_subject(study, site, cast, coordinator, subject):
    other = enrol(site, by=coordinator)
    lines = exported(study, cast["monitor"], subject=other)
    assert lines and {one["subject"] for one in lines} == {"01-0002"}


@pytest.mark.parametrize("role", ["coordinator", "reader", "statistician", "administrator", "data_manager", "stranger"])
def test_only_monitors_export(study, cast, role, subject):
    with pytest.raises(PermissionDenied):
        exported(study, cast[role])


def test_a_formula_in_a_value_is_disarmed_and_a_negative_number_is_not(study, cast, coordinator, subject):
    enter(subject, "AE", {"ae_term": "=HYPERLINK(1)"}, by=coordinator, event="LOG")
    enter(subject, "AE", {"ae_term": "＝1+1"}, by=coordinator, event="LOG", repeat=2)
    blood = {"albumin": "38", "bilirubin": "12"}
    enter(subject, "LB", blood, by=coordinator)
    found = exported(study, cast["monitor"])
    values = {one["item"]: one["new"] for one in found}
    assert [one["new"] for one in found if one["item"] == "ae_term"] == ["'=HYPERLINK(1)", "'＝1+1"]
    assert values["albi_score"] == "-2.52"


def test_the_command_writes_a_file_per_format_or_none(study, cast, subject, tmp_path):
    table, lines = tmp_path / "trail.csv", tmp_path / "trail.jsonl"
    call_command("export_audit", study.code, output=table, subject="01-0001", user="monitor")
    call_command("export_audit", study.code, "--format", "jsonl", output=lines, since=moment("2026-01-01"))
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    assert rows and {row["subject"] for row in rows} == {"01-0001"}
    assert {json.loads(line)["action"] for line in lines.read_text().splitlines()} >= {"create", "change"}
    with pytest.raises(CommandError, match=r"audit\.export"):
        call_command("export_audit", study.code, output=tmp_path / "refused.csv", user="pi")
    assert sorted(tmp_path.iterdir()) == [table, lines]
