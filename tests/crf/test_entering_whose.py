"""Whose answers they are: a draft and a page are their author's, whoever signs in afterwards."""

from __future__ import annotations

import pytest
from django.urls import reverse

from crf.models import Draft, Record
from crf.selectors.worklist import worklist
from crf.services import drafts
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def visit(subject):
    return subject.visits.get(event="BASELINE")


def address(subject, name="crf:edit-record", form="DM"):
    return reverse(name, args=[subject.study.code, subject.number, "BASELINE", 1, form, 1])


def test_what_was_typed_on_another_persons_page_is_neither_kept_nor_saved_under_ones_own_name(signed_in, subject, cast):
    theirs = {"revision": "0", "act": "save", "value-age": "52", "author": str(cast["investigator"].pk)}
    client = signed_in("coordinator")
    assert client.post(address(subject, "crf:draft"), theirs).status_code == 409
    answer = client.post(address(subject), theirs, follow=True)
    assert b"Somebody else opened that page" in answer.content and b'value="52"' not in answer.content
    assert not Draft.objects.exists() and not Record.objects.exists()
    page = client.get(address(subject)).content.decode()
    assert f'name="author" value="{cast["coordinator"].pk}"' in page
    mine = theirs | {"author": str(cast["coordinator"].pk)}
    assert client.post(address(subject, "crf:draft"), mine).status_code == 200
    assert client.post(address(subject), mine).status_code == 302
    assert Record.objects.get().history.get().history_user == cast["coordinator"]


def test_a_draft_of_what_is_saved_already_waits_for_nobody(signed_in, subject, visit, cast):
    enter(subject, "DM", {"age": "52"}, by=cast["coordinator"])
    fields = {"value-age": ["52"]}
    drafts.keep(visit=visit, form="DM", repeat=1, revision=0, fields=fields, by=cast["coordinator"])
    assert "drafts" in {task.kind for task in worklist(subject.study, cast["coordinator"])}
    assert "Forget them" not in signed_in("coordinator").get(address(subject)).content.decode()
    assert "drafts" not in {task.kind for task in worklist(subject.study, cast["coordinator"])}


def test_who_only_reads_is_seen_and_sees_who_types(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52"}, by=cast["coordinator"])
    monitor = signed_in("monitor")
    assert "data-presence-url" in monitor.get(address(subject)).content.decode()
    monitor.post(address(subject, "crf:presence"), {"revision": "1"})
    shown = signed_in("coordinator").post(address(subject, "crf:presence"), {"revision": "1", "typing": "yes"})
    assert "Monitor has this form open" in shown.content.decode()
    enter(subject, "DM", {"age": "53"}, by=cast["coordinator"], reason="source")
    shown = signed_in("monitor").post(address(subject, "crf:presence"), {"revision": "1"}).content.decode()
    assert "Coordinator is typing here" in shown
    assert "Coordinator saved revision 2 meanwhile." in shown and "Show it" in shown and "Compare" not in shown
