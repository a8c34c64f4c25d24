"""Enrolment numbers subjects, keeps identities apart, and finds a person twice."""

import datetime as dt

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from registry.models import AuditEvent, Identity, Subject
from registry.services import identities, subjects, visits
from tests.study import enrol, enter

pytestmark = pytest.mark.django_db


def test_numbers_run_per_site(site, other_site, cast):
    numbers = [enrol(site, by=cast["coordinator"]).number for _ in range(2)]
    assert [*numbers, enrol(other_site, by=cast["stranger"]).number] == ["01-0001", "01-0002", "02-0001"]


def test_the_same_hospital_number_is_not_enrolled_twice(site, coordinator):
    enrol(site, by=coordinator, hospital_number="H-1001")
    with pytest.raises(subjects.EnrolmentRefused, match="01-0001"):
        enrol(site, by=coordinator, hospital_number=" h-１００１ ")
    assert Subject.objects.count() == 1


def test_the_same_id_number_is_not_enrolled_twice_at_a_site(site, coordinator):
    enrol(site, by=coordinator, id_number="11010519491231002X")
    with pytest.raises(subjects.EnrolmentRefused, match="01-0001"):
        enrol(site, by=coordinator, id_number="11010519491231002ｘ")


def test_a_coordinator_is_not_told_who_is_enrolled_elsewhere(site, other_site, cast):
    enrol(other_site, by=cast["stranger"], id_number="11010519491231002X")
    assert enrol(site, by=cast["coordinator"], id_number="11010519491231002X").number == "01-0001"


def test_identities_of_before_get_the_hash_of_their_name(study, site, cast, coordinator):
    enrol(site, by=coordinator, name="韩梅梅")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE registry_identity SET name_hash = NULL")
    assert identities.complete_hashes(study=study, by=cast["data_manager"]) == 1
    assert Identity.objects.get().name_hash == identities.study_hash(study, "name", "韩 梅梅")
    assert identities.complete_hashes(study=study, by=cast["data_manager"]) == 0


def test_a_date_in_the_future_is_refused(site, coordinator):
    with pytest.raises(subjects.EnrolmentRefused):
        enrol(site, by=coordinator, on=timezone.localdate() + dt.timedelta(days=1))


def test_an_identity_is_unreadable_in_the_table_and_each_view_is_an_event(site, cast, coordinator):
    subject = enrol(site, by=coordinator, name="韩梅梅", hospital_number="H-77")
    stored = Identity.objects.get()
    table = (
        bytes(stored.name_encrypted) + bytes(stored.hospital_number_encrypted) + stored.hospital_number_hash.encode()
    )
    assert "韩梅梅".encode() not in table and b"H-77" not in table
    person = identities.view(subject=subject, by=coordinator)
    assert (person.name, person.hospital_number) == ("韩梅梅", "H-77")
    assert AuditEvent.objects.get(kind="identity.view").by == coordinator


@pytest.mark.parametrize(
    "role", ["pi", "monitor", "reader", "administrator", "statistician", "data_manager", "stranger"]
)
def test_an_identity_is_shown_at_the_own_site_only(site, cast, coordinator, role):
    subject = enrol(site, by=coordinator, name="韩梅梅", hospital_number="H-77")
    with pytest.raises(PermissionDenied):
        identities.view(subject=subject, by=cast[role])


def test_an_older_key_still_reads_after_rotation(site, coordinator, settings):
    subject = enrol(site, by=coordinator, name="韩梅梅", hospital_number="H-77")
    settings.IDENTITY_KEYS = ["ab" * 32, *settings.IDENTITY_KEYS]
    assert identities.view(subject=subject, by=coordinator).name == "韩梅梅"
    identities.store(subject=subject, name="韩梅", hospital_number="H-77", by=coordinator)
    settings.IDENTITY_KEYS = settings.IDENTITY_KEYS[:1]
    assert identities.view(subject=subject, by=coordinator).name == "韩梅"


def test_a_withdrawal_keeps_the_subject_and_needs_a_reason(site, coordinator):
    subject = enrol(site, by=coordinator)
    with pytest.raises(ValueError, match=r".+"):
        subjects.withdraw(subject=subject, reason=" ", by=coordinator)
    subjects.withdraw(subject=subject, reason="consent withdrawn", by=coordinator)
    assert Subject.objects.get().status == "withdrawn"


def test_dating_a_visit_keeps_what_was_planned_meanwhile(site, coordinator):
    subject = enrol(site, by=coordinator)
    visit = subject.visits.get(event="MONTH1")
    enter(subject, "LB", {"lb_date": "2026-03-10"}, by=coordinator)  # plans the visit
    dated = visits.occurred(visit=visit, on=dt.date(2026, 4, 9), by=coordinator)
    assert (dated.occurred_on, dated.target_on) == (dt.date(2026, 4, 9), dt.date(2026, 4, 9))
    visit.refresh_from_db()
    assert visit.target_on == dt.date(2026, 4, 9)
