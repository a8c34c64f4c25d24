"""What an import would do, worked out against what is stored: new, changed, unchanged, refused. Nothing is written."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.utils import timezone

from crf.definitions.check import FormState
from crf.definitions.incoming import Cell, Incoming, Problem, Reading, rows_of
from crf.definitions.mapping import Mapping
from crf.definitions.model import Form, StudyDefinition
from crf.definitions.rows import address, flat
from crf.definitions.values import BadValue, parse_date
from crf.models import Record, StudyBuild
from crf.selectors import NoBuild, current_build
from crf.services.bulk import Keys, ProvisionalKeys, Step, as_json
from crf.services.rehearsal import Rehearsal, Saved
from registry.models import Group, Identity, Site, Study, Subject, User, Visit
from registry.permissions import Permission, authorise, rights
from registry.services import identities, subjects

MAX_NEW_VISITS = 50
MOST_PROBLEMS, MOST_RECORDS = 10_000, 1_000  # that a plan of a whole file holds; a record takes some 15 kB
REPEATABLE = ("repeating", "unscheduled")


class Change(NamedTuple):
    """One value that would be stored: `old` is None for a new one, `new` is None for one to clear."""

    item: str
    old: Any
    new: Any
    row: int
    column: str


@dataclass(slots=True)
class PlannedRecord:
    """One record of the import, as it is and as it would be; `subject` may be one that the import enrols.

    `altered` are the changes of a stored record; those of a new one are its answers.
    """

    incoming: Incoming
    subject: Subject
    record: Record | None
    after: Record | None = None
    altered: list[Change] = field(default_factory=list)
    findings: int = 0
    needs_reason: bool = False

    @property
    def kind(self) -> str:
        if self.record is None:
            return "new"
        return "changed" if self.altered else "unchanged"

    @property
    def changes(self) -> list[Change]:
        if self.record is not None:
            return self.altered
        cells = self.incoming.cells.items()
        return [Change(name, None, one.value, one.row, one.column) for name, one in cells if one.value is not None]

    @property
    def overwrites(self) -> list[Change]:
        return [change for change in self.altered if change.old is not None]

    @property
    def size(self) -> int:
        """How many values change."""
        if self.record is not None:
            return len(self.altered)
        return sum(one.value is not None for one in self.incoming.cells.values())


class PlannedVisit(NamedTuple):
    """A visit whose day the file tells; `old` is None where none was known."""

    incoming: Incoming
    subject: Subject
    old: dt.date | None
    new: dt.date


@dataclass
class Batch:
    """The plan of a part of the file, with the rows that carrying it out would write."""

    rows: int = 0
    records: list[PlannedRecord] = field(default_factory=list)
    visits: list[PlannedVisit] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    enrolled: list[Subject] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    saved: list[tuple[Record, FormState]] = field(default_factory=list)
    changed: list[tuple[Record, list[str]]] = field(default_factory=list)

    @property
    def needs_reason(self) -> bool:
        """As when typing: a stored value changes, or anything of a record that was completed."""
        return any(one.needs_reason for one in self.records) or any(visit.old for visit in self.visits)

    def counts(self) -> Counter[str]:
        kinds = Counter(f"records_{planned.kind}" for planned in self.records)
        overwrites = sum(len(planned.overwrites) for planned in self.records if planned.altered)
        return kinds + Counter(
            rows=self.rows,
            subjects_new=len(self.enrolled),
            values_new=sum(planned.size for planned in self.records) - overwrites,
            values_changed=overwrites,
            visits_changed=len(self.visits),
            findings=sum(planned.findings for planned in self.records),
            rows_refused=len(self.refused),
            refused=len(self.problems),
        )

    def fingerprint(self) -> str:
        """A hash of what would be written, so that what is confirmed is what was shown."""
        hashed = hashlib.sha256()
        for one in self.records:
            revision = one.record.revision if one.record else 0
            hashed.update(f"{one.incoming.key!r} {revision} {as_json(one.after) if one.after else ''}".encode())
        for visit in self.visits:
            hashed.update(f"{visit.incoming.key!r} {visit.old} {visit.new}".encode())
        return hashed.hexdigest()


COUNTS = ("rows", "subjects_new", "records_new", "records_changed", "records_unchanged", "values_new",
          "values_changed", "visits_changed", "findings", "rows_refused", "refused")  # fmt: skip


@dataclass
class Plan:
    """The whole import in numbers; of `records` and `visits` the first thousand, of `problems` ten."""

    encoding: str = ""
    totals: Counter[str] = field(default_factory=Counter)
    records: list[PlannedRecord] = field(default_factory=list)
    visits: list[PlannedVisit] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    prints: list[str] = field(default_factory=list)
    needs_reason: bool = False

    @property
    def counts(self) -> dict[str, int]:
        return {name: self.totals[name] for name in COUNTS}

    @property
    def writes(self) -> bool:
        """Whether carrying it out would write anything."""
        kinds = ("subjects_new", "records_new", "records_changed", "visits_changed")
        return any(self.totals[kind] for kind in kinds)

    def take(self, batch: Batch) -> None:
        self.totals.update(batch.counts())
        self.needs_reason = self.needs_reason or batch.needs_reason
        self.prints.append(batch.fingerprint())
        self.records += batch.records[: MOST_RECORDS - len(self.records)]
        self.visits += batch.visits[: MOST_RECORDS - len(self.visits)]
        self.problems += batch.problems[: MOST_PROBLEMS - len(self.problems)]

    def refuse(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.totals["refused"] += 1

    def fingerprint(self) -> str:
        return hashlib.sha256("".join(self.prints).encode()).hexdigest()


class _Refused(Exception):
    """Rows that cannot be taken, with the problem to show."""

    def __init__(self, rows: Iterable[int], problems: list[Problem]) -> None:
        super().__init__()
        self.rows = set(rows)
        self.problems = problems


class Planner:
    """Plans batches of one file, within what `by` may see and enter."""

    def __init__(
        self, study: Study, mapping: Mapping, *, definition: StudyDefinition, keys: Keys | None = None, by: User
    ) -> None:
        """With `keys` of a sequence the plan is for writing: its subjects are locked, and new rows get these keys."""
        authorise(by, Permission.RECORD_IMPORT, study=study)
        self.study = study
        self.mapping = mapping
        self.by = by
        self.definition = definition
        self.locks = keys is not None
        self.keys = keys or ProvisionalKeys()
        needed = {Permission.RECORD_IMPORT, Permission.RECORD_ENTER}
        self.sites = {site.code: site for site in study.sites.all() if needed <= rights(by, site=site)}
        for site in self.sites.values():
            site.study = study
        self.groups: dict[str, Group] = {group.code: group for group in study.groups.all()}
        self.numbers = subjects.Numbers(lock=self.locks)
        self.builds: dict[int, StudyBuild | None] = {}
        self.differing: dict[tuple[int, str], frozenset[str]] = {}
        self.events = {event.oid: at for at, event in enumerate(definition.events)}
        self.batch = Batch()

    def plan(self, reading: Reading) -> Batch:
        """What a part of the file would do; a row with a problem takes no part in it."""
        self.batch = batch = Batch(reading.rows, problems=list(reading.problems))
        batch.refused = {problem.row for problem in reading.problems if problem.row > 1}
        known = self.known(reading.records)
        by_subject: dict[int, tuple[Subject, list[Incoming]]] = {}
        for incoming in reading.records:
            subject = self.subject(incoming, known)
            if subject:
                by_subject.setdefault(id(subject), (subject, []))[1].append(incoming)
        stored = [subject for subject, _ in by_subject.values() if subject.pk > 0 and not subject._state.adding]
        visits = _grouped(Visit.objects.filter(subject__in=stored).order_by())
        records = _grouped(Record.objects.filter(subject__in=stored).order_by())
        for subject, incomings in by_subject.values():
            self.plan_subject(subject, incomings, visits[subject.pk], records[subject.pk])
        batch.problems.sort(key=lambda one: (one.row, one.column))
        return batch

    # Subjects

    def known(self, records: Iterable[Incoming]) -> dict[tuple[str, str], Subject]:
        """The subjects of the batch by the file's words: by number, or by the keyed hash of the source's identifier."""
        wanted = {(one.key.site, one.key.subject) for one in records}
        visible = Subject.objects.visible_to(self.by).filter(study=self.study).order_by("pk")
        if self.locks:
            # One writer per subject at a time, as in records.save.
            visible = visible.select_for_update(of=("self",))
        if self.mapping.match == "number":
            found = self.found(visible.filter(number__in={name for _, name in wanted}))
            by_number = {subject.number: subject for subject in found}
            return {(site, name): by_number[name] for site, name in wanted if name in by_number}
        hashes = {
            (code, name): identities.hospital_number_hash(site, name)
            for code, name in wanted
            if (site := self.site(code))
        }
        matching = visible.filter(identity__hospital_number_hash__in={one for one in hashes.values() if one})
        by_hash = {subject.identity.hospital_number_hash: subject for subject in self.found(matching)}
        return {name: by_hash[one] for name, one in hashes.items() if one in by_hash}

    def found(self, subjects_found: Any) -> list[Subject]:
        """The subjects with what they link to, each linked object once."""
        related = ("identity",) if self.mapping.match == "identifier" else ()
        found = list(subjects_found.select_related(*related) if related else subjects_found)
        sites = {site.pk: site for site in self.study.sites.all()}
        groups = {group.pk: group for group in self.groups.values()}
        for subject in found:
            subject.study, subject.site = self.study, sites[subject.site_id]
            if subject.group_id:
                subject.group = groups[subject.group_id]
        return found

    def site(self, code: str) -> Site | None:
        if not code and len(self.sites) == 1:
            return next(iter(self.sites.values()))
        return self.sites.get(code)

    def subject(self, incoming: Incoming, known: dict[tuple[str, str], Subject]) -> Subject | None:
        """Whose the row is, enrolled in the plan where the mapping allows it; None with a problem."""
        name = (incoming.key.site, incoming.key.subject)
        try:
            subject = known.get(name) or self.enrolled(incoming, known)
            known[name] = subject
            self.refuse_site(incoming, subject)
        except _Refused as refused:
            self.refuse(refused)
            return None
        return subject

    def refuse_site(self, incoming: Incoming, subject: Subject) -> None:
        if incoming.key.site and subject.site.code != incoming.key.site:
            zh, en = f"受试者属于中心{subject.site.code}", f"the subject belongs to site {subject.site.code}"
            raise self.problem(incoming, "site", zh, en, "改正中心", "correct the site")
        if subject.site.code not in self.sites:
            zh, en = "您在该中心没有导入权限", "you may not import at this site"
            raise self.problem(incoming, "site", zh, en, "请数据管理员导入", "ask the data manager to import it")

    def enrolled(self, incoming: Incoming, known: dict[tuple[str, str], Subject]) -> Subject:
        """The subject that this row would enrol, unsaved."""
        name = incoming.key.subject
        if not self.mapping.create_subjects:
            zh, en = f"没有受试者“{name}”,或不在您的中心", f"there is no subject {name!r}, or not at your sites"
            remedy = "先入组,或由导入入组(create_subjects)", "enrol them first, or with the import (create_subjects)"
            raise self.problem(incoming, "subject", zh, en, *remedy)
        site = self.site(incoming.key.site)
        if site is None or Permission.SUBJECT_ENROL not in rights(self.by, site=site):
            known_sites = ", ".join(sorted(self.sites)) or "-"
            zh, en = f"中心“{incoming.key.site}”不存在或无权入组", f"no site {incoming.key.site!r} where you may enrol"
            raise self.problem(incoming, "site", zh, en, f"可用:{known_sites}", f"there are: {known_sites}")
        same = next((one for one in known.values() if _is_new(one) and _is_person(one, site, name)), None)
        if same:
            return same
        if self.build_of(site) is None:
            zh, en = f"中心{site.code}尚无发布的版本", f"no build is released at site {site.code}"
            raise self.problem(incoming, "site", zh, en, "请先发布", "ask the data manager to release one")
        group = self.group(incoming)
        enrolled_on = incoming.enrolled_on or (self.mapping.enrolled_on.value if self.mapping.enrolled_on else "")
        on = self.day(incoming, "enrolled_on", enrolled_on or "")
        subject = self.numbers.subject(site=site, group=group, enrolled_on=on, key=self.keys.next(Subject))
        subject.identity = identities.filled(  # type: ignore[assignment]
            Identity(pk=self.keys.next(Identity), subject=subject), hospital_number=name
        )
        return subject

    def group(self, incoming: Incoming) -> Group | None:
        if incoming.group and incoming.group not in self.groups:
            known = ", ".join(sorted(self.groups)) or "-"
            zh, en = f"没有分组“{incoming.group}”", f"there is no group {incoming.group!r}"
            raise self.problem(incoming, "group", zh, en, f"可用:{known}", f"there are: {known}")
        return self.groups.get(incoming.group)

    def day(self, incoming: Incoming, fact: str, text: str) -> dt.date:
        """A whole date that is not in the future."""
        try:
            on = dt.date.fromisoformat(parse_date(text))
        except (BadValue, ValueError):
            zh, en = f"{fact} “{text}”不是完整日期", f"{fact} {text!r} is not a whole date"
            raise self.problem(incoming, fact, zh, en, "写成 2026-04-03", "write 2026-04-03") from None
        if on > timezone.localdate():
            zh, en = f"{fact} 在将来", f"{fact} lies in the future"
            raise self.problem(incoming, fact, zh, en, "改正日期", "correct the date")
        return on

    def build_of(self, site: Site) -> StudyBuild | None:
        if site.pk not in self.builds:
            try:
                self.builds[site.pk] = current_build(self.study, site)
            except NoBuild:
                self.builds[site.pk] = None
        return self.builds[site.pk]

    # One subject

    def plan_subject(
        self, subject: Subject, incomings: list[Incoming], visits: list[Visit], records: list[Record]
    ) -> None:
        """Rehearse a subject's rows, again without those refused on the way, until all that is left fits."""
        incomings.sort(key=self.order)
        while True:
            good = [one for one in (self.without_refused(incoming) for incoming in incomings) if one]
            if not good:
                return
            attempt = _Attempt(self, subject, visits, records)
            try:
                attempt.run(good)
            except _Refused as refused:
                self.refuse(refused)
                if not refused.rows:
                    return
                continue
            attempt.keep(self.batch)
            return

    def without_refused(self, incoming: Incoming) -> Incoming | None:
        rows = rows_of(incoming)
        left = rows - self.batch.refused
        if left == rows:
            return incoming
        if not left:
            return None
        cells = {name: cell for name, cell in incoming.cells.items() if cell.row in left}
        facts = (incoming.group, incoming.enrolled_on, incoming.visited_on)
        return Incoming(incoming.key, min(left), *facts, cells, left)

    def order(self, incoming: Incoming) -> tuple[int, int, int, int]:
        """By row, then as the study orders its events and forms: what others read comes first."""
        key = incoming.key
        at = self.events.get(key.event)
        if at is None:
            return incoming.row, 0, 0, 0
        forms = self.definition.events[at].forms
        return incoming.row, at, key.repeat, forms.index(key.form) if key.form in forms else 0

    def differing_items(self, build: StudyBuild | None, build_id: int, oid: str) -> frozenset[str]:
        """The items of a form that another build reads in another way than the one the file was read with."""
        key = (build_id, oid)
        if key not in self.differing:
            own = (build if build and build.pk == build_id else StudyBuild.objects.get(pk=build_id)).study_definition
            self.differing[key] = _differing(self.definition, own, oid)
        return self.differing[key]

    # Problems

    def problem(self, incoming: Incoming, fact: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> _Refused:
        source = getattr(self.mapping, fact, None) if fact else None
        column = (source.column if source else None) or fact
        rows = incoming.rows or {incoming.row}
        return _Refused(rows, [Problem(incoming.row, column, zh, en, remedy_zh, remedy_en)])

    def refuse(self, refused: _Refused) -> None:
        """Note the problems once for each cell: a row may feed several records."""
        told = {(one.row, one.column, one.en) for one in self.batch.problems}
        self.batch.problems += [one for one in refused.problems if (one.row, one.column, one.en) not in told]
        self.batch.refused |= refused.rows


class _Attempt:
    """One rehearsal of one subject; it ends with a plan or with _Refused."""

    def __init__(self, planner: Planner, subject: Subject, visits: list[Visit], records: list[Record]) -> None:
        self.planner = planner
        self.subject = subject
        self.is_new = _is_new(subject)
        build = planner.build_of(subject.site)
        self.build = build
        self.rehearsal = None if build is None else Rehearsal(subject, build, visits, records, planner.keys)
        self.planned: list[PlannedRecord] = []
        self.visited: dict[tuple[str, int], PlannedVisit] = {}

    def run(self, incomings: list[Incoming]) -> None:
        if self.rehearsal is None:
            site = self.subject.site.code
            zh, en = f"中心{site}尚无发布的版本", f"no build is released at site {site}"
            rows = {row for incoming in incomings for row in incoming.rows or {incoming.row}}
            remedy = "请先发布", "ask the data manager to release one"
            raise _Refused(rows, [Problem(incomings[0].row, "", zh, en, *remedy)])
        if self.is_new:
            self.rehearsal.enrol(self.subject.identity)
        waiting = [one for one in incomings if not self.take(one)]
        while waiting:
            # A form may ask a question only because of a later form of the same file.
            left = [one for one in waiting if not self.take(one)]
            if len(left) == len(waiting):
                if self.planner.mapping.hidden == "refuse":
                    raise self.hidden(waiting)
                left = [one for one in waiting if not self.take(one, keeps_hidden=True)]
            waiting = left

    def take(self, incoming: Incoming, *, keeps_hidden: bool = False) -> bool:
        """Save one record in memory; False while one of its answers is not shown."""
        assert self.rehearsal
        self.refuse_place(incoming)
        key = incoming.key
        visit = self.rehearsal.visit(key.event, key.repeat)
        if incoming.visited_on:
            visit = self.visited_on(incoming, visit)
        if not key.form:
            return True
        before = self.rehearsal.places.get((visit.pk, key.form, key.number))
        stored = flat(before.data) if before else {}
        answers = {name: cell.value for name, cell in incoming.cells.items() if cell.value != stored.get(name)}
        if not answers:
            if before:
                self.planned.append(PlannedRecord(incoming, self.subject, before))
            return True
        self.refuse_record(incoming, before)
        complete = self.planner.mapping.complete
        saved = self.rehearsal.save(visit, key.form, key.number, answers, complete=complete, keeps_hidden=keeps_hidden)
        if saved.hidden:
            return False
        altered = self.changes(incoming, stored, answers, saved) if before else []
        findings = len(saved.state.findings)
        planned = PlannedRecord(incoming, self.subject, before, saved.record, altered, findings, saved.needs_reason)
        self.planned.append(planned)
        return True

    def visited_on(self, incoming: Incoming, visit: Visit) -> Visit:
        assert self.rehearsal
        on = self.planner.day(incoming, "visited_on", incoming.visited_on)
        place = (visit.event, visit.repeat)
        if visit.occurred_on == on:
            return visit
        if place in self.visited:
            first = self.visited[place]
            zh, en = f"与第{first.incoming.row}行的日期不同", f"differs from the date in row {first.incoming.row}"
            raise self.planner.problem(incoming, "visited_on", zh, en, "保留其中一行", "keep one of the rows")
        self.visited[place] = PlannedVisit(incoming, self.subject, visit.occurred_on, on)
        return self.rehearsal.occurred(visit, on)

    def changes(
        self, incoming: Incoming, stored: dict[str, Any], answers: dict[str, Any], saved: Saved
    ) -> list[Change]:  # fmt: skip
        """The answers that change, and the stored ones that no longer apply and go with that."""
        cells = incoming.cells
        found = [Change(n, stored.get(n), value, cells[n].row, cells[n].column) for n, value in answers.items()]
        after = flat(saved.record.data) if saved.record else {}
        form = self.form(incoming, saved.before)
        return found + [
            Change(name, old, None, incoming.row, "")
            for name, old in stored.items()
            if name not in after and name not in answers and _is_entered(form, name)
        ]

    def form(self, incoming: Incoming, record: Record | None) -> Form:
        assert self.build
        return (record or self.build).study_definition.form(incoming.key.form)

    def hidden(self, waiting: list[Incoming]) -> _Refused:
        """What the other answers of the subject leave no place for."""
        assert self.rehearsal
        problems: list[Problem] = []
        for incoming in waiting:
            visit = self.rehearsal.visits[incoming.key.event, incoming.key.repeat]
            answers = {name: cell.value for name, cell in incoming.cells.items()}
            before = self.rehearsal.places.get((visit.pk, incoming.key.form, incoming.key.number))
            saved = self.rehearsal.save(visit, incoming.key.form, incoming.key.number, answers)
            form = self.form(incoming, before)
            problems += [_hidden_problem(form, name, incoming.cells[name]) for name in saved.hidden]
        return _Refused({one.row for one in problems}, problems)

    # What cannot be filled

    def refuse_place(self, incoming: Incoming) -> None:
        assert self.rehearsal
        key, definition = incoming.key, self.rehearsal.definition
        event = next((event for event in definition.events if event.oid == key.event), None)
        if event is None or (key.form and key.form not in event.forms):
            known = ", ".join(one.oid for one in definition.events if not key.form or key.form in one.forms)
            zh, en = f"表单{key.form}不在访视“{key.event}”", f"form {key.form} is not part of event {key.event!r}"
            raise self.planner.problem(incoming, "event", zh, en, f"可用:{known}", f"there are: {known}")
        if key.form and not definition.form(key.form).may_be_number(key.number):
            zh, en = f"表单{key.form}不可重复", f"form {key.form} does not repeat"
            raise self.planner.problem(incoming, "number", zh, en, "number 写 1", "let number be 1")
        is_there = (key.event, key.repeat) in self.rehearsal.visits
        if not is_there and key.repeat > (MAX_NEW_VISITS if event.kind in REPEATABLE else 1):
            zh, en = f"访视{key.event}没有第{key.repeat}次", f"event {key.event} has no number {key.repeat}"
            raise self.planner.problem(incoming, "repeat", zh, en, "改正 repeat", "correct the repeat")

    def refuse_record(self, incoming: Incoming, record: Record | None) -> None:
        assert self.build
        if record and record.status == Record.Status.LOCKED:
            zh, en = "记录已锁定", "the record is locked"
            raise self.planner.problem(
                incoming, "", zh, en, "先解锁,或去掉该行", "unlock it first, or leave the row out"
            )
        build_id = record.build_id if record else self.build.pk
        differing = self.planner.differing_items(self.build, build_id, incoming.key.form)
        cells = incoming.cells.items() if differing else ()
        cell = next((cell for name, cell in cells if _leaf(name) in differing), None)
        if cell:
            zh, en = "该记录的版本中此条目不同或没有", "the record's build has no such item, or another one"
            remedy = "先将记录迁移到现行版本", "migrate the record to the present build first"
            raise _Refused({cell.row}, [Problem(cell.row, cell.column, zh, en, *remedy)])

    def keep(self, batch: Batch) -> None:
        assert self.rehearsal
        batch.records += self.planned
        batch.visits += self.visited.values()
        batch.steps += self.rehearsal.steps
        batch.saved += self.rehearsal.saved
        batch.changed += self.rehearsal.changed
        if self.is_new:
            batch.enrolled.append(self.subject)


def _grouped(rows: Iterable[Any]) -> defaultdict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.subject_id].append(row)
    return found


def _is_new(subject: Subject) -> bool:
    return bool(subject._state.adding)


def _is_person(subject: Subject, site: Site, name: str) -> bool:
    return subject.site == site and subject.identity.hospital_number_hash == identities.hospital_number_hash(site, name)


def _leaf(name: str) -> str:
    place = address(name)
    return place.leaf if place else name


def _is_entered(form: Form, name: str) -> bool:
    item = form.questions.get(_leaf(name))
    return item is not None and item.is_entered


def _hidden_problem(form: Form, name: str, cell: Cell) -> Problem:
    label = form.questions[_leaf(name)].label
    zh, en = f"按其他答案,“{label.zh}”不适用", f"{label.en} does not apply given the other answers"
    remedy = "核对它所依据的条目,或清空该格", "check the item it depends on, or empty the cell"
    return Problem(cell.row, cell.column, zh, en, *remedy)


READING = ("type", "value_type", "precision", "max_length", "unit", "units")


def _differing(read: StudyDefinition, own: StudyDefinition, oid: str) -> frozenset[str]:
    if read is own:
        return frozenset()
    theirs = {form.oid: form for form in own.forms}.get(oid)
    mine = read.form(oid)
    found = set()
    for name, item in mine.questions.items():
        other = theirs.questions.get(name) if theirs else None
        if (
            other is None
            or any(getattr(item, one) != getattr(other, one) for one in READING)
            or mine.group_of.get(name) != (theirs.group_of.get(name) if theirs else None)
            or _codes(read, item) != _codes(own, other)
        ):
            found.add(name)
    return frozenset(found)


def _codes(study: StudyDefinition, item: Any) -> list[str]:
    codelist = study.codelist(item)
    return codelist.codes() if codelist else []
