"""Study builds: immutable, hashed versions of a study's definition."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.db import models
from django.utils import timezone

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


@lru_cache(maxsize=64)
def definition_of_build(build_id: int) -> StudyDefinition:
    """A build never changes, so each process reads and compiles it once."""
    return StudyDefinition.from_json(StudyBuild.objects.values_list("definition", flat=True).get(pk=build_id))
