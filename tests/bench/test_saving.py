"""What the guarantee costs: saving a 40-item record against the bare SQL of one UPDATE and one INSERT."""

import json
import time

import pytest
from django.db import connection, transaction

from crf.services import records
from tests.study import both, enrol, publish

REPEATS = 60
ITEMS = 40
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


def seconds_per_call(act) -> float:
    act(0)
    started = time.perf_counter()
    for number in range(1, REPEATS + 1):
        act(number)
    return (time.perf_counter() - started) / REPEATS


@pytest.fixture
def record(transactional_clone):
    from registry.services import people
    from tests.study import DEFINITION, person

    events = [{**DEFINITION["events"][0], "forms": ["DM", "LB", "WIDE"]}, *DEFINITION["events"][1:]]
    study = publish(forms=[*DEFINITION["forms"], FORM], events=events).study
    site = study.sites.first()
    coordinator = person("coordinator", study=study, role="coordinator", site=site)
    subject = enrol(site, by=coordinator)
    visit = subject.visits.get(event="BASELINE")
    assert people.system_user()
    return records.save(subject=subject, visit=visit, form="WIDE", data=answers(0), by=coordinator).record, coordinator


def answers(number: int) -> dict[str, str]:
    return {f"value_{n}": f"{(n + number) % 900}.5" for n in range(ITEMS)}


def test_a_save_with_all_checks_and_audit_against_bare_sql(record, capsys):
    saved, coordinator = record

    def service(number: int) -> None:
        records.save(
            subject=saved.subject,
            visit=saved.visit,
            form="WIDE",
            data=answers(number + 1),
            reason="benchmark",
            by=coordinator,
        )

    def bare(number: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            data = json.dumps(answers(number))
            cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS bare (id int, data jsonb)")
            cursor.execute("UPDATE bare SET data = %s WHERE id = 1", [data])
            cursor.execute("INSERT INTO bare VALUES (%s, %s)", [number + 1, data])

    ratios = [seconds_per_call(service) / seconds_per_call(bare) for _ in range(3)]
    with capsys.disabled():
        print(f"\nsave of {ITEMS} items: {min(ratios):.1f} × the bare transaction (best of 3, side by side)")
    assert min(ratios) < 60
