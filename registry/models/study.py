"""Studies, their sites and their groups."""

from __future__ import annotations

from django.db import models
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.permissions import Scoped


class ScopedAudited(Scoped, audit.AuditedQuerySet):
    """Scoped reads; only writes that leave history."""


class Named(models.Model):
    """A thing with a Chinese and an English name."""

    name_zh = models.CharField(_("Chinese name"), max_length=300)
    name_en = models.CharField(_("English name"), max_length=300)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return self.name_en if (get_language() or "").startswith("en") else self.name_zh


class Study(Named, audit.Audited):
    """One registered study. `protocol` holds the registration's facts as its definition states them."""

    STUDY_PATH, SITE_PATH = "pk", None

    code = models.SlugField(max_length=40, unique=True)
    registration_number = models.CharField(max_length=60, blank=True)
    short_name_zh = models.CharField(max_length=100, blank=True)
    short_name_en = models.CharField(max_length=100, blank=True)
    subject_number = models.CharField(max_length=60, default="{site}-{sequence:04d}")
    synthetic = models.BooleanField(_("synthetic data"), default=False)
    protocol = models.JSONField(default=dict)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["code"]
        verbose_name = _("study")
        triggers = audit.never_deleted()

    @property
    def study_id(self) -> int:
        return self.pk

    @property
    def short_name(self) -> str:
        chosen = self.short_name_en if (get_language() or "").startswith("en") else self.short_name_zh
        return chosen or self.name


class Site(Named, audit.Audited):
    """A hospital that takes part in one study."""

    STUDY_PATH, SITE_PATH = "study", "pk"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="sites")
    code = models.CharField(max_length=10)
    target = models.PositiveIntegerField(_("target size"), default=0)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "code"]
        verbose_name = _("site")
        constraints = [models.UniqueConstraint(name="site_code_is_unique_in_study", fields=["study", "code"])]
        triggers = audit.never_deleted()


class Group(Named, audit.Audited):
    """A group of subjects that the registration plans, with its size."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="groups")
    code = models.CharField(max_length=20)
    target = models.PositiveIntegerField(_("target size"), default=0)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "code"]
        verbose_name = _("group")
        constraints = [models.UniqueConstraint(name="group_code_is_unique_in_study", fields=["study", "code"])]
        triggers = audit.never_deleted()
