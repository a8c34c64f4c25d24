"""The imaging pages: upload, inbox, series, masks; who finds them and who may act."""

import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from imaging.models import Intake, Segmentation, Series
from imaging.services import uploads
from imaging.tasks import receive_upload
from registry.models import Job
from tests.imaging.conftest import stack
from tests.imaging.test_segmentations import add, drawn

pytestmark = pytest.mark.django_db


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return SimpleUploadedFile("Zhang San.zip", buffer.getvalue())


def url(name, study, *args):
    return reverse(f"imaging:{name}", args=[study.code, *args])


def test_a_zip_uploaded_on_the_page_becomes_a_series_with_a_report(client, folder, study, site, cast):
    client.force_login(cast["coordinator"])
    assert client.get(url("upload", study)).status_code == 200
    files = [*stack(), ("notes.txt", b"nothing")]
    response = client.post(url("upload", study), {"site": site.pk, "files": [packed(files)]}, follow=True)
    assert response.redirect_chain == [(url("intake", study, Intake.objects.get().pk), 302)]
    text = response.content.decode()
    assert "不是 DICOM 文件" in text
    assert "Zhang" not in text
    assert Series.objects.count() == 1
    client.cookies["django_language"] = "en"
    english = client.get(url("intake", study, Intake.objects.get().pk)).content.decode()
    assert "Not a DICOM file" in english


def test_single_files_can_be_uploaded_without_script(client, folder, study, site, cast):
    client.force_login(cast["coordinator"])
    files = [SimpleUploadedFile(name.split("/")[1], content) for name, content in stack(2)]
    client.post(url("upload", study), {"site": site.pk, "files": files})
    assert Intake.objects.get().counts["accepted"] == 2


def test_nothing_of_an_upload_touches_a_temporary_file(client, folder, study, site, cast, monkeypatch, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda *a, **k: pytest.fail("a temporary file was opened"))
    monkeypatch.setattr(
        "django.core.files.uploadedfile.TemporaryUploadedFile.__init__", lambda *a: pytest.fail("spooled")
    )
    client.force_login(cast["coordinator"])
    client.post(url("upload", study), {"site": site.pk, "files": [packed(stack())]})
    assert Series.objects.count() == 1


def test_an_upload_needs_its_csrf_token(folder, study, site, cast):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast["coordinator"])
    response = strict.post(url("upload", study), {"site": site.pk, "files": [packed(stack())]})
    assert response.status_code == 403
    assert not Intake.objects.exists()


def test_an_upload_without_files_or_for_an_unknown_subject_says_so(client, folder, study, site, cast):
    client.force_login(cast["coordinator"])
    response = client.post(url("upload", study), {"site": site.pk, "subject": "99-9999", "files": [packed(stack())]})
    assert response.status_code == 422
    assert "99-9999" in response.content.decode()
    assert client.post(url("upload", study), {"site": site.pk}).status_code == 422
    assert not Intake.objects.exists()


def test_a_large_upload_waits_encrypted_for_a_worker(folder, study, site, cast, monkeypatch, subject):
    sent = {}
    monkeypatch.setattr(uploads, "AT_ONCE_FILES", 2)
    monkeypatch.setattr(
        uploads.jobs, "enqueue", lambda task, *, job, **more: sent.update(more, job_id=job.pk, task=task)
    )
    job = uploads.receive(files=stack(), site=site, by=cast["coordinator"])
    assert isinstance(job, Job) and sent.pop("task") == "imaging.tasks.receive_upload"
    spooled = b"".join(path.read_bytes() for path in folder.rglob("*.sealed"))
    assert spooled and b"Zhang" not in spooled and b"DICM" not in spooled
    receive_upload(**sent)
    job.refresh_from_db()
    assert (job.state, job.result["accepted"]) == ("done", 4)
    assert not list(folder.rglob("*.sealed"))
    receive_upload(**sent)
    assert Intake.objects.count() == 1


def test_the_list_shows_series_and_the_inbox(client, series, cast, study):
    client.force_login(cast["coordinator"])
    page = client.get(url("images", study)).content.decode()
    assert "MR T2" in page and series.subject.number in page
    assert url("series", study, series.pk) in page
    part = client.get(url("images", study) + "?show=inbox", headers={"HX-Request": "true"}).content.decode()
    assert "MR T2" not in part and "<html" not in part


def test_the_fragment_is_a_part_of_the_page(client, series, cast, study):
    client.force_login(cast["coordinator"])
    address = reverse("imaging:subject-series", args=[study.code, series.subject.number])
    page = client.get(address).content.decode()
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert part.strip() in page and "MR T2" in part


def test_a_series_has_its_picture_its_files_and_its_facts(client, series, cast, study):
    client.force_login(cast["reader"])
    page = client.get(url("series", study, series.pk))
    assert page.status_code == 200
    assert "SIEMENS" in page.content.decode()
    picture = client.get(url("thumbnail", study, series.pk))
    assert picture.content.startswith(b"\x89PNG")
    assert client.get(url("download", study, series.pk)).content[:2] == b"\x1f\x8b"


def test_a_reader_does_not_learn_the_subject(client, series, cast, study):
    client.force_login(cast["reader"])
    for address in (url("images", study), url("series", study, series.pk)):
        assert series.subject.number not in client.get(address).content.decode()


def test_a_reader_uploads_a_mask_and_only_they_and_the_pi_get_it(client, series, cast, study):
    client.force_login(cast["reader"])
    roi = client.get(url("series", study, series.pk)).context["mask_form"].fields["roi"].choices[0][0]
    file = SimpleUploadedFile("mask.nii.gz", drawn(series))
    address = url("add-segmentation", study, series.pk)
    response = client.post(address, {"roi": roi, "round": 1, "file": file}, follow=True)
    assert response.status_code == 200
    mask = Segmentation.objects.get()
    assert client.get(url("mask", study, mask.pk)).status_code == 200
    for role, status in {"pi": 200, "coordinator": 404, "stranger": 404, "statistician": 403}.items():
        client.force_login(cast[role])
        assert client.get(url("mask", study, mask.pk)).status_code == status, role


def test_a_mask_that_does_not_fit_says_why_on_the_page(client, series, cast, study):
    client.force_login(cast["reader"])
    roi = client.get(url("series", study, series.pk)).context["mask_form"].fields["roi"].choices[0][0]
    file = SimpleUploadedFile("mask.nii.gz", b"not a mask")
    response = client.post(url("add-segmentation", study, series.pk), {"roi": roi, "round": 1, "file": file})
    assert response.status_code == 422
    assert "无法识别的分割文件" in response.content.decode()


def test_an_examination_is_matched_from_the_page(client, receive, cast, study, another_subject):
    receive(stack())
    one = Series.objects.get()
    client.force_login(cast["coordinator"])
    address = url("match", study, one.pk)
    assert client.post(address, {"subject": "77-0001"}).status_code == 422
    assert client.post(address, {"subject": another_subject.number}).status_code == 302
    assert Series.objects.get().subject == another_subject


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("stranger", (200, 404, 404, 404)),
        ("reader", (200, 200, 403, 403)),
        ("monitor", (200, 200, 403, 403)),
        ("statistician", (403, 403, 403, 403)),
        ("administrator", (403, 403, 403, 403)),
    ],
)
def test_who_finds_a_series_and_who_may_act_on_it(client, series, cast, study, role, statuses):
    client.force_login(cast[role])
    found = (
        client.get(url("images", study)).status_code,
        client.get(url("series", study, series.pk)).status_code,
        client.post(url("match", study, series.pk), {"subject": series.subject.number}).status_code,
        client.post(url("add-segmentation", study, series.pk), {}).status_code if role != "reader" else 403,
    )
    assert found == statuses


def test_another_sites_images_are_not_listed(client, series, cast, study):
    add(series, cast["reader"])
    client.force_login(cast["stranger"])
    assert "MR T2" not in client.get(url("images", study)).content.decode()
