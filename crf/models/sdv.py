"""Source data verification: what is to be compared with the source, and what was, value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from crf.models.records import Record
from registry import audit
from registry.models import ScopedAudited


class SdvPlan(audit.Audited):
    """How much of a study is compared with the source. A study without one compares everything.

    A sample is a keyed hash of the subject's number (or of the form's place) under `seed`: the same every time, for
    everybody, and of nothing that is entered later.
    """

    STUDY_PATH, SITE_PATH = "study", None

    class Scope(models.TextChoices):
        ALL = "all", _("every item")
        CRITICAL = "critical", _("critical items only")
        SUBJECTS = "subjects", _("a random share of the subjects")
        FORMS = "forms", _("a random share of the forms")

    study = models.OneToOneField("registry.Study", on_delete=models.PROTECT, related_name="sdv_plan")
    scope = models.CharField(_("what is verified"), max_length=10, choices=Scope.choices, default=Scope.ALL)
    percentage = models.PositiveSmallIntegerField(
        _("share in %"), default=100, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    critical_always = models.BooleanField(_("critical items also outside the sample"), default=True)
    seed = models.CharField(max_length=32)
    overdue_days = models.PositiveSmallIntegerField(
        _("days after the window until a missing form is queried"), null=True, blank=True
    )
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        verbose_name = _("SDV plan")
        constraints = [
            models.CheckConstraint(name="sdv_share_is_a_percentage", condition=Q(percentage__range=(1, 100)))
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.study_id} {self.scope} {self.percentage} %"


class SourceVerification(audit.Audited):
    """What of one record agrees with its source.

    `items` is {path: {digest, revision, by, at}} of the values that stand verified; `changed` the same of values that
    changed after they were verified, with the revision that changed them. The counts are of those two.
    """

    STUDY_PATH, SITE_PATH = "record__subject__study", "record__subject__site"

    record = models.OneToOneField(Record, on_delete=models.PROTECT, related_name="source_verification")
    items = models.JSONField(default=dict)
    changed = models.JSONField(default=dict)
    verified_count = models.PositiveIntegerField(default=0)
    changed_count = models.PositiveIntegerField(default=0)
    is_complete = models.BooleanField(default=False)  # every item due under the plan stands verified
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        verbose_name = _("source verification")
        indexes = [models.Index(fields=["record"], condition=Q(changed_count__gt=0), name="sdv_with_changes")]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return f"{self.record_id}: {self.verified_count} verified, {self.changed_count} changed"

    @property
    def study_id(self) -> int:
        return self.record.study_id

    @classmethod
    def audit_values(cls, row: Any) -> dict[str, Any]:
        """The trail says of each item whether it stands verified, and with which revision."""
        standing = {f"{path} (SDV)": f"verified r{one['revision']}" for path, one in row.items.items()}
        changed = {f"{path} (SDV)": f"changed r{one['changed_revision']}" for path, one in row.changed.items()}
        return standing | changed

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        return Record.audit_place(get(Record, row.record_id), get)
