"""Typed views: what they show, who may read them, and that no text of a definition is ever run."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection

from crf.definitions.model import StudyDefinition
from crf.exports import sql, view_sql
from crf.exports.layout import tables
from crf.exports.rules import Wanted
from registry.models import AuditEvent
from registry.services import people
from tests import servers
from tests.crf.exported import EVENTS, KINDS, filled, published
from tests.study import DEFINITION, both, enter

EVIL = "x'; DROP TABLE crf_record CASCADE; -- \" $$ \\ %s %(a)s {0} \n"
NAME = 'a" b'


@pytest.fixture
def database(transactional_clone):
    """A study whose every text is hostile, its records, and its views."""
    sections = [
        section | {"items": [item | {"label": {"zh": EVIL, "en": EVIL}} for item in section["items"]]}
        for section in KINDS["sections"]
    ]
    form = KINDS | {"name": {"zh": EVIL, "en": EVIL}, "sections": sections}
    by = people.system_user()
    study = published(forms=[*DEFINITION["forms"], form], events=EVENTS).study
    records = filled(study, by=by)
    enter(records[2].subject, "KINDS", {"meds": [{"row": 1, "drug": "A", "units": "3"}]}, by=by)
    call_command("typed_views", study.code)
    return transactional_clone


@pytest.fixture
def analyst(database):
    with psycopg.connect(servers.attached().database_url("postgres", database), autocommit=True) as opened:
        opened.execute("SET ROLE lobule_analyst")
        yield opened


def test_a_view_has_typed_columns_and_says_why_values_are_missing(analyst):
    full, missing, empty, _other = analyst.execute(
        "SELECT age, dose, seen, seen__earliest, seen__latest, at_time, taken, signs, age__missing, dose__missing,"
        " dose__reason, note FROM analysis.v_liver_kinds ORDER BY site, subject"
    ).fetchall()
    assert full[:6] == (93, Decimal("12.5"), "2026-04-03", dt.date(2026, 4, 3), dt.date(2026, 4, 3), dt.time(8, 30))
    assert full[6:9] == (dt.datetime(2026, 4, 3, 23, 15), ["FEVER", "NA"], None)
    assert missing[:5] == (None, None, "2026-02-UK", dt.date(2026, 2, 1), dt.date(2026, 2, 28))
    assert missing[5:] == (None, None, None, "unknown", "not_done", "Sentinel reason", None)
    assert empty[5] == dt.time(0, 5) and set(empty[:5] + empty[6:]) == {None}


def test_identifiers_and_blinded_items_are_not_in_a_view(analyst):
    columns = [one.name for one in analyst.execute("SELECT * FROM analysis.v_liver_kinds LIMIT 0").description]
    assert not {"initials", "outcome"} & set(columns)
    assert {"site", "subject", "event", "status", "status_2"} <= set(columns)


def test_a_repeating_group_has_its_view(analyst):
    assert analyst.execute('SELECT "row", drug, units FROM analysis.v_liver_kinds__meds').fetchall() == [
        (1, "A", Decimal(3))
    ]


def test_only_the_reporting_role_reads_a_view_and_it_reads_nothing_else(analyst):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute("SELECT * FROM public.crf_record")
    # The server names first whatever it finds first: that the view can't be changed, or that this role may not.
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
        analyst.execute("DELETE FROM analysis.v_liver_dm")
    with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM analysis.v_liver_dm")


def test_labels_are_comments_and_nothing_of_them_is_run(analyst):
    found = analyst.execute(
        "SELECT col_description('analysis.v_liver_kinds'::regclass, attnum) FROM pg_attribute"
        " WHERE attrelid = 'analysis.v_liver_kinds'::regclass AND attname = 'dose'"
    ).fetchone()
    assert EVIL.strip() in found[0]


def test_views_are_made_anew_with_the_build(database):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_views WHERE schemaname = 'analysis'")
        before = cursor.fetchone()
    call_command("typed_views", "LIVER")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_views WHERE schemaname = 'analysis'")
        assert cursor.fetchone() == before == (5,)
    assert AuditEvent.objects.filter(kind="views.create").count() == 2


@pytest.mark.parametrize("text", [EVIL, "'", "''", "\\'", "E'\\''", "中文'", "\\"])
def test_a_quoted_text_is_that_text(transactional_clone, text):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql.literal(text)}")
        assert cursor.fetchone() == (text,)
        cursor.execute(f"SELECT 1 AS {sql.identifier(NAME)}")
        assert cursor.description[0].name == NAME


def test_tables_whose_names_come_out_alike_have_views_of_their_own():
    form = {"oid": "F" * 40, "name": both("F")}
    groups = [
        {
            "name": both(name),
            "rows": {"name": f"{'g' * 40}{name}"},
            "items": [{"name": name, "type": "integer", "label": both(name)}],
        }
        for name in ("one", "two")
    ]
    study = StudyDefinition.from_json({**DEFINITION, "forms": [*DEFINITION["forms"], form | {"sections": groups}]})
    names = view_sql.view_names("LIVER", tables([study], Wanted()), {"v_liver_dm"})
    assert len(set(names)) == len(names) and max(map(len, names)) <= 63
    assert names[0] == "v_liver_dm_2", "another study's view has that name"
