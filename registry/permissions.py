"""Who may do what: the whole access policy. Asked by `visible_to()` (reads) and `authorise()` (acts), nowhere else.

Default is nothing: a person without a current membership sees no study. Out of scope is 404 (the row is not
found), in scope without the right is 403 (PermissionDenied).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Permission(StrEnum):
    STUDY_VIEW = "study.view"
    SUBJECT_VIEW = "subject.view"
    SUBJECT_ENROL = "subject.enrol"
    IDENTITY_VIEW = "identity.view"
    RECORD_VIEW = "record.view"
    RECORD_ENTER = "record.enter"
    RECORD_IMPORT = "record.import"
    RECORD_SIGN = "record.sign"
    RECORD_VERIFY = "record.verify"
    IMAGE_VIEW = "image.view"
    IMAGE_UPLOAD = "image.upload"
    SEGMENTATION_UPLOAD = "segmentation.upload"
    SEGMENTATION_VIEW_ALL = "segmentation.view_all"
    DATASET_VIEW = "dataset.view"
    DATASET_LOCK = "dataset.lock"
    DATASET_EXPORT = "dataset.export"
    EVALUATION_VIEW = "evaluation.view"
    EVALUATION_RUN = "evaluation.run"
    FEATURE_EXTRACT = "feature.extract"
    AUDIT_VIEW = "audit.view"
    AUDIT_EXPORT = "audit.export"
    RECORD_EXPORT = "record.export"
    RECORD_EXPORT_IDENTIFIED = "record.export_identified"
    QUERY_RAISE = "query.raise"
    QUERY_ANSWER = "query.answer"
    QUERY_CLOSE = "query.close"
    SDV_PLAN = "sdv.plan"
    QUALITY_RUN = "quality.run"
    BUILD_VIEW = "build.view"
    BUILD_IMPORT = "build.import"
    BUILD_RELEASE = "build.release"
    BUILD_MIGRATE = "build.migrate"
    MEMBERSHIP_MANAGE = "membership.manage"
    JOB_VIEW = "job.view"
    STUDY_CREATE = "study.create"
    AUDIT_SEAL = "audit.seal"


P = Permission


class Role(models.TextChoices):
    """`system` is the account that runs commands and nightly jobs; nobody signs in with it."""

    COORDINATOR = "coordinator", gettext_lazy("site coordinator")
    INVESTIGATOR = "investigator", gettext_lazy("investigator")
    PI = "pi", gettext_lazy("principal investigator")
    MONITOR = "monitor", gettext_lazy("monitor")
    DATA_MANAGER = "data_manager", gettext_lazy("data manager")
    READER = "reader", gettext_lazy("image reader (blinded)")
    STATISTICIAN = "statistician", gettext_lazy("statistician")
    ADMINISTRATOR = "administrator", gettext_lazy("administrator")
    SYSTEM = "system", gettext_lazy("system")


_SEES_CASEBOOK = frozenset({P.STUDY_VIEW, P.SUBJECT_VIEW, P.RECORD_VIEW, P.IMAGE_VIEW, P.JOB_VIEW, P.BUILD_VIEW})
_ENTERS = frozenset({P.SUBJECT_ENROL, P.IDENTITY_VIEW, P.RECORD_ENTER, P.RECORD_IMPORT, P.IMAGE_UPLOAD, P.QUERY_ANSWER})

GRANTS: dict[str, frozenset[Permission]] = {
    Role.COORDINATOR: _SEES_CASEBOOK | _ENTERS,
    Role.INVESTIGATOR: _SEES_CASEBOOK | _ENTERS | {P.RECORD_SIGN},
    Role.PI: _SEES_CASEBOOK
    | {P.RECORD_SIGN, P.SEGMENTATION_VIEW_ALL, P.DATASET_VIEW, P.DATASET_LOCK, P.DATASET_EXPORT}
    | {P.EVALUATION_VIEW, P.AUDIT_VIEW, P.QUERY_RAISE, P.RECORD_EXPORT, P.RECORD_EXPORT_IDENTIFIED},
    Role.MONITOR: _SEES_CASEBOOK
    | {P.RECORD_VERIFY, P.AUDIT_VIEW, P.AUDIT_EXPORT, P.QUERY_RAISE, P.QUERY_CLOSE, P.SDV_PLAN, P.QUALITY_RUN},
    Role.DATA_MANAGER: _SEES_CASEBOOK
    | {P.RECORD_IMPORT, P.SUBJECT_ENROL, P.RECORD_ENTER, P.SEGMENTATION_VIEW_ALL, P.BUILD_IMPORT}
    | {P.DATASET_VIEW, P.AUDIT_VIEW, P.BUILD_RELEASE, P.BUILD_MIGRATE, P.RECORD_EXPORT}
    | {P.QUERY_RAISE, P.QUERY_ANSWER, P.QUERY_CLOSE, P.SDV_PLAN, P.QUALITY_RUN},
    # Readers see images and their own masks; no outcome, no treatment, no other reader's mask.
    Role.READER: frozenset({P.STUDY_VIEW, P.IMAGE_VIEW, P.SEGMENTATION_UPLOAD}),
    # Statisticians see locked datasets, never the live tables.
    Role.STATISTICIAN: frozenset(
        {P.STUDY_VIEW, P.DATASET_VIEW, P.DATASET_EXPORT, P.EVALUATION_VIEW, P.EVALUATION_RUN, P.JOB_VIEW}
    ),
    # Administrators run accounts and jobs; no clinical data (EMA 2023, Annex 3: segregation of duties).
    Role.ADMINISTRATOR: frozenset(
        {P.STUDY_VIEW, P.MEMBERSHIP_MANAGE, P.DATASET_VIEW, P.EVALUATION_VIEW, P.EVALUATION_RUN}
        | {P.FEATURE_EXTRACT, P.JOB_VIEW}
    ),
    Role.SYSTEM: frozenset(Permission),
}

# What spans all sites of a study: a role held at one site only does not reach this far.
WHOLE_STUDY = frozenset(
    {P.DATASET_VIEW, P.DATASET_LOCK, P.DATASET_EXPORT, P.EVALUATION_VIEW, P.EVALUATION_RUN, P.FEATURE_EXTRACT}
    | {P.BUILD_IMPORT, P.BUILD_RELEASE, P.BUILD_MIGRATE, P.SDV_PLAN, P.MEMBERSHIP_MANAGE}
)


def current_memberships(user: Any) -> list[Any]:
    """The user's memberships in force today, read once per user object and day."""
    today = timezone.localdate()
    cached: tuple[Any, list[Any]] | None = getattr(user, "_memberships", None)
    if cached is None or cached[0] != today:
        in_force = user.memberships.filter(valid_from__lte=today).exclude(valid_to__lt=today).select_related("site")
        cached = (today, list(in_force))
        user._memberships = cached
    return cached[1]


def rights(user: Any, *, study: Any = None, site: Any = None) -> frozenset[Permission]:
    """What `user` may do in `study` (at any of their sites) or, when given, at `site`."""
    if not user.is_active:
        return frozenset()
    if user.is_system:
        return GRANTS[Role.SYSTEM]
    study_id = site.study_id if site else getattr(study, "pk", None)
    granted = frozenset[Permission]()
    for membership in current_memberships(user):
        if membership.study_id == study_id and (site is None or membership.site_id in (None, site.pk)):
            granted |= _granted(membership)
    return granted


def _granted(membership: Any) -> frozenset[Permission]:
    return GRANTS[membership.role] - (WHOLE_STUDY if membership.site_id else frozenset())


def authorise(by: Any, permission: Permission, *, study: Any = None, site: Any = None, subject: Any = None) -> None:
    """Raise PermissionDenied unless `by` has `permission` in the study, or at the site (the subject's, if given)."""
    site = site or getattr(subject, "site", None)
    if permission not in rights(by, study=study, site=site):
        raise PermissionDenied(
            _("Your role does not include this action (%(permission)s). Ask the study's administrator.")
            % {"permission": permission.value}
        )


def scope(user: Any, *, study_path: str, site_path: str | None, needs: Permission | None = None) -> Q | None:
    """The condition that keeps a queryset inside the user's memberships, or inside those whose role gives `needs`:
    who monitors one site and enters data at another audits the first only. None is no limit (the system account)."""
    if user.is_system:
        return None
    condition = Q(pk__in=[])
    for membership in current_memberships(user) if user.is_active else []:
        if needs and needs not in _granted(membership):
            continue
        if membership.site_id is None or site_path is None:
            condition |= Q(**{study_path: membership.study_id})
        else:
            condition |= Q(**{site_path: membership.site_id})
    return condition


class Scoped(models.QuerySet):
    """A queryset that knows how far a user sees: the model names `STUDY_PATH` and `SITE_PATH`."""

    def visible_to(self, user: Any, *, needs: Permission | None = None) -> Scoped:
        model: Any = self.model
        condition = scope(user, study_path=model.STUDY_PATH, site_path=model.SITE_PATH, needs=needs)
        return self if condition is None else self.filter(condition)
