"""100,000 records of 30 items from a CSV, with all checks and the audit trail, against COPY of the same values.

2,500 subjects of 40 visits are enrolled before (by an import too, timed apart). Everything runs on one core: the
importing process and the server's process that serves it are pinned to the same one.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import resource
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection, transaction

from crf.definitions.mapping import read_mapping
from crf.models import Record
from crf.services import imports, integrity
from tests.study import DEFINITION, both, person, publish

SUBJECTS = int(os.environ.get("BENCH_SUBJECTS", "2500"))
VISITS = 40
PER_SECOND, MOST_MEMORY = 2_000, 500_000_000
NUMBERS = 24
FORM = {
    "oid": "WIDE",
    "name": both("Wide form"),
    "sections": [
        {
            "name": both("Values"),
            "items": [
                {"name": f"value_{n}", "type": "decimal", "precision": 1, "label": both(f"Value {n}")}
                | {"range": [0, 1000], "soft_range": [1, 990]}
                for n in range(NUMBERS)
            ]
            + [
                {"name": "on", "type": "date", "label": both("Date")},
                {"name": "note", "type": "text", "label": both("Note")},
                {"name": "count", "type": "integer", "label": both("Count"), "range": [0, 10000], "required": True},
                {"name": "gender", "type": "choice", "codelist": "SEX", "label": both("Sex")},
                {"name": "only_f", "type": "text", "label": both("Only F"), "show_if": "gender == 'F'"},
                {"name": "sum", "type": "derived", "value_type": "decimal", "precision": 1, "label": both("Sum")}
                | {"derive": "value_0 + value_1"},
            ],
        }
    ],
    "checks": [
        {"id": "order", "items": ["value_2"], "require": "value_2 <= value_3 + 1000", "message": both("2 above 3")}
    ],
}
EVENT = {"oid": "DAY", "name": both("Day"), "kind": "repeating", "anchor": "enrolment", "day": 0, "every": 7}


def answers(number: int) -> list[str]:
    pick = random.Random(number)
    values = [f"{pick.uniform(2, 980):.1f}" for _ in range(NUMBERS)]
    sex = pick.choice("FM")
    return [*values, f"2026-0{pick.randint(1, 9)}-1{pick.randint(0, 9)}", f"note {number}", str(pick.randint(0, 9999)),
            sex, f"only {number % 97}" if sex == "F" else ""]  # fmt: skip


HEADER = [f"value_{n}" for n in range(NUMBERS)] + ["on", "note", "count", "gender", "only_f"]


def table(rows) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


@contextmanager
def measured():
    """Wall time, CPU of this process and of its server process, and this process's largest memory so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    found: dict[str, float] = {}
    wall, own, server = time.perf_counter(), time.process_time(), cpu_of(backend)
    yield found
    found |= {
        "wall": time.perf_counter() - wall,
        "python": time.process_time() - own,
        "postgres": cpu_of(backend) - server,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def one_core():
    """This process and its server process on the same core; without the right to move that one, only this."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    before = os.sched_getaffinity(0)
    core = {max(before)}
    os.sched_setaffinity(0, core)
    with suppress(OSError):
        os.sched_setaffinity(backend, core)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def filled(transactional_clone):
    """The study, its importer and 2,500 subjects with 40 visits each."""
    study = publish(
        forms=[*DEFINITION["forms"], FORM], events=[*DEFINITION["events"], EVENT | {"forms": ["WIDE"]}]
    ).study
    importer = person("importer", study=study, role="data_manager")
    mapping = read_mapping(
        'match: identifier\ncreate_subjects: true\nsite: "01"\ngroup: ALL\nenrolled_on: "2026-03-02"\n'
        "visited_on: {column: day}\nevent: DAY\nrepeat: {column: repeat}"
    )
    rows = [["subject", "repeat", "day"], *([f"H{n}", VISITS, "2026-03-02"] for n in range(SUBJECTS))]
    with one_core(), measured() as cost:
        imports.commit(study=study, content=table(rows), mapping=mapping, by=importer)
    print(f"\nenrolling {SUBJECTS:,} subjects with {VISITS + 3} visits: {SUBJECTS / cost['wall']:,.0f} subjects/s, "
          f"{SUBJECTS * (VISITS + 3) / cost['wall']:,.0f} visits/s")  # fmt: skip
    return study, importer


def test_records_are_imported_at_speed_in_bounded_memory(filled, capsys):
    study, importer = filled
    size = SUBJECTS * VISITS
    header = ["subject", "event", "repeat", *HEADER]
    rows = (
        [f"01-{subject:04d}", "DAY", repeat, *answers(subject * VISITS + repeat)]
        for subject in range(1, SUBJECTS + 1)
        for repeat in range(1, VISITS + 1)
    )
    content = table(itertools.chain([header], rows))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with one_core(), measured() as done:
        plan = imports.commit(study=study, content=content, by=importer)
    assert plan.counts["records_new"] == size
    with measured() as again:
        repeated = imports.commit(study=study, content=content, by=importer)
    assert repeated.counts["records_unchanged"] == size
    assert Record.history.count() == size
    assert integrity.problems() == []
    plain = copied()
    cpu = done["python"] + done["postgres"]
    parts = f"{1e6 * done['python'] / size:.0f} µs Python + {1e6 * done['postgres'] / size:.0f} µs PostgreSQL each"
    ratio = cpu / (plain["python"] + plain["postgres"])
    with capsys.disabled():
        print(f"\nimporting {size:,} records of 30 items with all checks and audit, both processes on one core: "
              f"{size / done['wall']:,.0f} records/s of wall time, {size / cpu:,.0f} per CPU second ({parts}); "
              f"asked for: {PER_SECOND:,}")  # fmt: skip
        print(f"memory at most {done['memory'] / 1e6:,.0f} MB; {ratio:.1f} × the CPU of a plain COPY of the same "
              "values into a table without keys, checks or history")  # fmt: skip
        print(f"the same file again (all unchanged): {size / again['wall']:,.0f} records/s")
    assert done["memory"] <= MOST_MEMORY
    # Seconds of a shared machine say little: this COPY made 60,000 a second when 2,000 were first asked for, and 20,000
    # on the same kind of machine on another day. Their ratio is what is asked for.
    assert ratio < 60_000 / PER_SECOND


def copied() -> dict[str, float]:
    """What it costs to COPY the same answers into typed columns of a bare table."""
    items = [name for name in [*HEADER, "sum"]]
    types = {"on": "date", "count": "integer"} | {f"value_{n}": "numeric" for n in range(NUMBERS)} | {"sum": "numeric"}
    rows = Record.objects.values_list("id", "data").iterator(chunk_size=2000)
    spooled = [json.dumps([key, *(data.get(name) for name in items)]) for key, data in rows]
    with transaction.atomic(), connection.cursor() as cursor:
        columns = ", ".join(f'"{name}" {types.get(name, "text")}' for name in items)
        cursor.execute(f"CREATE TEMPORARY TABLE plain (id bigint, {columns}) ON COMMIT DROP")
        with measured() as cost, cursor.copy("COPY plain FROM STDIN") as copy:
            for row in spooled:
                copy.write_row(json.loads(row))
    return cost
