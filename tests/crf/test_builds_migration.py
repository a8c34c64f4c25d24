"""Records brought to another build: weighed first, one audited revision each, nothing cleared, killed and gone on."""

from __future__ import annotations

import copy
import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation

from crf import tasks
from crf.definitions.model import StudyDefinition
from crf.exchange import yaml_zip
from crf.models import Record, StudyBuild
from crf.selectors.builds import Orphan, orphans_of
from crf.services import build_uploads, builds, migrate, records, release
from registry import jobs
from registry.jobs import Progress
from registry.models import AuditEvent, Job, Subject
from registry.services.people import system_user
from tests.study import DEFINITION, PASSWORD, enrol, enter, person


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


REASON = "amendment 2 approved"


def next_version(study: Any, edit: Any, *sites: Any) -> StudyBuild:
    """Version 1.1 with `edit(definition, items)`, released at `sites` (or all)."""
    raw = copy.deepcopy(DEFINITION) | {"version": "1.1"}
    items = {item["name"]: item for form in raw["forms"] for part in form["sections"] for item in part["items"]}
    edit(raw, items)
    build = builds.publish(definition=StudyDefinition.from_json(raw), release=False, by=system_user())
    release.release(build=build, sites=sites or study.sites.all(), approved_on=dt.date(2026, 3, 1), by=system_user())
    return build


def narrower(raw: Any, items: Any) -> None:
    """No item `pregnant`, a narrower age, one code less, ALBI halved."""
    raw["forms"][0]["sections"][0]["items"].pop()
    items["age"]["range"] = [0, 90]
    raw["codelists"]["SEX"]["choices"].pop()
    items["albi_score"]["derive"] = "albi(bilirubin, albumin) / 2.0"


@pytest.fixture
def manager(study):
    return person("manager", study=study, role="data_manager")


@pytest.fixture
def subject(site):
    return enrol(site, by=system_user())


def brought(subject: Subject, build: StudyBuild, by: Any) -> list[Record]:
    return migrate.migrate_subject(subject=subject, build=build, reason=REASON, by=by)


def run(build: StudyBuild, sites: Any, by: Any) -> migrate.Weight:
    return migrate.migrate(build=build, sites=sites, reason=REASON, progress=Progress(None), by=by)


def test_a_migrated_record_has_one_revision_more_with_its_reason_and_source(study, subject, manager):
    record = enter(subject, "DM", {"age": "50", "sex": "F", "pregnant": "no"}, by=system_user())
    build = next_version(study, narrower)
    brought(subject, build, manager)
    record.refresh_from_db()
    assert (record.build, record.revision) == (build, 2)
    last = record.history.first()
    assert (last.history_source, last.history_change_reason, last.history_user) == ("migration", REASON, manager)
    assert record.history.count() == 2


def test_no_value_is_cleared_and_a_later_save_clears_none_either(study, subject, manager):
    record = enter(subject, "DM", {"age": "50", "sex": "F", "pregnant": "no"}, by=system_user())
    brought(subject, next_version(study, narrower), manager)
    record.refresh_from_db()
    assert record.data == {"age": 50, "sex": "F", "pregnant": "no"}
    saved = enter(subject, "DM", {"age": "51"}, reason="typo", by=system_user())
    assert saved.data == {"age": 51, "sex": "F", "pregnant": "no"}


def test_what_is_derived_otherwise_is_derived_anew(study, subject, manager):
    record = enter(subject, "LB", {"albumin": "40", "bilirubin": "12"}, by=system_user())
    before = record.data["albi_score"]
    brought(subject, next_version(study, narrower), manager)
    record.refresh_from_db()
    assert record.data["albi_score"] == pytest.approx(before / 2, abs=0.01)


@pytest.mark.parametrize(
    ("answers", "status"), [({"age": "50", "sex": "F"}, "complete"), ({"age": "95", "sex": "F"}, "in_progress")]
)
def test_a_signature_ends_and_a_value_that_fails_opens_the_record_again(study, site, subject, manager, answers, status):
    record = enter(subject, "DM", answers, complete=True, by=system_user())
    signer = person("signer", study=study, role="investigator", site=site)
    records.sign(record=record, password=PASSWORD, by=signer)
    build = next_version(study, narrower)
    step = migrate.plan(subject=subject, definition=build.study_definition, build=build)[0]
    assert step.ends_signature and step.status == status
    brought(subject, build, manager)
    record.refresh_from_db()
    assert record.status == status
    assert list(record.history.values_list("status", flat=True))[:2] == [status, "signed"]


def test_a_locked_record_is_left_and_named(study, subject, manager):
    record = enter(subject, "DM", {"age": "50", "sex": "F"}, complete=True, by=system_user())
    records.lock(records=[record], reason="dataset", by=system_user())
    build = next_version(study, narrower)
    found = run(build, [subject.site], manager)
    record.refresh_from_db()
    assert record.build.version == "1.0" and record.revision == 2
    step = migrate.plan(subject=subject, definition=build.study_definition, build=build)[0]
    assert step.left.of("en") == "the record is locked" and found.forms.get("DM", {}).get("clean", 0) == 0


def test_a_record_whose_form_is_gone_stays_with_its_build(study, subject, manager):
    record = enter(subject, "DM", {"age": "50", "sex": "F"}, by=system_user())

    def drop(raw: Any, items: Any) -> None:
        raw["events"][0]["forms"] = ["LB"]

    found = run(next_version(study, drop), [subject.site], manager)
    record.refresh_from_db()
    assert record.build.version == "1.0" and record.revision == 1
    assert [why for (_zh, why), _count in found.left.items()] == ["visit BASELINE of the new version has no form DM"]


def test_weighing_counts_what_migrating_then_does_and_writes_nothing(study, site, subject, manager):
    enter(subject, "DM", {"age": "95", "sex": "M", "pregnant": ""}, by=system_user())
    enter(subject, "LB", {"albumin": "40", "bilirubin": "12"}, by=system_user())
    second = enrol(site, by=system_user())
    enter(second, "DM", {"age": "30", "sex": "F", "pregnant": "no"}, by=system_user())
    build = next_version(study, narrower)
    rows = Record.history.count()
    weight = migrate.weigh(
        study=study, definition=build.study_definition, build=build, progress=Progress(None), by=manager
    )
    assert Record.history.count() == rows
    assert dict(weight.items) == {
        ("DM", "age", "finding"): 1,
        ("DM", "sex", "failed"): 1,
        ("DM", "pregnant", "orphaned"): 1,
        ("LB", "albi_score", "derived"): 1,
    }
    assert run(build, [site], manager).as_dict() == weight.as_dict()


def test_a_second_run_finds_nothing_to_do(study, subject, manager):
    enter(subject, "DM", {"age": "50", "sex": "F"}, by=system_user())
    build = next_version(study, narrower)
    run(build, [subject.site], manager)
    rows = Record.history.count()
    assert run(build, [subject.site], manager).forms == {}
    assert Record.history.count() == rows


def test_a_migration_that_is_killed_leaves_whole_subjects_and_goes_on(study, site, manager, monkeypatch):
    subjects = [enrol(site, by=system_user()) for _number in range(3)]
    for one in subjects:
        enter(one, "DM", {"age": "50", "sex": "F"}, by=system_user())
        enter(one, "LB", {"albumin": "40", "bilirubin": "12"}, by=system_user())
    build = next_version(study, narrower)
    write, written = migrate._write, []

    def killed_at_the_fourth(*arguments: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(arguments)
        write(*arguments)

    monkeypatch.setattr(migrate, "_write", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(build, [site], manager)
    done = [one.records.filter(build=build).count() for one in subjects]
    assert done == [2, 0, 0], "the second subject is not half done"
    monkeypatch.setattr(migrate, "_write", write)
    run(build, [site], manager)
    assert Record.objects.exclude(build=build).count() == 0
    assert all(record.revision == 2 for record in Record.objects.all()), "one revision each"


def test_only_sites_where_the_build_is_in_force_are_migrated(study, site, other_site, manager):
    build = next_version(study, narrower, site)
    with pytest.raises(migrate.MigrationRefused, match="not in force at site 02"):
        run(build, [other_site], manager)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, "two\nlines"])
def test_a_migration_needs_a_reason_in_words(study, site, manager, reason):
    build = next_version(study, narrower)
    with pytest.raises(migrate.MigrationRefused):
        migrate.start(build=build, sites=[site], reason=reason, by=manager)


@pytest.mark.parametrize("role", ["coordinator", "investigator", "pi", "monitor", "statistician", "administrator"])
def test_only_data_managers_migrate(study, site, subject, role):
    build = next_version(study, narrower)
    with pytest.raises(PermissionDenied):
        migrate.start(build=build, sites=[site], reason=REASON, by=person(role, study=study, role=role))
    with pytest.raises(PermissionDenied):
        brought(subject, build, person(f"{role}-2", study=study, role=role))


def test_the_job_migrates_and_its_page_has_the_numbers(study, subject, manager):
    enter(subject, "DM", {"age": "50", "sex": "F", "pregnant": "no"}, by=system_user())
    build = next_version(study, narrower)
    job = jobs.create(kind="build.migrate", study=study, by=manager)
    tasks.migrate_records(job_id=job.pk, build_id=build.pk, site_ids=[subject.site_id], reason=REASON)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert {key: job.result[key] for key in ("records", "left", "signatures_ended")} == {
        "records": 1,
        "left": 0,
        "signatures_ended": 0,
    }


def test_the_page_shows_each_record_with_what_becomes_of_it_and_starts_the_job(study, site, subject, manager):
    enter(subject, "DM", {"age": "50", "sex": "F", "pregnant": "no"}, by=system_user())
    build = next_version(study, narrower)
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    address = reverse("crf:migrate-records", args=["LIVER", build.pk])
    shown = client.get(address).content.decode()
    assert subject.number in shown and "values no longer asked" in shown and "pregnant" in shown
    assert client.post(address, {"sites": [site.pk]}).status_code == 422, "without a reason"
    assert client.post(address, {"sites": [site.pk], "reason": REASON}).status_code == 302
    told = AuditEvent.objects.get(kind="build.migrate")
    assert (told.reason, told.details["version"], told.details["sites"]) == (REASON, "1.1", ["01"])


def test_a_version_under_review_shows_which_values_it_would_fail_or_orphan(study, site, subject, manager):
    enter(subject, "DM", {"age": "50", "sex": "M"}, by=system_user())
    untouched = enrol(site, by=system_user())
    enter(untouched, "DM", {"age": "51", "sex": "F"}, by=system_user())
    raw = copy.deepcopy(DEFINITION) | {"version": "1.1"}
    raw["codelists"]["SEX"]["choices"].pop()
    content = yaml_zip.write_zip(StudyDefinition.from_json(raw))
    draft = build_uploads.upload(study=study, file_name="study.zip", content=content, by=manager)
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    address = reverse("crf:draft-records", args=["LIVER", draft.pk])
    shown = client.get(address).content.decode()
    assert subject.number in shown and untouched.number in shown
    build_uploads.weigh(draft=draft, by=manager)
    tasks.weigh_build(job_id=draft.weighing_id, study_id=study.pk, draft_id=draft.pk)
    shown = client.get(address).content.decode()
    assert subject.number in shown and untouched.number not in shown
    assert "values the item does not take" in shown and "Male" in shown and "is not one of: F = Female" in shown
    assert untouched.number in client.get(address, {"all": "1"}).content.decode()


def test_a_number_in_another_unit_is_put_aside_and_the_record_is_open_again(study, subject, manager):
    record = enter(subject, "LB", {"lb_date": "2026-03-02", "albumin": "40"}, complete=True, by=system_user())
    brought(subject, next_version(study, lambda raw, items: items["albumin"].update(unit="g/dL")), manager)
    record.refresh_from_db()
    assert record.data["albumin@1.0"] == 40 and "albumin" not in record.data
    assert record.status == Record.Status.IN_PROGRESS
    saved = enter(subject, "LB", {"albumin": "4"}, by=system_user())
    assert (saved.data["albumin"], saved.data["albumin@1.0"]) == (4, 40)


def test_the_cost_of_a_page_of_the_preview_does_not_grow_with_the_study(
    study, site, manager, django_assert_max_num_queries
):
    for _number in range(15):
        enter(enrol(site, by=system_user()), "DM", {"age": "50", "sex": "F"}, by=system_user())
    build = next_version(study, narrower)
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    with django_assert_max_num_queries(60):  # ten subjects a page
        client.get(reverse("crf:migrate-records", args=["LIVER", build.pk]))


def test_a_record_that_somebody_saves_meanwhile_keeps_both(transactional_clone, study, site):
    """A release and a migration under saves at the same moment: each save is on top of the other, none is lost."""
    by = system_user()
    subjects = [enrol(site, by=by) for _number in range(4)]
    for one in subjects:
        enter(one, "DM", {"age": "50", "sex": "F", "pregnant": "no"}, by=by)
    build = next_version(study, narrower)
    ready = threading.Barrier(2)

    def save() -> int:
        ready.wait()
        try:
            for number in range(3):
                for one in subjects:
                    enter(one, "DM", {"age": str(51 + number)}, reason="typo", by=by)
                    enter(one, "LB", {"albumin": str(40 + number), "bilirubin": "12"}, reason="typo", by=by)
            return 1
        finally:
            connection.close()

    def bring() -> int:
        ready.wait()
        try:
            run(build, [site], by)
            return 1
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both_at_once:
        assert [job.result(60) for job in (both_at_once.submit(save), both_at_once.submit(bring))] == [1, 1]
    run(build, [site], by)
    for record in Record.objects.filter(form="DM"):
        assert record.data == {"age": 53, "sex": "F", "pregnant": "no"} and record.build_id == build.pk
        assert record.history.count() == record.revision == 5, "one, three corrections, and one migration"
    assert not Record.objects.exclude(build=build).exists()


def test_a_code_that_is_gone_is_shown_and_no_save_of_the_page_takes_it_away(study, subject, manager):
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=system_user())
    brought(subject, next_version(study, narrower), manager)
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    address = reverse("crf:edit-record", args=["LIVER", subject.number, "BASELINE", 1, "DM", 1])
    shown = client.get(address).content.decode()
    assert "M (no longer a choice)" in shown and "&#x27;M&#x27; is not one of" in shown
    posted = {"revision": 2, "value-age": "51", "value-sex": "M", "reason": "typo", "reason-text": "typo"}
    client.post(address, posted)
    record.refresh_from_db()
    assert record.data == {"age": 50, "sex": "M"}, "refused until somebody decides"


def test_what_is_no_longer_asked_is_shown_with_the_record(study, subject, manager):
    enter(subject, "DM", {"age": "50", "sex": "F", "pregnant": "Sentinel"}, by=system_user())
    brought(subject, next_version(study, narrower), manager)
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    address = reverse("crf:edit-record", args=["LIVER", subject.number, "BASELINE", 1, "DM", 1])
    shown = client.get(address).content.decode()
    assert "No longer asked" in shown and "Sentinel" in shown and 'id="value-pregnant"' not in shown
    assert "Pregnant" in shown, "in the words of the version that asked"


def test_what_was_put_aside_is_shown_in_the_unit_that_it_was_entered_in(study, subject, manager):
    record = enter(subject, "LB", {"albumin": "40"}, by=system_user())
    brought(subject, next_version(study, lambda raw, items: items["albumin"].update(unit="g/dL")), manager)
    record.refresh_from_db()
    assert orphans_of(record, "en") == [Orphan("albumin@1.0", "Albumin", "40.0 g/L")]
