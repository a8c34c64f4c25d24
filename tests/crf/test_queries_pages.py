"""Queries and source verification on pages: list, panel, bulk acts, kept views, CSV, plan, and the JSON door."""

import csv
import io

import pytest
from django.urls import reverse

from crf.models import Query, QueryView, SdvPlan, SourceVerification
from crf.services import queries, records, sdv
from tests.study import enrol, enter, person, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(db):
    return publish(capture={"soft_to_query": True}).study


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def record(subject, coordinator):
    return enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)


@pytest.fixture
def query(subject, record, cast):
    return ask(subject, cast, "Please check the age")


def ask(subject, cast, text, item="age"):
    visit = subject.visits.get(event="BASELINE")
    return queries.raise_query(subject=subject, visit=visit, form="DM", item=item, text=text, by=cast["monitor"])


@pytest.fixture
def sign_in(client, cast):
    def sign_in(role):
        client.force_login(cast[role])
        client.cookies["django_language"] = "en"
        return client

    return sign_in


def at(name, study, *more, **query):
    address = reverse(f"crf:{name}", args=[study.code, *more])
    return f"{address}?{'&'.join(f'{key}={value}' for key, value in query.items())}" if query else address


def place(name, subject, form="DM"):
    return at(name, subject.study, subject.number, "BASELINE", 1, form, 1)


def test_the_list_shows_each_query_with_its_place_and_leads_to_the_value(sign_in, study, query):
    page = sign_in("coordinator").get(at("queries", study)).content.decode()
    assert query.public_id in page and "Please check the age" in page and "50 a" in page
    assert f"{place('edit-record', query.subject)}#item-age" in page


def test_the_list_takes_the_same_number_of_statements_however_long_it_is(
    sign_in, study, subject, record, cast, django_assert_max_num_queries
):
    client = sign_in("monitor")
    counts = []
    for number in (1, 30):
        for one in range(number):
            ask(subject, cast, f"Question {number} {one}")
        client.get(at("queries", study))
        with django_assert_max_num_queries(20) as asked:
            assert client.get(at("queries", study)).status_code == 200
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_filters_choose_and_wrong_ones_choose_nothing_away(sign_in, study, query):
    client = sign_in("monitor")
    for chosen, found in (
        ({"status": "waiting"}, True), ({"status": "closed"}, False), ({"form": "LB"}, False), ({"item": "age"}, True),
        ({"site": "01"}, True), ({"site": "99"}, True), ({"older": "1"}, False), ({"text": query.public_id}, True),
        ({"status": "nonsense"}, True), ({"older": "x"}, True), ({"priority": "3"}, False), ({"mine": "on"}, False),
    ):  # fmt: skip
        page = client.get(at("queries", study, **chosen)).content.decode()
        assert ("Please check the age" in page) == found, chosen


def test_a_query_is_answered_on_its_page_and_the_late_answer_is_refused_with_what_was_typed(sign_in, study, query):
    client, address = sign_in("coordinator"), at("query", study, query.pk)
    assert client.post(address, {"act": "answer", "text": "He is 50"}).status_code == 302
    answer = client.post(address, {"act": "answer", "text": "No, 51"})
    assert answer.status_code == 422 and "No, 51" in answer.content.decode()
    assert Query.objects.get().status == "answered"


def test_the_panel_of_an_item_asks_and_shows_the_thread(sign_in, subject, record):
    client = sign_in("monitor")
    address = place("place-queries", subject) + "?item=age"
    answer = client.post(
        address, {"text": "Sure?", "priority": "3", "assignee": "investigator"}, headers={"hx-request": "true"}
    )
    assert answer.status_code == 200 and "Sure?" in answer.content.decode()
    asked = Query.objects.get()
    assert (asked.item, asked.priority, asked.assignee) == ("age", 3, "investigator")
    assert client.post(address, {"text": " "}).status_code == 422
    assert client.get(place("place-queries", subject) + "?item=weight").status_code == 404


def test_the_entry_page_marks_items_that_are_asked_about_or_verified(sign_in, subject, query, cast):
    sdv.verify(record=query.subject.records.get(), items=["sex"], by=cast["monitor"])
    page = sign_in("coordinator").get(place("edit-record", subject)).content.decode()
    assert "Queries on age(中)" not in page and "Queries on Age: 1 waiting" in page
    assert page.count("verified against the source</span>") == 1
    assert "1 query waits on this form" in page and query.public_id in page


def test_the_entry_page_takes_the_same_number_of_statements_with_many_queries(
    sign_in, subject, record, cast, django_assert_max_num_queries
):
    client, counts = sign_in("coordinator"), []
    for number in (1, 10):
        for one in range(number):
            ask(subject, cast, f"Question {one}")
        client.get(place("edit-record", subject))
        with django_assert_max_num_queries(40) as asked:
            client.get(place("edit-record", subject))
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_ticked_queries_are_acted_on_and_the_page_tells_which_were_not(sign_in, study, query, subject, cast):
    closed = queries.close(query=ask(subject, cast, "Second"), text="Fine", by=cast["monitor"])
    form = {"query": [query.pk, closed.pk], "act": "answer", "text": "Checked"}
    page = sign_in("coordinator").post(at("act-on-queries", study), form, follow=True).content.decode()
    assert "Done on 1 of 2 queries." in page and closed.public_id in page
    assert Query.objects.get(pk=query.pk).status == "answered"
    assert sign_in("coordinator").post(at("act-on-queries", study), form | {"act": "close"}).status_code == 403


def test_a_view_is_kept_with_its_filters_and_shared_only_if_asked(sign_in, study, query):
    sign_in("monitor").post(at("keep-query-view", study, status="open", page="3"), {"name": "My open ones"})
    kept = QueryView.objects.get()
    assert (kept.filters, kept.is_shared) == ("status=open", False)
    assert "My open ones" not in sign_in("coordinator").get(at("queries", study)).content.decode()
    sign_in("monitor").post(at("keep-query-view", study, status="open"), {"name": "My open ones", "is_shared": "on"})
    assert "My open ones" in sign_in("coordinator").get(at("queries", study)).content.decode()
    sign_in("coordinator").post(at("drop-query-view", study), {"name": "My open ones"})
    assert QueryView.objects.exists(), "only its owner forgets it"
    sign_in("monitor").post(at("drop-query-view", study), {"name": "My open ones"})
    assert not QueryView.objects.exists()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "\t="])
def test_the_csv_has_ids_places_dates_and_threads_and_nothing_a_spreadsheet_would_run(
    sign_in, study, subject, record, cast, start
):
    asked = ask(subject, cast, f"{start}HYPERLINK(1)")
    queries.answer(query=asked, text="Checked\nwith the source", by=cast["coordinator"])
    answer = sign_in("monitor").post(at("export-queries", study))
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf")
    [row] = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert (row["query"], row["subject"], row["event"], row["item"]) == (
        asked.public_id,
        subject.number,
        "BASELINE",
        "age",
    )
    assert (
        row["event_date"] == "2026-03-02" and row["value"] == "50 a" and row["question"].lstrip("'\t")[:1] in "=+-@＝"
    )
    assert row["question"].startswith("'") or start == "\t="
    assert "coordinator" in row["thread"].lower() and "with the source" in row["thread"]
    assert study.auditevent_set.get(kind="query.export").details == {"lines": 1}


def test_the_csv_holds_the_filters_choice_and_the_own_site_only(sign_in, study, query):
    def lines(role, **chosen):
        answer = sign_in(role).post(at("export-queries", study, **chosen))
        return b"".join(answer.streaming_content).decode().count("\n") - 1

    assert lines("monitor", status="open") == 1
    assert lines("monitor", status="closed") == lines("stranger") == 0


# Source verification


def test_the_overview_tells_progress_what_is_due_and_what_changed(sign_in, study, subject, record, cast, coordinator):
    page = sign_in("monitor").get(at("sdv", study)).content.decode()
    assert place("sdv-record", subject) in page and "No verified value was changed" in page
    assert f'value="{record.pk}-{record.revision}"' in page
    sign_in("monitor").post(at("sdv-verify", study), {"record": [f"{record.pk}-{record.revision}"]})
    assert SourceVerification.objects.get().is_complete
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    page = sign_in("monitor").get(at("sdv", study)).content.decode()
    assert "50 a" in page and "51 a" in page and "changed after verification" in page
    history = sign_in("monitor").get(at("sdv", study, site="01", form="LB")).content.decode()
    assert "51 a" not in history


def test_items_are_verified_and_taken_back_on_the_records_page(sign_in, subject, record):
    client, address = sign_in("monitor"), place("sdv-record", subject)
    client.post(address, {"act": "verify", "item": ["age"], "revision": "1"})
    assert set(SourceVerification.objects.get().items) == {"age"}
    for revision in ("7", "", "x", "9" * 5000):
        assert client.post(address, {"act": "verify", "item": ["sex"], "revision": revision}).status_code == 422
    client.post(address, {"act": "all", "revision": "1"})
    record.refresh_from_db()
    assert record.status == "verified"
    client.post(address, {"act": "withdraw", "item": ["sex"], "reason": "wrong chart"})
    assert set(SourceVerification.objects.get().items) == {"age"}


def test_who_changes_a_verified_form_is_told_that_it_is_not_any_more(sign_in, subject, record, cast):
    sdv.verify(record=record, by=cast["monitor"])
    typed = {"value-age": "51", "value-sex": "M", "revision": "2", "reason-code": "transcription", "act": "save"}
    page = sign_in("coordinator").post(place("edit-record", subject), typed, follow=True).content.decode()
    assert "The form was verified; after this change it is not any more." in page
    assert "changed after verification</span>" in page


def test_a_visit_is_verified_by_one_button_as_the_page_showed_it(sign_in, study, subject, record, coordinator):
    client, address = sign_in("monitor"), at("verify-visit", study, subject.number, "BASELINE", 1)
    seen = f"{record.pk}-{record.revision}"
    assert f'name="record" value="{seen}"' in client.get(at("subject", study, subject.number)).content.decode()
    enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    answer = client.post(address, {"record": [seen]}, follow=True).content.decode()
    record.refresh_from_db()
    assert record.status == "complete" and "changed since this page was opened" in answer
    client.post(address, {"record": [f"{record.pk}-{record.revision}"]})
    record.refresh_from_db()
    assert record.status == "verified"


def test_every_changed_value_is_reached_by_paging(sign_in, site, study, cast, coordinator):
    for _number in range(51):
        subject = enrol(site, by=coordinator)
        record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator, complete=True)
        sdv.verify(record=record, by=cast["monitor"])
        enter(subject, "DM", {"age": "51"}, reason="source", by=coordinator)
    first = sign_in("monitor").get(at("sdv", study)).content.decode()
    assert "?changes=2#changed" in first
    last = sign_in("monitor").get(at("sdv", study, changes=2))
    assert [line["record"].subject.number for line in last.context["changed"]] == ["01-0051"]


def test_the_plan_is_made_on_its_page_with_a_reason(sign_in, study):
    client = sign_in("monitor")
    given = {"scope": "subjects", "percentage": "20", "critical_always": "on", "overdue_days": "14"}
    assert client.post(at("sdv-plan", study), given).status_code == 422
    assert client.post(at("sdv-plan", study), given | {"percentage": "0", "reason": "x"}).status_code == 422
    assert client.post(at("sdv-plan", study), given | {"reason": "protocol 2.0"}).status_code == 302
    plan = SdvPlan.objects.get()
    assert (plan.scope, plan.percentage, plan.overdue_days) == ("subjects", 20, 14) and len(plan.seed) == 32
    assert "protocol 2.0" in client.get(at("sdv-plan", study)).content.decode()


# The JSON door


def test_the_api_asks_lists_answers_and_closes(sign_in, study, subject, record):
    body = {"subject": subject.number, "event": "BASELINE", "form": "DM", "item": "age", "text": "Sure?"}
    made = sign_in("monitor").post(at("api-queries", study), body, content_type="application/json")
    assert made.status_code == 201 and made.json()["value"] == 50
    key = made.json()["id"]
    listed = sign_in("coordinator").get(at("api-queries", study, status="open")).json()
    assert [one["query"] for one in listed["results"]] == [f"Q-{key:06d}"] and listed["count"] == 1
    words = {"text": "Yes"}
    done = sign_in("coordinator").post(at("api-query-answer", study, key), words, content_type="application/json")
    assert done.json()["status"] == "answered" and [one["act"] for one in done.json()["thread"]] == ["open", "answer"]
    late = sign_in("coordinator").post(at("api-query-answer", study, key), words, content_type="application/json")
    assert late.status_code == 409 and late.json()["status"] == "answered"
    sign_in("monitor").post(at("api-query-close", study, key), {}, content_type="application/json")
    assert sign_in("monitor").get(at("api-query", study, key)).json()["status"] == "closed"
    assert Query.objects.get().history.first().history_source == "api"


@pytest.mark.parametrize(
    ("change", "status"),
    [({"text": ""}, 422), ({"text": "a\x00b"}, 422), ({"item": "weight"}, 422), ({"form": "XX"}, 422),
     ({"subject": "no"}, 404),
     ({"event": "no"}, 404), ({"repeat": 10**12}, 422), ({"priority": "urgent"}, 422)],
)  # fmt: skip
def test_the_api_refuses_what_it_cannot_ask(sign_in, study, subject, record, change, status):
    body = {"subject": subject.number, "event": "BASELINE", "form": "DM", "item": "age", "text": "Sure?"} | change
    answer = sign_in("monitor").post(at("api-queries", study), body, content_type="application/json")
    assert answer.status_code == status and not Query.objects.exists()


@pytest.mark.parametrize("role", ["reader", "statistician", "administrator"])
def test_who_sees_no_records_reaches_neither_queries_nor_verification(sign_in, study, subject, query, role):
    client = sign_in(role)
    for address in (
        at("queries", study), at("query", study, query.pk), at("sdv", study), at("sdv-plan", study),
        place("place-queries", subject), place("sdv-record", subject), at("api-queries", study),
        at("api-query", study, query.pk),
    ):  # fmt: skip
        assert client.get(address).status_code in (403, 404), address


def test_a_page_of_another_sites_query_is_not_found(sign_in, study, query):
    client = sign_in("stranger")
    assert client.get(at("query", study, query.pk)).status_code == 404
    assert client.get(at("api-query", study, query.pk)).status_code == 404


def test_what_is_named_under_another_study_is_left_alone(sign_in, study, query, record, cast):
    """The keys are of this study, the address of one in which the person has every right."""
    other = publish(code="OTHER").study
    outsider, monitor = person("outsider", study=other, role="data_manager"), person("spy", study=other, role="monitor")
    client = sign_in("monitor")
    for user in (outsider, monitor):
        client.force_login(user)
        for act in ("close", "reopen", "assign", "answer"):
            given = {"query": [query.pk], "act": act, "text": "mine", "priority": "3"}
            client.post(at("act-on-queries", other), given)
        client.post(at("sdv-verify", other), {"record": [f"{record.pk}-{record.revision}"]})
        assert client.get(at("queries", other, text=query.public_id)).context["lines"] == []
    query.refresh_from_db()
    record.refresh_from_db()
    assert (query.status, query.priority, record.status) == ("open", 2, "complete")


def test_a_locked_record_is_asked_about_on_its_page(sign_in, subject, record, cast):
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    sign_in("monitor").post(place("place-queries", subject) + "?item=age", {"text": "Sure?"})
    assert Query.objects.get().item == "age"
