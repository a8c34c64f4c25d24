"""Compare records with their source, value by value; a value that changes afterwards no longer stands verified."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _

from crf.definitions.sampling import value_digest
from crf.models import Record, SdvPlan, SourceVerification
from crf.selectors.sdv import due_items, entered_values, plan_of
from crf.services.words import why_not
from registry import audit
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission, authorise

BATCH = 500
MOST_REASON = 1000


class SdvRefused(ValueError):
    """The record can't be verified as asked; the message says why."""


@dataclass(frozen=True)
class Report:
    """What a verification of many records did: how many, and why not others, by the record's place."""

    done: int
    refused: dict[str, str]


def save_plan(
    *,
    study: Study,
    scope: str,
    percentage: int = 100,
    critical_always: bool = True,
    overdue_days: int | None = None,
    reason: str = "",
    by: User,
) -> SdvPlan:
    """Say how much of the study is compared with its source; the sample's seed stays, so that a larger share keeps a
    smaller one's choice. What stands verified is weighed again under the new plan."""
    authorise(by, Permission.SDV_PLAN, study=study)
    if scope not in SdvPlan.Scope.values or not 1 <= percentage <= 100:
        raise SdvRefused(_("A plan needs one of the listed scopes and a share of 1 to 100 %."))
    with audit.change(by=by, reason=reason):
        Study.objects.select_for_update().only("pk").get(pk=study.pk)
        plan = SdvPlan.objects.filter(study=study).first() or SdvPlan(study=study, seed=secrets.token_hex(16))
        plan.scope, plan.percentage = scope, percentage
        plan.critical_always, plan.overdue_days = critical_always, overdue_days
        plan.save()
        _weigh_again(study, plan)
    return plan


def _weigh_again(study: Study, plan: SdvPlan) -> None:
    held = SourceVerification.objects.filter(record__subject__study=study)
    for one in held.select_related("record__subject", "record__visit").order_by("pk").iterator(BATCH):
        is_complete = _is_complete(one, one.record, plan)
        if is_complete != one.is_complete:
            one.is_complete = is_complete
            one.save()


def verify(
    *, record: Record, items: Iterable[str] | None = None, expected_revision: int | None = None, by: User
) -> SourceVerification:
    """Say that these items (None: all entered ones) agree with the source at this revision.

    The record is VERIFIED once every item due under the plan is. Raises SdvRefused for a record that is not complete,
    changed since the page was opened, or has no such answer.
    """
    authorise(by, Permission.RECORD_VERIFY, subject=record.subject)
    with audit.change(by=by):
        record = _held(record, expected_revision)
        held = _mark(record, items)
        if held.is_complete and record.status == Record.Status.COMPLETE:
            record.status = Record.Status.VERIFIED
            record.save()
    return held


def note_verified(*, record: Record, by: User) -> SourceVerification:
    """Note of a record whose status was just set to VERIFIED that all of its entered items agree with the source."""
    authorise(by, Permission.RECORD_VERIFY, subject=record.subject)
    with audit.change(by=by):
        return _mark(record, None)


def withdraw(*, record: Record, items: Iterable[str] | None = None, reason: str, by: User) -> SourceVerification:
    """Take a verification back (None: of all items), with the reason; the record is complete again, not verified."""
    authorise(by, Permission.RECORD_VERIFY, subject=record.subject)
    _refuse_reason(reason)
    with audit.change(by=by, reason=reason):
        record = _held(record, None)
        held = SourceVerification.objects.filter(record=record).first()
        chosen = sorted(set(items if items is not None else held.items) & set(held.items)) if held else []
        if held is None or not chosen:
            raise SdvRefused(_("Nothing of this is verified."))
        held.items = {path: one for path, one in held.items.items() if path not in chosen}
        _keep(held, record)
        _tell("sdv.withdraw", record, chosen)
        if record.status == Record.Status.VERIFIED and not held.is_complete:
            record.status = Record.Status.COMPLETE
            record.save()
    return held


def verify_visit(*, visit: Visit, seen: Mapping[int, int] | None = None, by: User) -> Report:
    """Say of every complete record of a visit that it agrees with its source; `seen` as in `verify_many`."""
    authorise(by, Permission.RECORD_VERIFY, subject=visit.subject)
    found = Record.objects.filter(visit=visit).select_related("visit", "subject__site", "subject__study")
    return _verify_each(found.order_by("form", "repeat"), seen, by)


def verify_many(*, study: Study, seen: Mapping[int, int], by: User) -> Report:
    """Say of these records of a study that they agree with their source; those the person may not verify are left.

    `seen` is the revision of each record by its key: what changed since the person looked is not verified.
    """
    authorise(by, Permission.RECORD_VERIFY, study=study)
    visible = Record.objects.visible_to(by, needs=Permission.RECORD_VERIFY)
    found = visible.filter(subject__study=study, pk__in=list(seen))
    return _verify_each(found.select_related("visit", "subject__site", "subject__study").order_by("pk"), seen, by)


def _verify_each(records: Iterable[Record], seen: Mapping[int, int] | None, by: User) -> Report:
    done, refused = 0, {}
    for record in records:
        try:
            verify(record=record, expected_revision=record.revision if seen is None else seen.get(record.pk, 0), by=by)
            done += 1
        except (SdvRefused, PermissionDenied) as why:
            refused[f"{record.subject.number} {record.visit.event} {record.form}/{record.repeat}"] = str(why)
    return Report(done, refused)


def after_save(*, record: Record, watched: bool = True, by: User) -> None:
    """Drop the verification of values that this save changed; nothing to do where nothing was verified.

    `watched` is false where the caller knows that nothing of the subject is (`selectors.subject_records`).
    """
    authorise(by, Permission.RECORD_ENTER, subject=record.subject)
    if watched:
        _drop([record], by)


def after_saves(*, records: Sequence[Record], by: User) -> None:
    """The same for records saved together; one statement, and two more for each record that loses a verification."""
    for subject in {record.subject_id: record.subject for record in records}.values():
        authorise(by, Permission.RECORD_ENTER, subject=subject)
    _drop(records, by)


def _drop(records: Sequence[Record], by: User) -> None:
    by_key = {record.pk: record for record in records}
    for held in SourceVerification.objects.filter(record__in=by_key).exclude(items={}).order_by("pk"):
        record = by_key[held.record_id]
        now = entered_values(record)
        lost = [path for path, one in held.items.items() if one["digest"] != value_digest(now.get(path))]
        if not lost and _is_complete(held, record) == held.is_complete:
            continue
        with audit.change(by=by):
            at = timezone.now().isoformat(timespec="seconds")
            told = {"changed_revision": record.revision, "changed_by": by.username, "changed_at": at}
            held.changed = held.changed | {path: held.items[path] | told for path in lost}
            held.items = {path: one for path, one in held.items.items() if path not in lost}
            _keep(held, record)
            if lost:
                _tell("sdv.drop", record, lost)


def _refuse_reason(reason: str) -> None:
    if not reason.strip():
        raise SdvRefused(_("Taking a verification back needs a reason."))
    if problem := why_not(reason, most=MOST_REASON):
        raise SdvRefused(problem)


def _held(record: Record, expected_revision: int | None) -> Record:
    """The record as it is now; its subject is held, as by every save, until the transaction ends."""
    subject = record.subject
    Subject.objects.select_for_update().only("pk").get(pk=subject.pk)
    record = Record.objects.select_related("visit").get(pk=record.pk)
    record.subject = subject
    if expected_revision not in (None, record.revision):
        raise SdvRefused(_("The record changed since this page was opened; look at it again."))
    if record.status == Record.Status.IN_PROGRESS:
        raise SdvRefused(_("Only a complete record can be verified."))
    return record


def _mark(record: Record, items: Iterable[str] | None) -> SourceVerification:
    entered = entered_values(record)
    chosen = sorted(entered) if items is None else sorted(set(items))
    if items is not None and not chosen:
        raise SdvRefused(_("Tick the answers that you compared."))
    if unknown := [path for path in chosen if path not in entered]:
        raise SdvRefused(_("There is no such answer to verify: %(items)s.") % {"items": ", ".join(unknown)})
    held = SourceVerification.objects.filter(record=record).first() or SourceVerification(record=record)
    at = timezone.now().isoformat(timespec="seconds")
    told = {"revision": record.revision, "by": audit.current().by.username, "at": at}
    held.items = held.items | {path: told | {"digest": value_digest(entered[path])} for path in chosen}
    # Who verifies the whole form has seen that what was changed may also be gone.
    held.changed = {} if items is None else {path: one for path, one in held.changed.items() if path not in chosen}
    _keep(held, record)
    _tell("sdv.verify", record, chosen)
    return held


def _keep(held: SourceVerification, record: Record) -> None:
    held.record = record
    held.verified_count, held.changed_count = len(held.items), len(held.changed)
    held.is_complete = _is_complete(held, record)
    held.save()


def _is_complete(held: SourceVerification, record: Record, plan: SdvPlan | None = None) -> bool:
    """Whether every item due stands verified, and nothing due changed or went since.

    Where nothing is due, the form is verified only as a whole.
    """
    entered = entered_values(record)
    if held.changed.keys() - entered.keys():
        return False  # a verified value was cleared: nothing is left to be due there, and yet nobody looked
    due = due_items(plan or plan_of(record.subject.study), record, record.subject, record.visit)
    return (due or entered.keys()) <= held.items.keys()


def _tell(kind: str, record: Record, items: Sequence[str]) -> Any:
    details = {"record": record.pk, "form": record.form, "revision": record.revision, "items": ", ".join(items)}
    return audit.event(kind=kind, subject=record.subject, details=details)
