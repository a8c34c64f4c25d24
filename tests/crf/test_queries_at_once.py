"""Two people act on one query at the same moment, each on a connection of their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from crf.models import Query
from crf.services import queries
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
