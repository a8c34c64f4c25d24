"""Locked datasets, the records they hold, and the endpoint rules and analysis plans of a study."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.permissions import Scoped


class StudyRules(models.Model):
    """One published version of a study's `endpoints.yaml` and `analysis.yaml`; the newest is in force."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="analysis_rules")
    endpoints = models.JSONField()
    # Text, because JSONB forgets the order in which the plan names its predictor sets.
    analysis = models.TextField()
    sha256 = models.CharField(max_length=64)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["study_id", "-pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.study} {self.sha256[:12]}"


class Dataset(models.Model):
    """A frozen, signed snapshot of a study. `hash` is of its content alone: the same content, the same hash."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(_("name"), max_length=60)
    version = models.PositiveIntegerField(_("version"))
    hash = models.CharField(max_length=64, db_index=True)
    manifest = models.JSONField()
    folder = models.CharField(max_length=200, help_text="below the storage folder")
    build = models.ForeignKey("crf.StudyBuild", on_delete=models.PROTECT, related_name="+")
    rules = models.ForeignKey(StudyRules, on_delete=models.PROTECT, related_name="+")
    exceptions = models.JSONField(default=dict)
    locked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    locked_at = models.DateTimeField(default=timezone.now)
    signature = models.ForeignKey("registry.Signature", on_delete=models.PROTECT, related_name="+")

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-locked_at", "-pk"]
        verbose_name = _("dataset")
        constraints = [
            models.UniqueConstraint(name="dataset_version_is_unique", fields=["study", "name", "version"]),
        ]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def short_hash(self) -> str:
        return self.hash[:12]


class DatasetRecord(models.Model):
    """A record as it stood in a dataset. A trigger on the records' table refuses to change what is listed here."""

    STUDY_PATH, SITE_PATH = "dataset__study", None

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="records")
    record = models.ForeignKey("crf.Record", on_delete=models.PROTECT, related_name="datasets")
    revision = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)

    objects = Scoped.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(name="record_is_once_in_dataset", fields=["dataset", "record"])]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.dataset_id}: record {self.record_id} revision {self.revision}"
