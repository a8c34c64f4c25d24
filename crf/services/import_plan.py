"""What an import would do, worked out against what is stored: new, changed, unchanged, refused. Nothing is written."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from crf.definitions import canonical
from crf.definitions.check import evaluate
from crf.definitions.incoming import Cell, Incoming, Problem, Reading
from crf.definitions.mapping import Mapping
from crf.definitions.model import Form, StudyDefinition
from crf.definitions.values import BadValue, parse_date
from crf.models import Record
from crf.selectors import context_for, definition_of
from registry.models import Group, Site, Study, Subject, User, Visit
from registry.permissions import Permission, authorise, rights
from registry.services import identities

MAX_NEW_VISITS = 50


@dataclass(frozen=True)
class Change:
    """One value that would be stored: `old` is None for a new one, `new` is None for one to clear."""

    item: str
    old: Any
    new: Any
    row: int
    column: str


@dataclass
class PlannedRecord:
    """One record of the import, with what is there now; subject and visit may be unsaved."""

    incoming: Incoming
    subject: Subject
    visit: Visit
    record: Record | None
    changes: list[Change]
    findings: int = 0
    completes: bool = False

    @property
    def kind(self) -> str:
        if self.record is None:
            return "new"
        return "changed" if self.changes else "unchanged"

    @property
    def overwrites(self) -> list[Change]:
        return [change for change in self.changes if change.old is not None]

    @property
    def needs_reason(self) -> bool:
        """As when typing: a stored value changes, or anything of a record that was completed."""
        was_complete = self.record is not None and self.record.status != Record.Status.IN_PROGRESS
        return bool(self.overwrites) or (was_complete and bool(self.changes))


@dataclass
class Plan:
    """The whole import; `problems` refuse it all."""

    rows: int
    encoding: str
    records: list[PlannedRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        kinds = Counter(planned.kind for planned in self.records)
        new_subjects = {id(planned.subject) for planned in self.records if planned.subject.pk is None}
        return {
            "rows": self.rows,
            "subjects_new": len(new_subjects),
            "records_new": kinds["new"],
            "records_changed": kinds["changed"],
            "records_unchanged": kinds["unchanged"],
            "values_new": sum(len(planned.changes) - len(planned.overwrites) for planned in self.records),
            "values_changed": sum(len(planned.overwrites) for planned in self.records),
            "findings": sum(planned.findings for planned in self.records),
            "refused": len(self.problems),
        }

    def fingerprint(self) -> str:
        """A hash of what would be written, so that what is confirmed is what was shown."""
        content = [
            [*vars(planned.incoming.key).values(), planned.record.revision if planned.record else 0]
            + [[change.item, change.old, change.new] for change in planned.changes]
            for planned in self.records
        ]
        return hashlib.sha256(canonical(content).encode()).hexdigest()


def plan(*, study: Study, reading: Reading, mapping: Mapping, by: User) -> Plan:
    """Compare what a file says with what is stored, within what `by` may see and enter."""
    authorise(by, Permission.RECORD_IMPORT, study=study)
    return _Planner(study, reading, mapping, by).plan()


class _Planner:
    def __init__(self, study: Study, reading: Reading, mapping: Mapping, by: User) -> None:
        self.study = study
        self.mapping = mapping
        self.by = by
        self.reading = reading
        self.definition: StudyDefinition = definition_of(study)
        self.result = Plan(reading.rows, reading.encoding, problems=list(reading.problems))
        needed = {Permission.RECORD_IMPORT, Permission.RECORD_ENTER}
        self.sites = {site.code: site for site in study.sites.all() if needed <= rights(by, site=site)}
        self.groups: dict[str, Group] = {group.code: group for group in study.groups.all()}
        self.subjects: dict[tuple[str, str], Subject] = {}
        self.refused: set[tuple[int, str]] = set()

    def plan(self) -> Plan:
        self.match()
        stored = self.stored()
        visits = {
            (visit.subject_id, visit.event, visit.repeat): visit
            for visit in Visit.objects.filter(subject__in=[one for one in self.subjects.values() if one.pk])
        }
        for incoming in self.reading.records:
            subject = self.subject(incoming)
            visit = self.visit(incoming, subject, visits) if subject else None
            if subject and visit:
                record = stored.get((visit.pk, incoming.key.form, incoming.key.number)) if visit.pk else None
                self.add(incoming, subject, visit, record)
        self.check(stored.values())
        self.result.records.sort(key=self.order)
        self.result.problems.sort(key=lambda one: (one.row, one.column))
        return self.result

    # Subjects

    def match(self) -> None:
        """Find all subjects of the file at once: by number, or by the keyed hash of the source's identifier."""
        wanted = {(one.key.site, one.key.subject) for one in self.reading.records}
        visible = Subject.objects.visible_to(self.by).filter(study=self.study).select_related("site", "group", "study")
        if self.mapping.match == "number":
            found = {subject.number: subject for subject in visible.filter(number__in={name for _, name in wanted})}
            self.subjects = {(site, name): found[name] for site, name in wanted if name in found}
            return
        hashes = {
            identities.hospital_number_hash(site, name): (code, name)
            for code, name in wanted
            if (site := self.site(code))
        }
        for subject in visible.filter(identity__hospital_number_hash__in=hashes).select_related("identity"):
            self.subjects[hashes[subject.identity.hospital_number_hash]] = subject

    def site(self, code: str) -> Site | None:
        if not code and len(self.sites) == 1:
            return next(iter(self.sites.values()))
        return self.sites.get(code)

    def subject(self, incoming: Incoming) -> Subject | None:
        name = (incoming.key.site, incoming.key.subject)
        if name not in self.subjects and self.mapping.create_subjects:
            subject = self.enrolled(incoming)
            if subject:
                self.subjects[name] = subject
        subject = self.subjects.get(name)
        if subject is None:
            if not self.mapping.create_subjects:
                self.refuse(
                    incoming, "subject", f"没有受试者“{name[1]}”,或不在您的中心",
                    f"there is no subject {name[1]!r}, or not at your sites",
                    "先入组,或在映射中写 create_subjects", "enrol them first, or map create_subjects",
                )  # fmt: skip
            return None
        if incoming.key.site and subject.site.code != incoming.key.site:
            zh, en = f"受试者属于中心{subject.site.code}", f"the subject belongs to site {subject.site.code}"
            self.refuse(incoming, "site", zh, en, "改正中心", "correct the site")
            return None
        if subject.site.code not in self.sites:
            zh, en = "您在该中心没有导入权限", "you may not import at this site"
            self.refuse(incoming, "site", zh, en, "请数据管理员导入", "ask the data manager to import it")
            return None
        return subject

    def enrolled(self, incoming: Incoming) -> Subject | None:
        """The subject that this row would enrol, unsaved."""
        site = self.site(incoming.key.site)
        if site is None or Permission.SUBJECT_ENROL not in rights(self.by, site=site):
            known = ", ".join(sorted(self.sites)) or "-"
            zh, en = f"中心“{incoming.key.site}”不存在或无权入组", f"no site {incoming.key.site!r} where you may enrol"
            self.refuse(incoming, "site", zh, en, f"可用:{known}", f"there are: {known}")
            return None
        if incoming.group and incoming.group not in self.groups:
            known = ", ".join(sorted(self.groups)) or "-"
            zh, en = f"没有分组“{incoming.group}”", f"there is no group {incoming.group!r}"
            self.refuse(incoming, "group", zh, en, f"可用:{known}", f"there are: {known}")
            return None
        on = self.day(incoming, "enrolled_on", incoming.enrolled_on)
        if on is None:
            return None
        return Subject(study=self.study, site=site, group=self.groups.get(incoming.group), enrolled_on=on)

    def day(self, incoming: Incoming, fact: str, text: str) -> dt.date | None:
        """A whole date that is not in the future."""
        try:
            on = dt.date.fromisoformat(parse_date(text))
        except (BadValue, ValueError):
            zh, en = f"{fact} “{text}”不是完整日期", f"{fact} {text!r} is not a whole date"
            self.refuse(incoming, fact, zh, en, "写成 2026-04-03", "write 2026-04-03")
            return None
        if on > timezone.localdate():
            self.refuse(incoming, fact, f"{fact} 在将来", f"{fact} lies in the future", "改正日期", "correct the date")
            return None
        return on

    # Visits

    def visit(
        self, incoming: Incoming, subject: Subject, visits: dict[tuple[int, str, int], Visit]
    ) -> Visit | None:  # fmt: skip
        key = incoming.key
        event = next((event for event in self.definition.events if event.oid == key.event), None)
        if event is None or key.form not in event.forms:
            known = ", ".join(one.oid for one in self.definition.events if key.form in one.forms)
            zh, en = f"表单{key.form}不在访视“{key.event}”", f"form {key.form} is not part of event {key.event!r}"
            self.refuse(incoming, "event", zh, en, f"可用:{known}", f"there are: {known}")
            return None
        if not self.definition.form(key.form).may_be_number(key.number):
            zh, en = f"表单{key.form}不可重复", f"form {key.form} does not repeat"
            self.refuse(incoming, "number", zh, en, "number 写 1", "let number be 1")
            return None
        present = visits.get((subject.pk, key.event, key.repeat)) if subject.pk else None
        if present is None and key.repeat > (MAX_NEW_VISITS if event.kind == "repeating" else 1):
            zh, en = f"访视{key.event}没有第{key.repeat}次", f"event {key.event} has no number {key.repeat}"
            self.refuse(incoming, "repeat", zh, en, "改正 repeat", "correct the repeat")
            return None
        if present is None:
            present = visits.setdefault(
                (id(subject), key.event, key.repeat), Visit(subject=subject, event=key.event, repeat=key.repeat)
            )
        present.subject = subject
        if incoming.visited_on:
            present.occurred_on = self.day(incoming, "visited_on", incoming.visited_on)
            if present.occurred_on is None:
                return None
        return present

    # Records

    def stored(self) -> dict[tuple[int, str, int], Record]:
        known = [subject for subject in self.subjects.values() if subject.pk]
        records = Record.objects.filter(subject__in=known).select_related("visit")
        return {(record.visit_id, record.form, record.repeat): record for record in records}

    def add(self, incoming: Incoming, subject: Subject, visit: Visit, record: Record | None) -> None:
        if record and record.status == Record.Status.LOCKED:
            zh, en = "记录已锁定", "the record is locked"
            self.refuse(incoming, "", zh, en, "先解锁,或去掉该行", "unlock it first, or leave the row out")
            return
        data = record.data if record else {}
        changes = [
            Change(item, data.get(item), cell.value, cell.row, cell.column)
            for item, cell in incoming.cells.items()
            if data.get(item) != cell.value
        ]
        if changes or record:
            self.result.records.append(PlannedRecord(incoming, subject, visit, record, changes))

    def check(self, stored: Iterable[Record]) -> None:
        """Evaluate each record beside all that the subject will then have; what would not be shown is refused."""
        after: dict[int, dict[Any, Record]] = defaultdict(dict)
        for record in stored:
            after[record.subject_id][_place(record.visit, record.form, record.repeat)] = record
        for planned in self.result.records:
            after[planned.subject.pk or id(planned.subject)][_place_of(planned)] = _as_if_saved(planned)
        for planned in self.result.records:
            of_subject = after[planned.subject.pk or id(planned.subject)]
            mine = of_subject[_place_of(planned)]
            others = [record for record in of_subject.values() if record is not mine]
            form = self.definition.form(planned.incoming.key.form)
            state = evaluate(form, mine.data, context_for(planned.subject, others, visit=planned.visit))
            planned.findings = len(state.findings)
            planned.completes = not any(finding.blocks_completion for finding in state.findings)
            for change in planned.changes:
                if change.new is not None and change.item not in state.visible:
                    self.refuse_hidden(planned.incoming.cells[change.item], form.items[change.item].label)
            if planned.changes:
                planned.changes += self.cleared(planned, form, state.visible)

    def cleared(self, planned: PlannedRecord, form: Form, visible: frozenset[str]) -> list[Change]:
        """The stored answers that no longer apply once the file's are saved, and go with that."""
        stored = planned.record.data if planned.record else {}
        gone = stored.keys() & form.items.keys() - visible - planned.incoming.cells.keys()
        row = planned.incoming.row
        return [
            Change(name, stored[name], None, row, "")
            for name in form.items
            if name in gone and form.items[name].is_entered
        ]

    def refuse_hidden(self, cell: Cell, label: Any) -> None:
        self.result.problems.append(
            Problem(
                cell.row,
                cell.column,
                f"按其他答案,“{label.zh}”不适用",
                f"{label.en} does not apply given the other answers",
                "核对它所依据的条目,或清空该格",
                "check the item it depends on, or empty the cell",
            )
        )

    def refuse(self, incoming: Incoming, fact: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> None:
        source = getattr(self.mapping, fact, None) if fact else None
        column = (source.column if source else None) or fact
        if (incoming.row, column) not in self.refused:
            self.refused.add((incoming.row, column))
            self.result.problems.append(Problem(incoming.row, column, zh, en, remedy_zh, remedy_en))

    def order(self, planned: PlannedRecord) -> tuple[int, int, int, int]:
        """By row, then as the study orders its events and forms: what others read comes first."""
        events = [event.oid for event in self.definition.events]
        key = planned.incoming.key
        forms = self.definition.event(key.event).forms
        return planned.incoming.row, events.index(key.event), key.repeat, forms.index(key.form)


def _place(visit: Visit, form: str, number: int) -> tuple[str, int, str, int]:
    return visit.event, visit.repeat, form, number


def _place_of(planned: PlannedRecord) -> tuple[str, int, str, int]:
    return _place(planned.visit, planned.incoming.key.form, planned.incoming.key.number)


def _as_if_saved(planned: PlannedRecord) -> Record:
    """An unsaved record that holds what this one will hold."""
    data = dict(planned.record.data) if planned.record else {}
    data |= {change.item: change.new for change in planned.changes}
    key = planned.incoming.key
    return Record(
        visit=planned.visit, form=key.form, repeat=key.number, data={k: v for k, v in data.items() if v is not None}
    )
