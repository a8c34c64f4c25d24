"""A form's item that names one of the subject's image series."""

import datetime as dt
import html

import pytest
from django.urls import reverse

from crf.models import Record
from crf.services import enrolment
from tests.imaging.conftest import stack
from tests.study import DEFINITION, both, publish

pytestmark = pytest.mark.django_db
READING = {
    "oid": "READ",
    "name": both("Reading"),
    "sections": [
        {"name": both("Images"), "items": [{"name": "image", "type": "series", "label": both("Image that was read")}]}
    ],
}


@pytest.fixture
def study(db):
    events = [{**DEFINITION["events"][0], "forms": ["DM", "LB", "READ"]}, *DEFINITION["events"][1:]]
    return publish(forms=[*DEFINITION["forms"], READING], events=events).study


@pytest.fixture
def subject(site, coordinator):
    group = site.study.groups.first()
    on = dt.date(2026, 3, 2)
    return enrolment.enrol(site=site, group=group, enrolled_on=on, hospital_number="hn 0012345", by=coordinator)


@pytest.fixture
def address(subject):
    return reverse("crf:edit-record", args=[subject.study.code, subject.number, "BASELINE", 1, "READ", 1])


@pytest.fixture
def signed_in(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def page(client, address):
    return html.unescape(client.get(address).content.decode())


def save(client, address, value, revision=0, **more):
    body = {"value-image": value, "revision": revision, "act": "save", **more}
    return client.post(address, body, follow=True)


def test_the_page_offers_the_subjects_own_series_and_leads_to_the_one_that_was_chosen(
    signed_in, address, receive, series, another_subject, site
):
    receive(stack(PatientID="HN 777", SeriesInstanceUID="1.2.3.777", StudyInstanceUID="1.2.3.7"))  # nobody's yet
    key = f"{series.series_instance_uid}:{series.volume_number}"
    opened = page(signed_in, address)
    assert opened.count(f'<option value="{key}"') == 1 and opened.count('value="2.25.') == 1
    assert save(signed_in, address, key).status_code == 200
    assert Record.objects.get().data == {"image": {"series": key, "label": ""}}
    opened = page(signed_in, address)
    assert f'<option value="{key}" selected>' in opened
    assert f'href="{reverse("imaging:series", args=["LIVER", series.pk])}"' in opened
    save(signed_in, address, key, revision=1)
    assert Record.objects.get().revision == 1, "choosing the same series again changes nothing"


def test_what_names_no_series_of_the_subject_stays_as_it_is_until_another_is_chosen(signed_in, address, series):
    assert save(signed_in, address, "1.2.840.1").status_code == 200
    assert '<option value="1.2.840.1" selected>1.2.840.1</option>' in page(signed_in, address)
    assert "Look at the images" not in page(signed_in, address)


def test_without_images_the_series_is_typed(signed_in, address):
    opened = page(signed_in, address)
    assert '<select class="form-select" id="value-image"' not in opened and 'id="value-image"' in opened


def test_a_person_of_another_site_finds_neither_form_nor_series(client, cast, address, series):
    client.force_login(cast["stranger"])
    assert client.get(address).status_code == 404
