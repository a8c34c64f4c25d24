"""Files on their way to become records: what was sent, how its columns are read, what it would do. No clinical data
yet: what an import writes are records, with their own history."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models import ScopedAudited
from registry.permissions import Scoped


class ImportMapping(audit.Audited):
    """How files of one layout are read in a study, under a name: which column is which item."""

    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="import_mappings")
    name = models.CharField(_("name"), max_length=100)
    layout = models.CharField(max_length=64)
    columns = models.JSONField(default=list)
    mapping = models.JSONField(default=dict)
    history = audit.history()

    objects = ScopedAudited.as_manager()

    class Meta:
        ordering = ["study_id", "name"]
        verbose_name = _("import mapping")
        constraints = [models.UniqueConstraint(name="import_mapping_has_one_name", fields=["study", "name"])]
        indexes = [models.Index(fields=["study", "layout"], name="import_mapping_by_layout")]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return self.name


class Import(models.Model):
    """One file that somebody sent to a study: kept sealed for a while, seen by who sent it, with what came of it.

    `counts` and `prints` are the last preview's; `result` is what was imported; `parts_done` is the last part of the
    file that is written (mode good).
    """

    STUDY_PATH, SITE_PATH = "study", None
    WITHOUT_HISTORY = "work in hand: the import itself is an event, and each record that it writes has its history"

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        MAPPED = "mapped", _("columns assigned")
        PREVIEWED = "previewed", _("previewed")
        RUNNING = "running", _("running")
        DONE = "done", _("imported")
        STOPPED = "stopped", _("stopped")
        FAILED = "failed", _("failed")

    class Mode(models.TextChoices):
        ALL = "all", _("All rows or nothing")
        GOOD = "good", _("Only the good rows")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="imports")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.UPLOADED)
    file_name = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=10)
    encoding = models.CharField(max_length=20, blank=True)
    sheet = models.CharField(max_length=100, blank=True)
    sheets = models.JSONField(default=list)
    columns = models.JSONField(default=list)
    samples = models.JSONField(default=list)
    mapping = models.JSONField(null=True)
    counts = models.JSONField(default=dict)
    prints = models.JSONField(default=list)
    needs_reason = models.BooleanField(default=False)
    refused_rows = models.JSONField(default=list)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ALL)
    reason = models.TextField(blank=True)
    parts_done = models.IntegerField(default=-1)
    result = models.JSONField(default=dict)
    job = models.ForeignKey("registry.Job", on_delete=models.SET_NULL, null=True, related_name="+")

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("import")

    def __str__(self) -> str:
        return f"{self.file_name} {self.state}"

    @property
    def is_table(self) -> bool:
        return self.format in ("csv", "xlsx")

    @property
    def is_open(self) -> bool:
        """Whether it can still be mapped, previewed and started; one that failed or was stopped can be again."""
        return self.state not in (self.State.RUNNING, self.State.DONE)

    @property
    def is_busy(self) -> bool:
        return self.state == self.State.RUNNING or bool(self.job and not self.job.is_over)


class ImportLine(models.Model):
    """One line of a preview, so that it can be leafed through; it goes with its import."""

    STUDY_PATH, SITE_PATH = "upload__study", None
    WITHOUT_HISTORY = "a preview: nothing of it is stored anywhere yet"

    class Kind(models.TextChoices):
        REFUSED = "refused", _("refused")
        CHANGED = "changed", _("changed")
        NEW = "new", _("new")
        UNCHANGED = "unchanged", _("unchanged")

    upload = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="lines")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    row = models.PositiveIntegerField()
    column = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    event = models.CharField(max_length=40, blank=True)
    repeat = models.PositiveIntegerField(default=1)
    form = models.CharField(max_length=40, blank=True)
    number = models.PositiveIntegerField(default=1)
    values = models.JSONField(default=list)
    zh = models.TextField(blank=True)
    en = models.TextField(blank=True)
    remedy_zh = models.TextField(blank=True)
    remedy_en = models.TextField(blank=True)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["upload_id", "kind", "row", "pk"]
        indexes = [models.Index(fields=["upload", "kind", "row"], name="import_line_in_order")]

    def __str__(self) -> str:
        return f"{self.kind} {self.row}"
