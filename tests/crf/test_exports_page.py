"""The page of exports: what it shows before, what it makes, who may fetch the file, and for how long."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from crf import tasks
from crf.models import RecordExport
from crf.services import exports
from registry.models import AuditEvent, Job, Signature
from registry.services import people
from tests.crf.exported import filled, published
from tests.study import PASSWORD, person

pytestmark = pytest.mark.django_db
URL = "/studies/LIVER/exports/"
CHOSEN = {"format": "csv", "labels": "en", "subjects": "pseudonym"}


@pytest.fixture
def study(db, settings, tmp_path, monkeypatch):
    settings.STORAGES = settings.STORAGES | {
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": str(tmp_path)}}
    }
    monkeypatch.setattr("crf.exports.dictionary.write_pdf", lambda path, *args, **options: path.write_bytes(b""))
    made = published().study
    filled(made, by=people.system_user())
    return made


def signed_in(study, role: str = "pi", name: str = "pi", site: str = "") -> Client:
    user = person(name, study=study, role=role, site=study.sites.get(code=site) if site else None)
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


def finished(client: Client, **more: str) -> RecordExport:
    """An export asked for on the page and made by a worker."""
    answer = client.post(URL, CHOSEN | {"make": "1"} | more)
    assert answer.status_code == 302
    made = RecordExport.objects.latest("pk")
    tasks.export_records(job_id=made.job_id)
    made.refresh_from_db()
    return made


def members(client: Client, made: RecordExport) -> dict[str, bytes]:
    answer = client.get(f"{URL}{made.pk}/download/")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist()}


def test_the_preview_says_what_is_left_out_and_moved_and_writes_nothing(study):
    page = signed_in(study).post(URL, CHOSEN | {"preview": "1", "forms_": ["KINDS"]}).content.decode()
    for words in ("Left out: direct identifier", "Left out: free text", "Left out: blinded item", "KINDS.initials"):
        assert words in page
    assert "Date moved" in page and "Ages over 89" in page and "DM.age" not in page
    assert not RecordExport.objects.exists() and not Job.objects.exists()
    assert not AuditEvent.objects.filter(kind="records.export").exists()


def test_an_export_is_made_by_a_worker_and_fetched(study):
    client = signed_in(study, "data_manager")
    made = finished(client, format="parquet")
    assert made.job.state == Job.State.DONE or Job.objects.get(pk=made.job_id).state == Job.State.DONE
    files = members(client, made)
    assert {"KINDS.parquet", "dictionary.csv", "read_records.py", "manifest.json"} <= files.keys()
    assert json.loads(files["manifest.json"])["made_by"] == "pi"
    assert AuditEvent.objects.get(kind="records.fetch").details["sha256"] == made.sha256
    assert Path(default_storage.path(made.path)).stat().st_mode & 0o777 == 0o600
    assert "Download" in client.get(URL).content.decode()


def test_made_twice_it_is_made_once(study):
    made = finished(signed_in(study))
    tasks.export_records(job_id=made.job_id)
    assert AuditEvent.objects.filter(kind="records.export").count() == 1


def test_an_identified_export_asks_for_the_password(study):
    client = signed_in(study)
    refused = client.post(URL, CHOSEN | {"make": "1", "identified": "on", "password": "wrong"})
    assert refused.status_code == 422 and not RecordExport.objects.exists() and not Signature.objects.exists()
    made = finished(client, identified="on", password=PASSWORD)
    assert made.identified and made.signature.kind == "records.export"
    assert b"Sentinel free text" in members(client, made)["KINDS.csv"]
    manager = signed_in(study, "data_manager", "manager")
    assert manager.get(f"{URL}{made.pk}/download/").status_code == 403
    assert f"{URL}{made.pk}/download/" not in manager.get(URL).content.decode()
    page = manager.get(URL).content.decode()
    assert 'name="identified"' not in page and 'name="password"' not in page


def test_a_file_with_sites_out_of_reach_is_not_there(study):
    whole = finished(signed_in(study))
    at_site = signed_in(study, "pi", "pi2", site="02")
    assert at_site.get(f"{URL}{whole.pk}/download/").status_code == 404
    own = finished(at_site)
    assert own.sites == ["02"] and members(at_site, own)["DM.csv"].count(b"\n") == 2


def test_a_file_is_kept_for_a_while_only(study):
    client = signed_in(study)
    made = finished(client)
    path = Path(default_storage.path(made.path))
    RecordExport.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert client.get(f"{URL}{made.pk}/download/").status_code == 302
    assert "no longer kept" in client.get(URL).content.decode()
    assert exports.discard(by=people.system_user()) == 1 and not path.exists()


def test_what_is_not_in_the_lists_is_refused(study):
    client = signed_in(study, "pi", "pi2", site="02")
    assert client.post(URL, CHOSEN | {"make": "1", "sites": ["01"]}).status_code == 422
    assert client.post(URL, CHOSEN | {"make": "1", "format": "exe"}).status_code == 422
    assert not RecordExport.objects.exists()


def test_what_a_killed_worker_left_behind_is_gone_after_a_day(study):
    left = Path(default_storage.path("incoming/export-left"))
    fresh = Path(default_storage.path("incoming/export-fresh"))
    for folder in (left, fresh):
        folder.mkdir(parents=True)
        (folder / "DM.csv").write_text("Name0")
    long_ago = (timezone.now() - dt.timedelta(days=2)).timestamp()
    os.utime(left, (long_ago, long_ago))
    exports.discard(by=people.system_user())
    assert not left.exists() and fresh.exists()
