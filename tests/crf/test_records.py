"""Saving a form: parse, derive, check, attribute."""

import datetime as dt

import pytest
from django.core.exceptions import PermissionDenied
from django.utils.translation import override

from crf import selectors
from crf.models import Record
from crf.services import calendar, integrity, records
from registry.services.signatures import WrongPassword
from tests.study import PASSWORD, both, enrol, enter, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def blood(subject, coordinator):
    data = {"lb_date": "2026年3月2日", "albumin": "38,5", "bilirubin": "12"}
    return enter(subject, "LB", data, by=coordinator)


def test_values_are_stored_as_what_they_mean_and_derived_ones_with_them(blood):
    assert blood.data == {
        "lb_date": "2026-03-02",
        "albumin": 38.5,
        "bilirubin": 12,
        "albi_score": -2.56,
    }


def test_an_answer_that_cannot_be_read_is_refused_with_the_item_and_what_was_expected(subject, coordinator):
    with pytest.raises(records.RecordRefused) as refused:
        enter(subject, "LB", {"albumin": "about 40"}, by=coordinator, language="en")
    [(item, message)] = refused.value.problems
    assert item == "albumin" and "not a number" in message
    assert not Record.objects.exists()


def test_an_item_the_form_does_not_have_is_refused(subject, coordinator):
    with pytest.raises(records.RecordRefused, match="weight"):
        enter(subject, "LB", {"weight": "70"}, by=coordinator)


def test_a_form_in_progress_keeps_findings_but_cannot_be_completed_with_them(subject, coordinator):
    saved = enter(subject, "DM", {"age": "130"}, by=coordinator)
    assert saved.status == "in_progress"
    with pytest.raises(records.RecordRefused) as refused:
        enter(subject, "DM", {}, by=coordinator, complete=True)
    assert {item for item, _ in refused.value.problems} == {"age", "sex"}


def test_a_required_item_marked_not_done_lets_the_form_be_completed(subject, coordinator):
    data = {"age": {"missing": "unknown", "reason": "no papers"}, "sex": "男"}
    assert enter(subject, "DM", data, by=coordinator, complete=True).status == "complete"


def test_a_hidden_item_keeps_no_value(subject, coordinator):
    saved = enter(subject, "DM", {"age": "30", "sex": "M", "pregnant": "no"}, by=coordinator)
    assert "pregnant" not in saved.data


def test_a_changed_value_needs_a_reason_and_a_new_one_does_not(subject, coordinator, blood):
    with pytest.raises(records.ReasonNeeded) as refused:
        enter(subject, "LB", {"albumin": "39"}, by=coordinator)
    assert [item for item, _ in refused.value.problems] == ["albumin"]
    changed = enter(subject, "LB", {"albumin": "39"}, by=coordinator, reason="typing error")
    assert changed.history.first().history_change_reason == "typing error"


def test_saving_the_same_again_writes_nothing(subject, coordinator, blood):
    again = enter(subject, "LB", {"albumin": "38.5"}, by=coordinator)
    assert again.revision == blood.revision == again.history.count()


def test_two_people_cannot_overwrite_each_other(subject, coordinator, blood):
    enter(subject, "LB", {"albumin": "40"}, by=coordinator, reason="source says so", expected_revision=1)
    with pytest.raises(records.EditConflict) as conflict:
        enter(subject, "LB", {"albumin": "41"}, by=coordinator, reason="mine", expected_revision=1)
    assert conflict.value.current.data["albumin"] == 40


def test_a_value_derived_from_another_form_follows_it(subject, coordinator, blood):
    month = enter(subject, "LB", {"lb_date": "2026-04-01", "albumin": "42"}, by=coordinator, event="MONTH1")
    assert month.data["albumin_change"] == 3.5
    enter(subject, "LB", {"albumin": "40"}, by=coordinator, reason="typing error")
    month.refresh_from_db()
    assert month.data["albumin_change"] == 2
    assert month.history.first().history_source == "derived"


def test_the_calendar_follows_the_date_it_hangs_on(subject, coordinator):
    visit = subject.visits.get(event="MONTH1")
    assert visit.target_on is None
    enter(subject, "LB", {"lb_date": "2026-03-10"}, by=coordinator)
    visit.refresh_from_db()
    assert (visit.target_on, visit.window_from) == (dt.date(2026, 4, 9), dt.date(2026, 4, 4))


def test_a_partial_date_plans_no_visit(subject, coordinator):
    enter(subject, "LB", {"lb_date": "2026-03-UK"}, by=coordinator)
    assert subject.visits.get(event="MONTH1").target_on is None


def test_replanning_twice_writes_no_second_history(subject, coordinator):
    calendar.replan(subject=subject, by=coordinator)
    assert all(visit.history.count() == 1 for visit in subject.visits.all())


def test_a_change_after_signature_voids_it(subject, cast, coordinator):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    records.sign(record=record, password=PASSWORD, by=cast["pi"])
    assert Record.objects.get().status == "signed"
    enter(subject, "DM", {"age": "51"}, by=coordinator, reason="source says 51")
    assert Record.objects.get().status == "complete"


def test_a_wrong_password_signs_nothing_and_is_noted(subject, cast, coordinator):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    with pytest.raises(WrongPassword):
        records.sign(record=record, password="guess", by=cast["pi"])
    assert Record.objects.get().status == "complete"
    assert subject.study.auditevent_set.filter(kind="signature.refused", by=cast["pi"]).exists()


@pytest.mark.parametrize("role", ["monitor", "reader", "statistician", "administrator", "pi", "stranger"])
def test_others_may_not_enter(subject, cast, role):
    with pytest.raises(PermissionDenied):
        enter(subject, "DM", {"age": "50"}, by=cast[role])


def test_a_locked_record_says_so(subject, cast, coordinator):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    with pytest.raises(records.RecordIsLocked):
        enter(subject, "DM", {"age": "51"}, by=coordinator, reason="x")
    records.unlock(record=Record.objects.get(), reason="source corrected", by=cast["pi"])
    enter(subject, "DM", {"age": "51"}, by=coordinator, reason="source corrected")


def test_the_casebook_takes_the_same_number_of_queries_however_much_is_entered(
    subject, coordinator, blood, django_assert_num_queries
):
    fresh = type(subject).objects.select_related("study", "site", "group").get(pk=subject.pk)
    with django_assert_num_queries(3):
        rows = selectors.casebook(fresh, "en")
    assert [(row.event_name, row.state) for row in rows] == [
        ("Baseline", "started"),
        ("Month 1", "missed"),
        ("Events", "log"),
    ]


def test_each_change_of_an_item_is_told_with_old_new_who_and_why(subject, coordinator, blood):
    changed = enter(subject, "LB", {"albumin": "39"}, by=coordinator, reason="typing error")
    newest, first = selectors.record_changes(changed, "albumin")
    assert (newest.old, newest.new, newest.reason, newest.role) == (38.5, 39, "typing error", "coordinator@01")
    assert (first.old, first.new, first.organisation) == (None, 38.5, "First hospital")


def test_locking_many_leaves_one_attributed_revision_each(subject, cast, coordinator, blood):
    other = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator)
    assert records.lock(records=[blood, other], reason="dataset 1", by=cast["pi"]) == 2
    assert records.lock(records=Record.objects.all(), reason="again", by=cast["pi"]) == 0
    for record in Record.objects.all():
        newest = record.history.first()
        assert (record.status, record.revision, newest.digest) == ("locked", 2, record.digest)
        assert (newest.history_role, newest.history_change_reason) == ("pi", "dataset 1")
    assert integrity.problems() == []


def test_a_comment_after_signature_voids_it_too_and_needs_a_reason(subject, cast, coordinator):
    record = enter(subject, "DM", {"age": "85", "sex": "M"}, by=coordinator, complete=True)
    records.sign(record=record, password=PASSWORD, by=cast["pi"])
    with pytest.raises(records.ReasonNeeded) as refused:
        enter(subject, "DM", {}, comments={"age": "identity card seen"}, by=coordinator)
    assert [item for item, _ in refused.value.problems] == ["age"]
    enter(subject, "DM", {}, comments={"age": "identity card seen"}, by=coordinator, reason="asked by the monitor")
    assert Record.objects.get().status == "complete"


@pytest.mark.parametrize("data", [{"age": "130"}, {"sex": ""}])
def test_a_complete_record_that_gets_a_gap_or_an_impossible_value_is_in_progress_again(subject, coordinator, data):
    enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    assert enter(subject, "DM", data, by=coordinator, reason="source").status == "in_progress"


@pytest.mark.parametrize(("form", "event", "repeat"), [("DM", "BASELINE", 2), ("DM", "BASELINE", 0), ("AE", "LOG", 0)])
def test_a_form_is_saved_only_under_a_number_it_can_have(subject, coordinator, form, event, repeat):
    with pytest.raises(records.RecordRefused):
        enter(subject, form, {}, by=coordinator, event=event, repeat=repeat)
    assert not Record.objects.exists()


def test_a_save_on_top_of_a_record_that_is_not_there_is_refused(subject, coordinator):
    with pytest.raises(records.RecordRefused):
        enter(subject, "DM", {"age": "50"}, by=coordinator, expected_revision=3)


@pytest.fixture
def chained(study, coordinator):
    """A subject whose form C computes from B's derived value, B from A's first record, and A from C."""

    def item(name, **more):
        return {"name": name, "label": both(name), **more}

    def form(oid, *items):
        return {"oid": oid, "name": both(oid), "sections": [{"name": both(oid), "items": list(items)}]}

    def derived(name, expression):
        return item(name, type="derived", value_type="integer", derive=expression)

    publish(
        version="2.0",
        events=[
            {"oid": "FIRST", "name": both("First"), "anchor": "enrolment", "day": 0, "forms": ["A", "B", "C"]},
            {"oid": "SECOND", "name": both("Second"), "anchor": "enrolment", "day": 30, "forms": ["A"]},
            {"oid": "LAST", "name": both("Last"), "anchor": "enrolment", "day": 60, "forms": ["B"]},
        ],
        forms=[
            form("A", item("x", type="integer"), derived("whole", "forms.C.more * 10")),
            form("B", item("y", type="integer"), derived("twice", "forms.A.x * 2")),
            form("C", item("z", type="integer"), derived("more", "events.FIRST.B.twice + 1")),
        ],
    )
    return enrol(study.sites.get(code="01"), by=coordinator)


def test_what_is_derived_from_a_derived_value_follows_too(chained, coordinator):
    for form, data in (("C", {"z": "1"}), ("B", {"y": "1"}), ("A", {"x": "3"})):
        enter(chained, form, data, by=coordinator, event="FIRST")
    stored = {record.form: record.data for record in Record.objects.all()}
    assert stored == {"A": {"x": 3, "whole": 70}, "B": {"y": 1, "twice": 6}, "C": {"z": 1, "more": 7}}


def test_what_follows_a_change_reads_the_subjects_first_record_as_ever(chained, coordinator):
    enter(chained, "A", {"x": "3"}, by=coordinator, event="FIRST")
    enter(chained, "A", {"x": "50"}, by=coordinator, event="SECOND")
    last = enter(chained, "B", {"y": "1"}, by=coordinator, event="LAST")
    assert last.data["twice"] == 6
    enter(chained, "A", {"x": "4"}, by=coordinator, event="FIRST", reason="source")
    last.refresh_from_db()
    assert last.data["twice"] == 8


def test_a_derived_value_that_changes_after_signature_voids_it(subject, cast, coordinator, blood):
    month = enter(subject, "LB", {"albumin": "42"}, by=coordinator, event="MONTH1", complete=True)
    records.sign(record=month, password=PASSWORD, by=cast["pi"])
    enter(subject, "LB", {"albumin": "40"}, by=coordinator, reason="typing error")
    month.refresh_from_db()
    assert (month.data["albumin_change"], month.status) == (2, "complete")


@pytest.mark.parametrize("act", ["sign", "verify"])
def test_nobody_signs_or_verifies_a_revision_they_did_not_see(subject, cast, coordinator, act):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    enter(subject, "DM", {"age": "51"}, by=coordinator, reason="source says 51")
    by = {"sign": {"password": PASSWORD, "by": cast["pi"]}, "verify": {"by": cast["monitor"]}}[act]
    with pytest.raises(records.RecordRefused):
        getattr(records, act)(record=record, expected_revision=1, **by)
    assert Record.objects.get().status == "complete"
    getattr(records, act)(record=record, expected_revision=2, **by)
    assert Record.objects.get().status == {"sign": "signed", "verify": "verified"}[act]


def test_unlocking_opens_only_what_is_locked_and_completes_nothing(subject, cast, coordinator):
    record = enter(subject, "DM", {"age": "50"}, by=coordinator)
    with pytest.raises(records.RecordRefused):
        records.unlock(record=record, reason="x", by=cast["pi"])
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    assert records.unlock(record=Record.objects.get(), reason="x", by=cast["pi"]).status == "in_progress"


@pytest.mark.parametrize("given", [{"comments": {"age": "a\x00b"}}, {"reason": "a\x00b"}])
def test_a_control_character_is_refused_in_words(subject, coordinator, given):
    with pytest.raises(records.RecordRefused, match=r"U\+0000"):
        enter(subject, "DM", {"age": "44"}, by=coordinator, language="en", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"comments": {"age": "x" * 4001}}, "At most 4000"),
        ({"reason": "x" * 4001}, "At most 4000"),
        ({"comments": {"no_such": "x"}}, "no such item"),
    ],
)
def test_words_that_belong_nowhere_or_never_end_are_refused(subject, coordinator, given, said):
    with override("en"), pytest.raises(records.RecordRefused, match=said):
        enter(subject, "DM", {"age": "44"}, by=coordinator, **given)
    assert not subject.records.exists()
