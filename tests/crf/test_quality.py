"""The rules over all records: what they find is kept, asked, set aside and gone again; figures lead to their rows."""

import datetime as dt

import pytest
from django.core.exceptions import PermissionDenied
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from analytics import tasks as evaluation_tasks
from crf import tasks
from crf.definitions.model import StudyDefinition
from crf.models import QualityFinding, Query
from crf.services import builds, quality, queries, records, release, sdv
from registry.models import Job
from registry.services import people, visits
from tests.crf.test_pages import page
from tests.study import DEFINITION, enrol, enter, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(db):
    """The small study, which asks about outliers too and knows who tells sex and age."""
    changes = {"quality": {"to_query": ["outlier", "future_date"]}, "capture": {"sex": "DM.sex", "age": "DM.age"}}
    return publish(**changes).study


@pytest.fixture
def albumins(site, other_site, cast):
    """24 subjects with usual values, half of them at the other site; the last of them has lost its decimal point."""
    subjects = []
    for number in range(24):
        at, by = (site, cast["coordinator"]) if number % 2 else (other_site, cast["stranger"])
        subject = enrol(at, by=by)
        albumin = 4.1 if number == 23 else 38 + number % 7
        enter(subject, "LB", {"albumin": str(albumin), "lb_date": "2026-03-03"}, by=by)
        subjects.append(subject)
    return subjects


def findings(**chosen):
    return list(QualityFinding.objects.filter(**chosen).order_by("pk"))


def test_an_outlier_is_found_kept_asked_and_gone_when_it_is_corrected(study, cast, albumins):
    manager, subject = cast["data_manager"], albumins[-1]
    run = quality.run(study=study, by=manager)
    assert run.counts["outlier"] == 1
    (found,) = findings(rule="outlier")
    assert (found.subject, found.form, found.item, found.details["value"]) == (subject, "LB", "albumin", 4.1)
    (query,) = Query.objects.filter(cause="rule:outlier")
    assert (query.status, query.item, query.value) == ("open", "albumin", 4.1) and "4.1" in query.text
    quality.run(study=study, by=manager)
    assert len(findings(rule="outlier")) == 1 and found.history.count() == 1
    visit = subject.visits.get(event="BASELINE")
    records.save(
        subject=subject, visit=visit, form="LB", data={"albumin": "41"}, reason="typing error", by=cast["coordinator"]
    )
    assert quality.run(study=study, by=manager).counts.get("outlier") is None
    found.refresh_from_db()
    query.refresh_from_db()
    assert (found.state, query.status) == ("gone", "closed")
    assert [row.state for row in found.history.order_by("pk")] == ["open", "gone"]


def test_what_was_explained_comes_back_only_when_it_changes(study, cast, albumins):
    manager, coordinator, subject = cast["data_manager"], cast["coordinator"], albumins[-1]
    quality.run(study=study, by=manager)
    (found,) = findings(rule="outlier")
    with pytest.raises(quality.ExplanationMissing):
        quality.dismiss(finding=found, explanation="  ", by=manager)
    quality.dismiss(finding=found, explanation="nephrotic syndrome", by=manager)
    quality.run(study=study, by=manager)
    assert findings(rule="outlier")[0].state == "dismissed"
    enter(subject, "LB", {"albumin": "5.5"}, reason="second reading", by=coordinator)
    quality.run(study=study, by=manager)
    (found,) = findings(rule="outlier")
    assert (found.state, found.explanation, found.details["value"]) == ("open", "", 5.5)


def test_what_is_told_of_a_site_is_as_of_the_last_run_and_stays_explained(study, site, cast, coordinator):
    def told(number):
        for _each in range(number):
            enter(enrol(site, by=coordinator), "LB", {"albumin": "40"}, by=coordinator)
        quality.run(study=study, by=cast["monitor"])
        (found,) = findings(rule="missingness", item="bilirubin")
        return found

    quality.dismiss(finding=told(10), explanation="no such test here", by=cast["monitor"])
    found = told(2)
    assert (found.details["asked"], found.state, found.explanation) == (12, "dismissed", "no such test here")
    assert found.history.count() == told(0).history.count() == 3


def test_a_person_at_two_sites_is_told_at_each_and_numbers_only_to_who_may_see_them(
    study, site, other_site, cast, client
):
    mine = enrol(site, by=cast["coordinator"], id_number="11010519491231002X")
    theirs = enrol(other_site, by=cast["stranger"], id_number="11010519491231002X")
    quality.run(study=study, by=cast["data_manager"])
    assert {one.subject for one in findings(rule="duplicate_subject")} == {mine, theirs}
    url = reverse("crf:quality-findings", args=[study.code])
    for who, sees in (("coordinator", False), ("data_manager", True)):
        client.force_login(cast[who])
        client.cookies["django_language"] = "en"
        html = page(client.get(url))
        assert "the same ID number" in html and mine.number in html
        assert (theirs.number in html) is sees


def test_the_same_name_sex_and_age_is_suspected_and_another_age_is_not(study, site, cast):
    coordinator = cast["coordinator"]
    for age in ("52", "52", "61"):
        enter(enrol(site, by=coordinator, name="韩梅梅"), "DM", {"age": age, "sex": "F"}, by=coordinator)
    quality.run(study=study, by=cast["data_manager"])
    found = findings(rule="duplicate_subject")
    assert [one.details["by"] for one in found] == ["name", "name"]
    assert {one.subject.number for one in found} == {"01-0001", "01-0002"}


def test_dates_that_cannot_be_right_are_found(study, site, cast):
    coordinator = cast["coordinator"]
    subject = enrol(site, by=coordinator)
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    enter(subject, "LB", {"lb_date": "2026-03-02"}, by=coordinator)
    visits.occurred(visit=subject.visits.get(event="BASELINE"), on=dt.date(2026, 5, 2), by=coordinator)
    visits.occurred(visit=subject.visits.get(event="MONTH1"), on=dt.date(2026, 4, 1), by=coordinator)
    enter(subject, "LB", {"lb_date": tomorrow.isoformat()}, event="MONTH1", by=coordinator)
    quality.run(study=study, by=cast["data_manager"])
    found = {one.rule: one for one in findings()}
    assert found.keys() >= {"future_date", "visit_order", "outside_window", "far_from_visit"}
    assert found["visit_order"].visit.event == "MONTH1" and found["far_from_visit"].visit.event == "BASELINE"
    assert Query.objects.get(cause="rule:future_date").visit.event == "MONTH1"
    assert not Query.objects.filter(cause="rule:visit_order").exists(), "this study does not ask about it"


def test_a_rule_that_the_study_has_off_finds_nothing(site, cast, albumins):
    publish(version="1.1", quality={"off": ["outlier"]})
    assert "outlier" not in quality.run(study=site.study, by=cast["data_manager"]).counts


@pytest.fixture
def sent(monkeypatch):
    """The jobs handed to the workers, which run none of them here."""
    sent = []
    for task in (tasks.run_quality, evaluation_tasks.evaluate, evaluation_tasks.extract_image):
        monkeypatch.setattr(task, "delay", lambda task=task, **given: sent.append((task.name, given)))
    return sent


@pytest.mark.parametrize("when", ["at night", "on demand"])
def test_the_rules_run_as_a_job_at_night_and_on_demand(study, cast, albumins, client, sent, when):
    with TestCase.captureOnCommitCallbacks(execute=True):
        if when == "at night":
            evaluation_tasks.nightly()
        else:
            client.force_login(cast["monitor"])
            client.post(reverse("crf:run-quality", args=[study.code]))
    [given] = [given for name, given in sent if name == "crf.tasks.run_quality"]
    assert not findings(), "that is for the workers"
    tasks.run_quality(**given)
    job = Job.objects.get(kind="quality.run")
    assert (job.state, job.result["outlier"]) == (Job.State.DONE, 1)
    assert Query.objects.get(cause="rule:outlier").status == "open"
    tasks.run_quality(**given)
    assert len(findings(rule="outlier")) == 1, "the job may arrive twice"


@pytest.mark.parametrize("role", ["coordinator", "pi", "statistician", "reader", "administrator"])
def test_only_monitors_and_data_managers_run_rules_and_set_findings_aside(study, cast, albumins, role):
    quality.run(study=study, by=cast["monitor"])
    with pytest.raises(PermissionDenied):
        quality.run(study=study, by=cast[role])
    with pytest.raises(PermissionDenied):
        quality.dismiss(finding=findings()[0], explanation="no", by=cast[role])


def test_each_figure_of_the_dashboard_counts_the_rows_it_leads_to(study, site, cast, albumins, client):
    enter(albumins[1], "DM", {"age": "52", "sex": "M"}, complete=True, by=cast["coordinator"])
    quality.run(study=study, by=cast["data_manager"])
    client.force_login(cast["data_manager"])
    response = client.get(reverse("crf:quality", args=[study.code]))
    figure = {(one.site.code, one.form): one for one in response.context["progress"]}
    demography, laboratory = figure["01", "DM"], figure["01", "LB"]
    assert (demography.due, demography.missing, demography.complete) == (12, 11, 1)
    assert laboratory.due == 24 and laboratory.missing == 12, "the baseline of each, and the month after it"
    assert (laboratory.states["in_progress"], laboratory.queries["open"]) == (12, 1)
    rows = reverse("crf:quality-rows", args=[study.code])
    for state, form, count in (("missing", "DM", 11), ("entered", "DM", 1), ("in_progress", "LB", 12)):
        listed = client.get(rows, {"site": "01", "form": form, "state": state}).context["page"]
        assert listed.paginator.count == count
        assert all(row["subject"].site == site for row in listed)


def test_the_dashboard_asks_the_same_number_of_questions_whatever_the_size(
    study, cast, albumins, client, django_assert_max_num_queries
):
    client.force_login(cast["data_manager"])
    client.get(reverse("crf:quality", args=[study.code]))
    with django_assert_max_num_queries(22):
        client.get(reverse("crf:quality", args=[study.code]))
    with django_assert_max_num_queries(16):
        client.get(reverse("crf:quality-findings", args=[study.code]))


def test_each_finding_leads_to_what_it_is_about(study, site, cast, albumins, client, django_assert_max_num_queries):
    for subject in albumins[:12]:
        visits.occurred(
            visit=subject.visits.get(event="MONTH1"),
            on=timezone.localdate() + dt.timedelta(days=1),
            by=cast["data_manager"],
        )
    quality.run(study=study, by=cast["data_manager"])
    client.force_login(cast["data_manager"])
    url = reverse("crf:quality-findings", args=[study.code])
    client.get(url)
    with django_assert_max_num_queries(16):
        found = {one.finding.rule: one.url for one in client.get(url).context["page"]}
    casebook = reverse("crf:subject", args=[study.code, albumins[10].number])
    assert found["future_date"] == f"{casebook}#visit-MONTH1-1"
    assert found["outlier"].endswith("/LB/1/#item-albumin")
    assert found["missingness"] == reverse("crf:quality-rows", args=[study.code]) + "?site=02&form=LB"
    for address in found.values():
        assert client.get(address).status_code == 200


def test_a_site_that_rounds_or_differs_is_told_in_both_languages(site, other_site, cast, client):
    group = {"name": {"zh": "用药", "en": "Medication"}, "rows": {"name": "meds", "max": 150}}
    dose = {"name": "dose", "type": "integer", "label": {"zh": "剂量", "en": "Dose"}}
    forms = [dict(form) for form in DEFINITION["forms"]]
    forms[2]["sections"] = [*forms[2]["sections"], group | {"items": [dose]}]
    newer(site, forms=forms)
    rounded, measured = range(50, 650, 5), range(1000, 1960, 8)
    for at, by, doses in (
        (site, cast["coordinator"], rounded),
        (other_site, cast["stranger"], [n + i % 10 for i, n in enumerate(measured)]),
    ):
        rows = [{"row": number, "dose": str(dose)} for number, dose in enumerate(doses, 1)]
        enter(enrol(at, by=by), "AE", {"ae_term": "x", "meds": rows}, event="LOG", by=by)
    quality.run(study=site.study, by=cast["data_manager"])
    found = sorted((one.rule, one.site.code, one.item) for one in findings())
    assert found == [("digit_preference", "01", "dose"), ("site_shift", "01", "dose"), ("site_shift", "02", "dose")]
    client.force_login(cast["data_manager"])
    for language, words in (
        ("zh-hans", ["末位 0、5 占 100%", "本中心中位数"]),
        ("en", ["in 100 % of 120 values", "median"]),
    ):
        client.cookies["django_language"] = language
        html = page(client.get(reverse("crf:quality-findings", args=[site.study.code])))
        assert all(word in html for word in words), language


def test_a_finding_in_a_repeating_group_names_its_row(cast, site, coordinator):
    group = {"name": {"zh": "用药", "en": "Medication"}, "rows": {"name": "meds"}}
    dose = {"name": "dose", "type": "decimal", "label": {"zh": "剂量", "en": "Dose"}}
    forms = [dict(form) for form in DEFINITION["forms"]]
    forms[2]["sections"] = [*forms[2]["sections"], group | {"items": [dose]}]
    publish(version="2.0", forms=forms)
    for number in range(20):
        subject = enrol(site, by=coordinator)
        rows = [{"row": 1, "dose": 8 + number % 5}, {"row": 2, "dose": 800 if number == 7 else 9 + number % 3}]
        enter(subject, "AE", {"meds": rows}, event="LOG", by=coordinator)
    quality.run(study=site.study, by=cast["data_manager"])
    (found,) = findings(rule="outlier")
    assert found.item == "meds[2].dose"
    assert quality.label_of(publish(version="2.0", forms=forms).study_definition, "AE", found.item).en == "Dose"


def newer(site, *sites, **changes):
    """Version 2.0 of the small study, released at these sites only (at all without any)."""
    definition = StudyDefinition.from_json(DEFINITION | {"version": "2.0"} | changes)
    build = builds.publish(definition=definition, release=False, by=people.system_user())
    sites = sites or site.study.sites.all()
    release.release(build=build, sites=sites, approved_on=dt.date(2026, 3, 1), by=people.system_user())


def form_with(oid, *items):
    """The small study's forms, one of them asking `items` instead."""
    section = {"name": {"zh": "一", "en": "One"}, "items": list(items)}
    return [form | {"sections": [section]} if form["oid"] == oid else form for form in DEFINITION["forms"]]


def test_answers_of_an_older_build_are_left_out_where_it_asked_something_else(study, site, cast, coordinator):
    subject = enrol(site, by=coordinator)
    enter(subject, "AE", {"ae_term": "about 5"}, event="LOG", by=coordinator)
    grade = {"name": "ae_term", "type": "integer", "label": {"zh": "级", "en": "Grade"}}
    more = {"name": "ae_dose", "type": "decimal", "unit": "mg", "label": {"zh": "量", "en": "Dose"}}
    newer(site, forms=form_with("AE", grade, more))
    run = quality.run(study=study, by=cast["data_manager"])
    assert run.records == 1 and "missingness" not in run.counts


def test_a_visit_that_the_present_build_has_no_more_is_told_and_not_asked_about(study, site, cast, coordinator):
    subject = enrol(site, by=coordinator)
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    visits.occurred(visit=subject.visits.get(event="MONTH1"), on=tomorrow, by=coordinator)
    newer(site, events=[event for event in DEFINITION["events"] if event["oid"] != "MONTH1"])
    quality.run(study=study, by=cast["data_manager"])
    assert [one.visit.event for one in findings(rule="future_date")] == ["MONTH1"]
    assert not Query.objects.exists()


def test_forms_that_the_present_build_has_no_more_are_listed_by_what_they_were_called(
    study, site, cast, coordinator, client
):
    subject = enrol(site, by=coordinator)
    enter(subject, "AE", {"ae_term": "fever"}, event="LOG", by=coordinator)
    kept = [form for form in DEFINITION["forms"] if form["oid"] != "AE"]
    newer(site, forms=kept, events=DEFINITION["events"][:2])
    client.force_login(cast["monitor"])
    for chosen in ({}, {"form": "AE"}):
        listed = client.get(reverse("crf:quality-rows", args=[study.code]), chosen)
        assert [row["subject"] for row in listed.context["page"]] == [subject]
        assert "不良" in page(listed) or "Adverse event" in page(listed)
    listed = client.get(reverse("crf:quality-rows", args=[study.code]), {"form": "DM"})
    assert listed.context["page"].paginator.count == 0


def test_each_site_is_measured_by_the_build_in_force_there(study, site, other_site, cast, coordinator, client):
    more = {"oid": "QOL", "name": {"zh": "生活质量", "en": "Quality of life"}}
    more |= {"sections": [{"name": more["name"], "items": [{"name": "qol", "type": "text", "label": more["name"]}]}]}
    baseline, *others = DEFINITION["events"]
    baseline = baseline | {"forms": [*baseline["forms"], "QOL"]}
    mine, theirs = enrol(site, by=coordinator), enrol(other_site, by=cast["stranger"])
    newer(site, other_site, forms=[*DEFINITION["forms"], more], events=[baseline, *others])
    client.force_login(cast["data_manager"])
    table = client.get(reverse("crf:quality", args=[study.code])).context["progress"]
    figure = {(one.site.code, one.form): one.missing for one in table}
    assert ("01", "QOL") not in figure and figure["02", "QOL"] == figure["01", "DM"] == 1
    sdv.save_plan(study=study, scope="all", overdue_days=1, by=cast["monitor"])
    queries.nightly(study=study, by=cast["monitor"])
    asked = set(Query.objects.values_list("subject", "form"))
    assert asked == {(mine.pk, "DM"), (mine.pk, "LB"), (theirs.pk, "DM"), (theirs.pk, "LB"), (theirs.pk, "QOL")}


def test_the_rules_look_at_each_site_by_its_own_build(study, site, other_site, cast, coordinator):
    """The newer build, in force next door, has another first form and no adverse events."""
    baseline, *others = DEFINITION["events"][:2]
    events = [baseline | {"forms": ["LB", "DM"]}, *others]
    kept = [form for form in DEFINITION["forms"] if form["oid"] != "AE"]
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    people = [enrol(site, by=coordinator), enrol(other_site, by=cast["stranger"])]
    enter(people[0], "AE", {"ae_term": "fever"}, event="LOG", by=coordinator)
    newer(site, other_site, forms=kept, events=events, quality={"to_query": ["future_date"]})
    for subject in people:
        visits.occurred(visit=subject.visits.get(event="BASELINE"), on=tomorrow, by=cast["data_manager"])
    assert quality.run(study=study, by=cast["data_manager"]).records == 1
    assert dict(Query.objects.values_list("subject", "form")) == {people[0].pk: "DM", people[1].pk: "LB"}


def test_what_is_due_is_listed_over_all_forms_and_sites(study, site, cast, coordinator, client):
    subject = enrol(site, by=coordinator)
    enter(subject, "DM", {"age": "52"}, by=coordinator)
    client.force_login(cast["data_manager"])
    client.cookies["django_language"] = "en"
    rows = reverse("crf:quality-rows", args=[study.code])
    for state, expected in (
        ("due", [("Demographics", "in progress"), ("Laboratory", "due, not begun")]),
        ("missing", [("Laboratory", "due, not begun")]),
    ):
        listed = client.get(rows, {"state": state}).context["page"]
        assert [(row["form_name"], row["state"]) for row in listed] == expected
    assert f"{rows}?site=01&form=DM&state=due" in page(client.get(reverse("crf:quality", args=[study.code])))


def test_a_rule_that_no_longer_asks_closes_what_it_asked(study, site, cast, albumins):
    quality.run(study=study, by=cast["data_manager"])
    assert Query.objects.get(cause="rule:outlier").status == "open"
    newer(site, quality={"to_query": []})
    quality.run(study=study, by=cast["data_manager"])
    assert Query.objects.get(cause="rule:outlier").status == "closed"
    assert findings(rule="outlier")[0].state == "open", "it is still found"


def test_an_explanation_closes_the_query_until_what_was_found_changes(study, cast, albumins):
    manager = cast["data_manager"]
    quality.run(study=study, by=manager)
    quality.dismiss(finding=findings(rule="outlier")[0], explanation="nephrotic syndrome", by=manager)
    query = Query.objects.get(cause="rule:outlier")
    assert (query.status, query.closed_by) == ("closed", manager)
    assert query.messages.last().text == "nephrotic syndrome"
    quality.run(study=study, by=manager)
    assert Query.objects.get(cause="rule:outlier").status == "closed"
    enter(albumins[-1], "LB", {"albumin": "5.5"}, reason="second reading", by=cast["coordinator"])
    quality.run(study=study, by=manager)
    query = Query.objects.get(cause="rule:outlier")
    assert (query.status, query.value) == ("open", 5.5) and "5.5" in query.text and "5.5" in query.text_en


def test_a_finding_that_was_explained_before_is_not_asked_about_later(study, site, cast, albumins):
    newer(site, quality={"to_query": []})
    quality.run(study=study, by=cast["data_manager"])
    quality.dismiss(finding=findings(rule="outlier")[0], explanation="nephrotic syndrome", by=cast["monitor"])
    newer(site, version="2.1", quality={"to_query": ["outlier"]})
    quality.run(study=study, by=cast["data_manager"])
    assert not Query.objects.exists()


def test_what_a_person_closed_about_a_visit_is_asked_again_when_its_date_changes(study, site, cast, coordinator):
    subject = enrol(site, by=coordinator)
    visit, today = subject.visits.get(event="BASELINE"), timezone.localdate()
    for days, status in ((1, "open"), (1, "closed"), (2, "open"), (2, "closed")):
        visits.occurred(visit=visit, on=today + dt.timedelta(days=days), by=coordinator)
        quality.run(study=study, by=cast["data_manager"])
        query = Query.objects.get(cause="rule:future_date")
        assert query.status == status
        if status == "open":
            queries.close(query=query, text="It was planned so", by=cast["monitor"])


def test_a_control_character_in_an_explanation_is_named_on_the_page(study, cast, albumins, client):
    quality.run(study=study, by=cast["data_manager"])
    client.force_login(cast["data_manager"])
    url = reverse("crf:dismiss-finding", args=[study.code, findings(rule="outlier")[0].pk])
    answer = client.post(url, {"explanation": "a\x07b"})
    assert answer.status_code == 422 and "U+0007" in page(answer)
    assert findings(rule="outlier")[0].state == "open"
