"""Subjects, who they are, and when they are expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models.study import Group, ScopedAudited, Site, Study


class Subject(audit.Audited):
    """A person in a study, known by a number. Their identity is in `Identity`, apart and encrypted."""

    STUDY_PATH, SITE_PATH = "study", "site"

    class Status(models.TextChoices):
        ENROLLED = "enrolled", _("enrolled")
        COMPLETED = "completed", _("completed")
        WITHDRAWN = "withdrawn", _("withdrawn")

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="subjects")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="subjects")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, null=True, blank=True, related_name="subjects")
    sequence = models.PositiveIntegerField()
    number = models.CharField(_("subject number"), max_length=40)
    enrolled_on = models.DateField(_("enrolled on"))
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.ENROLLED)
    status_reason = models.TextField(blank=True)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "number"]
        verbose_name = _("subject")
        constraints = [
            models.UniqueConstraint(name="subject_number_is_unique_in_study", fields=["study", "number"]),
            models.UniqueConstraint(name="subject_sequence_is_unique_at_site", fields=["site", "sequence"]),
            models.CheckConstraint(
                name="withdrawn_with_reason", condition=~Q(status="withdrawn") | ~Q(status_reason="")
            ),
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return self.number


class Identity(audit.Audited):
    """Name, hospital number and ID number, encrypted (AES-GCM); keyed hashes find the person without decrypting.

    The hash of the hospital number is the site's, those of name and ID number are the study's: a person enrolled at
    two sites is seen by them.
    """

    STUDY_PATH, SITE_PATH = "subject__study", "subject__site"

    subject = models.OneToOneField(Subject, on_delete=models.PROTECT, related_name="identity")
    name_encrypted = models.BinaryField()
    hospital_number_encrypted = models.BinaryField()
    hospital_number_hash = models.CharField(max_length=64, blank=True, db_index=True)
    id_number_encrypted = models.BinaryField(null=True)
    id_number_hash = models.CharField(max_length=64, null=True, db_index=True)
    name_hash = models.CharField(max_length=64, null=True, db_index=True)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"identity of {self.subject_id}"

    @property
    def study_id(self) -> int:
        return self.subject.study_id


class Visit(audit.Audited):
    """One event of one subject in the calendar: when it is due, its window, when it happened."""

    STUDY_PATH, SITE_PATH = "subject__study", "subject__site"

    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="visits")
    event = models.CharField(_("event"), max_length=40)
    repeat = models.PositiveIntegerField(default=1)
    target_on = models.DateField(null=True, blank=True)
    window_from = models.DateField(null=True, blank=True)
    window_to = models.DateField(null=True, blank=True)
    occurred_on = models.DateField(_("occurred on"), null=True, blank=True)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["subject_id", "target_on", "event", "repeat"]
        verbose_name = _("visit")
        constraints = [
            models.UniqueConstraint(name="visit_happens_once", fields=["subject", "event", "repeat"]),
            models.CheckConstraint(
                name="visit_window_is_ordered",
                condition=Q(window_from__isnull=True) | Q(window_to__isnull=True) | Q(window_from__lte=F("window_to")),
            ),
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.subject} {self.event}/{self.repeat}"

    @property
    def study_id(self) -> int:
        return self.subject.study_id

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        subject = get(Subject, row.subject_id)
        event = f"{row.event}/{row.repeat}" if row.repeat > 1 else row.event
        return audit.Place(get(Site, subject.site_id), subject, event, "visit")
