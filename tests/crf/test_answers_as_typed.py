"""Each kind of item, as a person answers it: typed, picked, or missing with a reason; in any number of rows."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from crf.definitions.model import Item, Text
from crf.definitions.values import BadValue, parse_value
from crf.models import Draft, Record
from tests.study import DEFINITION, both, enrol, publish

pytestmark = pytest.mark.django_db

KINDS = {
    "words": {"type": "text"},
    "story": {"type": "text", "max_length": 2000},
    "whole": {"type": "integer"},
    "part": {"type": "decimal", "unit": "g/L", "units": [{"unit": "mg/dL", "factor": 0.01}]},
    "day": {"type": "date"},
    "hour": {"type": "time"},
    "moment": {"type": "datetime"},
    "one": {"type": "choice", "codelist": "SEX"},
    "many": {"type": "choices", "codelist": "SEX"},
    "paper": {"type": "file"},
    "images": {"type": "series"},
}
EVERY = [{"name": name, "label": both(name), "required": True, **more} for name, more in KINDS.items()]
ROWS = [{"name": f"c{n}", "label": both(f"c{n}"), "type": "text"} for n in range(30)]


@pytest.fixture
def subject(site, coordinator):
    sections = [
        {"name": both("Every kind"), "items": EVERY},
        {"name": both("Rows"), "rows": {"name": "lines", "max": 200}, "items": ROWS},
    ]
    form = {"oid": "ALL", "name": both("All"), "sections": sections}
    events = [DEFINITION["events"][0] | {"forms": ["DM", "LB", "ALL"]}, *DEFINITION["events"][1:]]
    publish(version="2.0", forms=[*DEFINITION["forms"], form], events=events)
    return enrol(site, by=coordinator)


@pytest.fixture
def signed_in(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def address(subject, name="crf:edit-record"):
    return reverse(name, args=[subject.study.code, subject.number, "BASELINE", 1, "ALL", 1])


@pytest.mark.parametrize("kind", ["not_done", "unknown", "not_applicable"])
def test_an_item_of_any_type_may_be_missing_with_its_kind_and_a_reason_and_is_then_answered(signed_in, subject, kind):
    fields = {"revision": "0", "act": "complete", "row-lines": "1", "value-lines[1].c0": "x"}
    fields |= {"missing-lines[1].c1": kind, "missing-reason-lines[1].c1": "in a row too"}
    for name in KINDS:
        fields |= {f"missing-{name}": kind, f"missing-reason-{name}": f"why {name}"}
    assert signed_in.post(address(subject), fields).status_code == 302
    record = Record.objects.get()
    assert record.status == "complete"
    assert {name: record.data[name] for name in KINDS} == {
        name: {"missing": kind, "reason": f"why {name}"} for name in KINDS
    }
    assert record.data["lines"] == [{"row": 1, "c0": "x", "c1": {"missing": kind, "reason": "in a row too"}}]
    page = signed_in.get(address(subject)).content.decode()
    for name in KINDS:
        assert f'name="missing-{name}" value="{kind}" checked' in page and f'value="why {name}"' in page, name


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("2026-4-3", "2026-04-03"), ("20260403", "2026-04-03"), ("2026年4月3日", "2026-04-03"),
        ("２０２６－４－３", "2026-04-03"), ("２０２６年４月３日", "2026-04-03"), ("2026/4/3", "2026-04-03"),
        ("2026-4-UK", "2026-04-UK"), ("2026-UK-UK", "2026-UK-UK"), ("202604uk", "2026-04-UK"),
        ("2026年4月UK日", "2026-04-UK"), ("UK", {"missing": "unknown", "reason": ""}),
    ],
)  # fmt: skip
def test_a_date_is_understood_as_people_write_it(signed_in, subject, typed, stored):
    signed_in.post(address(subject), {"revision": "0", "act": "save", "value-day": typed})
    assert Record.objects.get().data["day"] == stored


@pytest.mark.parametrize("typed", ["3-4-2026", "2026-2-30", "2026-4", "UK-4-3", "2026-UK-3", "3/4/26", "tomorrow"])
def test_a_date_that_is_none_or_could_be_two_is_refused_with_what_was_expected(signed_in, subject, typed):
    refused = signed_in.post(address(subject), {"revision": "0", "act": "save", "value-day": typed})
    assert refused.status_code == 422 and f'value="{typed}"' in refused.content.decode()
    with pytest.raises(BadValue) as told:
        parse_value(Item(name="day", type="date", label=Text(zh="日", en="day")), None, typed)
    assert "UK" in told.value.of("en") or "calendar" in told.value.of("en")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("12,5", 12.5),
        ("１２．５", 12.5),
        ("１２，５", 12.5),
        ("12。5", 12.5),
        ("−3", -3),
        ("1234,5", 1234.5),
    ],
)
def test_a_number_is_understood_as_people_write_it(signed_in, subject, typed, stored):
    signed_in.post(address(subject), {"revision": "0", "act": "save", "value-part": typed})
    assert Record.objects.get().data["part"] == stored


def test_a_hundred_rows_of_many_answers_are_saved_and_kept_as_a_draft(signed_in, subject):
    rows = range(1, 101)
    fields = {"revision": "0", "act": "save", "row-lines": [str(row) for row in rows]}
    for row in rows:
        for column in range(30):
            place = f"lines[{row}].c{column}"
            fields |= {f"value-{place}": "x", f"missing-reason-{place}": "", f"comment-{place}": ""}
    assert signed_in.post(address(subject, "crf:draft"), fields).status_code == 200
    assert len(Draft.objects.get().fields) > 9000
    assert signed_in.post(address(subject), fields).status_code == 302
    assert len(Record.objects.get().data["lines"]) == 100


def test_a_series_is_shown_by_its_name_and_not_as_it_is_stored(signed_in, subject):
    signed_in.post(address(subject), {"revision": "0", "act": "save", "value-images": "T2 axial"})
    assert Record.objects.get().data["images"] == {"series": "T2 axial", "label": ""}
    page = signed_in.get(address(subject)).content.decode()
    assert 'name="value-images" value="T2 axial"' in page
    assert json.dumps({"series": "T2 axial"})[1:-1] not in page
