"""Bring records to another build of their study: weighed first, one revision each, and never a value cleared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from crf.definitions.carry import Carried, carry, gone
from crf.definitions.errors import Refusal
from crf.definitions.model import StudyDefinition
from crf.models import BuildDraft, Record, StudyBuild, definition_of_build
from crf.selectors import NoBuild, context_for, current_build, subject_records
from crf.services import calendar, queries, record_rules, sdv
from registry import audit, jobs
from registry.jobs import Progress
from registry.models import Job, Site, Study, Subject, User
from registry.permissions import Permission, authorise

MOST_ROUNDS = 6  # forms that derive from forms that derive: more would be a cycle, which no build has
LOCKED = Refusal("记录已锁定", "the record is locked")
SOURCE = "migration"
MOST_REASON = 1000
MOST_TOUCHED = 5000


class MigrationRefused(ValueError):
    """The records can't be brought to this build as asked; the message says why."""


@dataclass(frozen=True)
class Step:
    """One record and what becomes of it: `carried` under the new build, or `left` as it is and why."""

    record: Record
    carried: Carried | None = None
    left: Refusal | None = None
    status: str = ""

    @property
    def ends_signature(self) -> bool:
        return self.carried is not None and self.record.status == Record.Status.SIGNED

    @property
    def ends_verification(self) -> bool:
        return self.carried is not None and self.record.status == Record.Status.VERIFIED

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """What happens to it, as (kind, item) for counting; items of rows without their row."""
        if self.carried is None:
            return []
        named = {
            "orphaned": self.carried.orphaned,
            "failed": self.carried.failed,
            "reread": self.carried.reread,
            "derived": self.carried.derived,
            "finding": {one.item: one for one in self.carried.findings},
        }
        return [(kind, item) for kind, places in named.items() for item in dict.fromkeys(map(_leaf, places))]


def _leaf(place: str) -> str:
    return place.rpartition("].")[2]


def plan(*, subject: Subject, definition: StudyDefinition, build: StudyBuild | None = None) -> list[Step]:
    """What becomes of each record of the subject under `definition`; those bound to `build` already are left out.

    Records read each other: each is carried with the others as they will be. Nothing is written.
    """
    return _plan(subject, subject_records(subject), definition, build)


def _plan(subject: Subject, records: list[Record], definition: StudyDefinition, build: StudyBuild | None) -> list[Step]:
    waiting = [record for record in records if build is None or record.build_id != build.pk]
    left = {record.pk: why for record in waiting if (why := _left(record, definition))}
    moving = [record for record in waiting if record.pk not in left]
    held = {record.pk: record.data for record in records}
    versions = dict(StudyBuild.objects.filter(pk__in={r.build_id for r in moving}).values_list("pk", "version"))
    carried: dict[int, Carried] = {}
    for _round in range(MOST_ROUNDS):
        before = {key: one.data for key, one in carried.items()}
        for record in moving:
            others = [one for one in records if one.pk != record.pk]
            found = carry(
                definition_of_build(record.build_id).form(record.form),
                definition.form(record.form),
                definition,
                held[record.pk],
                context_for(subject, others, visit=record.visit),
                version=versions[record.build_id],
            )
            carried[record.pk] = found
            record.data = found.data  # what the others read
        if before == {key: one.data for key, one in carried.items()}:
            break
    for record in records:
        record.data = held[record.pk]
    return [_step(record, carried.get(record.pk), left.get(record.pk)) for record in waiting]


def _left(record: Record, definition: StudyDefinition) -> Refusal | None:
    if record.status == Record.Status.LOCKED:
        return LOCKED
    return gone(definition, record.visit.event, record.form, record.repeat)


def _step(record: Record, carried: Carried | None, left: Refusal | None) -> Step:
    return Step(record, carried, left, status_after(record, carried) if carried else record.status)


def status_after(record: Record, carried: Carried) -> str:
    """As after any change: what was verified or signed is so no longer, and a gap or a bad value opens it again."""
    if not record_rules.is_past_entry(record):
        return record.status
    is_open = carried.failed or any(finding.blocks_completion for finding in carried.state.findings)
    return Record.Status.IN_PROGRESS if is_open else Record.Status.COMPLETE


# -- weighing ----------------------------------------------------------------------------------------------------------

COUNTED = ("records", "clean", "orphaned", "failed", "reread", "derived", "finding", "signatures", "verifications")


@dataclass
class Weight:
    """How many records meet what: by form, and by form and item; no value, and of subjects only their keys."""

    forms: dict[str, Counter[str]] = field(default_factory=dict)
    items: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: dict[int, None] = field(default_factory=dict)  # subjects with a record for which there is more to say

    def add(self, step: Step) -> None:
        if step.carried is None or not step.carried.is_clean:
            self.touched[step.record.subject_id] = None
        form = self.forms.setdefault(step.record.form, Counter())
        form["records"] += 1
        if step.left:
            form["left"] += 1
            self.left[step.left.zh, step.left.en] += 1
            return
        form["signatures"] += step.ends_signature
        form["verifications"] += step.ends_verification
        form["reopened"] += record_rules.is_past_entry(step.record) and step.status == Record.Status.IN_PROGRESS
        form.update({kind for kind, _item in step.kinds} or {"clean"})
        self.items.update((step.record.form, item, kind) for kind, item in step.kinds)

    def totals(self) -> dict[str, int]:
        """All forms together, for the job's page."""
        counted: Counter[str] = sum(self.forms.values(), Counter())
        moved = counted["records"] - counted["left"]
        return {"records": moved, "left": counted["left"], "signatures_ended": counted["signatures"]}

    def as_dict(self) -> dict[str, Any]:
        """As a job keeps it: counts by form; [form, item, kind, records]; of what is left [zh, en, records]; and the
        keys of the subjects to look at."""
        return {
            "touched": list(self.touched)[:MOST_TOUCHED],
            "forms": {form: dict(counts) for form, counts in sorted(self.forms.items())},
            "items": [[*key, count] for key, count in sorted(self.items.items())],
            "left_because": [[*key, count] for key, count in sorted(self.left.items())],
        }


def weigh(
    *,
    study: Study,
    definition: StudyDefinition,
    build: StudyBuild | None = None,
    sites: Iterable[Site] | None = None,
    progress: Progress,
    by: User,
) -> Weight:
    """What `definition` would mean for the records there are (at `sites`, or all); nothing is written."""
    authorise(by, Permission.BUILD_VIEW, study=study)
    found = Weight()
    subjects = _subjects(study, sites)
    progress.start(subjects.count())
    for subject in _each(subjects, study):
        for step in plan(subject=subject, definition=definition, build=build):
            found.add(step)
        progress.step()
    return found


# -- migrating ---------------------------------------------------------------------------------------------------------


def start(*, build: StudyBuild, sites: Iterable[Site], reason: str, by: User) -> Job:
    """Ask for the migration of the sites' records; it runs as a job. Raises MigrationRefused, PermissionDenied."""
    sites = list(sites)
    _refuse(build, sites, reason, by)
    with audit.change(by=by, reason=reason):
        job = jobs.create(kind="build.migrate", study=build.study, by=by)
        details = {"version": build.version, "sites": [site.code for site in sites], "job": job.pk}
        audit.event(kind="build.migrate", study=build.study, details=details)
        arguments = {"build_id": build.pk, "site_ids": [site.pk for site in sites], "reason": reason}
        jobs.enqueue("crf.tasks.migrate_records", job=job, **arguments)
    return job


def start_weighing(*, study: Study, draft: BuildDraft | None = None, build: StudyBuild | None = None, by: User) -> Job:
    """Ask what a draft, or a build, would mean for the study's records; the answer is the job's result."""
    authorise(by, Permission.BUILD_VIEW, study=study)
    job = jobs.create(kind="build.weigh", study=study, by=by)
    subject = {"draft_id": draft.pk} if draft else {"build_id": build.pk if build else None}
    jobs.enqueue("crf.tasks.weigh_build", job=job, study_id=study.pk, **subject)
    return job


def _refuse(build: StudyBuild, sites: list[Site], reason: str, by: User) -> None:
    authorise(by, Permission.BUILD_MIGRATE, study=build.study)
    if not sites:
        raise MigrationRefused(_("Choose at least one site."))
    if not reason.strip():
        raise MigrationRefused(_("Give a reason: it stands in the audit trail of every record."))
    if len(reason) > MOST_REASON or not reason.isprintable():
        raise MigrationRefused(
            _("Give the reason in one line of at most %(limit)s characters.") % {"limit": MOST_REASON}
        )
    for site in sites:
        if not is_in_force(build, site):
            raise MigrationRefused(
                _("Version %(version)s is not in force at site %(site)s; release it there first.")
                % {"version": build.version, "site": site.code}
            )


def is_in_force(build: StudyBuild, site: Site) -> bool:
    try:
        return current_build(build.study, site).pk == build.pk
    except NoBuild:
        return False


def migrate(*, build: StudyBuild, sites: Iterable[Site], reason: str, progress: Progress, by: User) -> Weight:
    """Bring the records at `sites` to `build`, subject by subject, each in a transaction of its own.

    Ended in the middle, it leaves whole subjects done; started again, it goes on with the others.
    """
    sites = list(sites)
    _refuse(build, sites, reason, by)
    subjects = _subjects(build.study, sites).filter(pk__in=subjects_waiting(build.study, build))
    progress.start(subjects.count())
    found = Weight()
    for subject in _each(subjects, build.study):
        migrate_subject(subject=subject, build=build, reason=reason, weight=found, by=by)
        progress.step()
    return found


def subjects_waiting(study: Study, build: StudyBuild | None = None) -> QuerySet:
    """The keys of the study's subjects with records, of other builds than `build`, that are not locked."""
    others = Record.objects.filter(subject__study=study)
    others = others.exclude(build=build) if build else others
    return others.exclude(status=Record.Status.LOCKED).order_by().values("subject")


def migrate_subject(
    *, subject: Subject, build: StudyBuild, reason: str, weight: Weight | None = None, by: User
) -> list[Record]:
    """Bring one subject's records to `build`: one revision each, with source `migration`; none where nothing waits."""
    _refuse(build, [subject.site], reason, by)
    with audit.change(by=by, reason=reason, source=SOURCE):
        # As a save does: nobody may enter between our reading and our writing.
        Subject.objects.select_for_update().only("pk").get(pk=subject.pk)
        records = subject_records(subject)
        steps = _plan(subject, records, build.study_definition, build)
        for step in steps:
            if weight is not None:
                weight.add(step)
            if step.carried:
                _write(step.record, step.carried, step.status, build)
        moved = [step for step in steps if step.carried]
        if moved:
            queries.after_saves(saved=[(step.record, step.carried.state) for step in moved if step.carried], by=by)
            sdv.after_saves(records=[step.record for step in moved], by=by)
            calendar.replan(subject=subject, records=records, by=by)
    return [step.record for step in moved]


def _write(record: Record, carried: Carried, status: str, build: StudyBuild) -> None:
    record.build, record.data, record.status = build, carried.data, status
    record.save()


def _subjects(study: Study, sites: Iterable[Site] | None) -> QuerySet:
    found = Subject.objects.filter(study=study)
    return found.filter(site__in=list(sites)) if sites is not None else found


def _each(subjects: QuerySet, study: Study) -> Iterator[Subject]:
    for subject in subjects.select_related("site", "group").order_by("pk").iterator(chunk_size=200):
        subject.study = study
        yield subject
