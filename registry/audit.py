"""Every write is attributed, or it does not happen.

`change()` is the one door for writers: it opens the transaction and says who writes, why and from where.
Audited models refuse to be saved outside it, keep a history row per save, and refuse bulk writes that would
slip past their history (ICH E6(R3) 4.2.2, 21 CFR 11.10(e), EMA computerised systems guideline 6.2.1).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from simple_history.models import HistoricalRecords

SOURCES = ("web", "api", "import", "migration", "derived", "dicom", "command", "demo", "job")


class UnattributedWrite(Exception):
    """A row of an audited model was written outside audit.change(), or by a path that leaves no history."""


@dataclass
class Change:
    """Who is writing now, why, from where; and their role and organisation in a study at this moment."""

    by: Any
    reason: str
    source: str
    request_id: str
    _roles: dict[int | None, str] = field(default_factory=dict)

    def role(self, study_id: int | None) -> str:
        if study_id not in self._roles:
            self._roles[study_id] = self.by.role_label(study_id)
        return self._roles[study_id]


@dataclass(frozen=True)
class Request:
    """What the door that let the writer in says of itself; set by middleware, tasks and commands."""

    source: str = "command"
    request_id: str = ""


@dataclass(frozen=True)
class Place:
    """Where in a study a history row belongs, as the exported trail names it."""

    site: Any = None
    subject: Any = None
    event: str = ""
    form: str = ""
    build: str = ""
    revision: str = ""


_change: ContextVar[Change | None] = ContextVar("change", default=None)
_request: ContextVar[Request] = ContextVar("request", default=Request())  # noqa: B039 - frozen


@contextlib.contextmanager
def request(*, source: str, request_id: str = "") -> Iterator[None]:
    """Name the door (`web`, `api`, `job`, …) for every change made inside."""
    token = _request.set(Request(source, request_id or uuid.uuid4().hex))
    try:
        yield
    finally:
        _request.reset(token)


@contextlib.contextmanager
def change(*, by: Any, reason: str = "", source: str = "") -> Iterator[Change]:
    """Open the transaction in which `by` writes, for `reason`. A nested change joins the outer one, and has its reason
    and source unless it names its own.

    Raises UnattributedWrite when nobody is named, ValueError for an unknown source.
    """
    if by is None or not getattr(by, "pk", None):
        raise UnattributedWrite("audit.change() needs a saved user: by=…")
    door, outer = _request.get(), _change.get()
    source = source or (outer.source if outer else door.source)
    reason = reason or (outer.reason if outer else "")
    if source not in SOURCES:
        raise ValueError(f"source {source!r} is not one of {', '.join(SOURCES)}")
    if outer and (outer.by, outer.reason, outer.source) == (by, reason, source):
        with transaction.atomic():
            yield outer
        return
    current = Change(by, reason, source, outer.request_id if outer else door.request_id or uuid.uuid4().hex)
    with transaction.atomic():
        token = _change.set(current)
        try:
            yield current
        finally:
            _change.reset(token)


def current() -> Change:
    """The change under way; raises UnattributedWrite outside one."""
    under_way = _change.get()
    if under_way is None:
        raise UnattributedWrite("write inside `with audit.change(by=…, reason=…)`")
    return under_way


def event(*, kind: str, study: Any = None, site: Any = None, subject: Any = None, details: dict | None = None) -> Any:
    """Write one typed event (`image.intake`, `dataset.lock`, `identity.view`, …) of the change under way."""
    now = current()
    study = study or getattr(site, "study", None) or getattr(subject, "study", None)
    return apps.get_model("registry", "AuditEvent").objects.create(
        kind=kind,
        study=study,
        site=site or getattr(subject, "site", None),
        subject=subject,
        by=now.by,
        role=now.role(study.pk if study else None),
        organisation=now.by.organisation,
        source=now.source,
        reason=now.reason,
        request_id=now.request_id,
        details=details or {},
    )


def _no_truncate() -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name="no_truncate",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func="RAISE EXCEPTION 'pgtrigger: Cannot truncate %: its rows are kept for ever', TG_TABLE_NAME;",
    )


def append_only() -> list[pgtrigger.Trigger]:
    """Triggers that let rows in and never let one change or leave; TRUNCATE included."""
    return [
        pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
        _no_truncate(),
    ]


def never_deleted() -> list[pgtrigger.Trigger]:
    """Triggers for rows that may change, with history, and never leave."""
    return [
        pgtrigger.Protect(name="never_deleted", operation=pgtrigger.Delete),
        _no_truncate(),
    ]


class AuditedHistory(models.Model):
    """What DESIGN §5 adds to simple-history's row: role and organisation at the time, source, request."""

    history_role = models.CharField(max_length=120, blank=True)
    history_organisation = models.CharField(max_length=200, blank=True)
    history_source = models.CharField(max_length=20)
    history_request = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True


class AuditedRecords(HistoricalRecords):
    """simple-history's records, filled from the change under way and append-only in the database."""

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        options: dict[str, Any] = super().get_meta_options(model)
        return options | {"triggers": append_only()}

    def create_historical_record(self, instance: Any, history_type: str, using: str | None = None) -> None:
        now = current()
        content = {tracked.attname: getattr(instance, tracked.attname) for tracked in self.fields_included(instance)}
        getattr(instance, self.manager_name).model(
            history_date=timezone.now(),
            history_type=history_type,
            history_user=now.by,
            history_change_reason=now.reason,
            history_role=now.role(getattr(instance, "study_id", None)),
            history_organisation=now.by.organisation,
            history_source=now.source,
            history_request=now.request_id,
            **content,
        ).save(using=using, force_insert=True)


HISTORY_OPTIONS: dict[str, Any] = {
    "user_model": settings.AUTH_USER_MODEL,
    "history_change_reason_field": models.TextField(blank=True, default=""),
}


def history() -> AuditedRecords:
    """The history of an audited model: `history = audit.history()`."""
    return AuditedRecords(bases=[AuditedHistory], **HISTORY_OPTIONS)


class AuditedQuerySet(models.QuerySet):
    """Refuses the writes that leave no history row."""

    def _refuse(self, name: str) -> None:
        raise UnattributedWrite(
            f"{self.model.__name__}.objects.{name}() leaves no history; save each row, or use COPY."
        )

    def update(self, **fields: Any) -> int:
        self._refuse("update")
        raise AssertionError

    def delete(self) -> tuple[int, dict[str, int]]:
        self._refuse("delete")
        raise AssertionError

    def bulk_create(self, *args: Any, **options: Any) -> list[Any]:
        self._refuse("bulk_create")
        raise AssertionError

    def bulk_update(self, *args: Any, **options: Any) -> int:
        self._refuse("bulk_update")
        raise AssertionError


class Audited(models.Model):
    """A clinical row: written only inside audit.change(), never deleted, with a history row per save."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        current()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        raise UnattributedWrite(f"{type(self).__name__} rows are never deleted; mark them instead.")
