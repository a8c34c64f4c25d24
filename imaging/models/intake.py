"""What was received, what was stored of it, and what waits for a person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models import ScopedAudited
from registry.permissions import Scoped


class Intake(audit.Audited):
    """One delivery of files, and what became of each. File names stand in the report only where they name nobody."""

    STUDY_PATH, SITE_PATH = "study", "site"

    class State(models.TextChoices):
        RECEIVING = "receiving", _("receiving")
        DONE = "done", _("done")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="intakes")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, related_name="intakes")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECEIVING)
    report = models.JSONField(default=dict)
    received_at = models.DateTimeField(auto_now_add=True)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("image intake")
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"intake {self.pk}"

    @property
    def counts(self) -> dict[str, int]:
        return self.report.get("counts", {})

    @property
    def problems(self) -> list[dict[str, object]]:
        """Files that were not simply accepted, each with its reason in the reader's language."""
        language = "en" if (get_language() or "").startswith("en") else "zh"
        rows = (row for row in self.report.get("files", []) if "code" in row)
        return [{**row, "why": row[language]} for row in rows]


class Instance(models.Model):
    """One de-identified DICOM object in storage. Append-only: another version of it is a conflict."""

    STUDY_PATH, SITE_PATH = "study", "site"

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="instances")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, related_name="instances")
    intake = models.ForeignKey(Intake, on_delete=models.PROTECT, related_name="instances")
    study_instance_uid = models.CharField(max_length=64)
    series_instance_uid = models.CharField(max_length=64)
    sop_instance_uid = models.CharField(max_length=64)
    sop_class_uid = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    acquired_on = models.DateField(null=True)
    facts = models.JSONField()

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="an_object_is_stored_once", fields=["study", "sop_instance_uid"]),
        ]
        indexes = [models.Index(fields=["study", "series_instance_uid"], name="instances_of_a_series")]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return self.sop_instance_uid


class Quarantined(models.Model):
    """A file that a person must look at first: its headers de-identified, its bytes encrypted."""

    STUDY_PATH, SITE_PATH = "study", "site"

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, related_name="+")
    intake = models.ForeignKey(Intake, on_delete=models.PROTECT, related_name="quarantined")
    number = models.PositiveIntegerField()
    reason = models.JSONField()
    sop_instance_uid = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=200)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(name="quarantined_once", fields=["study", "sop_instance_uid", "sha256"]),
        ]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"quarantined {self.pk}: {self.reason.get('code')}"
