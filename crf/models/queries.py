"""Queries: what is asked about a value, a form or a missing form, until it is answered and closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry import audit
from registry.models import ScopedAudited, Site, Subject, Visit
from registry.permissions import Role, Scoped

# What an act writes beside the queries themselves, from the rows `written` and the words `said` of each: history,
# thread, and the typed event in which the sealed trail keeps the words. One statement, however many queries.
TRACES = """
, kept AS (
    INSERT INTO crf_historicalquery ({columns}, history_date, history_type, history_user_id, history_change_reason,
        history_role, history_organisation, history_source, history_request)
    SELECT {columns}, %(at)s, %(type)s, %(user)s, %(reason)s, %(role)s, %(organisation)s, %(source)s, %(request)s
    FROM written
), thread AS (
    INSERT INTO crf_querymessage (query_id, act, text, text_en, by_id, role, at, revision)
    SELECT id, %(act)s, said.text, said.text_en, %(person)s, CASE WHEN %(person)s IS NULL THEN '' ELSE %(role)s END,
        %(at)s, said.revision
    FROM written JOIN said USING (id)
), told AS (
    INSERT INTO registry_auditevent (kind, at, study_id, site_id, subject_id, by_id, role, organisation, source,
        reason, request_id, details)
    SELECT 'query.' || %(act)s, %(at)s, written.study_id, subject.site_id, subject.id, %(user)s, %(role)s,
        %(organisation)s, %(source)s, %(reason)s, %(request)s, jsonb_strip_nulls(jsonb_build_object(
            'query', 'Q-' || lpad(written.id::text, greatest(6, length(written.id::text)), '0'),
            'place', concat_ws('.', written.form, nullif(written.item, '')),
            'text', nullif(said.text, ''), 'cause', nullif(written.cause, '')))
    FROM written JOIN said USING (id) JOIN registry_subject subject ON subject.id = written.subject_id
)
SELECT id FROM written ORDER BY id
"""

OPEN = """
WITH given AS (
    SELECT nextval(pg_get_serial_sequence('crf_query', 'id')) AS id, one.*
    FROM jsonb_to_recordset(%(rows)s) AS one (subject_id bigint, visit_id bigint, form text, repeat integer, item text,
        value jsonb, revision integer, text text, text_en text, cause text, priority integer, assignee text)
), said AS (SELECT id, text, text_en, revision FROM given), written AS (
    INSERT INTO crf_query (id, study_id, subject_id, visit_id, form, repeat, item, value, revision, text, text_en,
        origin, cause, status, priority, assignee, opened_by_id, opened_at)
    SELECT id, %(study)s, subject_id, visit_id, form, repeat, item, value, revision, text, text_en,
        %(origin)s, cause, 'open', priority, assignee, %(person)s, %(at)s
    FROM given
    ON CONFLICT (visit_id, form, repeat, item, cause) WHERE NOT (cause = '') DO NOTHING
    RETURNING *
)
"""

STEP = """
WITH said AS (
    SELECT id, text, text_en, value, revision FROM jsonb_to_recordset(%(rows)s)
        AS one (id bigint, text text, text_en text, value jsonb, revision integer)
), written AS (
    UPDATE crf_query AS query SET
        status = coalesce(%(status)s, query.status),
        priority = coalesce(%(priority)s, query.priority),
        assignee = coalesce(%(assignee)s, query.assignee),
        answered_by_id = CASE %(act)s WHEN 'answer' THEN %(person)s WHEN 'reopen' THEN NULL
            ELSE query.answered_by_id END,
        answered_at = CASE %(act)s WHEN 'answer' THEN %(at)s WHEN 'reopen' THEN NULL ELSE query.answered_at END,
        closed_by_id = CASE %(act)s WHEN 'close' THEN %(person)s WHEN 'reopen' THEN NULL ELSE query.closed_by_id END,
        closed_at = CASE %(act)s WHEN 'close' THEN %(at)s WHEN 'reopen' THEN NULL ELSE query.closed_at END,
        settled_value = CASE WHEN %(act)s = 'close' AND %(person)s IS NOT NULL THEN said.value
            WHEN %(act)s IN ('close', 'reopen') THEN NULL ELSE query.settled_value END,
        text = CASE WHEN %(act)s = 'reopen' AND %(person)s IS NULL THEN said.text ELSE query.text END,
        text_en = CASE WHEN %(act)s = 'reopen' AND %(person)s IS NULL THEN said.text_en ELSE query.text_en END,
        value = CASE WHEN %(act)s = 'reopen' AND %(person)s IS NULL THEN said.value ELSE query.value END,
        revision = CASE WHEN %(act)s = 'reopen' AND %(person)s IS NULL THEN said.revision ELSE query.revision END
    FROM said WHERE said.id = query.id AND query.study_id = %(study)s AND query.status = ANY(%(before)s)
    RETURNING query.*
)
"""


@cache
def _traces() -> str:
    return TRACES.format(columns=", ".join(field.column for field in Query._meta.concrete_fields))


class QueryQuerySet(ScopedAudited):
    """The acts on queries, each one statement for any number of them, with history, thread and event."""

    def open_new(self, rows: Sequence[dict[str, Any]], *, study_id: int, origin: str) -> list[int]:
        """Open these; who opens is the change's person where a person asks, and the system otherwise.

        `rows` have subject_id, visit_id, form, repeat, item, value, revision, text, text_en, cause, priority, assignee.
        One whose cause already has its query at the place is left out. The keys of those opened.
        """
        person = audit.current().by.pk if origin == Query.Origin.MANUAL else None
        return self._act(OPEN, rows, study_id, act="open", type="+", origin=origin, person=person)

    def step(
        self,
        act: str,
        rows: Sequence[dict[str, Any]],
        *,
        study_id: int,
        before: Sequence[str],
        status: str | None = None,
        priority: int | None = None,
        assignee: str | None = None,
        by_system: bool = False,
    ) -> list[int]:
        """Take one step on each query that is still in a state of `before`; the keys of those.

        `rows` have id, text, text_en, and the value and revision that the place holds now.
        """
        person = None if by_system else audit.current().by.pk
        wanted = {"status": status, "priority": priority, "assignee": assignee, "before": list(before)}
        return self._act(STEP, rows, study_id, act=act, type="~", person=person, **wanted)

    def _act(self, statement: str, rows: Sequence[dict[str, Any]], study_id: int, **values: Any) -> list[int]:
        if not rows:
            return []
        now = audit.current()
        parameters = values | {
            "rows": json.dumps(list(rows)),
            "study": study_id,
            "at": timezone.now(),
            "user": now.by.pk,
            "reason": now.reason,
            "role": now.role(study_id),
            "organisation": now.by.organisation,
            "source": now.source,
            "request": now.request_id,
        }
        with connection.cursor() as cursor:
            cursor.execute(statement + _traces(), parameters)
            return [key for (key,) in cursor.fetchall()]


class Query(audit.Audited):
    """One question about one place: an item (`item` is its path), a form (no item), or a form not yet entered.

    `cause` names what opened an automatic query (`check:<id>`, `rule:<id>`, `missing`); one place has one query per
    cause, which is closed when the cause is gone and reopened when it returns. `text`, `value` and `revision` are what
    was asked and stood there when it was opened, or reopened by its cause; `settled_value` is what a person closed it
    on, which therefore opens it no more.
    """

    STUDY_PATH, SITE_PATH = "study", "subject__site"

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        ANSWERED = "answered", _("answered")
        CLOSED = "closed", _("closed")

    class Origin(models.TextChoices):
        MANUAL = "manual", _("asked by a person")
        CHECK = "check", _("check of the form")
        RULE = "rule", _("data-quality rule")
        MISSING = "missing", _("missing form")
        IMPORT = "import", _("import")

    class Priority(models.IntegerChoices):
        LOW = 1, _("low")
        NORMAL = 2, _("normal")
        HIGH = 3, _("high")

    study = models.ForeignKey("registry.Study", on_delete=models.PROTECT, related_name="queries")
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="queries")
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="queries")
    form = models.CharField(_("form"), max_length=40)
    repeat = models.PositiveIntegerField(default=1)
    item = models.CharField(_("item"), max_length=160, blank=True)
    value = models.JSONField(null=True)
    revision = models.PositiveIntegerField(null=True)
    text = models.TextField(_("question"))
    text_en = models.TextField(blank=True)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.MANUAL)
    cause = models.CharField(max_length=160, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    priority = models.PositiveSmallIntegerField(_("priority"), choices=Priority.choices, default=Priority.NORMAL)
    assignee = models.CharField(_("for"), max_length=20, choices=Role.choices, default=Role.COORDINATOR)
    # No person stands for the system.
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True)
    settled_value = models.JSONField(null=True)
    history = audit.history()

    objects = QueryQuerySet.as_manager()

    class Meta:
        ordering = ["study_id", "-pk"]
        verbose_name = _("query")
        constraints = [
            models.UniqueConstraint(
                name="one_query_per_cause_and_place",
                fields=["visit", "form", "repeat", "item", "cause"],
                condition=~Q(cause=""),
            ),
            models.CheckConstraint(
                name="closed_query_says_when", condition=~Q(status="closed") | Q(closed_at__isnull=False)
            ),
        ]
        indexes = [
            models.Index(fields=["study", "status", "-id"], name="query_by_study_and_status"),
            models.Index(fields=["visit", "form", "repeat"], name="query_by_place"),
            models.Index(fields=["subject"], condition=~Q(status="closed"), name="query_waiting_of_subject"),
        ]
        triggers = audit.never_deleted()

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return public_id(self.pk)

    @property
    def is_automatic(self) -> bool:
        return bool(self.cause)

    @property
    def age_days(self) -> int:
        """Whole days from opening until it was closed, or until now."""
        return ((self.closed_at or timezone.now()) - self.opened_at).days

    def said(self, language: str) -> str:
        """The question in a Django language code's language; what a person wrote is shown as written."""
        return self.text if language.lower().startswith("zh") or not self.text_en else self.text_en

    @classmethod
    def audit_values(cls, row: Any) -> dict[str, Any]:
        """The trail names the query beside each thing that changed of it."""
        told = {"status": row.status, "item": row.item, "text": row.text, "priority": row.priority}
        told |= {"for": row.assignee, "cause": row.cause, "value": row.value}
        return {f"{public_id(row.id)} {name}": value for name, value in told.items() if value not in (None, "")}

    @classmethod
    def audit_place(cls, row: Any, get: Callable[[type[models.Model], Any], Any]) -> audit.Place:
        subject, visit = get(Subject, row.subject_id), get(Visit, row.visit_id)
        event = f"{visit.event}/{visit.repeat}" if visit.repeat > 1 else visit.event
        form = f"{row.form}/{row.repeat}" if row.repeat > 1 else row.form
        return audit.Place(get(Site, subject.site_id), subject, event, form, revision=str(row.revision or ""))


def public_id(key: int) -> str:
    """What people call a query: `Q-000123`. Numbers are never used twice, also across studies."""
    return f"Q-{key:06d}"


class QueryMessage(models.Model):
    """One message of a query's thread, or one step of it with its words; nothing said is ever changed."""

    STUDY_PATH, SITE_PATH = "query__study", "query__subject__site"

    class Act(models.TextChoices):
        OPEN = "open", _("opened")
        ANSWER = "answer", _("answered")
        CLOSE = "close", _("closed")
        REOPEN = "reopen", _("reopened")
        COMMENT = "comment", _("commented")
        ASSIGN = "assign", _("assigned")

    query = models.ForeignKey(Query, on_delete=models.PROTECT, related_name="messages")
    act = models.CharField(max_length=10, choices=Act.choices)
    text = models.TextField(blank=True)
    text_en = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    role = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField(default=timezone.now)
    revision = models.PositiveIntegerField(null=True)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["query_id", "pk"]
        triggers = audit.append_only()

    def __str__(self) -> str:
        return f"{self.query_id} {self.act} {self.at:%Y-%m-%d %H:%M:%S}"

    def said(self, language: str) -> str:
        return self.text if language.lower().startswith("zh") or not self.text_en else self.text_en


class QueryView(models.Model):
    """Filters of the query list that a person keeps under a name, for themselves or for everybody in the study."""

    WITHOUT_HISTORY = "a person's bookmark of filters, not clinical"
    STUDY_PATH, SITE_PATH = "study", None

    study = models.ForeignKey("registry.Study", on_delete=models.CASCADE, related_name="query_views")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="query_views")
    name = models.CharField(_("name"), max_length=80)
    filters = models.CharField(max_length=2000, blank=True)
    is_shared = models.BooleanField(_("for everybody in the study"), default=False)

    objects = Scoped.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(name="view_name_is_the_owners", fields=["study", "owner", "name"])]

    def __str__(self) -> str:
        return self.name
