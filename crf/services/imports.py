"""Import records from a file: all of it or nothing, through the same checks and audit as typing it."""

from __future__ import annotations

import datetime as dt
import hashlib

from django.utils.translation import get_language

from crf.definitions.incoming import Problem, Reading, as_problem, read_records
from crf.definitions.mapping import Mapping, guessed
from crf.definitions.tables import BadTable, read_table
from crf.definitions.values import parse_date
from crf.selectors import definition_of
from crf.services import calendar, enrolment, records
from crf.services.import_plan import Plan, PlannedRecord, plan
from registry import audit
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission, authorise
from registry.services import visits
from registry.services.subjects import EnrolmentRefused


class ImportRefused(ValueError):
    """Nothing was written; `plan.problems` says why, cell by cell."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(f"{len(plan.problems)} problems")
        self.plan = plan


class ReasonMissing(ImportRefused):
    """Stored values would change, and no reason was given; nothing else speaks against the import."""


class PreviewOutdated(ValueError):
    """What the import would do now is not what the preview showed."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("the study changed since the preview")
        self.plan = plan


def preview(*, study: Study, content: bytes, mapping: Mapping | None = None, by: User) -> Plan:
    """What importing `content` (a CSV) would do; nothing is written."""
    authorise(by, Permission.RECORD_IMPORT, study=study)
    try:
        table = read_table(content)
    except BadTable as fault:
        return Plan(0, "", problems=[as_problem(fault)])
    mapping = mapping or guessed(table.columns)
    reading: Reading = read_records(definition_of(study), table, mapping)
    return plan(study=study, reading=reading, mapping=mapping, by=by)


def commit(
    *,
    study: Study,
    content: bytes,
    mapping: Mapping | None = None,
    reason: str = "",
    file_name: str = "",
    fingerprint: str = "",
    by: User,
) -> Plan:
    """Import `content`: every record through `records.save`, in one transaction. Repeating it changes nothing.

    Raises ImportRefused when anything is refused or a stored value would change without a reason, PreviewOutdated
    when `fingerprint` is not that of the plan.
    """
    authorise(by, Permission.RECORD_IMPORT, study=study)
    with audit.request(source="import"), audit.change(by=by, reason=reason):
        found = preview(study=study, content=content, mapping=mapping, by=by)
        if found.problems:
            raise ImportRefused(found)
        if fingerprint and fingerprint != found.fingerprint():
            raise PreviewOutdated(found)
        if not reason.strip() and any(planned.needs_reason for planned in found.records):
            found.problems.append(_reason_missing())
            raise ReasonMissing(found)
        _Writer(found, mapping, reason, by).write()
        if found.problems:
            raise ImportRefused(found)
        if any(planned.changes for planned in found.records):
            details = {"file": file_name, "sha256": hashlib.sha256(content).hexdigest(), **found.counts}
            audit.event(kind="records.import", study=study, details=details)
    return found


def _reason_missing() -> Problem:
    return Problem(0, "", "将改动已保存的值", "stored values would change", "请填写理由", "give a reason")


class _Writer:
    """Carries a plan out. What is refused on the way is a problem of the whole import, which then is rolled back."""

    def __init__(self, plan: Plan, mapping: Mapping | None, reason: str, by: User) -> None:
        self.plan = plan
        self.complete = bool(mapping and mapping.complete)
        self.reason = reason
        self.by = by
        self.subjects: dict[int, Subject] = {}

    def write(self) -> None:
        waiting = [planned for planned in self.plan.records if planned.changes]
        for is_last in (False, True):
            # A form may ask a question only because of a later form of the same file: saved once more, it is kept.
            waiting = [planned for planned in waiting if not self.is_kept(planned, is_last)]

    def is_kept(self, planned: PlannedRecord, is_last: bool) -> bool:
        try:
            kept = self.save(planned)
        except (records.RecordRefused, EnrolmentRefused) as refusal:
            self.refuse(planned, str(refusal), str(refusal))
            return True
        if is_last and not kept:
            self.refuse(planned, "有值未能保存:该条目未显示", "a value was not kept: its item is not shown")
        return kept

    def save(self, planned: PlannedRecord) -> bool:
        """Save one record; False when a value did not stay because its item is not shown yet."""
        key = planned.incoming.key
        visit = self.visit(planned, self.subject(planned))
        if planned.incoming.visited_on:
            on = dt.date.fromisoformat(parse_date(planned.incoming.visited_on))
            visit = visits.occurred(visit=visit, on=on, by=self.by)
        saved = records.save(
            subject=visit.subject,
            visit=visit,
            form=key.form,
            repeat=key.number,
            data={change.item: change.new for change in planned.changes},
            reason=self.reason,
            complete=self.complete and planned.completes,
            source="import",
            language=get_language() or "en",
            by=self.by,
        )
        return all(saved.record.data.get(change.item) == change.new for change in planned.changes)

    def subject(self, planned: PlannedRecord) -> Subject:
        """The stored subject, enrolled now if the plan says so."""
        subject = planned.subject
        if subject.pk:
            return subject
        if id(subject) not in self.subjects:
            self.subjects[id(subject)] = enrolment.enrol(
                site=subject.site,
                group=subject.group,
                enrolled_on=subject.enrolled_on,
                hospital_number=planned.incoming.key.subject,
                by=self.by,
            )
        return self.subjects[id(subject)]

    def visit(self, planned: PlannedRecord, subject: Subject) -> Visit:
        """The visit as it is stored now (an earlier record may have dated it); repeats that are missing are added."""
        event, repeat = planned.incoming.key.event, planned.incoming.key.repeat
        visit = subject.visits.filter(event=event, repeat=repeat).first()
        while visit is None:
            added = calendar.add_repeat(subject=subject, event=event, by=self.by)
            visit = added if added.repeat == repeat else None
        visit.subject = subject
        return visit

    def refuse(self, planned: PlannedRecord, zh: str, en: str) -> None:
        key = planned.incoming.key
        place = f"{key.subject} {key.event} {key.form}"
        problem = Problem(planned.incoming.row, "", f"{place}:{zh}", f"{place}: {en}", "改正该行", "correct the row")
        self.plan.problems.append(problem)
