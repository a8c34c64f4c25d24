"""What an export costs: 100,000 records × 30 items against COPY … TO STDOUT of the same rows; memory at 1,000,000."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connection, connections

from crf.models import Record
from registry.models import Visit
from registry.services import people
from tests import servers
from tests.study import DEFINITION, both, publish

RECORDS, PER_SUBJECT = 100_000, 50
MANY, MOST_MEMORY = 1_000_000, 300 * 2**20
SLOWEST = 0.3
ITEMS = (
    [{"name": f"value_{n}", "type": "decimal", "label": both(f"Value {n}"), "precision": 1} for n in range(18)]
    + [{"name": f"count_{n}", "type": "integer", "label": both(f"Count {n}")} for n in range(4)]
    + [{"name": f"day_{n}", "type": "date", "label": both(f"Day {n}")} for n in range(3)]
    + [{"name": f"sex_{n}", "type": "choice", "codelist": "SEX", "label": both(f"Sex {n}")} for n in range(4)]
    + [{"name": "note", "type": "text", "label": both("Note")}]
)
FORM = {"oid": "WIDE", "name": both("Wide"), "repeating": True, "sections": [{"name": both("All"), "items": ITEMS}]}
# One subject and visit for each PER_SUBJECT records, written as the owner of a database of this test's own.
FILL = """
SET session_replication_role = replica;
INSERT INTO registry_subject (study_id, site_id, sequence, number, enrolled_on, status, status_reason)
SELECT %(study)s, %(site)s, n, '01-' || n, '2026-03-02', 'enrolled', '' FROM generate_series(%(first)s, %(last)s) n;
INSERT INTO registry_visit (subject_id, event, repeat)
SELECT id, 'BASELINE', 1 FROM registry_subject WHERE sequence BETWEEN %(first)s AND %(last)s;
INSERT INTO crf_record (subject_id, visit_id, form, repeat, build_id, data, comments, status, revision, digest)
SELECT visit.subject_id, visit.id, 'WIDE', k, %(build)s, jsonb_build_object({values}), '{{}}', 'complete', 1, ''
FROM registry_visit visit JOIN registry_subject subject ON subject.id = visit.subject_id, generate_series(1, %(each)s) k
WHERE subject.sequence BETWEEN %(first)s AND %(last)s;
"""
VALUES = {
    "decimal": "round((random() * 100)::numeric, 1)",
    "integer": "(random() * 1000)::int",
    "date": "to_char('2026-01-01'::date + (random() * 300)::int, 'YYYY-MM-DD')",
    "choice": "(ARRAY['F', 'M'])[1 + (random() > 0.5)::int]",
    "text": "'Nothing to report; seen in the ward, ' || k",
}
CHILD = """
import json, re, sys, time
from pathlib import Path
import django
django.setup()
from crf.exports.rules import Wanted
from crf.services import exports
from registry.models import Study
from registry.services.people import system_user
folder, number, kept = Path(sys.argv[1]), int(sys.argv[2]), tuple(json.loads(sys.argv[3]))
study, by = Study.objects.get(), system_user()
# A worker has made exports before: what is loaded once (fonts, pandas under pyarrow) is no part of one.
exports.export(study=study, folder=folder / "before", format=sys.argv[4], wanted=Wanted(forms=("DM",)), by=by)
began = time.perf_counter()
made = exports.export(study=study, folder=folder / "made", format=sys.argv[4],
                      wanted=Wanted(forms=("WIDE",), keep_text=kept), by=by)
seconds = time.perf_counter() - began
# Of this program alone: what getrusage tells begins with the size of the process that forked it.
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"seconds": seconds, "peak": peak, "rows": made["tables"]["WIDE"]["rows"]}))
"""


@pytest.fixture
def many(transactional_clone):
    events = [{**DEFINITION["events"][0], "forms": ["DM", "LB", "WIDE"]}, *DEFINITION["events"][1:]]
    build = publish(forms=[*DEFINITION["forms"], FORM], events=events)
    assert people.system_user()
    fill(build, 1, RECORDS)
    return build


def fill(build, first: int, records: int) -> None:
    values = ", ".join(f"'{item['name']}', {VALUES[item['type']]}" for item in ITEMS)
    parameters = {
        "study": build.study_id,
        "site": build.study.sites.get(code="01").pk,
        "build": build.pk,
        "first": first,
        "last": first + records // PER_SUBJECT - 1,
        "each": PER_SUBJECT,
    }
    name = connections["default"].settings_dict["NAME"]
    address = servers.attached().database_url("postgres", name)
    with psycopg.connect(address, autocommit=True) as owner, psycopg.ClientCursor(owner) as cursor:
        cursor.execute(FILL.format(values=values), parameters)
        cursor.execute("ANALYZE")


def exported(folder: Path, format: str = "csv") -> dict:
    """The export in a process of its own, as the command runs it."""
    settings = connections["default"].settings_dict
    address = f"postgresql://{settings['USER']}:{settings['PASSWORD']}@{settings['HOST']}:{settings['PORT']}"
    environment = os.environ | {
        "DATABASE_URL": f"{address}/{settings['NAME']}",
        "DJANGO_SETTINGS_MODULE": "deploy.settings",
    }
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), "1", json.dumps(["WIDE.note"]), format],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    return json.loads(told.stdout.splitlines()[-1])


def copied(sql: str) -> float:
    """Seconds of COPY … TO STDOUT CSV, every byte received."""
    began = time.perf_counter()
    with connection.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)") as copy:
        for _block in copy:
            pass
    return time.perf_counter() - began


def test_an_export_against_copy_of_the_same_rows(many, tmp_path, capsys):
    stored = "SELECT * FROM crf_record"
    typed = "SELECT id, subject_id, visit_id, " + ", ".join(
        f"(data->>'{item['name']}')"
        + {"decimal": "::float8", "integer": "::int8", "date": "::date"}.get(item["type"], "")
        for item in ITEMS
    )
    made, rows, columns = [], [], []
    for attempt in range(3):  # side by side, so that a busy machine slows both
        rows.append(copied(stored))
        columns.append(copied(f"{typed} FROM crf_record"))
        made.append(exported(tmp_path / f"export-{attempt}"))
    assert made[0]["rows"] == Record.objects.count() == RECORDS and Visit.objects.count() == RECORDS // PER_SUBJECT
    best = min(one["seconds"] for one in made)
    ratio, ratio_typed = min(rows) / best, min(columns) / best
    with capsys.disabled():
        print(
            f"\nexport of {RECORDS:,} records × {len(ITEMS)} items, de-identified, CSV with dictionary: "
            f"{RECORDS / best:,.0f} records/s; {ratio:.2f} × COPY of the stored rows, "
            f"{ratio_typed:.2f} × COPY of the same typed columns (best of 3, side by side)"
        )
    assert ratio >= SLOWEST


def test_a_million_records_need_no_more_memory(many, tmp_path, capsys):
    small = exported(tmp_path / "small")
    for start in range(RECORDS, MANY, RECORDS):
        fill(many, start // PER_SUBJECT + 1, RECORDS)
    large = exported(tmp_path / "large")
    assert (small["rows"], large["rows"]) == (RECORDS, MANY)
    with capsys.disabled():
        print(
            f"\nmemory of an export: {small['peak'] / 2**20:.0f} MB at {RECORDS:,} records, "
            f"{large['peak'] / 2**20:.0f} MB at {MANY:,} ({MANY / large['seconds']:,.0f} records/s)"
        )
    assert large["peak"] <= MOST_MEMORY
