"""The policy, cell by cell: an extra grant fails as surely as a missing one."""

import datetime as dt

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from registry.models import Site, Study, Subject
from registry.permissions import GRANTS, Permission, Role, authorise, rights
from registry.selectors import enrolment
from registry.services import people
from tests.study import both, enrol, person, publish

CLINICAL_WRITES = {Permission.RECORD_ENTER, Permission.RECORD_IMPORT, Permission.SUBJECT_ENROL, Permission.IMAGE_UPLOAD}


def holders(permission: Permission) -> set[str]:
    return {role.value for role, granted in GRANTS.items() if permission in granted and role is not Role.SYSTEM}


EVERYBODY = {role.value for role in Role if role is not Role.SYSTEM}
CASEBOOK = {"coordinator", "investigator", "pi", "monitor", "data_manager"}
HOLDERS = {
    Permission.RECORD_ENTER: {"coordinator", "investigator", "data_manager"},
    Permission.RECORD_SIGN: {"investigator", "pi"},
    Permission.RECORD_VERIFY: {"monitor"},
    Permission.IDENTITY_VIEW: {"coordinator", "investigator"},
    Permission.IMAGE_UPLOAD: {"coordinator", "investigator"},
    Permission.SEGMENTATION_UPLOAD: {"reader"},
    Permission.SEGMENTATION_VIEW_ALL: {"pi", "data_manager"},
    Permission.DATASET_LOCK: {"pi"},
    Permission.DATASET_EXPORT: {"pi", "statistician"},
    Permission.EVALUATION_RUN: {"statistician", "administrator"},
    Permission.AUDIT_EXPORT: {"monitor"},
    Permission.AUDIT_VIEW: {"monitor", "pi", "data_manager"},
    Permission.MEMBERSHIP_MANAGE: {"administrator"},
    Permission.BUILD_IMPORT: {"data_manager"},
    Permission.STUDY_CREATE: set(),
    Permission.AUDIT_SEAL: set(),
    Permission.STUDY_VIEW: EVERYBODY,
    Permission.SUBJECT_VIEW: CASEBOOK,
    Permission.RECORD_VIEW: CASEBOOK,
    Permission.SUBJECT_ENROL: {"coordinator", "investigator", "data_manager"},
    Permission.RECORD_IMPORT: {"coordinator", "investigator", "data_manager"},
    Permission.IMAGE_VIEW: CASEBOOK | {"reader"},
    Permission.DATASET_VIEW: {"pi", "data_manager", "statistician", "administrator"},
    Permission.EVALUATION_VIEW: {"pi", "statistician", "administrator"},
    Permission.FEATURE_EXTRACT: {"administrator"},
    Permission.JOB_VIEW: EVERYBODY - {"reader"},
    Permission.RECORD_EXPORT: {"pi", "data_manager"},
    Permission.RECORD_EXPORT_IDENTIFIED: {"pi"},
    Permission.QUERY_RAISE: {"pi", "monitor", "data_manager"},
    Permission.QUERY_ANSWER: {"coordinator", "investigator", "data_manager"},
    Permission.QUERY_CLOSE: {"monitor", "data_manager"},
    Permission.SDV_PLAN: {"monitor", "data_manager"},
    Permission.QUALITY_RUN: {"monitor", "data_manager"},
    Permission.BUILD_VIEW: CASEBOOK,
    Permission.BUILD_RELEASE: {"data_manager"},
    Permission.BUILD_MIGRATE: {"data_manager"},
}


@pytest.mark.parametrize("permission", Permission)
def test_a_right_belongs_to_exactly_these_roles(permission):
    assert holders(permission) == HOLDERS[permission]


def test_a_blinded_reader_sees_neither_outcome_nor_treatment_nor_other_masks():
    blind = {Permission.RECORD_VIEW, Permission.SEGMENTATION_VIEW_ALL, Permission.DATASET_VIEW}
    assert not blind & GRANTS[Role.READER]


def test_administrators_statisticians_and_monitors_write_nothing_clinical():
    for role in (Role.ADMINISTRATOR, Role.STATISTICIAN, Role.MONITOR, Role.READER, Role.PI):
        assert not CLINICAL_WRITES & GRANTS[role]


@pytest.mark.django_db
def test_a_person_without_membership_sees_no_study(study, django_user_model):
    nobody = django_user_model.objects.create(username="nobody", full_name="No Body")
    assert not Study.objects.visible_to(nobody).exists()
    assert rights(nobody, study=study) == frozenset()


@pytest.mark.django_db
def test_a_coordinator_sees_the_own_site_and_no_other(site, other_site, cast):
    mine = enrol(site, by=cast["coordinator"])
    theirs = enrol(other_site, by=cast["stranger"])
    assert set(Subject.objects.visible_to(cast["coordinator"])) == {mine}
    assert set(Site.objects.visible_to(cast["coordinator"])) == {site}
    assert set(Subject.objects.visible_to(cast["monitor"])) == {mine, theirs}
    with pytest.raises(PermissionDenied):
        authorise(cast["coordinator"], Permission.RECORD_ENTER, subject=theirs)


@pytest.mark.django_db
def test_a_membership_counts_only_while_it_lasts(study, site):
    user = person("leaver", study=study, role="coordinator", site=site)
    people.revoke(membership=user.memberships.get(), reason="left the hospital", by=people.system_user())
    gone = type(user).objects.get(pk=user.pk)
    assert not Study.objects.visible_to(gone).exists()
    newcomer = type(user).objects.create(username="newcomer", full_name="New Comer")
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    people.grant(user=newcomer, study=study, role="monitor", valid_from=tomorrow, by=people.system_user())
    assert rights(newcomer, study=study) == frozenset()


@pytest.mark.django_db
def test_a_role_is_never_given_at_a_site_of_another_study(study, django_user_model):
    nobody = django_user_model.objects.create(username="nobody", full_name="No Body")
    elsewhere = publish(code="OTHER").study.sites.get(code="01")
    with pytest.raises(ValueError, match="another study"):
        people.grant(user=nobody, study=study, site=elsewhere, role="monitor", by=people.system_user())


@pytest.mark.django_db
def test_a_role_without_a_right_does_not_widen_where_it_is_held(study, site, other_site, cast):
    theirs = enrol(other_site, by=cast["stranger"])
    both = person("both", study=study, role="statistician")
    people.grant(user=both, study=study, role="coordinator", site=site, by=people.system_user())
    assert theirs in Subject.objects.visible_to(both)
    assert not enrolment.subjects(study, both).exists()


@pytest.mark.django_db
def test_a_role_in_one_study_is_none_in_another(study, cast):
    other = publish(code="OTHER").study
    for user in cast.values():
        assert rights(user, study=other) == frozenset()
    assert set(Study.objects.visible_to(cast["pi"])) == {study}


@pytest.mark.django_db
def test_nobody_grants_roles_to_themselves(study, cast):
    with pytest.raises(PermissionDenied):
        people.grant(user=cast["administrator"], study=study, role="pi", by=cast["administrator"])


@pytest.mark.django_db
def test_an_account_that_is_switched_off_has_no_rights(study, cast):
    cast["pi"].is_active = False
    assert rights(cast["pi"], study=study) == frozenset()


@pytest.mark.django_db
def test_a_coordinator_of_forty_sites_can_still_enrol(coordinator):
    codes = [f"{number:02d}" for number in range(1, 41)]
    study = publish(code="WIDE", sites=[{"code": code, "name": both(code)} for code in codes]).study
    for site in study.sites.all():
        people.grant(user=coordinator, study=study, role="coordinator", site=site, by=people.system_user())
    again = type(coordinator).objects.get(pk=coordinator.pk)
    kept = enrol(study.sites.get(code="40"), by=again).history.get().history_role
    assert kept.startswith("coordinator@01+02+03+") and len(kept) == 120
