"""Writing in bulk leaves what saving one by one leaves: records, histories, calendar, status, in the same order."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crf.definitions.mapping import read_mapping
from crf.models import Record
from crf.services import bulk, imports, integrity, records
from registry import audit
from registry.models import Visit
from registry.services import seals
from registry.services.people import system_user
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db

CONTENT = ("form", "repeat", "build_id", "data", "comments", "status", "revision", "visit__event", "visit__repeat")
HISTORY = ("form", "repeat", "build_id", "data", "comments", "status", "revision", "history_type", "history_source",
           "history_change_reason", "history_role", "history_organisation", "history_user_id")  # fmt: skip
CALENDAR = ("event", "repeat", "target_on", "window_from", "window_to", "occurred_on")

COLUMNS = {
    "DM": {
        "age": st.sampled_from(["", "17", "51", "93", "ND"]),
        "sex": st.sampled_from(["", "F", "男", "M"]),
        "pregnant": st.sampled_from(["", "no", "是"]),
    },
    "LB": {
        "lb_date": st.sampled_from(["", "2026-03-02", "20260310", "2026年3月4日", "2026-03-UK"]),
        "albumin": st.sampled_from(["", "38.5", "3", "79", "不详"]),
        "bilirubin": st.sampled_from(["", "12", "900.5"]),
    },
}
PLACES = [("BASELINE", "DM"), ("BASELINE", "LB"), ("MONTH1", "LB")]


@st.composite
def files(draw):
    """Rows of one subject: (event, form, {column: text})."""
    chosen = draw(st.lists(st.sampled_from(PLACES), unique=True, min_size=1))
    return [(event, form, draw(st.fixed_dictionaries(COLUMNS[form]))) for event, form in chosen]


def as_csv(subject, rows) -> bytes:
    names = [name for columns in COLUMNS.values() for name in columns]
    lines = [",".join(["subject", "event", *names])]
    lines += [",".join([subject.number, event, *(cells.get(name, "") for name in names)]) for event, _, cells in rows]
    return "\n".join(lines).encode()


def one_by_one(subject, rows, by) -> None:
    """The same answers through records.save, in the order in which the import takes them: what is shown first."""
    waiting = list(rows)
    with audit.request(source="import"):
        for event, form, cells in waiting:
            answers = {name: text for name, text in cells.items() if text}
            if answers:
                visit = subject.visits.get(event=event, repeat=1)
                records.save(subject=subject, visit=visit, form=form, data=answers, reason="why", by=by)


def state_of(subject) -> tuple:
    stored = list(
        Record.objects.filter(subject=subject).order_by("visit__event", "form", "repeat").values_list(*CONTENT)
    )
    told = list(Record.history.filter(subject_id=subject.pk).order_by("history_id").values_list(*HISTORY))
    visits = list(subject.visits.order_by("event", "repeat").values_list(*CALENDAR))
    moved = Visit.history.filter(subject_id=subject.pk).order_by("history_id").values_list(*CALENDAR, "history_type")
    return stored, told, visits, list(moved)


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bulk_and_saving_one_by_one_leave_the_same_rows(data, site, coordinator):
    first = data.draw(files(), label="first file")
    second = data.draw(files(), label="second file")
    with transaction.atomic():
        typed, imported = enrol(site, by=coordinator), enrol(site, by=coordinator)
        for rows in (first, second):
            content = as_csv(imported, rows)
            plan = imports.preview(study=site.study, content=content, by=coordinator)
            # A refused row is refused by either; what is compared is what both take.
            bad = {problem.row for problem in plan.problems}
            taken = [row for number, row in enumerate(rows, start=2) if number not in bad]
            imports.commit(study=site.study, content=content, mode="good", reason="why", by=coordinator)
            one_by_one(typed, taken, coordinator)
        assert state_of(imported) == state_of(typed)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert integrity.problems() == []
        transaction.set_rollback(True)


def test_what_reads_an_imported_record_is_derived_again_with_its_own_history(study, site, coordinator):
    subject = enrol(site, by=coordinator)
    content = b"subject,event,albumin\n01-0001,MONTH1,40\n01-0001,BASELINE,38\n"
    imports.commit(study=study, content=content, by=coordinator)
    month = Record.objects.get(visit__event="MONTH1", subject=subject)
    assert (month.revision, month.data["albumin_change"]) == (2, 2)
    last = month.history.latest("revision")
    assert last.history_source == "derived"
    assert integrity.problems() == []


def test_the_audit_trail_of_an_import_is_sealed_and_verified_clean(study, site, coordinator):
    for _ in range(3):
        enrol(site, by=coordinator)
    lines = [f"01-000{n},{event},{30 + n}" for n in (1, 2, 3) for event in ("BASELINE", "MONTH1")]
    imports.commit(study=study, content="\n".join(["subject,event,albumin", *lines]).encode(), by=coordinator)
    seals.seal(by=system_user())
    assert (seals.verify().problems, integrity.problems()) == ([], [])


def test_a_row_written_in_bulk_without_its_history_cannot_commit(study, site, coordinator, monkeypatch):
    enrol(site, by=coordinator)
    monkeypatch.setattr(bulk, "_insert_histories", lambda model, steps: None)
    with pytest.raises(DatabaseError), transaction.atomic():
        imports.commit(study=study, content=b"subject,event,albumin\n01-0001,BASELINE,38\n", by=coordinator)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_revision_that_was_taken_meanwhile_is_refused_by_the_database(study, site, coordinator):
    record = enter(enrol(site, by=coordinator), "LB", {"albumin": "38"}, by=coordinator)
    with pytest.raises(DatabaseError, match="revision must be 2"), audit.change(by=coordinator):
        record.revision = 5
        bulk.write([bulk.Step(record, bulk.CHANGED)])


def test_thousands_of_records_take_a_bounded_number_of_statements(
    study, site, coordinator, django_assert_max_num_queries
):
    for _ in range(30):
        enrol(site, by=coordinator)
    lines = [f"01-{n:04d},{event},{30 + n}" for n in range(1, 31) for event in ("BASELINE", "MONTH1")]
    content = "\n".join(["subject,event,albumin", *lines]).encode()
    with django_assert_max_num_queries(45):
        imports.commit(study=study, content=content, by=coordinator)
    assert Record.objects.count() == 60


def test_only_a_visits_day_in_a_row_is_imported_too(study, site, coordinator):
    subject = enrol(site, by=coordinator)
    mapping = read_mapping("event: {column: event}\nvisited_on: {column: day}")
    content = b"subject,event,day,albumin\n01-0001,BASELINE,2026-03-03,\n"
    plan = imports.commit(study=study, content=content, mapping=mapping, by=coordinator)
    assert (plan.counts["visits_changed"], plan.counts["records_new"]) == (1, 0)
    assert subject.visits.get(event="BASELINE").occurred_on.isoformat() == "2026-03-03"
    with pytest.raises(imports.ReasonMissing):
        imports.commit(study=study, content=content.replace(b"03-03", b"03-04"), mapping=mapping, by=coordinator)
    again = imports.commit(study=study, content=content, mapping=mapping, by=coordinator)
    assert again.counts["visits_changed"] == 0
