"""Accounts, and what each may do where and when."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.permissions import Role, current_memberships

ROLE_LENGTH = 120  # of the columns that keep it


class User(AbstractUser):
    """One person, one account (21 CFR 11.100); `system` runs commands and jobs and can't sign in."""

    full_name = models.CharField(_("full name"), max_length=150)
    organisation = models.CharField(_("organisation"), max_length=200, blank=True)
    language = models.CharField(_("language"), max_length=10, default="zh-hans")
    is_system = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = _("user")

    def __str__(self) -> str:
        return self.full_name or self.username

    def role_label(self, study_id: int | None) -> str:
        """The roles held in the study now, as the audit trail keeps them: `coordinator@01+02, reader`."""
        if self.is_system:
            return Role.SYSTEM
        sites: dict[str, set[str]] = {}
        for held in current_memberships(self):
            if held.study_id == study_id:
                sites.setdefault(held.role, set()).update([held.site.code] if held.site_id else ["*"])
        roles = [role if "*" in codes else f"{role}@{'+'.join(sorted(codes))}" for role, codes in sorted(sites.items())]
        label = ", ".join(roles)
        return label if len(label) <= ROLE_LENGTH else label[: ROLE_LENGTH - 1] + "…"


class Membership(audit.Audited):
    """One role of one person in a study, at one site or (site empty) at all of them, for a time."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="memberships")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, null=True, blank=True)
    role = models.CharField(max_length=20, choices=[choice for choice in Role.choices if choice[0] != Role.SYSTEM])
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)
    history = audit.history()

    objects = audit.AuditedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="membership_ends_after_it_begins",
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
            ),
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.user} {self.role} {self.study_id}/{self.site_id or '*'}"
