"""The rules over all records: what they find is kept, asked, set aside and gone again; figures lead to their rows."""

import datetime as dt

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from crf.models import QualityFinding, Query
from crf.services import quality, records
from registry.services import visits
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
