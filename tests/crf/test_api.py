"""The JSON door obeys the same rules as the pages."""

import pytest

from crf.models import Record
from tests.study import enrol

pytestmark = pytest.mark.django_db


@pytest.fixture
def record(site, coordinator):
    enrol(site, by=coordinator)
    return "/api/studies/LIVER/subjects/01-0001/visits/BASELINE/1/DM/1/"


def put(client, address, data, on=0, **more):
    body = {"data": data, "expected_revision": on, **more}
    return client.put(address, body, content_type="application/json", HTTP_ACCEPT_LANGUAGE="en")


def test_a_record_is_saved_and_the_trail_says_through_the_api(client, coordinator, record):
    client.force_login(coordinator)
    answer = put(client, record, {"age": "52", "sex": "M"})
    assert answer.status_code == 200 and answer.json()["data"] == {"age": 52, "sex": "M"}
    assert Record.objects.get().history.get().history_source == "api"
    assert client.get(record).json()["digest"] == Record.objects.get().digest


def test_what_cannot_be_read_is_refused_by_item(client, coordinator, record):
    client.force_login(coordinator)
    answer = put(client, record, {"age": "old"})
    assert answer.status_code == 422 and answer.json()["problems"][0]["item"] == "age"
    assert put(client, record, {"age": {"missing": ["unknown"]}}).status_code == 422
    assert not Record.objects.exists()


def test_a_stale_revision_gets_what_is_there_now(client, coordinator, record):
    client.force_login(coordinator)
    put(client, record, {"age": "52"})
    put(client, record, {"age": "53"}, on=1, reason="source")
    answer = put(client, record, {"age": "54"}, on=1, reason="mine")
    assert answer.status_code == 409 and answer.json()["current"] == client.get(record).json()
    assert answer.json()["current"]["data"] == {"age": 53}


def test_answers_that_name_no_revision_are_refused(client, coordinator, record):
    client.force_login(coordinator)
    body = {"data": {"age": "52"}}
    answer = client.put(record, body, content_type="application/json", HTTP_ACCEPT_LANGUAGE="en")
    assert answer.status_code == 400 and "expected_revision" in answer.json()
    assert not Record.objects.exists()


def test_another_site_finds_nothing_and_another_role_may_not_write(client, cast, record):
    client.force_login(cast["stranger"])
    assert put(client, record, {"age": "52"}).status_code == 404
    assert client.get("/api/studies/LIVER/subjects/").json() == []
    for role in ("monitor", "pi"):
        client.force_login(cast[role])
        assert put(client, record, {"age": "52"}).status_code == 403
    for role in ("reader", "statistician", "administrator"):
        client.force_login(cast[role])
        assert client.get(record).status_code in (403, 404)


def test_the_list_shows_the_own_site(client, coordinator, record):
    client.force_login(coordinator)
    assert [one["number"] for one in client.get("/api/studies/LIVER/subjects/").json()] == ["01-0001"]
