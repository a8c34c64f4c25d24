"""Series as volumes, and what readers drew on them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models import ScopedAudited
from registry.permissions import GRANTS, Permission, current_memberships


class Series(audit.Audited):
    """One volume of a DICOM series: a phase, an echo or a b-value. Number 0 holds what forms no volume.

    `acquired_on` is the true day, as case report forms hold it; the stored files carry shifted dates.
    """

    STUDY_PATH, SITE_PATH = "study", "site"

    class Verdict(models.TextChoices):
        PASS = "pass", _("usable")
        WARN = "warn", _("usable, with remarks")
        FAIL = "fail", _("not usable")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="series")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, related_name="series")
    subject = models.ForeignKey(
        "registry.Subject", on_delete=models.PROTECT, null=True, blank=True, related_name="series"
    )
    study_instance_uid = models.CharField(max_length=64, db_index=True)
    series_instance_uid = models.CharField(max_length=64)
    volume_number = models.PositiveIntegerField()
    modality = models.CharField(max_length=16)
    kind = models.CharField(_("sequence or phase"), max_length=16)
    kind_reason = models.JSONField(default=dict)
    description = models.CharField(max_length=140, blank=True)
    acquired_on = models.DateField(_("acquired on"), null=True, blank=True)
    acquisition = models.JSONField(default=dict)
    geometry = models.JSONField(default=dict)
    split = models.JSONField(default=dict)
    frames = models.JSONField(default=list)
    instances = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64)
    qc = models.JSONField(default=dict)
    thumbnail_key = models.CharField(max_length=200, blank=True)
    patient_key = models.CharField(max_length=64, blank=True, db_index=True)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "acquired_on", "study_instance_uid", "series_instance_uid", "volume_number"]
        verbose_name = _("series")
        verbose_name_plural = _("series")
        constraints = [
            models.UniqueConstraint(
                name="a_volume_is_indexed_once", fields=["study", "series_instance_uid", "volume_number"]
            ),
        ]
        indexes = [models.Index(fields=["study", "site", "subject"], name="series_of_a_subject")]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.modality} {self.kind} #{self.pk}"

    @property
    def title(self) -> str:
        return self.kind if self.kind == self.modality else f"{self.modality} {self.kind}"

    @property
    def verdict(self) -> str:
        return str(self.qc.get("verdict", ""))

    @property
    def is_usable(self) -> bool:
        return self.verdict != self.Verdict.FAIL

    @property
    def findings(self) -> list[str]:
        """What quality control remarked, in the reader's language."""
        return [row[_language()] for row in self.qc.get("problems", [])]

    @property
    def why_kind(self) -> str:
        return str(self.kind_reason.get(_language(), ""))

    @property
    def size(self) -> str:
        return " × ".join(str(part) for part in self.geometry.get("size", []))

    @property
    def spacing(self) -> str:
        return " × ".join(f"{part:.3g}" for part in self.geometry.get("spacing", []))


class SegmentationQuerySet(ScopedAudited):
    """Readers see their own masks only; seeing all of them is a right of its own."""

    def visible_to(self, user: Any) -> SegmentationQuerySet:
        scoped = super().visible_to(user)
        if user.is_system:
            return scoped
        own_or_all = Q(reader=user)
        for membership in current_memberships(user):
            if Permission.SEGMENTATION_VIEW_ALL in GRANTS[membership.role]:
                own_or_all |= (
                    Q(series__site=membership.site_id) if membership.site_id else Q(series__study=membership.study_id)
                )
        return scoped.filter(own_or_all)

    def current(self) -> SegmentationQuerySet:
        """Without masks that a later upload of the same reader, round and region replaced."""
        return self.filter(is_current=True)


class Segmentation(audit.Audited):
    """One region, drawn by one reader in one round, on the grid of its series (NIfTI, uint8).

    A new mask for the same reader, round and region replaces the old one, which stays readable.
    """

    STUDY_PATH, SITE_PATH = "series__study", "series__site"

    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="segmentations")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="segmentations")
    round = models.PositiveSmallIntegerField(_("round"), default=1)
    roi = models.CharField(_("region"), max_length=40)
    is_current = models.BooleanField(default=True)
    storage_key = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    series_digest = models.CharField(max_length=64)
    voxels = models.PositiveBigIntegerField()
    volume_ml = models.FloatField(_("volume (mL)"))
    source_format = models.CharField(max_length=20)
    software = models.CharField(max_length=200, blank=True)
    added_at = models.DateTimeField(auto_now_add=True)
    history = audit.history()

    objects = SegmentationQuerySet.as_manager()

    class Meta:
        ordering = ["series_id", "roi", "reader_id", "round", "pk"]
        verbose_name = _("segmentation")
        constraints = [
            models.UniqueConstraint(
                name="one_current_mask_per_reader_round_and_region",
                fields=["series", "reader", "round", "roi"],
                condition=Q(is_current=True),
            ),
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.roi} by {self.reader_id} on {self.series_id}"

    @property
    def study_id(self) -> int:
        return self.series.study_id


def _language() -> str:
    return "en" if (get_language() or "").startswith("en") else "zh"
