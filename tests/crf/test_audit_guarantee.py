"""No clinical change without its audit row: tried at the database, as the role of web and workers."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from crf.models import Record
from registry import audit
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db


@pytest.fixture
def record(site, coordinator):
    return enter(enrol(site, by=coordinator), "DM", {"age": "52", "sex": "M"}, by=coordinator)


def commit() -> None:
    """What COMMIT would check, inside the test's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def run(sql: str, *parameters: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        commit()


def test_a_save_writes_one_history_row_of_the_same_digest(record):
    commit()
    row = record.history.get()
    assert (row.revision, row.digest) == (record.revision, record.digest) == (1, record.digest)
    assert (row.history_role, row.history_source) == ("coordinator@01", "command")


def test_a_change_of_data_alone_is_refused(record):
    with pytest.raises(DatabaseError, match="revision must be 2"):
        run("UPDATE crf_record SET data = '{\"age\": 99}' WHERE id = %s", record.pk)


def test_a_change_with_a_revision_but_no_history_cannot_commit(record):
    with pytest.raises(IntegrityError, match="record_has_its_history"):
        run("UPDATE crf_record SET data = '{\"age\": 99}', revision = 2 WHERE id = %s", record.pk)


def test_a_history_row_of_other_content_does_not_satisfy_the_guarantee(record):
    forged = (
        "INSERT INTO crf_historicalrecord (id, form, repeat, data, comments, status, revision, digest, build_id,"
        " subject_id, visit_id, history_date, history_type, history_change_reason, history_role,"
        " history_organisation, history_source, history_request) SELECT id, form, repeat, '{\"age\": 51}', comments,"
        " status, 2, 'x', build_id, subject_id, visit_id, now(), '~', '', '', '', 'web', '' FROM crf_record WHERE id=%s"
    )
    with pytest.raises(IntegrityError, match="record_has_its_history"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(forged, [record.pk])
            cursor.execute("UPDATE crf_record SET data = '{\"age\": 99}', revision = 2 WHERE id = %s", [record.pk])
        commit()


def test_a_digest_written_by_hand_is_replaced_by_the_true_one(record):
    with audit.change(by=record.history.get().history_user):
        record.digest = "0" * 64
        record.data = {**record.data, "age": 53}
        record.save()
    commit()
    assert record.digest == record.history.get(revision=2).digest != "0" * 64


@pytest.mark.parametrize("table", ["crf_historicalrecord", "registry_historicalsubject", "registry_auditevent"])
@pytest.mark.parametrize("act", ["UPDATE {0} SET history_reason = ''", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_history_and_events_cannot_be_changed_or_removed(record, table, act):
    sql = act.format(table).replace("history_reason", "source" if table.endswith("event") else "history_source")
    with pytest.raises(DatabaseError, match=r"[Cc]annot|permission denied"):
        run(sql)


def test_the_app_role_cannot_disable_the_triggers(record):
    with pytest.raises(DatabaseError, match="must be owner"):
        run("ALTER TABLE crf_historicalrecord DISABLE TRIGGER ALL")


def test_no_session_can_tell_the_triggers_to_look_away(record):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'pgtrigger%%'")
        names = ",".join(name for (name,) in cursor.fetchall())
        cursor.execute("SELECT set_config('pgtrigger.ignore', %s, true)", [f"{{{names}}}"])
    with pytest.raises(DatabaseError, match="Cannot update or delete"):
        run("UPDATE crf_historicalrecord SET history_change_reason = 'x' WHERE id = %s", record.pk)
    with pytest.raises(DatabaseError, match="revision must be 2"):
        run("UPDATE crf_record SET data = '{\"age\": 99}' WHERE id = %s", record.pk)


def test_a_record_cannot_be_deleted(record):
    with pytest.raises(DatabaseError, match=r"[Cc]annot delete"):
        run("DELETE FROM crf_record WHERE id = %s", record.pk)


def test_a_write_outside_audit_change_is_refused(record):
    record.data = {"age": 1}
    with pytest.raises(audit.UnattributedWrite):
        record.save()


@pytest.mark.parametrize("act", ["update", "delete", "bulk_create", "bulk_update"])
def test_bulk_writes_that_leave_no_history_are_refused(record, act):
    arguments = {"update": {"status": "locked"}, "delete": {}, "bulk_create": {"objs": []}, "bulk_update": {"objs": []}}
    with pytest.raises(audit.UnattributedWrite):
        getattr(Record.objects.all(), act)(**arguments[act])


@pytest.mark.parametrize("change", [{"data": {"age": 1}}, {"form": "LB"}, {"repeat": 2}])
def test_a_locked_record_keeps_its_data_and_its_place(record, cast, change):
    from crf.services import records

    records.lock(records=[record], reason="dataset 1", by=cast["pi"])
    record.refresh_from_db()
    with pytest.raises(DatabaseError, match="locked"), audit.change(by=cast["pi"]):
        for name, value in change.items():
            setattr(record, name, value)
        record.save()
