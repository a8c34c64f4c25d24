"""Queries as CSV: one line each with its public id, place, people, times and thread."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from django.utils.translation import override

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.models import Query
from crf.selectors import definition_of
from crf.selectors.queries import Filters, listed, shown_value, threads, with_people
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise
from registry.services.audit_export import safe_cell, utc
from registry.wording import person_name

CHUNK = 1000
COLUMNS = (
    "query", "status", "priority", "for", "origin", "cause", "site", "subject", "event", "event_repeat", "event_date",
    "form", "form_repeat", "item", "label", "value", "revision", "question", "opened_by", "opened_at", "answered_by",
    "answered_at", "closed_by", "closed_at", "age_days", "thread",
)  # fmt: skip


def export(*, study: Study, filters: Filters, file: TextIO, language: str = "en", by: User) -> int:
    """Write the chosen queries inside the person's scope, and log the export itself; returns the number of lines."""
    authorise(by, Permission.RECORD_VIEW, study=study)
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    definition, count = definition_of(study), 0
    with override(language):
        for batch in _batches(study, by, filters):
            said = threads(batch)
            for query in batch:
                thread = " | ".join(_message(message, language) for message in said.get(query.pk, []))
                cells = [*_cells(definition, query, language), thread]
                writer.writerow([safe_cell("" if cell is None else str(cell)) for cell in cells])
                count += 1
    with audit.change(by=by):
        audit.event(kind="query.export", study=study, details={"lines": count})
    return count


def _batches(study: Study, by: User, filters: Filters) -> Iterator[list[Query]]:
    """The chosen queries in portions, by key: constant memory, and three statements for each thousand."""
    found = with_people(listed(study, by, filters)).order_by("pk")
    after = 0
    while batch := list(found.filter(pk__gt=after)[:CHUNK]):
        yield batch
        after = batch[-1].pk


def _cells(definition: StudyDefinition, query: Query, language: str) -> Sequence[Any]:
    visit = query.visit
    return (
        query.public_id,
        query.status,
        query.get_priority_display(),
        query.assignee,
        query.origin,
        query.cause,
        query.subject.site.code,
        query.subject.number,
        visit.event,
        visit.repeat,
        visit.occurred_on or visit.target_on,
        query.form,
        query.repeat,
        query.item,
        _label(definition, query, language),
        shown_value(definition, query.form, query.item, query.value, language) if query.item else "",
        query.revision,
        query.said(language),
        person_name(query.opened_by),
        _at(query.opened_at),
        person_name(query.answered_by) if query.answered_at else "",
        _at(query.answered_at),
        person_name(query.closed_by) if query.closed_at else "",
        _at(query.closed_at),
        query.age_days,
    )


def _at(moment: dt.datetime | None) -> str:
    return utc(moment) if moment else ""


def _label(definition: StudyDefinition, query: Query, language: str) -> str:
    try:
        return definition.form(query.form).item(query.item).label.of(language) if query.item else ""
    except NotInDefinition:
        return ""


def _message(message: Any, language: str) -> str:
    told = f"{utc(message.at)} {person_name(message.by)} {message.get_act_display()}"
    text = message.said(language)
    return f"{told}: {text}" if text else told
