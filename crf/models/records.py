"""Records: one form of one subject at one event, and the guarantee that no change escapes the audit trail.

The guarantee is the database's (DESIGN §5): a trigger on both tables computes the digest from the content and
asks for revision = old + 1; the record's (id, revision, digest) is a deferred foreign key to its history row,
so that a transaction with a change but no history of the same content can't commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pgtrigger
from django.db import connection, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from psycopg.types.json import Jsonb

from crf.definitions.model import StudyDefinition
from crf.models.builds import StudyBuild, definition_of_build
from registry import audit
from registry.models import ScopedAudited, Site, Subject, Visit

DIGEST = (
    "NEW.digest := crf_record_digest(NEW.subject_id, NEW.visit_id, NEW.form, NEW.repeat, NEW.build_id, "
    "NEW.status, NEW.revision, NEW.data, NEW.comments);"
)


WITH_HISTORY = """
INSERT INTO crf_historicalrecord (
    id, subject_id, visit_id, form, repeat, build_id, data, comments, status, revision, digest, history_date,
    history_type, history_user_id, history_change_reason, history_role, history_organisation, history_source,
    history_request
) SELECT id, subject_id, visit_id, form, repeat, build_id, data, comments, status, revision, digest, %(at)s,
    '~', %(user)s, %(reason)s, %(role)s, %(organisation)s, %(source)s, %(request)s
FROM revised
"""
REVISE_STATUS = f"""
WITH revised AS (
    UPDATE crf_record SET status = %(status)s, revision = revision + 1
    WHERE id = ANY(%(records)s) AND status <> %(status)s RETURNING *
) {WITH_HISTORY}"""  # noqa: S608 - constants
REVISE = f"""
WITH revised AS (
    UPDATE crf_record SET subject_id = %(subject_id)s, visit_id = %(visit_id)s, form = %(form)s, repeat = %(repeat)s,
        build_id = %(build_id)s, data = %(data)s, comments = %(comments)s, status = %(status)s, revision = %(revision)s
    WHERE id = %(id)s RETURNING *
) {WITH_HISTORY} RETURNING digest"""  # noqa: S608 - constants
REVISED = ("id", "subject_id", "visit_id", "form", "repeat", "build_id", "status", "revision")


class RecordQuerySet(ScopedAudited):
    """Bulk acts that write the same rows as a save does, under the same constraint."""

    def revise_status(self, status: str, *, study_id: int) -> int:
        """Give each of these records of one study the status: one revision and one history row each."""
        records = list(self.filter(subject__study=study_id).values_list("pk", flat=True))
        with connection.cursor() as cursor:
            cursor.execute(REVISE_STATUS, _attribution(study_id) | {"status": status, "records": records})
            return cursor.rowcount


def _attribution(study_id: int) -> dict[str, Any]:
    """Who writes now, why and from where, as the columns of a history row."""
    now = audit.current()
    return {
        "at": timezone.now(),
        "user": now.by.pk,
        "reason": now.reason,
        "role": now.role(study_id),
        "organisation": now.by.organisation,
        "source": now.source,
        "request": now.request_id,
    }


class RecordHistory(audit.AuditedRecords):
    """History whose digest the database computes from what the history row itself holds."""

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        options = super().get_meta_options(model)
        digest = pgtrigger.Trigger(
            name="digest", when=pgtrigger.Before, operation=pgtrigger.Insert, func=f"{DIGEST} RETURN NEW;"
        )
        return options | {"triggers": [*options["triggers"], digest]}


class Record(audit.Audited):
    """The answers of one form: `data` is {item: value}, `comments` is {item: why a soft finding stands}."""

    STUDY_PATH, SITE_PATH = "subject__study", "subject__site"

    class Status(models.TextChoices):
        IN_PROGRESS = "in_progress", _("in progress")
        COMPLETE = "complete", _("complete")
        VERIFIED = "verified", _("verified")
        SIGNED = "signed", _("signed")
        LOCKED = "locked", _("locked")

    subject = models.ForeignKey("registry.Subject", on_delete=models.PROTECT, related_name="records")
    visit = models.ForeignKey("registry.Visit", on_delete=models.PROTECT, related_name="records")
    form = models.CharField(_("form"), max_length=40)
    repeat = models.PositiveIntegerField(default=1)
    build = models.ForeignKey(StudyBuild, on_delete=models.PROTECT, related_name="records")
    data = models.JSONField(default=dict)
    comments = models.JSONField(default=dict)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.IN_PROGRESS)
    revision = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64, editable=False)
    history = RecordHistory(bases=[audit.AuditedHistory], **audit.HISTORY_OPTIONS)

    objects = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["subject_id", "visit_id", "form", "repeat"]
        verbose_name = _("record")
        constraints = [models.UniqueConstraint(name="record_exists_once", fields=["visit", "form", "repeat"])]
        triggers = [
            *audit.never_deleted(),
            pgtrigger.Trigger(
                name="revision_and_digest",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                declare=[("expected", "integer")],
                func=(
                    "expected := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE OLD.revision + 1 END;"
                    "IF NEW.revision IS DISTINCT FROM expected THEN"
                    " RAISE EXCEPTION 'crf_record %: revision must be % (got %): every change is a revision',"
                    " NEW.id, expected, NEW.revision; END IF;" + DIGEST + " RETURN NEW;"
                ),
            ),
            pgtrigger.Trigger(
                name="locked_stays",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__status="locked"),
                func=(
                    "IF NEW.data IS DISTINCT FROM OLD.data OR NEW.comments IS DISTINCT FROM OLD.comments"
                    " OR NEW.build_id IS DISTINCT FROM OLD.build_id OR NEW.visit_id IS DISTINCT FROM OLD.visit_id"
                    " OR NEW.subject_id IS DISTINCT FROM OLD.subject_id OR NEW.form IS DISTINCT FROM OLD.form"
                    " OR NEW.repeat IS DISTINCT FROM OLD.repeat THEN"
                    " RAISE EXCEPTION 'crf_record % is locked: unlock it first', OLD.id; END IF; RETURN NEW;"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject_id} {self.form}/{self.repeat} r{self.revision}"

    @property
    def study_id(self) -> int:
        return self.subject.study_id

    @property
    def study_definition(self) -> StudyDefinition:
        """The definition this record is bound to, read once per process."""
        return definition_of_build(self.build_id)

    @classmethod
    def audit_values(cls, row: Any) -> dict[str, Any]:
        """The trail shows answers by item, and the comments that let soft findings stand."""
        comments = {f"{item} (comment)": text for item, text in row.comments.items()}
        return {**row.data, **comments, "(status)": row.status}

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        subject, visit = get(Subject, row.subject_id), get(Visit, row.visit_id)
        build = get(StudyBuild, row.build_id)
        event = f"{visit.event}/{visit.repeat}" if visit.repeat > 1 else visit.event
        form = f"{row.form}/{row.repeat}" if row.repeat > 1 else row.form
        return audit.Place(get(Site, subject.site_id), subject, event, form, build.version, str(row.revision))

    def save(self, *args: Any, **options: Any) -> None:
        """Save as the next revision; a later one writes the record and its history row in one statement."""
        self.revision += 1
        try:
            if self._state.adding or args or options:
                super().save(*args, **options)
                self.__dict__.pop("digest", None)  # the database's; read back when it is asked for
            else:
                self._revise()
        except BaseException:
            self.revision -= 1
            raise

    def _revise(self) -> None:
        content = {name: getattr(self, name) for name in REVISED}
        content |= {"data": Jsonb(self.data), "comments": Jsonb(self.comments)}
        with connection.cursor() as cursor:
            cursor.execute(REVISE, _attribution(self.study_id) | content)
            written = cursor.fetchone()
        if written is None:
            raise self.DoesNotExist(f"crf_record {self.pk} is not there")
        (self.digest,) = written
