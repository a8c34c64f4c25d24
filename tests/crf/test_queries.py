"""Queries: who may take which step from where, and those that checks open and close by themselves."""

import datetime as dt
from itertools import product

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from crf.models import Query, QueryMessage
from crf.selectors.queries import Filters, listed, open_query_counts, queries_waiting, thread
from crf.services import queries, records, sdv, second_entry
from registry import audit
from registry.models import AuditEvent
from registry.services import audit_export, people
from tests.study import DEFINITION, both, enrol, enter, publish

pytestmark = pytest.mark.django_db

CHECKED = {
    "id": "young",
    "items": ["age", "sex"],
    "require": "!(age < 30 && sex == 'M')",
    "severity": "soft",
    "query": True,
    "message": both("Young man"),
}


def study_with(**changes):
    """The small study; by default its soft findings become queries."""
    return publish(**{"capture": {"soft_to_query": True}, **changes}).study


@pytest.fixture
def study(db):
    return study_with()


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def visit(subject):
    return subject.visits.get(event="BASELINE")


@pytest.fixture
def record(subject, coordinator):
    return enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator)


@pytest.fixture
def query(subject, visit, record, cast):
    return queries.raise_query(
        subject=subject, visit=visit, form="DM", item="age", text="Please check the age", by=cast["monitor"]
    )


def in_state(query, state, cast):
    """The query brought to a state by people who may."""
    if state == "answered":
        return queries.answer(query=query, text="Checked", by=cast["coordinator"])
    return queries.close(query=query, text="Fine", by=cast["monitor"]) if state == "closed" else query


# Each step: the roles that may take it (at the subject's site), from which states, and where it leads.
STEPS = {
    "answer": ({"coordinator", "investigator", "data_manager"}, {"open": "answered"}),
    "close": ({"monitor", "data_manager"}, {"open": "closed", "answered": "closed"}),
    "reopen": ({"monitor", "data_manager"}, {"answered": "open", "closed": "open"}),
    "comment": (
        {"coordinator", "investigator", "data_manager", "monitor", "pi"},
        {"open": "open", "answered": "answered", "closed": "closed"},
    ),
    "assign": ({"monitor", "data_manager", "pi"}, {"open": "open", "answered": "answered"}),
}
ROLES = [
    "coordinator", "investigator", "pi", "monitor", "data_manager", "reader", "statistician", "administrator",
    "stranger",
]  # fmt: skip


@pytest.mark.parametrize(("step", "state"), product(STEPS, ["open", "answered", "closed"]))
def test_every_step_is_for_some_roles_and_from_some_states(query, cast, step, state):
    query = in_state(query, state, cast)
    allowed, ways = STEPS[step]
    for role in ROLES:
        with transaction.atomic():
            if role not in allowed:
                with pytest.raises(PermissionDenied):
                    getattr(queries, step)(query=query, text="words", by=cast[role])
            elif state not in ways:
                with pytest.raises(queries.QueryRefused):
                    getattr(queries, step)(query=query, text="words", by=cast[role])
            else:
                assert getattr(queries, step)(query=query, text="words", by=cast[role]).status == ways[state]
            transaction.set_rollback(True)


def test_only_those_who_raise_queries_raise_one(subject, visit, record, cast):
    for role in ROLES:
        act = {"subject": subject, "visit": visit, "form": "DM", "item": "age", "text": "Sure?", "by": cast[role]}
        if role in {"pi", "monitor", "data_manager"}:
            assert queries.raise_query(**act).opened_by == cast[role]
        else:
            with pytest.raises(PermissionDenied):
                queries.raise_query(**act)


def test_a_query_keeps_the_value_and_the_revision_it_was_raised_on(query, subject, coordinator):
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    query.refresh_from_db()
    assert (query.value, query.revision, query.public_id) == (50, 1, f"Q-{query.pk:06d}")


def test_a_form_and_a_missing_form_can_be_asked_about_and_a_value_that_is_not_there_cannot(subject, visit, cast):
    monitor = cast["monitor"]
    missing = queries.raise_query(subject=subject, visit=visit, form="LB", text="Where is it?", by=monitor)
    assert missing.revision is None and missing.item == ""
    with pytest.raises(queries.QueryRefused):
        queries.raise_query(subject=subject, visit=visit, form="LB", item="albumin", text="?", by=monitor)


@pytest.mark.parametrize(
    "place", [{"form": "XX"}, {"item": "weight"}, {"repeat": 2}, {"text": "  "}, {"text": "x" * 4001}]
)
def test_a_place_the_study_does_not_have_or_a_query_without_words_is_refused(subject, visit, record, cast, place):
    act = {"subject": subject, "visit": visit, "form": "DM", "item": "age", "text": "Sure?", "by": cast["monitor"]}
    with pytest.raises(queries.QueryRefused):
        queries.raise_query(**{**act, **place})
    assert not Query.objects.exists()


def test_a_value_in_a_row_of_a_group_is_asked_about_by_its_path(site, cast, coordinator, db):
    rows = {"name": both("Medication"), "rows": {"name": "meds"}, "items": [
        {"name": "drug", "type": "text", "label": both("Drug")},
        {"name": "dose", "type": "decimal", "label": both("Dose"), "precision": 1},
    ]}  # fmt: skip
    forms = [
        form | {"sections": [*form["sections"], rows]} if form["oid"] == "DM" else form for form in DEFINITION["forms"]
    ]
    publish(version="2.0", forms=forms)
    subject = enrol(site, by=coordinator)
    enter(subject, "DM", {"age": "50", "meds": [{"row": 1, "drug": "x", "dose": "5"}]}, by=coordinator)
    asked = queries.raise_query(
        subject=subject, visit=subject.visits.get(event="BASELINE"), form="DM", item="meds[1].dose", text="mg?",
        by=cast["monitor"],
    )  # fmt: skip
    assert asked.value == 5
    assert list(listed(subject.study, cast["monitor"], Filters(item="dose"))) == [asked]


def test_a_locked_record_can_be_asked_about_and_not_changed(subject, visit, cast, coordinator):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    asked = queries.raise_query(subject=subject, visit=visit, form="DM", item="age", text="Sure?", by=cast["monitor"])
    assert queries.answer(query=asked, text="Yes", by=coordinator).status == "answered"
    record.refresh_from_db()
    assert record.status == "locked"


def test_an_unanswered_query_is_closed_only_with_words(query, cast):
    with pytest.raises(queries.QueryRefused):
        queries.close(query=query, by=cast["monitor"])
    queries.answer(query=query, text="Checked", by=cast["coordinator"])
    query.refresh_from_db()
    assert queries.close(query=query, by=cast["monitor"]).status == "closed"


def test_the_second_of_two_people_is_told_that_somebody_was_first(query, cast):
    """Both opened the page while the query was open."""
    mine, theirs = Query.objects.get(pk=query.pk), Query.objects.get(pk=query.pk)
    queries.answer(query=mine, text="52 is right", by=cast["coordinator"])
    with pytest.raises(queries.QueryRefused):
        queries.answer(query=theirs, text="54 is right", by=cast["investigator"])
    assert [message.text for message in thread(query) if message.act == "answer"] == ["52 is right"]


def test_the_thread_tells_who_said_what_and_cannot_be_rewritten(query, cast):
    queries.answer(query=query, text="Checked", by=cast["coordinator"])
    queries.reopen(query=query, text="Against what?", by=cast["monitor"])
    told = [(message.act, message.by.username, message.text) for message in thread(query)]
    assert told == [
        ("open", "monitor", "Please check the age"),
        ("answer", "coordinator", "Checked"),
        ("reopen", "monitor", "Against what?"),
    ]
    with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
        QueryMessage.objects.filter(query=query).update(text="never said")


def test_a_query_ages_until_it_is_closed(query, cast):
    ten_days_ago = timezone.now() - dt.timedelta(days=10, hours=1)
    query.opened_at = ten_days_ago
    assert query.age_days == 10
    query.closed_at = ten_days_ago + dt.timedelta(days=3)
    assert query.age_days == 3
    with audit.change(by=cast["monitor"]):
        query.closed_at = None
        query.save()
    assert list(listed(query.study, cast["monitor"], Filters(older=10))) == [query]
    assert not listed(query.study, cast["monitor"], Filters(older=11)).exists()
    with audit.change(by=cast["monitor"]):
        query.status, query.closed_at = "closed", ten_days_ago + dt.timedelta(days=3)
        query.save()
    assert list(listed(query.study, cast["monitor"], Filters(older=3))) == [query], "it ages no more"
    assert not listed(query.study, cast["monitor"], Filters(older=4)).exists()


def test_priority_and_role_can_be_given_anew(query, cast):
    given = queries.assign(query=query, assignee="investigator", priority=3, by=cast["monitor"])
    assert (given.assignee, given.priority, given.status) == ("investigator", 3, "open")
    with pytest.raises(queries.QueryRefused):
        queries.assign(query=query, assignee="reader", by=cast["monitor"])
    with pytest.raises(queries.QueryRefused):
        queries.assign(query=query, by=cast["monitor"])
    with pytest.raises(queries.QueryRefused):
        queries.act_on_many(study=query.study, act="assign", keys=[query.pk], by=cast["monitor"])
    assert query.messages.count() == 2, "nothing was said of nothing"


def test_the_trail_shows_every_step_with_its_words_and_the_history_each_state(query, cast, study):
    queries.answer(query=query, text="Checked", by=cast["coordinator"])
    lines = list(audit_export.lines(study=study, by=cast["monitor"]))
    states = [(line.old, line.new) for line in lines if line.item == f"{query.public_id} status"]
    assert states == [("", "open"), ("open", "answered")]
    acts = [(line.action, line.user) for line in lines if line.action.startswith("query.")]
    assert acts == [("query.open", "monitor"), ("query.answer", "coordinator")]
    assert AuditEvent.objects.get(kind="query.answer").details["text"] == "Checked"
    assert query.history.count() == 2


# Checks


def test_a_soft_finding_opens_one_query_that_closes_when_the_cause_is_gone(subject, coordinator):
    enter(subject, "DM", {"age": "85"}, by=coordinator)
    opened = Query.objects.get()
    assert (opened.item, opened.cause, opened.opened_by, opened.value) == ("age", "check:soft_range", None, 85)
    enter(subject, "DM", {"sex": "M"}, by=coordinator)
    assert Query.objects.get().status == "open", "not twice, and not closed while the cause stands"
    enter(subject, "DM", {"age": "58"}, reason="transcription", by=coordinator)
    closed = Query.objects.get()
    assert closed.status == "closed" and closed.closed_by is None
    said = thread(closed)[-1]
    assert "check:soft_range" in said.text_en and "58" in said.text_en and "58" in said.text


def test_a_cause_that_returns_opens_the_same_query_again(subject, coordinator):
    for age in ("85", "58", "86"):
        enter(subject, "DM", {"age": age}, reason="transcription", by=coordinator)
    query = Query.objects.get()
    assert query.status == "open" and query.value == 86
    assert [message.act for message in thread(query)] == ["open", "close", "reopen"]


def test_what_a_person_closed_stays_closed_until_the_value_changes(subject, coordinator, cast):
    enter(subject, "DM", {"age": "85"}, by=coordinator)
    queries.close(query=Query.objects.get(), text="The source says 85", by=cast["monitor"])
    enter(subject, "DM", {"sex": "M"}, by=coordinator)
    assert Query.objects.get().status == "closed"
    enter(subject, "DM", {"age": "86"}, reason="source", by=coordinator)
    assert Query.objects.get().status == "open"


def test_the_comment_that_overrides_a_finding_answers_its_query_once(subject, coordinator, cast):
    enter(subject, "DM", {"age": "85"}, comments={"age": "He is 85"}, by=coordinator)
    query = Query.objects.get()
    assert query.status == "answered" and query.answered_by == coordinator
    queries.reopen(query=query, text="See the identity card", by=cast["monitor"])
    enter(subject, "DM", {"sex": "M"}, by=coordinator)
    assert Query.objects.get().status == "open", "the old comment is no new answer"
    enter(subject, "DM", {}, comments={"age": "The card says 1941"}, reason="query", by=coordinator)
    assert Query.objects.get().status == "answered"


def test_a_value_changed_in_answer_to_a_query_answers_it(query, subject, coordinator):
    enter(subject, "DM", {"age": "52"}, reason="query: card seen", by=coordinator)
    query.refresh_from_db()
    assert query.status == "answered"
    assert thread(query)[-1].text == "50 a → 52 a card seen"


def test_a_check_queries_where_it_says_so_and_the_study_does_not(db):
    form = next(form for form in DEFINITION["forms"] if form["oid"] == "DM")
    others = [one for one in DEFINITION["forms"] if one["oid"] != "DM"]
    study = study_with(capture={}, forms=[form | {"checks": [CHECKED]}, *others])
    system = people.system_user()
    subject = enrol(study.sites.get(code="01"), by=system)
    enter(subject, "DM", {"age": "15", "sex": "M"}, by=system)
    assert [(query.cause, query.text_en) for query in Query.objects.all()] == [("check:young", "Young man")]


def test_the_database_keeps_one_query_per_cause_and_place(subject, coordinator):
    enter(subject, "DM", {"age": "85"}, by=coordinator)
    query = Query.objects.get()
    query.pk = None
    with pytest.raises(IntegrityError), transaction.atomic(), audit.change(by=coordinator):
        query.save()


def statements(django_assert_max_num_queries, act):
    with django_assert_max_num_queries(1000) as asked:
        act()
    return [query["sql"] for query in asked.captured_queries]


def test_a_save_that_finds_nothing_asks_nothing_about_queries_and_verification(
    subject, coordinator, django_assert_max_num_queries, monkeypatch
):
    enter(subject, "DM", {"age": "50"}, by=coordinator)
    with_hooks = statements(
        django_assert_max_num_queries, lambda: enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    )
    monkeypatch.setattr(queries, "after_save", lambda **given: None)
    monkeypatch.setattr(sdv, "after_save", lambda **given: None)
    without = statements(
        django_assert_max_num_queries, lambda: enter(subject, "DM", {"age": "52"}, reason="source", by=coordinator)
    )
    assert len(with_hooks) == len(without)


def test_records_saved_together_take_a_bounded_number_of_statements(
    site, coordinator, django_assert_max_num_queries, monkeypatch
):
    kept = []
    settle = queries._settle_saved
    monkeypatch.setattr(queries, "_settle_saved", lambda saved, by: kept.extend(saved))
    for _number in range(12):
        enter(enrol(site, by=coordinator), "DM", {"age": "85"}, by=coordinator)
    monkeypatch.setattr(queries, "_settle_saved", settle)
    with django_assert_max_num_queries(8):
        queries.after_saves(saved=kept, by=coordinator)
    assert Query.objects.filter(status="open").count() == 12
    assert QueryMessage.objects.count() == 12 and Query.history.count() == 12


# Rules, the night, lists


def test_a_rule_opens_what_is_new_and_closes_what_it_no_longer_finds(subject, visit, record, cast, study):
    found = queries.Found(subject.pk, visit.pk, "DM", "离群", "An outlier", item="age", value=50, revision=1)
    rule = {"study": study, "cause": "rule:outlier", "by": cast["monitor"]}
    assert queries.settle(found=[found], **rule) == {"opened": 1, "closed": 0}
    assert queries.settle(found=[found], **rule) == {"opened": 0, "closed": 0}
    assert queries.settle(found=[], subjects=[], **rule) == {"opened": 0, "closed": 0}, "looked at nobody"
    assert queries.settle(found=[], **rule) == {"opened": 0, "closed": 1}
    assert queries.settle(found=[found], **rule) == {"opened": 1, "closed": 0}
    with pytest.raises(PermissionDenied):
        queries.settle(study=study, cause="rule:outlier", found=[], by=cast["coordinator"])


def test_a_form_overdue_for_as_long_as_the_plan_says_is_queried_at_night_until_it_is_entered(subject, cast, study):
    monitor = cast["monitor"]
    assert queries.nightly(study=study, by=monitor)["opened"] == 0, "no plan asks for it"
    late = (timezone.localdate() - subject.visits.get(event="BASELINE").window_to).days
    sdv.save_plan(study=study, scope="all", overdue_days=late, by=monitor)
    assert queries.nightly(study=study, by=monitor)["opened"] == 0
    sdv.save_plan(study=study, scope="all", overdue_days=late - 1, by=monitor)
    assert queries.nightly(study=study, by=monitor)["opened"] == 2
    assert queries.nightly(study=study, by=monitor)["opened"] == 0
    enter(subject, "DM", {"age": "50"}, by=cast["coordinator"])
    states = dict(Query.objects.values_list("form", "status"))
    assert states == {"DM": "closed", "LB": "open"}


def test_the_night_finds_what_changed_elsewhere(subject, cast, study, coordinator, monkeypatch):
    monkeypatch.setattr(queries, "after_save", lambda **given: None)
    enter(subject, "DM", {"age": "85"}, by=coordinator)
    assert not Query.objects.exists()
    assert queries.recheck(study=study, by=cast["monitor"]) == 1
    assert Query.objects.get().cause == "check:soft_range"


def test_many_queries_are_answered_or_closed_at_once_and_the_others_are_told_why(query, subject, visit, cast):
    second = queries.raise_query(subject=subject, visit=visit, form="DM", text="And the form?", by=cast["monitor"])
    keys = [query.pk, second.pk, 999_999]
    act = {"study": subject.study, "keys": keys}
    report = queries.act_on_many(act="answer", text="All checked", by=cast["coordinator"], **act)
    assert report.done == [query.pk, second.pk] and list(report.refused) == ["Q-999999"]
    again = queries.act_on_many(act="answer", text="All checked", by=cast["coordinator"], **act)
    assert again.done == [] and len(again.refused) == 3
    assert queries.act_on_many(act="close", by=cast["monitor"], **act).done == [query.pk, second.pk]


def test_nobody_acts_on_queries_of_another_site(query, cast, study):
    report = queries.act_on_many(study=study, act="answer", keys=[query.pk], text="Mine now", by=cast["stranger"])
    assert report.done == [] and list(report.refused) == [query.public_id]
    assert not listed(study, cast["stranger"]).exists()


def test_each_person_sees_how_many_queries_wait_for_them(query, cast, study, django_assert_num_queries):
    with django_assert_num_queries(1):
        waiting = queries_waiting(cast["coordinator"], study)
    assert (waiting.to_answer, waiting.to_close, waiting.total) == (1, 0, 1)
    assert queries_waiting(cast["monitor"], study).total == queries_waiting(cast["stranger"], study).total == 0
    queries.answer(query=query, text="Checked", by=cast["coordinator"])
    assert queries_waiting(cast["coordinator"], study).total == 0
    assert queries_waiting(cast["monitor"], study).to_close == 1


def test_the_casebook_counts_what_is_not_closed_by_place(query, subject, visit, cast):
    assert open_query_counts(subject) == {(visit.pk, "DM", 1): 1}
    queries.close(query=query, text="Fine", by=cast["monitor"])
    assert open_query_counts(subject) == {}


def test_the_list_is_found_by_place_state_origin_and_words(query, subject, visit, cast, study):
    other = queries.raise_query(subject=subject, visit=visit, form="LB", text="Where is it?", by=cast["monitor"])
    chosen = {
        "form": ("LB", [other]), "event": ("BASELINE", [other, query]), "item": ("age", [query]),
        "status": ("waiting", [other, query]), "origin": ("check", []), "priority": (2, [other, query]),
        "assignee": ("investigator", []), "subject": (subject.number, [other, query]), "text": ("where", [other]),
        "site": (subject.site, [other, query]),
    }  # fmt: skip
    for name, (value, found) in chosen.items():
        assert list(listed(study, cast["monitor"], Filters(**{name: value}))) == found, name
    assert list(listed(study, cast["monitor"], Filters(text=query.public_id.lower()))) == [query]


def test_ten_thousand_queries_are_listed_a_page_at_a_time(
    subject, visit, cast, study, client, django_assert_max_num_queries
):
    rows = [
        {
            "subject_id": subject.pk, "visit_id": visit.pk, "form": "DM", "repeat": 1, "item": "age", "value": 50,
            "revision": 1, "text": f"Question {number}", "text_en": "", "cause": "", "priority": 2,
            "assignee": "coordinator",
        }
        for number in range(10_000)
    ]  # fmt: skip
    with audit.change(by=cast["monitor"]):
        opened = Query.objects.open_new(rows, study_id=study.pk, origin="manual")
    assert len(opened) == len(set(opened)) == Query.history.count() == 10_000
    client.force_login(cast["monitor"])
    address = f"/studies/{study.code}/queries/?page=150"
    client.get(address)
    with django_assert_max_num_queries(16):
        page = client.get(address).content.decode()
    assert page.count('name="query"') == 50 and "150 / 200" in page


def test_who_is_to_enter_a_form_a_second_time_sees_no_query_on_it_before(site, cast, coordinator, client):
    forms = [form | {"double_entry": True} if form["oid"] == "DM" else form for form in DEFINITION["forms"]]
    study = study_with(version="2.0", forms=forms)
    subject = enrol(site, by=coordinator)
    enter(subject, "DM", {"age": "85", "sex": "M"}, by=coordinator)
    enter(subject, "DM", {}, by=coordinator, complete=True)
    query = Query.objects.get(cause="check:soft_range")
    second = cast["data_manager"]
    assert list(listed(study, coordinator)) == list(listed(study, cast["monitor"])) == [query]
    assert not listed(study, second).exists() and queries_waiting(second, study).total == 0
    client.force_login(second)
    for address in (f"/studies/{study.code}/queries/{query.pk}/", f"/api/studies/{study.code}/queries/{query.pk}/"):
        assert client.get(address).status_code == 404
    second_entry.enter(record=query.subject.records.get(), data={"age": "85", "sex": "M"}, by=second)
    assert list(listed(study, second)) == [query]
