"""What the guarantee costs: saving a 40-item record with all checks and audit, through HTTP, against two yardsticks.

The first is a plain endpoint in the same server: DRF and simple-history, 40 typed columns, no checks. The second is
the bare SQL of one UPDATE and one INSERT, without a server.
"""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from django.db import connection, transaction

from crf.services import records
from tests.bench.conftest import environment, serving, together
from tests.study import DEFINITION, both, enrol, person, publish

ITEMS = 40
PEOPLE = 4
SAVES = 60
ROUNDS = 5
LEAST_THROUGHPUT = 0.8
FORM = {
    "oid": "WIDE",
    "name": both("Wide form"),
    "sections": [
        {
            "name": both("Values"),
            "items": [
                {"name": f"value_{n}", "type": "decimal", "label": both(f"Value {n}"), "range": [0, 1000]}
                for n in range(ITEMS)
            ],
        }
    ],
}


def answers(number: int) -> dict[str, float]:
    return {f"value_{n}": (n + number) % 900 + 0.5 for n in range(ITEMS)}


@pytest.fixture
def subjects(own_database):
    """One subject for each of the people who save, so that they don't wait for each other's record."""
    events = [{**DEFINITION["events"][0], "forms": ["DM", "LB", "WIDE"]}, *DEFINITION["events"][1:]]
    study = publish(forms=[*DEFINITION["forms"], FORM], events=events).study
    site = study.sites.first()
    coordinator = person("coordinator", study=study, role="coordinator", site=site)
    subjects = [enrol(site, by=coordinator) for _person in range(PEOPLE)]
    for subject in subjects:
        visit = subject.visits.get(event="BASELINE")
        records.save(subject=subject, visit=visit, form="WIDE", data=answers(0), by=coordinator)
    return coordinator, subjects


def plain_tables(database: str) -> list[int]:
    """The yardstick's tables with a row for each person; the keys of the rows."""
    command = [sys.executable, "-m", "tests.bench.plain", str(PEOPLE)]
    made = subprocess.run(command, env=environment(database), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(made.stdout)


def throughput(clients, urls, body) -> float:
    """Saves per second of all people together."""

    def work(client, url):
        for _save in range(SAVES):
            client.ask("PUT", url, body(url))

    seconds = together([lambda c=client, u=url: work(c, u) for client, url in zip(clients, urls, strict=True)])
    return PEOPLE * SAVES / seconds


def bare(repeats: int) -> float:
    """Seconds of one UPDATE and one INSERT of the same values in one transaction, no server, no Django model."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS bare (id int, data jsonb)")
        cursor.execute("INSERT INTO bare VALUES (1, '{}')")
    started = time.perf_counter()
    for number in range(repeats):
        with transaction.atomic(), connection.cursor() as cursor:
            data = json.dumps(answers(number))
            cursor.execute("UPDATE bare SET data = %s WHERE id = 1", [data])
            cursor.execute("INSERT INTO bare VALUES (%s, %s)", [number + 2, data])
    return (time.perf_counter() - started) / repeats


def test_a_save_through_http_keeps_up_with_a_plain_endpoint(own_database, subjects, capsys):
    coordinator, of_people = subjects
    keys = plain_tables(own_database)
    numbers, revisions = Shared(itertools.count(1)), Counter[str]()

    def ours(url: str) -> dict:
        revisions[url] += 1  # each person saves a record of their own
        return {"data": answers(next(numbers)), "reason": "benchmark", "expected_revision": revisions[url]}

    def theirs(_url: str) -> dict:
        return {"subject": "1", "reason": "benchmark", **answers(next(numbers))}

    code = of_people[0].study.code
    our_urls = [f"/api/studies/{code}/subjects/{one.number}/visits/BASELINE/1/WIDE/1/" for one in of_people]
    their_urls = [f"/plain/{key}/" for key in keys]
    with serving(own_database) as server:
        clients = [server.client(coordinator) for _person in range(PEOPLE)]
        for client, mine, plain in zip(clients, our_urls, their_urls, strict=True):
            client.ask("PUT", mine, ours(mine))
            client.ask("PUT", plain, theirs(plain))
        ratios, seconds = [], []
        for _round in range(ROUNDS):
            mine = throughput(clients, our_urls, ours)
            plain = throughput(clients, their_urls, theirs)
            ratios.append(mine / plain)
            seconds.append(PEOPLE / mine)
            with capsys.disabled():
                print(f"\n  {mine:6.1f} against {plain:6.1f} saves a second: {mine / plain:.2f}", end="")
    once = bare(200)
    with capsys.disabled():
        print(
            f"\nsave of {ITEMS} items through HTTP, {PEOPLE} people at once: {max(ratios):.2f} × the plain endpoint's "
            f"throughput (best of {ROUNDS}); {min(seconds) / PEOPLE * 2 / once:.0f} × the bare transaction on one core"
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), max(revision) FROM crf_historicalrecord WHERE form = 'WIDE'")
        rows, revision = cursor.fetchone()
    assert rows == PEOPLE * (2 + SAVES * ROUNDS) and revision == 2 + SAVES * ROUNDS, "every save has its history row"
    assert max(ratios) >= LEAST_THROUGHPUT


class Shared:
    """A counter that threads may share."""

    def __init__(self, numbers) -> None:
        self.numbers, self.lock = numbers, threading.Lock()

    def __next__(self):
        with self.lock:
            return next(self.numbers)
