"""The audit trail as lines: one per changed value, and one per typed event, in time order.

Columns follow ICH E6(R3) 4.2.2 and EMA 6.2.1: UTC time, user, role and organisation at the time, place, item,
old and new value, reason, source, build.
"""

from __future__ import annotations

import csv
import datetime as dt
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TextIO

from django.db import models

from registry import audit
from registry.models import AuditEvent, Site, Study, Subject, User
from registry.permissions import Permission, authorise, scope
from registry.services.seals import audited_models

CHUNK = 2000
# A cell that a spreadsheet would run as a formula is written with an apostrophe before it (OWASP: CSV injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Line:
    """One line of the trail. `old` and `new` are values as stored, JSON where they are not text."""

    at: str
    user: str
    role: str
    organisation: str
    site: str
    subject: str
    event: str
    form: str
    item: str
    old: str
    new: str
    reason: str
    source: str
    build: str
    action: str
    revision: str
    request: str


COLUMNS = [field.name for field in fields(Line)]


@dataclass(frozen=True)
class Filters:
    """Which part of a study's trail: everything that is None is not asked."""

    site: Site | None = None
    subject: Subject | None = None
    user: User | None = None
    kind: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def lines(*, study: Study, filters: Filters | None = None, by: User) -> Iterator[Line]:
    """The trail of a study inside the person's scope, oldest first, streamed."""
    authorise(by, Permission.AUDIT_VIEW, study=study)
    return _lines(study, filters or Filters(), by, Permission.AUDIT_VIEW)


def _lines(study: Study, asked: Filters, by: User, needs: Permission) -> Iterator[Line]:
    visible = _visible_sites(by, study, needs)
    streams = [_history_lines(model, study, asked, visible) for model in audited_models()]
    streams.append(_event_lines(study, asked, by, needs))
    found = (line for _time, _tie, line in heapq.merge(*streams, key=lambda entry: entry[:2]))
    return (line for line in found if not asked.kind or line.action == asked.kind)


def export(*, study: Study, file: TextIO, filters: Filters | None = None, format: str = "csv", by: User) -> int:
    """Write the trail to `file` as CSV or JSON Lines and log the export itself; returns the number of lines."""
    authorise(by, Permission.AUDIT_EXPORT, study=study)
    if format not in ("csv", "jsonl"):
        raise ValueError(f"format {format!r}: choose csv or jsonl")
    found = _lines(study, filters or Filters(), by, Permission.AUDIT_EXPORT)
    written = _write_csv(file, found) if format == "csv" else _write_jsonl(file, found)
    with audit.change(by=by):
        audit.event(kind="audit.export", study=study, details={"format": format, "lines": written})
    return written


def _write_csv(file: TextIO, found: Iterable[Line]) -> int:
    """Header and rows, each cell safe to open in a spreadsheet."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    count = 0
    for line in found:
        writer.writerow([safe_cell(getattr(line, name)) for name in COLUMNS])
        count += 1
    return count


def _write_jsonl(file: TextIO, found: Iterable[Line]) -> int:
    count = 0
    for line in found:
        file.write(json.dumps(line.__dict__, ensure_ascii=False) + "\n")
        count += 1
    return count


def safe_cell(cell: str) -> str:
    """Numbers stay numbers: only what a spreadsheet could run is disarmed."""
    if not cell.startswith(FORMULA_STARTS) or cell.replace(".", "", 1).removeprefix("-").isdecimal():
        return cell
    return "'" + cell


Entry = tuple[dt.datetime, str, Line]


def _history_lines(
    model: type[audit.Audited], study: Study, asked: Filters, visible: frozenset[int] | None
) -> Iterator[Entry]:
    """One entry per value that differs from the row's previous revision."""
    history = model.history.model
    rows = history.objects.filter(**_in_study(model, study)).select_related("history_user")
    rows = rows.order_by("history_date", "history_id")
    if asked.until:
        rows = rows.filter(history_date__lte=asked.until)
    if asked.since:  # earlier rows are read only where they tell what a later one changed
        rows = rows.filter(id__in=history.objects.filter(history_date__gte=asked.since).values("id"))
    places = Places(model)
    previous: dict[int, dict[str, Any]] = {}
    for row in rows.iterator(chunk_size=CHUNK):
        key = row.id
        values = places.values(row)
        old = previous.get(key, {})
        previous[key] = values
        if (asked.since and row.history_date < asked.since) or (asked.user and row.history_user != asked.user):
            continue
        place = places.of(row)
        if not _inside(place, asked, visible):
            continue
        for number, item in enumerate(sorted({*old, *values})):
            if old.get(item) != values.get(item):
                line = _line(row, place, item, old.get(item), values.get(item))
                yield row.history_date, f"{history._meta.db_table}{row.pk:020d}{number:06d}", line


def _inside(place: audit.Place, asked: Filters, visible: frozenset[int] | None) -> bool:
    if (asked.site and asked.site != place.site) or (asked.subject and asked.subject != place.subject):
        return False
    return place.site is None or visible is None or place.site.pk in visible


class Places:
    """Reads a history row of one model: its place and its values by item. Models may say more by `audit_place` and
    `audit_values` (a record shows its answers as items, not one JSON document)."""

    def __init__(self, model: type[audit.Audited]) -> None:
        self.model = model
        self.known: dict[tuple[str, Any], Any] = {}
        self.tracked = [field for field in model._meta.concrete_fields if not field.primary_key]

    def values(self, row: Any) -> dict[str, Any]:
        own = getattr(self.model, "audit_values", None)
        if own is not None:
            return own(row)
        found = {field.name: getattr(row, field.attname) for field in self.tracked}
        return {name: value for name, value in found.items() if value not in (None, "") and not _secret(name)}

    def of(self, row: Any) -> audit.Place:
        own = getattr(self.model, "audit_place", None)
        if own is not None:
            return own(row, self.get)
        model, holder = self._holder(row)
        subject = self.get(Subject, holder.id if model is Subject else getattr(holder, "subject_id", None))
        site_id = subject.site_id if subject else holder.id if model is Site else getattr(holder, "site_id", None)
        return audit.Place(site=self.get(Site, site_id), subject=subject, form=self.model._meta.model_name or "")

    def _holder(self, row: Any) -> tuple[Any, Any]:
        """The row that knows subject and site: itself, or the one that SITE_PATH leads through (a mask's series)."""
        first, further, _rest = (getattr(self.model, "SITE_PATH", None) or "").partition("__")
        if not further:
            return self.model, row
        related: Any = self.model._meta.get_field(first).related_model
        return related, self.get(related, getattr(row, f"{first}_id"))

    def get(self, model: type[models.Model], key: Any) -> Any:
        """A related row, read once per export."""
        if key is None:
            return None
        if (model.__name__, key) not in self.known:
            self.known[model.__name__, key] = model._base_manager.filter(pk=key).first()
        return self.known[model.__name__, key]


def _secret(name: str) -> bool:
    """Ciphertexts and keyed hashes say nothing to a reader and must not travel."""
    return name.endswith(("_encrypted", "_hash")) or name == "patient_key"


def _visible_sites(by: User, study: Study, needs: Permission) -> frozenset[int] | None:
    """The sites of the study whose trail the person may see; None is all."""
    condition = scope(by, study_path="study", site_path="pk", needs=needs)
    if condition is None:
        return None
    return frozenset(Site.objects.filter(condition, study=study).values_list("pk", flat=True))


def _in_study(model: type[audit.Audited], study: Study) -> dict[str, Any]:
    """The filter that keeps history rows in the study. History keeps plain keys, so paths go by key lists."""
    path: str = getattr(model, "STUDY_PATH", "study")
    if path == "pk":
        return {"id": study.pk}
    if "__" not in path:
        return {f"{path}_id": study.pk}
    first, rest = path.split("__", 1)
    related = model._meta.get_field(first).related_model
    return {f"{first}_id__in": related._base_manager.filter(**{rest: study}).values("pk")}  # type: ignore[union-attr]


def _event_lines(study: Study, asked: Filters, by: User, needs: Permission) -> Iterator[Entry]:
    events = AuditEvent.objects.visible_to(by, needs=needs).filter(study=study).select_related("by", "site", "subject")
    wanted = {"site": asked.site, "subject": asked.subject, "by": asked.user}
    events = events.filter(**{name: value for name, value in wanted.items() if value is not None})
    if asked.since:
        events = events.filter(at__gte=asked.since)
    if asked.until:
        events = events.filter(at__lte=asked.until)
    for one in events.order_by("at", "pk").iterator(chunk_size=CHUNK):
        line = Line(
            at=utc(one.at),
            user=one.by.username if one.by else "",
            role=one.role,
            organisation=one.organisation,
            site=one.site.code if one.site else "",
            subject=one.subject.number if one.subject else "",
            event="",
            form="",
            item="",
            old="",
            new=_text(one.details) if one.details else "",
            reason=one.reason,
            source=one.source,
            build="",
            action=one.kind,
            revision="",
            request=one.request_id,
        )
        yield one.at, f"event{one.pk:020d}", line


def _line(row: Any, place: audit.Place, item: str, old: Any, new: Any) -> Line:
    user = row.history_user
    return Line(
        at=utc(row.history_date),
        user=user.username if user else "",
        role=row.history_role,
        organisation=row.history_organisation,
        site=place.site.code if place.site else "",
        subject=place.subject.number if place.subject else "",
        event=place.event,
        form=place.form,
        item=item,
        old=_text(old),
        new=_text(new),
        reason=row.history_change_reason or "",
        source=row.history_source,
        build=place.build,
        action="create" if row.history_type == "+" else "change",
        revision=place.revision,
        request=row.history_request,
    )


def utc(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with seconds and milliseconds."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return utc(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)
