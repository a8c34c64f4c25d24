"""Exports of records made on the page: what was asked for, and the file that waits to be fetched."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.permissions import Scoped


class RecordExport(models.Model):
    """One export: its file can be fetched until `expires_at`, by whoever may export all that it holds."""

    WITHOUT_HISTORY = "a file to fetch, gone after days; that it was made and fetched are audited events"
    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="exports")
    job = models.OneToOneField("registry.Job", on_delete=models.PROTECT, related_name="export")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    signature = models.ForeignKey("registry.Signature", on_delete=models.PROTECT, null=True, related_name="+")
    format = models.CharField(max_length=10)
    wanted = models.JSONField()
    sites = models.JSONField(default=list, help_text="codes of the sites whose records it holds")
    identified = models.BooleanField(default=False)
    path = models.CharField(max_length=200, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    rows = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"export {self.pk} ({self.format})"

    @property
    def is_ready(self) -> bool:
        return bool(self.path) and self.expires_at > timezone.now()
