"""Accounts and memberships."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import audit
from registry.models import Membership, Site, Study, User
from registry.permissions import Permission, Role, authorise

SYSTEM = "system"


def system_user() -> User:
    """The account that commands and nightly jobs act as; it has no password and can't sign in."""
    user, created = User.objects.get_or_create(
        username=SYSTEM, defaults={"full_name": "System", "is_system": True, "is_active": True}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def acting_user(username: str | None) -> User:
    """The named account, or the system account when no name is given. Raises User.DoesNotExist."""
    return User.objects.get(username=username) if username else system_user()


def create_user(*, username: str, full_name: str, password: str, organisation: str = "", by: User) -> User:
    """A new account; the password must pass the validators."""
    if not by.is_system:
        raise PermissionDenied(_("Accounts are made by the command line or the system account."))
    user = User(username=username, full_name=full_name, organisation=organisation)
    validate_password(password, user)
    user.set_password(password)
    with audit.change(by=by):
        user.save()
        audit.event(kind="account.create", details={"username": username})
    return user


def signed_in(*, by: User) -> None:
    """Write down that `by` signed in."""
    with audit.change(by=by):
        audit.event(kind="account.sign_in")


def sign_in_failed(*, username: str) -> None:
    """Write down a failed sign-in, and the account if there is one. A name without account is not kept: people type
    passwords there. Nobody proved who they are, so the system writes it."""
    account = User.objects.filter(username=username).first()
    with audit.change(by=system_user()):
        audit.event(kind="account.sign_in_failed", details={"username": account.username} if account else {})


def signed_out(*, by: User) -> None:
    """Write down that `by` signed out."""
    with audit.change(by=by):
        audit.event(kind="account.sign_out")


def grant(
    *, user: User, study: Study, role: str, site: Site | None = None, valid_from: dt.date | None = None, by: User
) -> Membership:
    """Give `user` a role in the study (at one site, or everywhere). Nobody grants a role to themselves."""
    authorise(by, Permission.MEMBERSHIP_MANAGE, study=study)
    if user == by:
        raise PermissionDenied(_("Nobody can grant a role to themselves."))
    if role not in _roles():
        raise ValueError(f"{role!r} is not a role; choose one of {', '.join(_roles())}")
    if site and site.study_id != study.pk:
        raise ValueError(f"site {site.code} belongs to another study")
    with audit.change(by=by):
        membership = Membership(
            user=user, study=study, site=site, role=role, valid_from=valid_from or timezone.localdate()
        )
        membership.save()
        audit.event(kind="membership.grant", study=study, site=site, details={"user": user.username, "role": role})
    return membership


def revoke(*, membership: Membership, valid_to: dt.date | None = None, reason: str, by: User) -> Membership:
    """End a membership (by default yesterday, so that it no longer holds)."""
    authorise(by, Permission.MEMBERSHIP_MANAGE, study=membership.study)
    with audit.change(by=by, reason=reason):
        membership.valid_to = valid_to or timezone.localdate() - dt.timedelta(days=1)
        membership.valid_from = min(membership.valid_from, membership.valid_to)
        membership.save()
        details: dict[str, Any] = {"user": membership.user.username, "role": membership.role}
        audit.event(kind="membership.revoke", study=membership.study, site=membership.site, details=details)
    return membership


def _roles() -> list[str]:
    return [role.value for role in Role if role is not Role.SYSTEM]
