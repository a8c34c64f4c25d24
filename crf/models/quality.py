"""What the rules over all records found, and when they ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models import ScopedAudited, Site, Subject, Visit
from registry.permissions import Scoped


class QualityFinding(audit.Audited):
    """One thing a rule found: about a value, a visit, a subject, or (without a subject) all records of a site.

    `key` names its place, so that the same finding of the next night is this row again. Gone is what the rule no longer
    finds; dismissed is what a person explained, and comes back only when `details` change.
    """

    STUDY_PATH, SITE_PATH = "study", "site"

    class State(models.TextChoices):
        OPEN = "open", _("to look at")
        DISMISSED = "dismissed", _("explained")
        GONE = "gone", _("gone")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="quality_findings")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, null=True, related_name="quality_findings")
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, null=True, related_name="+")
    rule = models.CharField(max_length=30)
    form = models.CharField(max_length=40, blank=True)
    repeat = models.PositiveIntegerField(default=1)
    item = models.CharField(max_length=160, blank=True)
    key = models.CharField(max_length=300)
    details = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    explanation = models.TextField(blank=True)
    found_at = models.DateTimeField(default=timezone.now)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "rule", "pk"]
        verbose_name = _("data-quality finding")
        constraints = [
            models.UniqueConstraint(name="finding_stands_once", fields=["study", "rule", "key"]),
            models.CheckConstraint(
                name="dismissed_with_explanation", condition=~Q(state="dismissed") | ~Q(explanation="")
            ),
        ]
        indexes = [models.Index(fields=["study", "state", "rule"], name="finding_by_state")]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.rule} {self.key}"

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        subject = get(Subject, row.subject_id) if row.subject_id else None
        return audit.Place(get(Site, row.site_id), subject, "", row.form)


class QualityRun(models.Model):
    """One run of the rules over a study: who asked, how many records it read, what it found by rule."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="quality_runs")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    records = models.PositiveIntegerField()
    counts = models.JSONField(default=dict)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["study_id", "-pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.study_id} {self.at:%Y-%m-%d %H:%M}"
