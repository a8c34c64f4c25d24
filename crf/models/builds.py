"""Study builds: immutable, hashed versions of a study's definition; where each is in use; what is not yet a build."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from crf.definitions.model import StudyDefinition
from registry import audit
from registry.permissions import Scoped


class BuildManager(models.Manager):
    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().defer("definition")


class StudyBuild(models.Model):
    """One version of a study's definition (ODM MetaDataVersion), bound for ever to the records made with it."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="builds")
    version = models.CharField(max_length=40)
    definition = models.JSONField()
    sha256 = models.CharField(max_length=64)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(default=timezone.now)

    # The definition is large and cached per process; rows travel without it.
    objects = BuildManager.from_queryset(Scoped)()

    class Meta:
        ordering = ["study_id", "-pk"]
        constraints = [models.UniqueConstraint(name="build_version_is_unique_in_study", fields=["study", "version"])]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.study_id} {self.version}"

    @property
    def study_definition(self) -> StudyDefinition:
        return definition_of_build(self.pk)


class BuildRelease(models.Model):
    """A build put to use at one site, with the approval it rests on; the site's newest release is in force."""

    STUDY_PATH, SITE_PATH = "build__study", "site"

    build = models.ForeignKey(StudyBuild, on_delete=models.PROTECT, related_name="releases")
    site = models.ForeignKey("registry.Site", on_delete=models.PROTECT, related_name="releases")
    approved_on = models.DateField(_("approved on"), null=True, blank=True)
    document = models.CharField(_("approval document"), max_length=300, blank=True)
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    released_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.build_id} at {self.site_id}"


class BuildDraft(models.Model):
    """An uploaded definition that was read and found sound, waiting to be looked at and published."""

    STUDY_PATH, SITE_PATH = "study", None
    WITHOUT_HISTORY = "an upload under review: no record is bound to it, and publishing it is audited"

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="build_drafts")
    file_name = models.CharField(max_length=200)
    file_sha256 = models.CharField(max_length=64)
    definition = models.JSONField()
    version = models.CharField(max_length=40)
    sha256 = models.CharField(max_length=64)
    losses = models.JSONField(default=list)
    weighing = models.ForeignKey("registry.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now)

    objects = BuildManager.from_queryset(Scoped)()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.study_id} {self.version} ({self.file_name})"

    @property
    def study_definition(self) -> StudyDefinition:
        return definition_of_draft(self.pk, self.sha256)


@lru_cache(maxsize=8)
def definition_of_draft(draft_id: int, sha256: str) -> StudyDefinition:
    """A draft never changes either: a corrected file is another draft."""
    return StudyDefinition.from_json(BuildDraft.objects.values_list("definition", flat=True).get(pk=draft_id))


@lru_cache(maxsize=64)
def definition_of_build(build_id: int) -> StudyDefinition:
    """A build never changes, so each process reads and compiles it once."""
    return StudyDefinition.from_json(StudyBuild.objects.values_list("definition", flat=True).get(pk=build_id))
