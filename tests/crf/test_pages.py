"""The entry pages: what people type is weighed, kept and told of; strangers find nothing."""

import datetime as dt
import html as escaping
import re
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from crf import urls
from crf.models import Record
from crf.services import records
from crf.views.places import record_url
from registry.models import Signature, Study, Subject, Visit
from tests.study import PASSWORD, enrol, enter

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


def place(subject, form="DM", *, name="crf:edit-record", event="BASELINE", repeat=1, item=None):
    address = [subject.study.code, subject.number, event, 1, form, repeat, *([item] if item else [])]
    return reverse(name, args=address)


def typed(revision=0, **values):
    """The fields as a browser sends them; `missing_albumin` is missing-albumin."""
    fields = {"revision": str(revision), "act": "save"}
    for name, value in values.items():
        head, _, item = name.partition("_")
        if head in ("missing", "comment"):
            fields[f"{head}-{item}"] = value
        elif head == "reason":
            fields[f"reason-{item}"] = value
        else:
            fields[name if name == "act" else f"value-{name}"] = value
    return fields


def page(response):
    return escaping.unescape(response.content.decode())


def test_the_casebook_shows_each_form_of_each_visit_with_its_state(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator, complete=True)
    html = page(signed_in("coordinator").get(reverse("crf:subject", args=[subject.study.code, subject.number])))
    tiles = re.findall(r'class="form-tile state-(\w+)" href="[^"]*/visits/(\w+)/1/(\w+)/1/"', html)
    assert ("complete", "BASELINE", "DM") in tiles
    assert {(event, form) for _state, event, form in tiles} == {
        ("BASELINE", "DM"), ("BASELINE", "LB"), ("MONTH1", "LB"), ("LOG", "AE"),
    }  # fmt: skip
    assert "2026-02-23" in html, "the window of the visit is shown"


def test_the_casebook_fragment_is_part_of_its_page(signed_in, subject):
    client, address = signed_in("coordinator"), reverse("crf:subject", args=[subject.study.code, subject.number])
    whole, part = (re.sub(r"\s+|csrfmiddlewaretoken\W+value=\S+", " ", text) for text in (
        client.get(address).content.decode(), client.get(address, headers={"HX-Request": "true"}).content.decode(),
    ))  # fmt: skip
    assert part.strip() in whole and "<html" not in part


@pytest.mark.parametrize(
    ("language", "words"),
    [("zh-hans", ["Age(中)", "保存", "必填"]), ("en", ["Age", "Save", "required"])],
)
def test_the_entry_page_speaks_both_languages(signed_in, subject, language, words):
    html = page(signed_in("coordinator", language).get(place(subject)))
    assert all(word in html for word in words)


def test_the_entry_page_asks_for_nothing_that_the_policy_forbids(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "F"}, by=coordinator)
    html = signed_in("coordinator").get(place(subject)).content.decode()
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)", html)


def test_every_answer_has_a_label_and_every_label_a_field(signed_in, subject):
    html = signed_in("coordinator").get(place(subject, "LB")).content.decode()
    fields = set(re.findall(r'\sid="([^"]+)"', html))
    for target in re.findall(r'<label[^>]*\sfor="([^"]+)"', html):
        assert target in fields, f"a label points to {target}"
    for group in re.findall(r'aria-labelledby="([^"]+)"', html):
        assert group in fields


def test_typing_shows_derived_values_and_findings_without_saving(signed_in, subject):
    answer = signed_in("coordinator").post(
        place(subject, "LB", name="crf:evaluate-record"), typed(albumin="８１", bilirubin="12,5")
    )
    html = page(answer)
    assert re.search(r'<template data-item="albumin" data-hard="yes"', html)
    assert not Record.objects.exists()
    again = page(
        signed_in("coordinator").post(
            place(subject, "LB", name="crf:evaluate-record"), typed(albumin="35", bilirubin="12")
        )
    )
    derived = re.search(r'<template data-derived="albi_score">([^<]+)</template>', again)
    # log10(12)*0.66 - 35*0.085, Johnson 2015
    assert derived and float(derived[1]) == pytest.approx(-2.26, abs=0.005)


def test_what_cannot_be_read_is_said_beside_the_item_in_ones_language(signed_in, subject):
    address = place(subject, "LB", name="crf:evaluate-record")
    assert "is not a number" in page(signed_in("coordinator").post(address, typed(albumin="much")))
    assert "不是数字" in page(signed_in("coordinator", "zh-hans").post(address, typed(albumin="much")))


def test_an_item_that_does_not_apply_is_hidden(signed_in, subject):
    address = place(subject, name="crf:evaluate-record")
    assert 'data-hidden="pregnant"' in page(signed_in("coordinator").post(address, typed(sex="M")))
    assert 'data-hidden=""' in page(signed_in("coordinator").post(address, typed(sex="F")))


def test_an_empty_required_item_is_counted_and_named_only_when_asked(signed_in, subject):
    client = signed_in("coordinator")
    live = page(client.post(place(subject, name="crf:evaluate-record"), typed(age="50")))
    assert "1 required item is empty" in live and "Required: fill it in" not in live
    refused = client.post(place(subject), typed(age="50", act="complete"))
    assert refused.status_code == 422 and "Required: fill it in" in page(refused)
    assert not Record.objects.exists()


def test_saving_keeps_the_answers_and_leads_back_to_the_page(signed_in, subject):
    client = signed_in("coordinator")
    response = client.post(place(subject), typed(age="52", sex="M"))
    assert response.status_code == 302 and response.url == place(subject)
    record = Record.objects.get()
    assert record.data == {"age": 52, "sex": "M"} and record.status == "in_progress"
    html = page(client.get(response.url))
    assert "Demographics is saved, revision 1." in html and 'value="52"' in html


def test_completing_leads_to_the_next_form_of_the_visit(signed_in, subject):
    response = signed_in("coordinator").post(place(subject), typed(age="52", sex="M", act="next"))
    assert response.url == place(subject, "LB")
    assert Record.objects.get().status == "complete"


def test_a_refused_save_loses_nothing_that_was_typed(signed_in, subject):
    response = signed_in("coordinator").post(
        place(subject, "LB"), typed(albumin="lots", bilirubin="12", lb_date="2026年3月2日")
    )
    html = page(response)
    assert response.status_code == 422
    assert 'value="lots"' in html and 'value="12"' in html and 'value="2026年3月2日"' in html
    assert "Not saved." in html


def test_a_missing_value_is_kept_with_its_kind_and_reason(signed_in, subject):
    fields = typed(missing_albumin="not_done") | {"missing-reason-albumin": "haemolysed"}
    client = signed_in("coordinator")
    client.post(place(subject, "LB"), fields)
    assert Record.objects.get().data["albumin"] == {"missing": "not_done", "reason": "haemolysed"}
    html = page(client.get(place(subject, "LB")))
    assert re.search(r'name="missing-albumin" value="not_done" checked', html) and 'value="haemolysed"' in html


def test_a_soft_finding_may_stand_with_a_comment(signed_in, subject):
    fields = typed(age="85", sex="M", comment_age="checked against the identity card")
    client = signed_in("coordinator")
    client.post(place(subject), fields | {"act": "complete"})
    record = Record.objects.get()
    assert record.comments == {"age": "checked against the identity card"} and record.status == "complete"
    assert "checked against the identity card" in page(client.get(place(subject)))


def test_a_change_of_a_saved_answer_needs_a_reason(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    client = signed_in("coordinator")
    refused = client.post(place(subject), typed(1, age="53", sex="M"))
    assert refused.status_code == 422 and "no reason is given: Age" in page(refused)
    client.post(place(subject), typed(1, age="53", sex="M", reason_code="transcription", reason_text="read 52 for 53"))
    assert Record.objects.get().data["age"] == 53
    history = page(client.get(place(subject, name="crf:item-history", item="age")))
    assert "Typing or transcription error: read 52 for 53" in history
    assert re.search(r'old-value">52 a<.*<strong>53 a', history, re.DOTALL)


def test_other_is_no_reason_without_words(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    assert (
        signed_in("coordinator").post(place(subject), typed(1, age="53", sex="M", reason_code="other")).status_code
        == 422
    )


def test_the_second_of_two_people_sees_both_answers_and_loses_none(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
    enter(subject, "DM", {"age": "54"}, by=cast["investigator"], reason="source", expected_revision=1)
    response = signed_in("coordinator").post(place(subject), typed(1, age="53", sex="M", reason_code="source"))
    html = page(response)
    assert response.status_code == 409 and "Investigator saved revision 2" in html
    mine, theirs = 'name="choice-age" value="mine"', 'name="choice-age" value="theirs"'
    assert re.search(f"{mine}.*?</span>53</span>.*?{theirs}.*?</span>54</span>", html, re.DOTALL), "side by side"
    assert 'value="53"' in html and 'name="revision" value="1"' in html and 'name="compared" value="2"' in html
    assert Record.objects.get().data["age"] == 54, "nothing was overwritten"


def test_history_tells_who_when_old_new_and_why_in_utc_too(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52"}, by=coordinator)
    html = page(signed_in("monitor").get(place(subject, name="crf:record-history"), headers={"HX-Request": "true"}))
    assert "Coordinator" in html and "site coordinator 01" in html and "UTC" in html and "52 a" in html
    assert "<html" not in html


def test_a_repeating_form_offers_one_more_and_no_gap(signed_in, subject, coordinator):
    client = signed_in("coordinator")
    assert client.get(place(subject, "AE", event="LOG", repeat=2)).status_code == 404
    enter(subject, "AE", {"ae_term": "Fever"}, by=coordinator, event="LOG")
    assert place(subject, "AE", event="LOG", repeat=2) in page(client.get(place(subject, "AE", event="LOG")))
    assert client.post(place(subject, "AE", event="LOG", repeat=2), typed(ae_term="Rash")).status_code == 302
    assert Record.objects.filter(form="AE").count() == 2


@pytest.mark.parametrize(
    ("form", "event", "repeat"),
    [("XX", "BASELINE", 1), ("AE", "BASELINE", 1), ("DM", "NEVER", 1), ("DM", "BASELINE", 2), ("AE", "LOG", 0)],
)
def test_a_form_that_the_study_does_not_have_there_is_not_found(signed_in, subject, form, event, repeat):
    assert signed_in("coordinator").get(place(subject, form, event=event, repeat=repeat)).status_code == 404


def test_a_monitor_reads_and_cannot_type(signed_in, subject, coordinator):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    client = signed_in("monitor")
    html = page(client.get(place(subject)))
    assert re.search(r'<fieldset class="entry-fields" disabled', html) and "save-bar" not in html
    assert client.post(place(subject), typed(1, age="60", sex="M", reason_code="source")).status_code == 403
    assert Record.objects.get().data["age"] == 52


def test_a_locked_record_is_shown_and_cannot_be_changed(signed_in, subject, cast):
    record = enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
    records.lock(records=[record], reason="dataset", by=cast["pi"])
    client = signed_in("coordinator")
    assert "disabled" in page(client.get(place(subject)))
    response = client.post(place(subject), typed(2, age="60", sex="M", reason_code="source"))
    assert response.status_code == 422 and Record.objects.get().data["age"] == 52


DOORS = ["crf:edit-record", "crf:record-history"]


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize(
    ("role", "status"), [("stranger", 404), ("reader", 403), ("statistician", 403), ("administrator", 403)]
)
def test_who_may_not_read_records_is_turned_away(signed_in, subject, name, role, status):
    assert signed_in(role).get(place(subject, name=name)).status_code == status


def test_nobody_weighs_answers_without_the_right(signed_in, subject):
    for role, status in (("stranger", 404), ("reader", 403)):
        assert signed_in(role).post(place(subject, name="crf:evaluate-record"), typed(age="5")).status_code == status


def test_enrolment_gives_the_number_and_opens_the_casebook(signed_in, study, site):
    fields = {
        "site": site.pk,
        "group": study.groups.get().pk,
        "enrolled_on": "2026-03-02",
        "name": "李四",
        "hospital_number": "H1",
    }
    client = signed_in("coordinator")
    response = client.post(reverse("crf:enrol-subject", args=[study.code]), fields)
    subject = Subject.objects.get()
    assert subject.number == "01-0001" and response.url == reverse("crf:subject", args=[study.code, "01-0001"])
    again = client.post(reverse("crf:enrol-subject", args=[study.code]), fields)
    assert again.status_code == 422 and "already in the study, as subject 01-0001" in page(again)
    assert Subject.objects.count() == 1


def test_one_enrols_only_at_ones_own_site(signed_in, study, other_site):
    fields = {"site": other_site.pk, "group": study.groups.get().pk, "enrolled_on": "2026-03-02"}
    assert signed_in("coordinator").post(reverse("crf:enrol-subject", args=[study.code]), fields).status_code == 422
    assert signed_in("monitor").post(reverse("crf:enrol-subject", args=[study.code]), fields).status_code == 403
    assert not Subject.objects.exists()


def test_a_visit_is_added_only_to_an_event_that_repeats(signed_in, subject):
    address = reverse("crf:add-visit", args=[subject.study.code, subject.number, "BASELINE"])
    assert signed_in("coordinator").post(address).status_code == 404
    assert subject.visits.filter(event="BASELINE").count() == 1


def test_the_overview_counts_records_and_names_overdue_visits_within_ones_site(signed_in, site, other_site, cast):
    mine = enrol(site, by=cast["coordinator"], on=dt.date(2025, 1, 6))
    theirs = enrol(other_site, by=cast["stranger"], on=dt.date(2025, 1, 6))
    address = reverse("crf:study-records", args=[site.study.code])
    html = page(signed_in("coordinator").get(address, headers={"HX-Request": "true"}))
    assert mine.number in html and theirs.number not in html
    enter(mine, "DM", {"age": "50"}, by=cast["coordinator"])
    rows = reverse("crf:quality-rows", args=[site.study.code])
    assert f'<a href="{rows}?state=in_progress"><strong>1</strong></a>' in page(signed_in("coordinator").get(address))
    assert mine.number not in page(signed_in("coordinator").get(address))


def test_opening_a_record_costs_the_same_however_many_there_are(signed_in, subject, coordinator):
    client = signed_in("coordinator")
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
    with CaptureQueriesContext(connection) as few:
        client.get(place(subject))
    for number in range(1, 9):
        visit = subject.visits.get(event="LOG")
        records.save(
            subject=subject, visit=visit, form="AE", repeat=number, data={"ae_term": f"AE {number}"}, by=coordinator
        )
    with CaptureQueriesContext(connection) as many:
        client.get(place(subject))
    assert len(many) == len(few), (len(few), len(many))


def shown_revision(html, action=""):
    """The revision that the form of this address would send."""
    form = html[html.index(f'action="{action}"') :] if action else html
    return re.search(r'name="revision" value="(\d+)"', form)[1]


def test_a_monitor_marks_a_complete_record_as_verified(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
    address = place(subject, name="crf:verify-record")
    signed_in("monitor").post(address, {"revision": 1})
    assert Record.objects.get().status == "in_progress", "only a complete record can be verified"
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
    html = page(signed_in("monitor").get(place(subject)))
    assert "Verified against source" in html
    assert "changed since" in page(signed_in("monitor").post(address, {"revision": 1}, follow=True))
    assert Record.objects.get().status == "complete", "what is verified is what was seen"
    signed_in("monitor").post(address, {"revision": shown_revision(html, address)})
    assert Record.objects.get().status == "verified"
    assert signed_in("coordinator").post(address).status_code == 403


def test_signing_asks_for_the_password_again(signed_in, subject, cast):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
    address = place(subject, name="crf:sign-record")
    client = signed_in("investigator")
    opened = page(client.get(address))
    refused = client.post(address, {"password": "wrong", "revision": shown_revision(opened)})
    assert refused.status_code == 422 and "nothing was signed" in page(refused)
    enter(subject, "DM", {"age": "53"}, by=cast["coordinator"], reason="source")
    outdated = client.post(address, {"password": PASSWORD, "revision": shown_revision(opened)})
    assert outdated.status_code == 422 and "changed since this page was opened" in page(outdated)
    assert Record.objects.get().status == "complete"
    answer = client.post(address, {"password": PASSWORD, "revision": shown_revision(page(outdated))})
    assert answer.url == place(subject)
    assert Record.objects.get().status == "signed"
    signature = Signature.objects.get()
    assert (signature.by, signature.digest) == (cast["investigator"], Record.objects.get().digest)


@pytest.mark.parametrize(("role", "status"), [("coordinator", 403), ("monitor", 403), ("stranger", 404)])
def test_only_who_may_sign_reaches_the_signing_page(signed_in, subject, cast, role, status):
    enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
    assert signed_in(role).get(place(subject, name="crf:sign-record")).status_code == status


def test_the_casebook_offers_one_more_of_a_repeating_form(signed_in, subject, coordinator):
    address = reverse("crf:subject", args=[subject.study.code, subject.number])
    assert "Add: Adverse event" not in page(signed_in("coordinator").get(address))
    enter(subject, "AE", {"ae_term": "Fever"}, by=coordinator, event="LOG")
    assert "Add: Adverse event" in page(signed_in("coordinator").get(address))
    assert "Add: Adverse event" not in page(signed_in("monitor").get(address))


def test_the_pi_unlocks_a_record_with_a_reason(signed_in, subject, coordinator, cast):
    record = enter(subject, "DM", {"age": "44", "sex": "M"}, complete=True, by=coordinator)
    records.lock(records=[record], reason="dataset 1", by=cast["pi"])
    address = f"{place(subject)}unlock/"
    assert address not in page(signed_in("coordinator").get(place(subject)))
    client = signed_in("pi")
    assert address in page(client.get(place(subject)))
    assert client.post(address, {"reason": " "}).status_code == 422
    answer = client.post(address, {"reason": "wrong date of birth in the source"})
    assert answer.status_code == 302
    record.refresh_from_db()
    assert record.status == "complete"
    assert record.history.latest("revision").history_change_reason == "wrong date of birth in the source"
    again = client.post(address, {"reason": "once more"})
    assert (again.status_code, "not locked" in page(again)) == (422, True)


RECORD_PAGES = [
    f"crf:{one.name}" for one in urls.urlpatterns
    if urls.RECORD in str(one.pattern) and "<" not in str(one.pattern).partition(urls.RECORD)[2]
]  # fmt: skip


@pytest.mark.parametrize("name", RECORD_PAGES)
@pytest.mark.parametrize("number", ["01-0007", "一 号%s", "a;b=c&d", "event-0"])
def test_the_address_of_a_record_is_the_one_that_its_route_gives(name, number):
    subject = Subject(number=number, study=Study(code="LIVER"))
    visit = Visit(event="BASELINE", repeat=2)
    expected = reverse(name, args=["LIVER", number, "BASELINE", 2, "DM", 3])
    assert record_url(name, visit, "DM", 3, subject) == expected


@pytest.mark.parametrize("item", ["age", "meds[3].dose"])
def test_the_history_of_an_item_lies_under_that_of_its_record(item):
    place = ["LIVER", "01-0001", "BASELINE", 1, "DM", 1]
    assert (
        reverse("crf:item-history", args=[*place, item]) == f"{reverse('crf:record-history', args=place)}{quote(item)}/"
    )
