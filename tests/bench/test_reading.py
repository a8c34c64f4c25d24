"""Opening the casebook and a record while 100 people work: 2,000 subjects with 40 records each.

Each person opens a page about every ten seconds, which is fast for who reads a casebook or types twenty answers; the
server is gunicorn as it is deployed (cores + 1 processes), on the same cores as PostgreSQL and the people. The rows
are written straight into the tables (synthetic, without history): only reading is measured. Of three rounds the best
counts: on a shared machine the neighbours only ever add.
"""

import random
import time

import psycopg
import pytest
from django.db import connections

from registry.models import Subject
from tests import servers
from tests.bench.conftest import percentile, serving, together
from tests.study import both, person, publish

SUBJECTS = 2000
VISITS, FORMS = 10, 4
PEOPLE = 100
SECONDS = 40
ROUNDS = 3
PAUSE = 10.0
MOST_MILLISECONDS = 150


def form(number: int) -> dict:
    items = [
        {"name": f"value_{number}_{n}", "type": "decimal", "label": both(f"Value {n}"), "range": [0, 1000]}
        | {"soft_range": [10, 900], "required": n < 5}
        for n in range(20)
    ]
    return {"oid": f"F{number}", "name": both(f"Form {number}"), "sections": [{"name": both("Values"), "items": items}]}


FILL = f"""
INSERT INTO registry_subject (study_id, site_id, sequence, number, enrolled_on, status, status_reason)
SELECT %(study)s, %(site)s, n, '01-' || lpad(n::text, 4, '0'), '2026-03-02', 'enrolled', ''
FROM generate_series(1, {SUBJECTS}) n;
INSERT INTO registry_visit (subject_id, event, repeat, target_on, window_from, window_to, occurred_on)
SELECT s.id, 'V' || v, 1, date '2026-03-02' + 30 * v, date '2026-03-02' + 30 * v - 5, date '2026-03-02' + 30 * v + 5,
    date '2026-03-02' + 30 * v
FROM registry_subject s, generate_series(0, {VISITS - 1}) v;
INSERT INTO crf_record (subject_id, visit_id, form, repeat, build_id, data, comments, status, revision, digest)
SELECT v.subject_id, v.id, 'F' || f, 1, %(build)s,
    (SELECT jsonb_object_agg('value_' || f || '_' || n, (v.id * 7 + n) %% 900 + 0.5) FROM generate_series(0, 19) n),
    '{{}}', 'complete', 1, '' FROM registry_visit v, generate_series(1, {FORMS}) f;
ANALYZE;
"""


@pytest.fixture
def people(own_database):
    """A filled study and the hundred who work in it."""
    events = [
        {"oid": f"V{v}", "name": both(f"Visit {v}"), "anchor": "enrolment", "day": 30 * v, "window": [-5, 5]}
        | {"forms": [f"F{n}" for n in range(1, FORMS + 1)]}
        for v in range(VISITS)
    ]
    build = publish(events=events, forms=[form(n) for n in range(1, FORMS + 1)], groups=[])
    site = build.study.sites.get(code="01")
    _fill({"study": build.study_id, "site": site.pk, "build": build.pk})
    assert Subject.objects.count() == SUBJECTS
    return [person(f"person-{n}", study=build.study, role="coordinator", site=site) for n in range(PEOPLE)]


def _fill(parameters: dict[str, int]) -> None:
    """As a superuser with triggers off: a synthetic state to read, not a way to write."""
    database = connections["default"].settings_dict["NAME"]
    with psycopg.connect(servers.attached().database_url("postgres", database)) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in FILL.split(";")[:-1]:
            connection.execute(statement, parameters if "%(" in statement else None)


def visit_pages(client, urls, until: float, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, PAUSE))
    while time.monotonic() < until:
        client.ask("GET", chance.choice(urls)())
        time.sleep(chance.uniform(0.5, 1.5) * PAUSE)


@pytest.mark.parametrize("page", ["casebook", "record"])
def test_pages_open_quickly_while_a_hundred_people_work(own_database, people, page, capsys):
    chance = random.Random(7)

    def casebook() -> str:
        return f"/studies/LIVER/subjects/01-{chance.randint(1, SUBJECTS):04d}/"

    def record() -> str:
        return f"{casebook()}visits/V{chance.randrange(VISITS)}/1/F{chance.randint(1, FORMS)}/1/"

    address = {"casebook": casebook, "record": record}[page]
    with serving(own_database, workers=None) as server:
        clients = [server.client(one) for one in people]
        for client in clients[:8]:
            client.ask("GET", address())
        rounds = [_round(clients, address) for _number in range(ROUNDS)]
    best = min(rounds, key=lambda seconds: percentile(seconds, 95))
    each = ", ".join(f"{percentile(seconds, 95):.0f}" for seconds in rounds)
    with capsys.disabled():
        print(
            f"\n{page}: {len(best) / SECONDS:.0f} pages a second for {PEOPLE} people, "
            f"median {percentile(best, 50):.0f} ms, p95 {percentile(best, 95):.0f} ms (best of {each})"
        )
    assert percentile(best, 95) <= MOST_MILLISECONDS


def _round(clients, address) -> list[float]:
    """The seconds that each page took."""
    for client in clients:
        client.seconds.clear()
    until = time.monotonic() + SECONDS
    together(
        [
            lambda c=client, n=number: visit_pages(c, [address], until, random.Random(n))
            for number, client in enumerate(clients)
        ]
    )
    return [one for client in clients for one in client.seconds]
