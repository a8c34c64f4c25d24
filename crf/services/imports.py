"""Import records from a file through the checks and audit of typing them: all of it or nothing, or the good rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection

from crf.definitions.incoming import Problem, Reading
from crf.definitions.mapping import Mapping
from crf.selectors import definition_of
from crf.services import bulk, queries, sdv
from crf.services.import_plan import Batch, Plan, Planner
from crf.services.import_source import Source, open_source
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise

ALL, GOOD = "all", "good"
EachBatch = Callable[[int, Batch], None]


class ImportRefused(ValueError):
    """Nothing was written; `plan.problems` says why, cell by cell."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("; ".join(f"row {one.row} {one.column}: {one.en}" for one in plan.problems[:5]))
        self.plan = plan


class ReasonMissing(ImportRefused):
    """Stored values would change, and no reason was given; nothing else speaks against the import."""


class PreviewOutdated(ValueError):
    """What the import would do now is not what the preview showed."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("the study changed since the preview")
        self.plan = plan


def preview(
    *,
    study: Study,
    content: bytes,
    mapping: Mapping | None = None,
    format: str = "",
    sheet: str = "",
    each: EachBatch | None = None,
    by: User,
) -> Plan:
    """What importing `content` would do; nothing is written. `each` is called with every part of the plan."""
    authorise(by, Permission.RECORD_IMPORT, study=study)
    source = open_source(content, format=format, sheet=sheet)
    mapping = source.mapping(mapping)
    planner = Planner(study, mapping, definition=definition_of(study), by=by)
    plan = Plan(source.encoding)
    for number, reading in enumerate(_readings(planner, source, mapping)):
        batch = planner.plan(reading)
        plan.take(batch)
        if each:
            each(number, batch)
    return plan


def commit(
    *,
    study: Study,
    content: bytes,
    mapping: Mapping | None = None,
    format: str = "",
    sheet: str = "",
    mode: str = ALL,
    reason: str = "",
    file_name: str = "",
    fingerprint: str = "",
    prints: list[str] | None = None,
    after: int = -1,
    each: EachBatch | None = None,
    by: User,
) -> Plan:
    """Import `content`, every record as `records.save` would, each part of the file written at once.

    `mode` all: one transaction, which anything refused undoes. `good`: rows with a problem are left out, and each part
    of the file is a transaction; those up to number `after` were written before. `each` is called inside the
    transaction with every part that was written. `fingerprint` (all) or `prints` (good, one for each part) are those
    of the preview. Repeating an import changes nothing. Raises ImportRefused, ReasonMissing, PreviewOutdated.
    """
    authorise(by, Permission.RECORD_IMPORT, study=study)
    source = open_source(content, format=format, sheet=sheet)
    mapping = source.mapping(mapping)
    with audit.request(source="import"):
        planner = Planner(study, mapping, definition=definition_of(study), keys=bulk.SequenceKeys(), by=by)
        readings = enumerate(_readings(planner, source, mapping))
        told: dict[str, Any] = {"file": file_name, "sha256": hashlib.sha256(content).hexdigest()}
        told |= {"went_on_after_part": after} if after >= 0 else {}
        work = _Commit(study, planner, Plan(source.encoding), reason, told, each, by)
        if mode == ALL:
            work.all(readings, fingerprint)
        else:
            work.good(readings, prints or [], after)
    return work.plan


def _readings(planner: Planner, source: Source, mapping: Mapping) -> Iterator[Reading]:
    return source.readings(planner.definition, mapping)


class _Commit:
    def __init__(
        self,
        study: Study,
        planner: Planner,
        plan: Plan,
        reason: str,
        told: dict[str, Any],
        each: EachBatch | None,
        by: User,
    ) -> None:
        self.study = study
        self.planner = planner
        self.plan = plan
        self.reason = reason
        self.told = told
        self.each = each
        self.by = by

    def all(self, readings: Iterator[tuple[int, Reading]], fingerprint: str) -> None:
        """One transaction: after the first problem the rest of the file is only read, to name its problems too."""
        plan = self.plan
        with audit.change(by=self.by, reason=self.reason):
            for number, reading in readings:
                batch = self.planner.plan(reading)
                plan.take(batch)
                if not plan.problems and not self.lacks_reason(plan.needs_reason):
                    self.write(number, batch)
            if plan.problems:
                raise ImportRefused(plan)
            if fingerprint and fingerprint != plan.fingerprint():
                raise PreviewOutdated(plan)
            if self.lacks_reason(plan.needs_reason):
                raise self.reason_missing()
            self.tell()

    def good(self, readings: Iterator[tuple[int, Reading]], prints: list[str], after: int) -> None:
        """A transaction for each part. A part that was changed meanwhile, other than by this import, ends it."""
        plan = self.plan
        try:
            for number, reading in readings:
                with audit.change(by=self.by, reason=self.reason):
                    batch = self.planner.plan(reading)
                    if not reading.records and any(problem.row <= 1 for problem in batch.problems):
                        plan.take(batch)
                        raise ImportRefused(plan)
                    if number > after and prints and batch.fingerprint() not in prints[number : number + 1]:
                        raise PreviewOutdated(plan)
                    if self.lacks_reason(batch.needs_reason):
                        raise self.reason_missing()
                    plan.take(batch)
                    self.write(number, batch)
        finally:
            # Inside a caller's transaction that is lost already, there is nothing left to tell of.
            if not connection.needs_rollback:
                with audit.change(by=self.by, reason=self.reason):
                    self.tell()

    def write(self, number: int, batch: Batch) -> None:
        with audit.change(by=self.by, reason=self.reason):
            bulk.write(batch.steps)
            # A record that was saved twice, since another one is derived from it, is judged as it is in the end.
            last = {record.pk: (record, state) for record, state in batch.saved}
            queries.after_saves(saved=list(last.values()), by=self.by)
            sdv.after_saves(records=[record for record, _ in batch.changed], by=self.by)
            if self.each:
                self.each(number, batch)

    def lacks_reason(self, needed: bool) -> bool:
        return needed and not self.reason.strip()

    def reason_missing(self) -> ReasonMissing:
        zh, en = "将改动已保存的值", "stored values would change"
        self.plan.refuse(Problem(0, "", zh, en, "请填写理由", "give a reason"))
        return ReasonMissing(self.plan)

    def tell(self) -> None:
        """One event for the import, with its numbers."""
        if self.plan.writes:
            audit.event(kind="records.import", study=self.study, details={**self.told, **self.plan.counts})
