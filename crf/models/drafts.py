"""What is being typed and by whom: working rows beside the records, never data themselves."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.models import Visit
from registry.permissions import Scoped


class Draft(models.Model):
    """The unsaved fields of one person's entry page of one record, so that a lost line or session loses nothing.

    `fields` is {field of the page: [texts]} as a browser sends them; `revision` is that of the record the page showed.
    """

    STUDY_PATH, SITE_PATH = "visit__subject__study", "visit__subject__site"
    WITHOUT_HISTORY = "not data: it becomes a record, with history, when its author saves it, or it expires"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="+")
    form = models.CharField(max_length=40)
    repeat = models.PositiveIntegerField(default=1)
    purpose = models.CharField(max_length=10, default="entry")  # or `second`: the second entry of the same form
    revision = models.PositiveIntegerField(default=0)
    fields = models.JSONField()
    saved_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-saved_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_draft_per_person_and_place", fields=["user", "visit", "form", "repeat", "purpose"]
            )
        ]

    def __str__(self) -> str:
        return f"draft of {self.user_id} at {self.visit_id} {self.form}/{self.repeat}"


class Presence(models.Model):
    """Somebody has the entry page of a record open; `typing` while they have unsaved answers there."""

    STUDY_PATH, SITE_PATH = "visit__subject__study", "visit__subject__site"
    WITHOUT_HISTORY = "who looks at what just now; forgotten in a minute"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="+")
    form = models.CharField(max_length=40)
    repeat = models.PositiveIntegerField(default=1)
    typing = models.BooleanField(default=False)
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = Scoped.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_presence_per_place_and_person", fields=["visit", "form", "repeat", "user"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} at {self.visit_id} {self.form}/{self.repeat}"


class CalendarFeed(models.Model):
    """A person's secret address of the study's calendar, for their own calendar program; kept as a hash."""

    STUDY_PATH, SITE_PATH = "study", None
    WITHOUT_HISTORY = "a revocable key; making and revoking it are audit events"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    language = models.CharField(max_length=10)
    made_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(name="one_feed_per_person_and_study", fields=["user", "study"])]

    def __str__(self) -> str:
        return f"feed of {self.user_id} in {self.study_id}"
