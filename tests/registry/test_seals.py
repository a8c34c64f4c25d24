"""Whoever bends the trail is found: the tampering is a superuser's, with triggers off."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest
from django.db import connection

from crf.services import integrity
from registry import merkle
from registry.models import AuditSeal
from registry.services import people, seals
from tests import servers
from tests.study import enrol, enter


@pytest.fixture
def sealed(tampering_db, site, coordinator):
    subject = enrol(site, by=coordinator)
    for age in ("50", "51", "52"):
        enter(subject, "DM", {"age": age, "sex": "M"}, by=coordinator, reason="source")
    seals.seal(by=people.system_user())
    enter(subject, "DM", {"age": "53"}, by=coordinator, reason="source")
    seals.seal(by=people.system_user())


@pytest.fixture
def tampering_db(transactional_clone):
    """A clone of the database that commits for real, and a superuser's connection with triggers off."""
    url = servers.attached().database_url("postgres", transactional_clone)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        yield superuser


def found():
    return {problem.kind for problem in [*seals.verify().problems, *integrity.problems()]}


def test_an_untouched_trail_is_clean(sealed):
    result = seals.verify()
    assert result.problems == [] and result.seals == 2 and result.rows > 10
    assert integrity.problems() == []


def test_sealing_again_with_nothing_new_makes_no_seal(sealed):
    # The seal itself writes no audit row.
    assert seals.seal(by=people.system_user()) is None


@pytest.mark.parametrize(
    ("tampering", "kinds"),
    [
        (
            "UPDATE crf_historicalrecord SET data = '{\"age\": 40}' WHERE revision = 2",
            {"row_altered", "digest_of_history"},
        ),
        ("UPDATE crf_historicalrecord SET history_date = now() WHERE revision = 2", {"row_altered"}),
        ("UPDATE crf_historicalrecord SET history_user_id = 1 WHERE revision = 2", {"row_altered"}),
        ("DELETE FROM crf_historicalrecord WHERE revision = 2", {"row_removed", "revision_missing"}),
        ("DELETE FROM crf_historicalrecord WHERE revision = 4", {"row_removed", "record_differs_from_history"}),
        ("UPDATE crf_record SET data = '{\"age\": 40}'", {"digest_of_record"}),
        (
            "UPDATE crf_record SET data = '{}', digest = crf_record_digest(subject_id, visit_id, form, repeat,"
            " build_id, status, revision, '{}', comments)",
            {"record_differs_from_history"},
        ),
        ("DELETE FROM crf_record", {"history_without_record"}),
        ("DELETE FROM registry_auditseal WHERE id = (SELECT min(id) FROM registry_auditseal)", {"seal_missing"}),
        ("UPDATE registry_auditseal SET root = repeat('0', 64)", {"seal_altered", "seal_signature", "seal_missing"}),
        ("UPDATE registry_auditevent SET kind = 'nothing'", {"row_altered"}),
    ],
)
def test_each_kind_of_tampering_is_named(sealed, tampering_db, tampering, kinds):
    tampering_db.execute(tampering)
    assert kinds <= found()


EVENT_ROW = (
    "INSERT INTO registry_auditevent (id, kind, at, source, role, organisation, reason, request_id, details)"
    " VALUES ({}, 'forged', now(), 'web', '', '', '', '', '{{}}')"
)


def test_a_row_put_in_place_of_another_is_named(sealed, tampering_db):
    tampering_db.execute("DELETE FROM registry_auditevent WHERE id = 1")
    tampering_db.execute(EVENT_ROW.format(1))
    assert "row_altered" in found()


def test_a_row_inserted_where_no_key_was_is_named(sealed, tampering_db):
    tampering_db.execute(EVENT_ROW.format(-1))
    assert found() == {"row_inserted"}


def test_two_that_seal_at_once_make_one_seal(tampering_db, site, coordinator, monkeypatch):
    enrol(site, by=coordinator)
    sealing, go_on, root = Event(), Event(), merkle.root

    def slowly(leaves):
        sealing.set()
        assert go_on.wait(20)
        return root(leaves)

    monkeypatch.setattr(merkle, "root", slowly)
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(seal_here)
        assert sealing.wait(20)
        second = executor.submit(seal_here)
        with pytest.raises(TimeoutError):
            second.result(timeout=1)
        go_on.set()
        assert first.result(20) and second.result(20) is None
    assert seals.verify().problems == []


def test_a_writer_who_goes_from_table_to_table_is_waited_for_and_never_refused(transactional_clone, site, coordinator):
    enrol(site, by=coordinator)
    with psycopg.connect(servers.attached().database_url("lobule_app", transactional_clone)) as writer:
        writer.execute(EVENT_ROW.format("DEFAULT"))
        with ThreadPoolExecutor(1) as executor:
            sealing = executor.submit(seal_here)
            with pytest.raises(TimeoutError):
                sealing.result(timeout=1)
            writer.execute("LOCK TABLE crf_historicalrecord IN ROW EXCLUSIVE MODE")
            writer.commit()
            assert sealing.result(20)
    assert seals.verify().unsealed == 0 and seals.verify().problems == []


def seal_here():
    """Seal on a connection of this thread's own."""
    try:
        return seals.seal(by=people.system_user())
    finally:
        connection.close()


def test_a_resealed_trail_fails_by_its_key(sealed, settings):
    settings.SEAL_KEY = "11" * 32
    assert {"seal_key", "seal_signature"} <= found()


def test_the_merkle_root_is_that_of_rfc_6962():
    # The test vectors of Certificate Transparency: the empty tree, and the tree of these seven leaves.
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(leaves).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


def test_rows_written_after_the_last_seal_are_counted(sealed, site, coordinator):
    assert seals.verify().unsealed == 0
    enrol(site, by=coordinator)
    assert seals.verify().unsealed > 0
    assert AuditSeal.objects.count() == 2
    connection.close()
