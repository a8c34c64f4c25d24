"""Files that answer an item, such as a scanned report: the row says what, the storage holds it encrypted."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry import audit
from registry.models import Subject
from registry.permissions import Scoped


class Attachment(models.Model):
    """One uploaded file of a subject. It never changes or leaves; records and their history name it by `public_id`."""

    STUDY_PATH, SITE_PATH = "subject__study", "subject__site"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="attachments")
    form = models.CharField(max_length=40)
    item = models.CharField(max_length=63)
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["subject_id", "-pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"
