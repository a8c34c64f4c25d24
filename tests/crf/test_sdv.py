"""Source data verification: what a plan wants compared, what stands verified, and what a later change takes away."""

import copy

import pytest
from django.core.exceptions import PermissionDenied
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions.sampling import in_share, value_digest
from crf.models import Record, SdvPlan, SourceVerification
from crf.selectors.sdv import (
    changed_after_sdv,
    due_items,
    due_records,
    is_whole,
    plan_of,
    progress,
    records_to_verify,
    standing,
    values_then,
)
from crf.services import records, sdv
from registry.models import AuditEvent
from registry.services import audit_export
from tests.study import DEFINITION, enrol, enter, publish

pytestmark = pytest.mark.django_db

BLOOD = {"lb_date": "2026-03-02", "albumin": "40", "bilirubin": "12"}


def critical_age():
    """The small study's forms, the age critical."""
    demographics, *others = DEFINITION["forms"]
    [section] = demographics["sections"]
    age, *rest = section["items"]
    return [demographics | {"sections": [section | {"items": [age | {"critical": True}, *rest]}]}, *others]


def critical(name):
    """The small study's forms from the second on, this item of one of them critical."""
    forms = copy.deepcopy(DEFINITION["forms"][1:])
    items = {item["name"]: item for form in forms for section in form["sections"] for item in section["items"]}
    items[name]["critical"] = True
    return forms


@pytest.fixture
def study(db):
    return publish(forms=critical_age()).study


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def record(subject, coordinator):
    return enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)


@pytest.fixture
def monitor(cast):
    return cast["monitor"]


@pytest.fixture
def verified(record, monitor):
    sdv.verify(record=record, by=monitor)
    return Record.objects.get(pk=record.pk)


def status_of(record):
    return Record.objects.get(pk=record.pk).status


def test_a_form_is_verified_once_every_item_due_is(record, monitor):
    held = sdv.verify(record=record, items=["age"], by=monitor)
    assert not held.is_complete and status_of(record) == "complete"
    held = sdv.verify(record=record, items=["sex"], by=monitor)
    assert held.is_complete and status_of(record) == "verified"
    assert held.items["age"] == held.items["age"] | {"digest": value_digest(50), "revision": 1, "by": "monitor"}


def test_the_button_of_the_form_verifies_every_item(record, monitor):
    records.verify(record=record, by=monitor)
    held = SourceVerification.objects.get()
    assert set(held.items) == {"age", "sex"} and held.is_complete


def test_a_derived_value_needs_no_source(subject, coordinator, monitor):
    record = enter(subject, "LB", BLOOD, by=coordinator, complete=True)
    assert "albi_score" in record.data
    assert set(sdv.verify(record=record, by=monitor).items) == set(BLOOD)


def test_a_change_drops_the_verification_of_that_item_and_says_so(verified, subject, coordinator, monitor, study):
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    held = SourceVerification.objects.get()
    assert set(held.items) == {"sex"} and set(held.changed) == {"age"} and not held.is_complete
    assert status_of(verified) == "complete"
    assert AuditEvent.objects.get(kind="sdv.drop").details["items"] == "age"
    told = [line.new for line in audit_export.lines(study=study, by=monitor) if line.item == "age (SDV)"]
    assert told == ["verified r1", "changed r3"]
    [changed] = changed_after_sdv(study, monitor)
    then = values_then([changed])[changed.record_id, changed.changed["age"]["revision"]]
    assert then["age"] == 50 and changed.record.data["age"] == 51
    before = {
        one.path: one for one in standing(Record.objects.get(pk=verified.pk), subject, verified.visit, plan_of(study))
    }
    assert before["age"].changed and not before["age"].verified and before["sex"].verified


def test_verifying_it_again_takes_it_off_the_list(verified, subject, coordinator, monitor, study):
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    sdv.verify(record=Record.objects.get(pk=verified.pk), items=["age"], by=monitor)
    assert not changed_after_sdv(study, monitor).exists() and status_of(verified) == "verified"


def test_a_cleared_value_is_looked_at_before_the_form_counts_as_verified_again(verified, subject, coordinator, monitor):
    enter(subject, "DM", {"sex": ""}, reason="source", by=coordinator)
    enter(subject, "DM", {"sex": {"missing": "unknown"}}, reason="source", by=coordinator, complete=True)
    held = SourceVerification.objects.get()
    assert set(held.changed) == {"sex"} and not held.is_complete
    record = Record.objects.get(pk=verified.pk)
    assert sdv.verify(record=record, items=["sex"], by=monitor).is_complete


def test_a_value_derived_elsewhere_takes_no_verification_away(subject, coordinator, monitor):
    enter(subject, "LB", BLOOD, by=coordinator, complete=True)
    month = enter(subject, "LB", {"albumin": "42", "bilirubin": "10"}, by=coordinator, event="MONTH1", complete=True)
    sdv.verify(record=month, by=monitor)
    enter(subject, "LB", {"albumin": "38"}, reason="source", by=coordinator)
    held = SourceVerification.objects.get()
    assert held.is_complete and not held.changed
    assert status_of(month) == "complete", "what was derived again is confirmed by a person"
    assert [one.pk for one in records_to_verify(subject.study, monitor, plan_of(subject.study), form="LB")][
        -1
    ] == month.pk


def test_a_verification_is_taken_back_with_a_reason(verified, monitor):
    with pytest.raises(sdv.SdvRefused):
        sdv.withdraw(record=verified, items=["age"], reason=" ", by=monitor)
    held = sdv.withdraw(record=verified, items=["age"], reason="wrong chart", by=monitor)
    assert set(held.items) == {"sex"} and status_of(verified) == "complete"


def test_what_is_in_progress_was_changed_meanwhile_or_is_not_there_cannot_be_verified(subject, coordinator, monitor):
    record = enter(subject, "DM", {"age": "50"}, by=coordinator)
    with pytest.raises(sdv.SdvRefused):
        sdv.verify(record=record, by=monitor)
    record = enter(subject, "DM", {"sex": "M"}, by=coordinator, complete=True)
    with pytest.raises(sdv.SdvRefused):
        sdv.verify(record=record, expected_revision=1, by=monitor)
    with pytest.raises(sdv.SdvRefused):
        sdv.verify(record=record, items=["pregnant"], by=monitor)
    assert not SourceVerification.objects.exists()


@pytest.mark.parametrize(
    "role", ["coordinator", "investigator", "pi", "data_manager", "reader", "statistician", "administrator", "stranger"]
)
def test_only_monitors_verify(record, cast, role):
    with pytest.raises(PermissionDenied):
        sdv.verify(record=record, by=cast[role])


def test_a_visit_is_verified_at_once_and_what_is_not_complete_is_told(record, subject, coordinator, monitor):
    enter(subject, "LB", {"albumin": "40"}, by=coordinator)
    report = sdv.verify_visit(visit=subject.visits.get(event="BASELINE"), by=monitor)
    assert report.done == 1 and list(report.refused) == [f"{subject.number} BASELINE LB/1"]
    assert status_of(record) == "verified"


def test_records_of_another_site_are_left_alone(record, other_site, cast, study, coordinator, monitor):
    from tests.study import person

    elsewhere = person("monitor-2", study=study, role="monitor", site=other_site)
    assert sdv.verify_many(study=study, seen={record.pk: 1}, by=elsewhere).done == 0
    assert sdv.verify_many(study=study, seen={record.pk: 1}, by=monitor).done == 1


def test_what_changed_since_the_monitor_looked_is_not_verified(record, subject, coordinator, monitor, study):
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    many = sdv.verify_many(study=study, seen={record.pk: 1}, by=monitor)
    visit = sdv.verify_visit(visit=record.visit, seen={record.pk: 1}, by=monitor)
    assert many.done == visit.done == 0 and list(many.refused) == [f"{subject.number} BASELINE DM/1"]
    assert sdv.verify_visit(visit=record.visit, seen={}, by=monitor).done == 0, "it was not there yet"
    assert sdv.verify_visit(visit=record.visit, seen={record.pk: 2}, by=monitor).done == 1


def test_nothing_ticked_verifies_nothing(record, monitor, study):
    plan(study, monitor, scope="subjects", percentage=1, critical_always=False)
    with pytest.raises(sdv.SdvRefused):
        sdv.verify(record=record, items=[], by=monitor)
    assert status_of(record) == "complete" and not SourceVerification.objects.exists()


@pytest.mark.parametrize("reason", ["a\x00b", "x" * 1001])
def test_a_reason_that_cannot_be_kept_takes_nothing_back(verified, monitor, reason):
    with pytest.raises(sdv.SdvRefused):
        sdv.withdraw(record=verified, items=["age"], reason=reason, by=monitor)
    assert status_of(verified) == "verified"


# Plans


def plan(study, monitor, **given):
    return sdv.save_plan(study=study, by=monitor, **given)


def test_only_critical_items_are_due_where_the_plan_says_so(record, monitor, study):
    made = plan(study, monitor, scope="critical")
    assert due_items(made, record, record.subject, record.visit) == {"age"}
    assert sdv.verify(record=record, items=["age"], by=monitor).is_complete
    assert status_of(record) == "verified"


def test_where_nothing_is_due_a_form_is_verified_only_as_a_whole(record, monitor, study):
    sample = plan(study, monitor, scope="subjects", percentage=1, critical_always=False)
    assert due_items(sample, record, record.subject, record.visit) == set()
    assert not sdv.verify(record=record, items=["sex"], by=monitor).is_complete and status_of(record) == "complete"
    assert sdv.verify(record=record, by=monitor).is_complete and status_of(record) == "verified"


def test_a_record_is_due_by_the_critical_items_of_its_own_build(record, monitor, study, site, coordinator):
    made = plan(study, monitor, scope="critical")
    publish(version="2.0", forms=[*DEFINITION["forms"][:1], *critical("albumin")])
    later = enrol(site, by=coordinator)
    enter(later, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    blood = enter(later, "LB", BLOOD, by=coordinator, complete=True)
    everything = Record.objects.select_related("subject", "visit")
    by_rule = {one.pk for one in everything if due_items(made, one, one.subject, one.visit)}
    assert by_rule == set(due_records(study, monitor, made).values_list("pk", flat=True)) == {record.pk, blood.pk}


def test_a_new_plan_weighs_again_what_stands_verified(record, monitor, study):
    plan(study, monitor, scope="critical")
    sdv.verify(record=record, items=["age"], by=monitor)
    plan(study, monitor, scope="all")
    assert not SourceVerification.objects.get().is_complete
    plan(study, monitor, scope="critical")
    assert SourceVerification.objects.get().is_complete
    assert SdvPlan.history.count() == 3


@pytest.mark.parametrize("role", ["coordinator", "pi", "reader", "statistician", "administrator"])
def test_only_those_who_plan_monitoring_change_the_plan(study, cast, role):
    with pytest.raises(PermissionDenied):
        sdv.save_plan(study=study, scope="all", by=cast[role])


@pytest.mark.parametrize("scope", ["subjects", "forms"])
@pytest.mark.parametrize("critical_always", [True, False])
def test_the_database_draws_the_same_sample_as_the_rule(site, coordinator, monitor, study, scope, critical_always):
    made = plan(study, monitor, scope=scope, percentage=40, critical_always=critical_always)
    for _number in range(12):
        subject = enrol(site, by=coordinator)
        enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
        enter(subject, "LB", BLOOD, by=coordinator, complete=True)
    everything = Record.objects.select_related("subject", "visit")
    by_rule = {one.pk for one in everything if due_items(made, one, one.subject, one.visit)}
    drawn = set(due_records(study, monitor, made).values_list("pk", flat=True))
    assert drawn == by_rule and 0 < len(drawn) < 24
    assert sum(row.due for row in progress(study, monitor, made)) == len(drawn)
    chosen = [one for one in everything if is_whole(made, one, one.subject, one.visit)]
    assert 0 < len(chosen) < 24
    if scope == "subjects":
        assert len(chosen) == 2 * len({one.subject_id for one in chosen})


@given(st.text(max_size=40), st.text(max_size=40), st.integers(1, 100), st.integers(1, 100))
def test_a_larger_share_keeps_what_a_smaller_one_chose(seed, key, one, other):
    small, large = sorted((one, other))
    assert in_share(seed, key, large) or not in_share(seed, key, small)
    assert in_share(seed, key, 100)


def test_a_share_is_about_as_large_as_it_says():
    chosen = sum(in_share("seed", f"01-{number:04d}", 20) for number in range(5000))
    assert 900 < chosen < 1100


def test_progress_is_told_by_site_and_form_in_one_statement(
    record, subject, coordinator, monitor, study, django_assert_num_queries
):
    enter(subject, "LB", {"albumin": "40"}, by=coordinator)
    sdv.verify(record=record, by=monitor)
    made = plan_of(study)
    with django_assert_num_queries(1):
        rows = {row.form: row for row in progress(study, monitor, made)}
    assert (rows["DM"].due, rows["DM"].done, rows["LB"].entering) == (1, 1, 1)


def test_what_is_due_leaves_the_list_as_it_is_verified(record, monitor, study, cast):
    made = plan_of(study)
    assert list(records_to_verify(study, monitor, made)) == [record]
    assert not records_to_verify(study, cast["stranger"], made).exists()
    sdv.verify(record=record, by=monitor)
    assert not records_to_verify(study, monitor, made).exists()
