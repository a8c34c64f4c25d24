"""Write thousands of audited rows with COPY: the rows that saving one by one leaves, under the same triggers.

The database computes digests, asks for each revision and ties each record to its history here as anywhere else; what
is saved is the round trip per row. Nobody but the import uses this, and only inside `audit.change()`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import connection, models
from django.utils import timezone

from crf.models import Record
from registry import audit
from registry.models import Identity, Subject, Visit

# Rows refer to those of the tables before.
TABLES: tuple[type[models.Model], ...] = (Subject, Identity, Visit, Record)
CREATED, CHANGED = "+", "~"


@dataclass(frozen=True, slots=True)
class Step:
    """One row as one save leaves it, and what its history says beside the change under way."""

    row: Any
    kind: str
    reason: str = ""
    source: str = ""


class Keys(Protocol):
    """Where new rows get their primary keys from."""

    def next(self, model: type[models.Model]) -> int: ...


class ProvisionalKeys:
    """Keys of rows that are only rehearsed: below zero, so that no stored row has them."""

    def __init__(self) -> None:
        self.last = 0

    def next(self, model: type[models.Model]) -> int:
        self.last -= 1
        return self.last


class SequenceKeys:
    """Keys from the table's sequence, some hundred at a time."""

    def __init__(self, at_once: int = 500) -> None:
        self.at_once = at_once
        self.ready: dict[type[models.Model], Iterator[int]] = {}

    def next(self, model: type[models.Model]) -> int:
        key = next(self.ready.get(model, iter(())), None)
        if key is None:
            self.ready[model] = iter(self.fetched(model))
            key = next(self.ready[model])
        return key

    def fetched(self, model: type[models.Model]) -> list[int]:
        query = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
        with connection.cursor() as cursor:
            cursor.execute(query, [model._meta.db_table, self.at_once])
            return [key for (key,) in cursor.fetchall()]


def write(steps: Iterable[Step]) -> None:
    """Write the rows of `steps` and one history row for each step, in the order of the tables.

    A record goes through all its revisions, as its trigger asks; of other rows only the last state is written.
    """
    by_table: dict[type[models.Model], list[Step]] = defaultdict(list)
    for step in steps:
        by_table[type(step.row)].append(step)
    for model in TABLES:
        if of_model := by_table[model]:
            for wave in _waves(model, of_model):
                _insert(model, [step.row for step in wave if step.kind == CREATED])
                _update(model, [step.row for step in wave if step.kind == CHANGED])
            _insert_histories(model, of_model)


def _waves(model: type[models.Model], steps: list[Step]) -> list[list[Step]]:
    """The steps parted so that each part touches a row once: first all new rows, then one revision after the other."""
    by_key: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        by_key[step.row.pk].append(step)
    if model is not Record:
        return [[Step(of_row[-1].row, of_row[0].kind) for of_row in by_key.values()]]
    waves: list[list[Step]] = [[] for _ in range(max(map(len, by_key.values())))]
    for of_row in by_key.values():
        for number, step in enumerate(of_row):
            waves[number].append(step)
    return waves


def _insert(model: type[models.Model], rows: list[Any]) -> None:
    fields = _fields(model)
    if rows:
        _copy(model._meta.db_table, [field.column for field in fields], (_values(row, fields) for row in rows))


def _update(model: type[models.Model], rows: list[Any]) -> None:
    if not rows:
        return
    fields = _fields(model)
    columns = list(zip(*(_values(row, fields) for row in rows), strict=True))
    names = [field.column for field in fields]
    arrays = ", ".join(f"%s::{_array_type(field)}[]" for field in fields)
    changes = ", ".join(f"{field.column} = n.{field.column}{_cast(field)}" for field in fields if not field.primary_key)
    query = (
        f"UPDATE {model._meta.db_table} t SET {changes} "  # noqa: S608 - names of our own tables
        f"FROM unnest({arrays}) AS n({', '.join(names)}) WHERE t.id = n.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [list(column) for column in columns])
        if cursor.rowcount != len(rows):
            raise RuntimeError(f"{model._meta.db_table}: {cursor.rowcount} of {len(rows)} rows were there to change")


def _insert_histories(model: type[models.Model], steps: list[Step]) -> None:
    fields = _fields(model)
    table = model.history.model._meta.db_table  # type: ignore[attr-defined]
    named = ["history_date", "history_type", "history_user_id", "history_change_reason", "history_role"]
    named += ["history_organisation", "history_source", "history_request"]
    now, at = audit.current(), timezone.now()
    role = now.role(steps[0].row.study_id)
    about = (now.by.pk, role, now.by.organisation, now.request_id)
    rows = ((*_values(step.row, fields), *_told(step, now, at, about)) for step in steps)
    _copy(table, [field.column for field in fields] + named, rows)


def _told(step: Step, now: audit.Change, at: Any, about: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a history row says beside the content, as `AuditedRecords` says it."""
    user, role, organisation, request = about
    return (at, step.kind, user, step.reason or now.reason, role, organisation, step.source or now.source, request)


def _copy(table: str, columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _fields(model: type[models.Model]) -> list[Any]:
    """The columns that we write; the digest is the database's."""
    return [field for field in model._meta.concrete_fields if field.name != "digest"]


def _values(row: Any, fields: list[Any]) -> tuple[Any, ...]:
    """The row's values as COPY takes them. JSON is made once for the row and its history."""
    held = row.__dict__
    return tuple(
        [_json(held, field.attname) if isinstance(field, models.JSONField) else held[field.attname] for field in fields]
    )


def as_json(record: Record) -> str:
    """The record's data as COPY takes it, made once for the plan's hash, the row and its history."""
    return _json(record.__dict__, "data")


def _json(held: dict[str, Any], name: str) -> str:
    key = f"_bulk_{name}"
    text = held.get(key)
    if text is None:
        text = held[key] = json.dumps(held[name]) if held[name] != {} else "{}"
    return str(text)


def _array_type(field: Any) -> str:
    return "text" if isinstance(field, models.JSONField) else field.db_type(connection)


def _cast(field: Any) -> str:
    return "::jsonb" if isinstance(field, models.JSONField) else ""
