"""What the audit trail holds beside the history rows: typed events, signatures, nightly seals."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry import audit
from registry.permissions import Scoped


class AuditEvent(models.Model):
    """One act that is not a row change: a sign-in, a view of an identity, an export, a lock, an intake, a run."""

    STUDY_PATH, SITE_PATH = "study", "site"

    kind = models.CharField(max_length=60, db_index=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, null=True)
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, null=True)
    subject = models.ForeignKey("registry.Subject", on_delete=models.PROTECT, null=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    role = models.CharField(max_length=120, blank=True)
    organisation = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=20)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    details = models.JSONField(default=dict)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["study", "-at"], name="event_by_study_and_time")]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M:%S}"


class Signature(models.Model):
    """An electronic signature: who, when, meaning, and the digest of exactly what was signed (21 CFR 11.50, 11.70)."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    printed_name = models.CharField(max_length=150)
    role = models.CharField(max_length=120)
    meaning = models.CharField(max_length=200)
    kind = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    signed_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-signed_at"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.printed_name}: {self.meaning} ({self.signed_at:%Y-%m-%d %H:%M:%S} UTC)"


class AuditSeal(models.Model):
    """The Merkle root over the audit rows written since the last seal, chained to it and signed (Ed25519)."""

    sealed_at = models.DateTimeField(default=timezone.now)
    upto = models.JSONField(help_text="the last primary key covered, by table")
    rows = models.PositiveBigIntegerField()
    entries = models.BinaryField(help_text="zlib: one line `table key sha256` for each row covered")
    root = models.CharField(max_length=64)
    previous = models.CharField(max_length=64, blank=True)
    signature = models.CharField(max_length=128)
    public_key = models.CharField(max_length=64)

    class Meta:
        ordering = ["pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"seal {self.pk} {self.root[:12]}"
