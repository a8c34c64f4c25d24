"""What was computed from locked datasets: radiomics features, and evaluations of models."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.permissions import Scoped


class FeatureSet(models.Model):
    """The radiomics features of one mask on one image by one parameter file and engine; `key` is of that content."""

    STUDY_PATH, SITE_PATH = "study", None

    class State(models.TextChoices):
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="feature_sets")
    key = models.CharField(max_length=64, unique=True)
    series = models.ForeignKey("imaging.Series", on_delete=models.PROTECT, related_name="feature_sets")
    segmentation = models.ForeignKey("imaging.Segmentation", on_delete=models.PROTECT, related_name="feature_sets")
    parameters = models.CharField(max_length=60)
    parameters_hash = models.CharField(max_length=64)
    engine = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State.choices)
    values = models.JSONField(default=dict)
    failures = models.JSONField(default=dict)
    provenance = models.JSONField(default=dict)
    seconds = models.FloatField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.parameters} {self.key[:12]} {self.state}"


class Evaluation(models.Model):
    """One run of one analysis plan on one locked dataset. `inputs` is the hash of all that the numbers depend on."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="evaluations")
    dataset = models.ForeignKey("analytics.Dataset", on_delete=models.PROTECT, related_name="evaluations")
    plan = models.CharField(_("plan"), max_length=60)
    plan_hash = models.CharField(max_length=64)
    inputs = models.CharField(max_length=64, db_index=True)
    results = models.JSONField()
    folder = models.CharField(max_length=200, help_text="below the storage folder: predictions, figures, report")
    software = models.JSONField(default=dict)
    previous = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="next")
    job = models.ForeignKey("registry.Job", on_delete=models.PROTECT, null=True, related_name="+")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-finished_at", "-pk"]
        verbose_name = _("evaluation")
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.plan} #{self.pk}"
