"""Two people act on one query or one record at the same moment, each on a connection of their own."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from crf.models import Query, SourceVerification
from crf.services import queries, records
from registry import audit
from registry.services import people
from tests.study import enrol, enter


def test_of_two_who_answer_at_the_same_moment_one_is_first(transactional_clone, site):
    """Two connections: the second waits for the first, and finds the query answered."""
    system = people.system_user()
    subject = enrol(site, by=system)
    enter(subject, "DM", {"age": "50", "sex": "M"}, by=system)
    visit = subject.visits.get(event="BASELINE")
    query = queries.raise_query(subject=subject, visit=visit, form="DM", item="age", text="Sure?", by=system)
    together = threading.Barrier(2)

    def answer(text):
        try:
            together.wait(10)
            return queries.answer(query=Query.objects.get(pk=query.pk), text=text, by=system).status
        except queries.QueryRefused:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as executor:
        assert sorted(executor.map(answer, ["one", "two"])) == ["answered", "refused"]
    assert query.messages.filter(act="answer").count() == Query.history.filter(status="answered").count() == 1


def test_who_saves_while_a_monitor_verifies_is_asked_to_compare(transactional_clone, site):
    """The save waits for the verification, and then knows of it."""
    system = people.system_user()
    subject = enrol(site, by=system)
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, complete=True, by=system)
    is_verified = threading.Event()

    def verify():
        try:
            with audit.change(by=system):
                records.verify(record=record, by=system)
                is_verified.set()
                time.sleep(1)  # not committed yet: the other one is under way
        finally:
            connection.close()

    def save():
        try:
            is_verified.wait(10)
            enter(subject, "DM", {"age": "51"}, reason="source", expected_revision=1, by=system)
        except records.EditConflict as conflict:
            return conflict.current.status
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as executor:
        first, second = executor.submit(verify), executor.submit(save)
        assert (first.result(), second.result()) == (None, "verified")
    assert SourceVerification.objects.get().is_complete
