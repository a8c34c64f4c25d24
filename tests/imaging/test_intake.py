"""Files pass one gate: identified nowhere, stored once, sorted, matched; each file's fate is in the report."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from imaging import selectors
from imaging.dicom import archives, guard
from imaging.dicom.reasons import Refused
from imaging.models import Instance, Intake, Quarantined, Series, blobs
from imaging.selectors import volumes
from imaging.services import intake, series
from registry import audit
from registry.models import AuditEvent
from tests.imaging.conftest import stack
from tests.imaging.dicom_objects import as_bytes, slice_of

SECRETS = (b"HN0012345", b"ACC778899", b"Secret Hospital", b"19620305", b"20230417")
NAME = b"Zhang"

pytestmark = pytest.mark.django_db


def test_a_series_is_stored_sorted_and_named(receive, site):
    received = receive(stack(EchoTime=80, RepetitionTime=3000))
    assert received.counts == {"accepted": 4, "duplicate": 0, "quarantined": 0, "refused": 0}
    (one,) = Series.objects.filter(site=site)
    assert (one.kind, one.modality, one.volume_number, one.instances) == ("T2", "MR", 1, 4)
    assert one.geometry["size"] == [6, 8, 4]
    assert one.geometry["spacing"] == [1.25, 1.5, 4.0]
    assert one.verdict == "pass"
    assert one.acquired_on.isoformat() == "2023-04-17"
    voxels = sitk.GetArrayFromImage(volumes.volume(one))
    assert voxels[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert blobs.get(one.thumbnail_key).startswith(b"\x89PNG")


def test_nothing_identified_is_in_any_file_or_table(receive, folder):
    receive([*stack(), ("Zhang San/us.dcm", as_bytes(slice_of(number=9, Modality="US")))])
    receive(stack(series="2", Manufacturer="Zhang's scanner", ScanningSequence="ZHANG", ProtocolName="T1 zhang"))
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    paths = " ".join(str(path) for path in folder.rglob("*"))
    rows = "".join(_dump(table) for table in _tables()).encode()
    assert len(written) > 1000
    for secret in SECRETS:
        assert secret.lower() not in written.lower() + rows.lower(), secret
    assert NAME.lower() not in written.lower() + rows.lower() + paths.lower().encode()
    assert b"1.2.826.0.1.3680043.8.498" not in written + rows


def _tables():
    with connection.cursor() as cursor:
        return [
            name
            for name in connection.introspection.table_names(cursor)
            if name.startswith(("imaging_", "registry_auditevent"))
        ]


def _dump(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t::text FROM {table} t")
        return "\n".join(row[0] for row in cursor.fetchall())


def test_the_same_delivery_twice_changes_nothing(receive):
    receive(stack())
    before = list(Series.objects.values()), Instance.objects.count(), Series.history.count()
    again = receive(stack())
    assert again.counts["duplicate"] == 4
    assert (list(Series.objects.values()), Instance.objects.count(), Series.history.count()) == before


def test_the_same_uid_with_other_content_is_quarantined_and_the_first_stays(receive):
    receive(stack(2))
    other = slice_of(number=1, pixels=np.full((8, 6), 77, dtype=np.uint16))
    received = receive([("IM0001.dcm", as_bytes(other))])
    assert received.counts["quarantined"] == 1
    assert received.report["files"][0]["code"] == "uid_conflict"
    held = Quarantined.objects.get()
    content = blobs.get(held.storage_key)
    assert content[128:132] != b"DICM"
    assert guard.parse(blobs.unseal(content)).pixel_array[0, 0] == 77
    assert sitk.GetArrayFromImage(volumes.volume(Series.objects.get()))[0, 0, 0] == 1
    assert AuditEvent.objects.filter(kind="image.quarantine").count() == 1


def test_images_go_to_the_subject_with_that_hospital_number(receive, subject):
    receive(stack())
    assert Series.objects.get().subject == subject
    assert AuditEvent.objects.get(kind="image.intake").details["accepted"] == 4


def test_images_of_nobody_known_wait_in_the_inbox_with_a_suggestion_later(receive, site, coordinator, request):
    receive(stack())
    waiting = Series.objects.get()
    assert waiting.subject is None
    assert selectors.suggestions([waiting]) == {}
    subject = request.getfixturevalue("subject")
    assert selectors.suggestions([waiting]) == {waiting.pk: subject}
    series.match(series=waiting, subject=subject, by=coordinator)
    assert Series.objects.get().subject == subject
    assert selectors.subject_series(subject) == [waiting]
    assert AuditEvent.objects.filter(kind="image.match").count() == 1


def test_a_chosen_subject_must_not_contradict_the_patient_id(receive, subject, another_subject):
    received = receive(stack(1), subject=another_subject)
    assert received.report["files"][0]["code"] == "other_subject"
    assert subject.number in received.report["files"][0]["en"]
    assert not Series.objects.exists()


def test_moving_images_to_another_subject_needs_a_reason(receive, subject, another_subject, coordinator):
    receive(stack())
    with pytest.raises(series.CannotMatch):
        series.match(series=Series.objects.get(), subject=another_subject, by=coordinator)
    series.match(
        series=Series.objects.get(), subject=another_subject, reason="wrong PatientID at the scanner", by=coordinator
    )
    moved = Series.objects.get()
    assert moved.subject == another_subject
    assert moved.history.first().history_change_reason == "wrong PatientID at the scanner"


def test_what_arrives_late_of_a_moved_examination_follows_it(receive, subject, another_subject, coordinator):
    files = stack(4, EchoTime=80, RepetitionTime=3000)
    receive(files[:3])
    reason = "wrong PatientID at the scanner"
    series.match(series=Series.objects.get(), subject=another_subject, reason=reason, by=coordinator)
    receive([files[3], *stack(series="2")])
    assert [one.subject for one in Series.objects.all()] == [another_subject, another_subject]
    received = receive(stack(series="3"), subject=subject)
    assert {row["code"] for row in received.report["files"]} == {"other_subject"}


def test_an_examination_of_another_site_is_held(receive, subject, study, other_site, cast):
    receive(stack(4)[:2])
    received = intake.receive(files=stack(4), study=study, site=other_site, by=cast["stranger"])
    assert [row["code"] for row in received.report["files"]] == ["other_site"] * 4
    assert Series.objects.get().instances == 2


def test_late_slices_complete_a_series_and_the_volume_keeps_its_number(receive):
    files = stack(6)
    receive([files[0], files[1], files[4], files[5]])
    before = Series.objects.get()
    assert before.verdict == "fail"
    with pytest.raises(Refused):
        volumes.volume(before)
    receive(files[2:4])
    after = Series.objects.get()
    assert (after.pk, after.volume_number, after.verdict, after.instances) == (before.pk, 1, "pass", 6)
    assert after.digest != before.digest


def test_an_earlier_phase_that_arrives_late_does_not_take_the_volumes_number(receive):
    def phase(turn):
        first = 10 * turn
        return [
            (
                f"IM{first + z}.dcm",
                as_bytes(slice_of(number=first + z + 1, position=(0, 0, 4.0 * z), TemporalPositionIdentifier=turn)),
            )
            for z in range(3)
        ]

    receive(phase(2))
    receive(phase(1))
    found = {one.split.get("temporal"): one.volume_number for one in Series.objects.all()}
    assert found == {2.0: 1, 1.0: 2}


def test_what_is_refused_is_named_with_its_reason(receive):
    received = receive([("notes.txt", b"Zhang San, tel 123"), ("IM1.dcm", b""), ("IM2.dcm", stack(1)[0][1][:-20])])
    assert [(row["name"], row["outcome"], row["code"]) for row in received.report["files"]] == [
        ("#1", "refused", "not_dicom"),
        ("IM1.dcm", "refused", "empty"),
        ("IM2.dcm", "refused", "truncated"),
    ]
    assert received.problems[0]["why"]


def test_a_file_that_cannot_be_read_is_refused_and_the_others_are_taken(receive, tmp_path):
    received = receive([("IM1.dcm", tmp_path / "gone.dcm"), *stack(2)])
    assert received.report["files"][0]["code"] == "unreadable"
    assert received.counts["accepted"] == 2


def test_a_zip_is_taken_apart_in_memory_and_its_tricks_are_refused(receive):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in stack(2):
            archive.writestr(name, content)
        archive.writestr("../../etc/IM9.dcm", stack(3)[2][1])
        archive.writestr("bomb.dcm", b"\0" * 30_000_000)
    received = receive([("export.zip", buffer.getvalue())])
    assert [row.get("code") for row in received.report["files"]] == [None, None, "archive_path", "archive_bomb"]
    assert received.counts["accepted"] == 2


def test_a_zip_that_states_too_much_is_refused_before_it_is_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * 2_000_000)
    with pytest.raises(Refused) as refused:
        list(archives.members(buffer.getvalue(), max_total=1_000_000))
    assert refused.value.code == "archive_bomb"


def test_a_member_of_a_zip_is_no_larger_than_a_file_may_be(monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", bytes(1001))
    ((_name, refused),) = archives.members(buffer.getvalue())
    assert refused.code == "too_large"


def test_a_zip_with_any_byte_altered_gives_files_or_a_refusal():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(range(256)) * 2)
    whole, refusals = buffer.getvalue(), 0
    for at in range(len(whole)):
        try:
            found = list(archives.members(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]))
        except Refused:
            refusals += 1
        else:
            refusals += sum(isinstance(content, Refused) for _name, content in found)
    assert refusals > 100


def test_who_may_not_upload_is_refused(folder, study, site, cast):
    for role in ("monitor", "reader", "statistician", "administrator", "pi", "stranger"):
        with pytest.raises(PermissionDenied):
            intake.receive(files=stack(1), study=study, site=site, by=cast[role])
    assert not Intake.objects.exists()


def test_stored_objects_cannot_be_changed(receive):
    receive(stack(1))
    for statement in ("UPDATE imaging_instance SET sha256 = ''", "DELETE FROM imaging_instance"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(audit.UnattributedWrite):
        Series.objects.get().save()


def test_damaged_storage_is_noticed(receive, folder):
    receive(stack())
    path = folder / Instance.objects.first().storage_key
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(blobs.Damaged):
        volumes.volume(Series.objects.get())


def test_a_half_written_object_is_replaced(receive, folder):
    receive(stack(1))
    path = folder / Instance.objects.get().storage_key
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:100])
    assert receive(stack(1)).counts["duplicate"] == 1
    assert path.read_bytes() == whole


def test_three_phases_of_one_real_series_are_three_rows(receive, shared):
    paths = sorted((shared / "data/imaging/mr_dce/image").iterdir())
    receive([(path.name, path) for path in paths])
    rows = list(Series.objects.order_by("volume_number"))
    assert [(row.volume_number, row.kind, row.geometry["size"]) for row in rows] == [
        (1, "T1", [256, 256, 60]),
        (2, "AP", [256, 256, 60]),
        (3, "PVP", [256, 256, 60]),
    ]
    assert len({row.digest for row in rows}) == 3


def test_every_real_file_is_accepted_held_or_refused_with_a_reason(receive, shared):
    folders = (
        "malformed",
        "dcm_qa_enh",
        "highdicom",
        "dicognito_burned_in",
        "dcmqi_segmentations",
        "seg_dicom4qi_data_5",
    )
    received = receive_all(receive, *(shared / "data/imaging" / name for name in folders))
    assert received.counts["accepted"] > 20
    assert received.counts["quarantined"] >= 6
    assert {row.modality for row in Series.objects.all()} >= {"CT", "MR", "SEG"}
    # The broken copies of one CT slice share its UID: the first is stored, the others are conflicts.
    assert sum(row.get("code") == "uid_conflict" for row in received.report["files"]) >= 5


def test_every_test_file_of_pydicom_is_accepted_held_or_refused_with_a_reason(receive):
    received = receive_all(receive, Path(pydicom.__file__).parent / "data/test_files")
    assert received.counts["accepted"] > 30
    assert {row.modality for row in Series.objects.all()} >= {"CT", "MR", "SEG", "RTDOSE"}


def receive_all(receive, *folders):
    """One intake of all files below `folders`; each has its row in the report, and a reason if it was not taken."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    received = receive([(path.name, path) for path in paths])
    assert len(received.report["files"]) == len(paths)
    assert all("code" in row for row in received.report["files"] if row["outcome"] in ("refused", "quarantined"))
    return received


def test_the_command_reports_and_fails_when_a_file_was_not_taken(folder, study, site, tmp_path, capsys):
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    for name, content in stack(3):
        (delivery / Path(name).name).write_bytes(content)
    call_command("ingest_dicom", str(delivery), study=study.code, site=site.code, json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["accepted"] == 3
    assert report["series"][0]["qc"] == "pass"
    (delivery / "broken.dcm").write_bytes(b"broken")
    with pytest.raises(CommandError):
        call_command("ingest_dicom", str(delivery), study=study.code, site=site.code)
    assert "duplicate 3" in capsys.readouterr().out
