"""A lock freezes what is signed: all of it or nothing, same content same hash, and no bit can flip unseen."""

from __future__ import annotations

import json
import threading

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.utils import translation

from analytics.models import Dataset, DatasetRecord
from analytics.selectors import storage
from analytics.selectors.content import content
from analytics.selectors.rules import current
from analytics.services import datasets
from analytics.snapshots import manifest
from crf.models import Record
from registry.models import AuditEvent, Signature
from registry.services.signatures import WrongPassword
from tests.study import PASSWORD, enrol, enter


def test_the_pi_locks_and_signs_the_hash_of_the_content(dataset, cast):
    assert dataset.signature.digest == dataset.hash == dataset.manifest["hash"]
    assert dataset.signature.by == cast["pi"]
    assert dataset.manifest["content"]["counts"] == {"subjects": 4, "images": 0, "segmentations": 0, "records": 12}
    event = AuditEvent.objects.get(kind="dataset.lock")
    assert (event.by, event.details["hash"]) == (cast["pi"], dataset.hash)


def test_every_record_of_the_dataset_is_locked_at_the_revision_it_holds(dataset):
    assert not Record.objects.exclude(status="locked").exists()
    links = {row.record_id: (row.revision, row.digest) for row in DatasetRecord.objects.all()}
    assert links == {record.pk: (record.revision, record.digest) for record in Record.objects.all()}


def test_a_locked_record_cannot_be_changed_even_by_sql(dataset):
    with pytest.raises(DatabaseError, match="locked"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE crf_record SET data = '{}', revision = revision + 1")


def test_a_wrong_password_locks_nothing_and_is_noted(filled, cast):
    with pytest.raises(WrongPassword):
        datasets.lock(study=filled, name="main", password="wrong", by=cast["pi"])
    assert not Dataset.objects.exists() and not Signature.objects.exists()
    assert not Record.objects.filter(status="locked").exists()
    assert AuditEvent.objects.filter(kind="signature.refused").count() == 1


@pytest.mark.parametrize("role", ["coordinator", "investigator", "monitor", "data_manager", "statistician", "reader"])
def test_nobody_but_the_pi_locks(study, cast, role):
    with pytest.raises(PermissionDenied):
        datasets.lock(study=study, name="main", password=PASSWORD, by=cast[role])


@pytest.mark.parametrize("name", [" ", "../main", "x" * 61])
def test_a_name_that_is_no_folder_is_refused(filled, cast, name):
    with translation.override("en"), pytest.raises(datasets.LockRefused, match="letters"):
        datasets.lock(study=filled, name=name, password=PASSWORD, by=cast["pi"])


def test_nothing_is_entered_or_enrolled_while_a_lock_is_under_way(transactional_clone, filled, cast, site, monkeypatch):
    subject = enrol(site, by=cast["coordinator"])
    why = dict.fromkeys(datasets.preflight(study=filled, by=cast["pi"]).counts, "one subject is new")
    lock_records, late = datasets._lock_records, []

    def locked_meanwhile(*arguments: object) -> None:
        for act in (lambda: enrol(site, by=cast["coordinator"]), lambda: _age(subject, cast["coordinator"])):
            late.append(threading.Thread(target=_alone, args=[act]))
            late[-1].start()
        late[-1].join(2)
        lock_records(*arguments)

    monkeypatch.setattr(datasets, "_lock_records", locked_meanwhile)
    dataset = datasets.lock(study=filled, name="main", password=PASSWORD, exceptions=why, by=cast["pi"])
    for thread in late:
        thread.join()
    assert dataset.manifest["content"]["counts"] == {"subjects": 5, "images": 0, "segmentations": 0, "records": 12}
    assert filled.subjects.count() == 6 and Record.objects.count() == 13  # they only had to wait
    assert not DatasetRecord.objects.exclude(record__status="locked").exists()


def _age(subject, coordinator) -> None:
    enter(subject, "DM", {"age": "50"}, by=coordinator)


def _alone(act) -> None:
    try:
        act()
    finally:
        connection.close()


def test_killed_half_way_nothing_is_locked(filled, cast, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "settle", killed)
    with pytest.raises(KeyboardInterrupt):
        datasets.lock(study=filled, name="main", password=PASSWORD, by=cast["pi"])
    assert not Dataset.objects.exists() and not Signature.objects.exists()
    assert not Record.objects.filter(status="locked").exists()
    assert not list(storage.folder(storage.INCOMING).iterdir())


def test_open_points_stop_the_lock_until_each_kind_has_a_reason(filled, cast, site):
    subject = enrol(site, by=cast["coordinator"])
    enter(subject, "DM", {"age": "50"}, by=cast["coordinator"])
    counts = datasets.preflight(study=filled, by=cast["pi"]).counts
    assert counts["incomplete"] == 1 and counts["missing_form"] >= 1
    with translation.override("en"), pytest.raises(datasets.LockRefused, match="still in progress"):
        datasets.lock(study=filled, name="main", password=PASSWORD, by=cast["pi"])
    reasons = dict.fromkeys(counts, "late subject, follow-up goes on")
    locked = datasets.lock(study=filled, name="main", password=PASSWORD, exceptions=reasons, by=cast["pi"])
    assert locked.exceptions == reasons


def test_the_same_content_again_is_the_same_dataset(dataset, filled, cast):
    with translation.override("en"), pytest.raises(datasets.LockRefused, match="Nothing has changed"):
        datasets.lock(study=filled, name="main", password=PASSWORD, by=cast["pi"])
    other = datasets.lock(study=filled, name="other", password=PASSWORD, by=cast["pi"])
    assert other.hash == dataset.hash
    assert datasets.verify(dataset=dataset, by=cast["pi"]) == datasets.verify(dataset=other, by=cast["pi"]) == []


def test_no_id_of_this_machine_is_in_the_hashed_content(dataset, filled):
    found = content(filled, current(filled))
    numbers = {table.name: table.content_sha256() for table in found.tables}
    locked = {name: about["content_sha256"] for name, about in dataset.manifest["content"]["tables"].items()}
    assert numbers == locked
    names = {column for about in dataset.manifest["content"]["tables"].values() for column, _ in about["columns"]}
    assert not names & {"record", "revision", "id", "pk"}
    assert "links" not in dataset.manifest["content"]["tables"] and "links.parquet" in dataset.manifest["files"]


def test_a_changed_value_gives_another_hash(dataset, filled, cast, site):
    from crf.services import records

    record = Record.objects.filter(form="DM").first()
    records.unlock(record=record, reason="source shows 66", by=cast["pi"])
    enter(record.subject, "DM", {"age": "66"}, by=cast["coordinator"], complete=True, reason="source shows 66")
    second = datasets.lock(study=filled, name="main", password=PASSWORD, by=cast["pi"])
    assert (second.version, dataset.version) == (2, 1)
    changed = [
        name
        for name, about in second.manifest["content"]["tables"].items()
        if about["content_sha256"] != dataset.manifest["content"]["tables"][name]["content_sha256"]
    ]
    assert changed == ["forms/DM"] and second.hash != dataset.hash
    assert datasets.verify(dataset=dataset, by=cast["pi"]) == []


def test_an_intact_dataset_verifies(dataset, cast):
    assert datasets.verify(dataset=dataset, by=cast["pi"]) == []
    assert AuditEvent.objects.get(kind="dataset.verify").details["faults"] == []


def test_a_flipped_bit_is_named(dataset, cast):
    path = storage.folder(dataset.folder) / "forms" / "LB.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    try:
        faults = datasets.verify(dataset=dataset, by=cast["pi"])
    finally:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert {fault.file for fault in faults} == {"forms/LB.parquet"}
    assert "altered" in {fault.code for fault in faults}


def test_a_dataset_that_the_signature_does_not_bind_is_named_and_not_exported(dataset, cast, tmp_path):
    dataset.signature.digest = "0" * 64
    faults = datasets.verify(dataset=dataset, by=cast["pi"])
    assert [(fault.file, fault.code) for fault in faults] == [("database", "hash")]
    with pytest.raises(datasets.ExportRefused, match="database"):
        datasets.export(dataset=dataset, folder=tmp_path / "out", by=cast["pi"])
    assert not (tmp_path / "out").exists() and not AuditEvent.objects.filter(kind="dataset.export").exists()


def test_a_missing_an_extra_and_a_forged_file_are_named(dataset, cast, tmp_path):
    folder = datasets.export(dataset=dataset, folder=tmp_path / "out", by=cast["pi"])
    (folder / "visits.parquet").unlink()
    (folder / "more.txt").write_text("x")
    forged = json.loads((folder / "manifest.json").read_text())
    forged["content"]["counts"]["subjects"] = 25
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(forged))
    faults = {(fault.file, fault.code) for fault in manifest.verify(folder, dataset.manifest)}
    assert {("visits.parquet", "missing"), ("more.txt", "extra"), ("manifest.json", "manifest")} <= faults


def test_an_export_is_complete_and_noted(dataset, cast, tmp_path):
    folder = datasets.export(dataset=dataset, folder=tmp_path / "out", by=cast["pi"])
    assert manifest.verify(folder, manifest.read(folder)) == []
    assert AuditEvent.objects.get(kind="dataset.export").details["hash"] == dataset.hash
    with pytest.raises(datasets.ExportRefused):
        datasets.export(dataset=dataset, folder=tmp_path / "out", by=cast["pi"])


def test_identifiers_do_not_leave(dataset):
    items = manifest.load(storage.folder(dataset.folder), dataset.manifest, "dictionary").frame()
    assert set(items[items["form"] == "LB"]["item"]) >= {"albumin", "bilirubin", "albi_score"}
    assert "identifier" not in set(items["role"])


def test_endpoints_are_in_the_dataset_with_how_they_came_about(dataset):
    found = manifest.load(storage.folder(dataset.folder), dataset.manifest, "endpoints").frame()
    row = found[(found["endpoint"] == "LOWALB")].iloc[0]
    assert row["status"] == "evaluable" and row["label"] in (0, 1)
    evidence = json.loads(row["evidence"])
    assert {"form": "LB", "event": "MONTH1", "item": "albumin"}.items() <= evidence[-1].items()


@pytest.mark.parametrize("model", [Dataset, DatasetRecord])
def test_a_dataset_can_be_neither_changed_nor_removed(dataset, model):
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.update(**{"digest" if model is DatasetRecord else "hash": "x"})
