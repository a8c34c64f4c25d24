"""A storage folder per test, and a series that has been received."""

import pytest
from django.utils import timezone

from imaging.services import intake
from registry.services import subjects
from tests.imaging.dicom_objects import as_bytes, slice_of


@pytest.fixture
def folder(settings, tmp_path):
    """A storage folder of this test's own."""
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "storage")},
        }
    }
    return tmp_path / "storage"


def stack(count=4, **attributes):
    """(name, content) of the slices of one series, as a hospital would name them."""
    slices = [slice_of(number=index + 1, position=(0, 0, 4.0 * index), **attributes) for index in range(count)]
    return [(f"Zhang San/IM{index:04d}.dcm", as_bytes(each)) for index, each in enumerate(slices)]


@pytest.fixture
def receive(folder, study, site, coordinator):
    def call(files, **more):
        return intake.receive(files=files, study=study, site=site, by=coordinator, **more)

    return call


@pytest.fixture
def subject(site, coordinator):
    return subjects.enrol(
        site=site,
        group=site.study.groups.first(),
        enrolled_on=timezone.localdate(),
        hospital_number="hn 0012345",
        by=coordinator,
    )


@pytest.fixture
def another_subject(site, coordinator):
    group = site.study.groups.first()
    return subjects.enrol(site=site, group=group, enrolled_on=timezone.localdate(), by=coordinator)


@pytest.fixture
def series(receive, subject):
    from imaging.models import Series

    receive(stack(EchoTime=80, RepetitionTime=3000))
    return Series.objects.get()
