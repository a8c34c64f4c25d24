"""Double entry: what a second person typed from the same paper, blind to the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from crf.models.records import Record
from registry import audit
from registry.models import ScopedAudited, Site, Subject, Visit


class SecondEntry(audit.Audited):
    """The second entry of one record: awaited once the first is finished, entered, then agreed with it.

    `data` holds the second person's values until agreement and after it: the history shows what each typed.
    """

    STUDY_PATH, SITE_PATH = "record__subject__study", "record__subject__site"

    class Status(models.TextChoices):
        AWAITED = "awaited", _("second entry awaited")
        DIFFERS = "differs", _("entries differ")
        AGREED = "agreed", _("entries agree")

    record = models.OneToOneField(Record, on_delete=models.PROTECT, related_name="second_entry")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.AWAITED)
    data = models.JSONField(default=dict)
    revision = models.PositiveIntegerField(default=0)  # of the record that the second entry was compared with
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["record_id"]
        verbose_name = _("second entry")
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"second entry of {self.record_id}: {self.status}"

    @property
    def study_id(self) -> int:
        return self.record.subject.study_id

    @classmethod
    def audit_values(cls, row: Any) -> dict[str, Any]:
        return {**row.data, "(status)": row.status}

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        record = get(Record, row.record_id)
        subject, visit = get(Subject, record.subject_id), get(Visit, record.visit_id)
        event = f"{visit.event}/{visit.repeat}" if visit.repeat > 1 else visit.event
        return audit.Place(get(Site, subject.site_id), subject, event, f"{record.form} (2)", "", str(row.revision))
