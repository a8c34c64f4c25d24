"""Save, verify, sign and lock records: the one way clinical answers are written, whoever brings them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from crf.definitions.check import FormState, evaluate
from crf.definitions.model import Form, StudyDefinition
from crf.definitions.rows import flat
from crf.definitions.values import MAX_TEXT
from crf.models import Record, SecondEntry, definition_of_build
from crf.selectors import (
    Entry,
    context_for,
    current_build,
    event_of,
    in_calendar_order,
    read_entry,
    subject_records,
)
from crf.services import attachments, calendar, queries, record_rules, sdv
from crf.services.words import why_not
from registry import audit
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission, authorise
from registry.services import signatures, subjects


class RecordRefused(ValueError):
    """The record can't be saved as asked; `problems` is [(item or "", message)]."""

    def __init__(self, problems: list[tuple[str, str]], entry: Entry | None = None) -> None:
        super().__init__("; ".join(f"{item}: {message}" if item else message for item, message in problems))
        self.problems = problems
        self.entry = entry


class ReasonNeeded(RecordRefused):
    """Saved values would change, and no reason was given (ICH E6(R3) 4.2.4)."""


class EditConflict(RecordRefused):
    """Somebody saved the record after the page was opened; `current` is what it holds now."""

    def __init__(self, current: Record) -> None:
        super().__init__([("", _("Somebody else saved this record meanwhile; compare before you save again."))])
        self.current = current


class RecordIsLocked(RecordRefused):
    """The record is locked; it must be unlocked, with a reason, before anything changes."""


@dataclass(frozen=True)
class SaveResult:
    """The record as it is now, what the checks find in it, and whether this save changed anything."""

    record: Record
    state: FormState
    changed: bool


def save(
    *,
    subject: Subject,
    visit: Visit,
    form: str,
    data: Mapping[str, Any],
    repeat: int = 1,
    comments: Mapping[str, str] | None = None,
    reason: str = "",
    complete: bool = False,
    explained: bool = False,
    expected_revision: int | None = None,
    source: str = "",
    language: str = "zh-hans",
    by: User,
) -> SaveResult:
    """Store what was typed for one form: parse, derive, check, then one revision and one history row.

    `data` is {item: typed value}; items left out stay as they are, empty ones are cleared. Findings do not block a
    save in progress; `complete=True` asks for no hard finding and nothing required left open, and, where a person is
    there to give it (`explained=True`: page and API, not a file), for a comment on each soft finding, as does a change
    of what is complete. A form that is entered twice stays in progress until both entries agree. A save that changes
    nothing writes nothing.
    Raises RecordRefused, ReasonNeeded, EditConflict, RecordIsLocked, PermissionDenied.
    """
    authorise(by, Permission.RECORD_ENTER, subject=subject)
    with audit.change(by=by, reason=reason, source=source):
        # One writer per subject at a time: cross-form derivations read what this save writes.
        subjects.hold(subject)
        records = subject_records(subject)
        record = _existing(records, visit, form, repeat)
        _refuse_stale(record, expected_revision)
        build_id = record.build_id if record else current_build(subject.study, subject.site).pk
        definition = definition_of_build(build_id)
        _refuse_place(definition, visit, form, repeat)
        _refuse_words(definition.form(form), comments or {}, reason)
        entry = _read(subject, visit, form, data, record, definition, records, language)
        values = record_rules.kept(entry.state)
        merged = {**(record.comments if record else {}), **(comments or {})}
        merged = {item: text for item, text in merged.items() if text}
        _refuse_files(values, record, subject)
        _refuse_incomplete(entry, complete, language)
        is_same = record is not None and (record.data, record.comments) == (values, merged)
        is_due = complete or (record is not None and record_rules.is_past_entry(record) and not is_same)
        _refuse_unexplained(entry, merged, explained and is_due, language)
        held_back = complete and definition.form(form).double_entry and not _entries_agree(record)
        status = record_rules.next_status(record, entry.state, is_same=is_same, complete=complete and not held_back)
        if record and is_same and record.status == status:
            _await_second_entry(record, held_back)
            return SaveResult(record, entry.state, changed=False)
        _ask_reason(record, values, merged, reason)
        record = record or Record(subject=subject, visit=visit, form=form, repeat=repeat, build_id=build_id)
        record.data, record.comments, record.status = values, merged, status
        record.save()
        _after_save(record, entry.state, records, by)
        _await_second_entry(record, held_back)
        everything = in_calendar_order([one for one in records if one.pk != record.pk] + [record])
        _refresh_dependants(subject, record, everything, by)
        if calendar.hangs_on(definition, form):
            calendar.replan(subject=subject, records=everything, by=by)
    return SaveResult(record, entry.state, changed=True)


def verify(*, record: Record, expected_revision: int | None = None, by: User) -> Record:
    """Mark a complete record as verified against its source (SDV); refused if it is not the revision expected."""
    authorise(by, Permission.RECORD_VERIFY, subject=record.subject)
    with audit.change(by=by):
        record = _held(record, expected_revision)
        if record.status != Record.Status.COMPLETE:
            raise RecordRefused([("", _("Only a complete record can be verified."))])
        record.status = Record.Status.VERIFIED
        record.save()
        sdv.note_verified(record=record, by=by)
    return record


def sign(*, record: Record, password: str, expected_revision: int | None = None, by: User) -> Record:
    """Sign a complete or verified record: re-authentication, meaning, and its digest (21 CFR 11.50, 11.200).

    Refused if it is not the revision expected: nobody signs what they did not see.
    """
    authorise(by, Permission.RECORD_SIGN, subject=record.subject)
    signatures.reauthenticate(password=password, study=record.subject.study, by=by)
    with audit.change(by=by):
        record = _held(record, expected_revision)
        if record.status not in (Record.Status.COMPLETE, Record.Status.VERIFIED):
            raise RecordRefused([("", _("Only a complete record can be signed."))])
        record.status = Record.Status.SIGNED
        record.save()
        signatures.sign(
            study=record.subject.study,
            password=password,
            meaning=_("I confirm that these data are complete and correct."),
            kind="record",
            object_id=str(record.pk),
            digest=record.digest,
            by=by,
        )
    return record


def lock(*, records: Iterable[Record], reason: str, by: User) -> int:
    """Lock records against every change, for example because a signed dataset holds them; the number newly locked."""
    by_study: dict[Study, list[int]] = {}
    for record in records:
        by_study.setdefault(record.subject.study, []).append(record.pk)
    for study in by_study:
        authorise(by, Permission.DATASET_LOCK, study=study)
    with audit.change(by=by, reason=reason):
        return sum(
            Record.objects.filter(pk__in=keys).revise_status(Record.Status.LOCKED, study_id=study.pk)
            for study, keys in by_study.items()
        )


def unlock(*, record: Record, reason: str, by: User) -> Record:
    """Open a locked record again, complete or in progress as it was; earlier datasets keep what they hold."""
    authorise(by, Permission.DATASET_LOCK, study=record.subject.study)
    if not reason.strip():
        raise ReasonNeeded([("", _("Unlocking needs a reason."))])
    with audit.change(by=by, reason=reason):
        record = _held(record)
        if record.status != Record.Status.LOCKED:
            raise RecordRefused([("", _("This record is not locked."))])
        before = record.history.exclude(status=Record.Status.LOCKED).latest("revision")
        record.status = Record.Status.COMPLETE if record_rules.is_past_entry(before) else Record.Status.IN_PROGRESS
        record.save()
        audit.event(kind="record.unlock", subject=record.subject, details={"record": record.pk})
    return record


def _held(record: Record, expected_revision: int | None = None) -> Record:
    """The record as it is now; its subject is held, as by every save, until the transaction ends."""
    subject = record.subject
    subjects.hold(subject)
    record = Record.objects.get(pk=record.pk)
    record.subject = subject
    if expected_revision not in (None, record.revision):
        raise RecordRefused([("", _("The record changed since this page was opened; look at it again."))])
    return record


def _existing(records: list[Record], visit: Visit, form: str, repeat: int) -> Record | None:
    return next((r for r in records if (r.visit_id, r.form, r.repeat) == (visit.pk, form, repeat)), None)


def _refuse_words(form: Form, comments: Mapping[str, str], reason: str) -> None:
    """Comments belong to items of the form; they and the reason can be stored, read and exported."""
    problems = [(item, _("The form has no such item.")) for item in comments if not form.has(item)]
    for item, text in [*comments.items(), ("", reason)]:
        if problem := why_not(text, most=MAX_TEXT):
            problems.append((item, problem))
    if problems:
        raise RecordRefused(problems)


def _refuse_stale(record: Record | None, expected_revision: int | None) -> None:
    if record and record.status == Record.Status.LOCKED:
        raise RecordIsLocked([("", _("This record is locked in a dataset; it must be unlocked first."))])
    if expected_revision is None or expected_revision == (record.revision if record else 0):
        return
    if record is None:
        raise RecordRefused([("", _("Nothing was saved here yet."))])
    raise EditConflict(record)


def _refuse_place(definition: StudyDefinition, visit: Visit, form: str, repeat: int) -> None:
    event = event_of(definition, visit.event)
    if event is None or form not in event.forms:
        raise RecordRefused([("", _("The form %(form)s is not part of this visit.") % {"form": form})])
    if not definition.form(form).may_be_number(repeat):
        raise RecordRefused([("", _("The form %(form)s has no number %(number)s.") % {"form": form, "number": repeat})])


def _read(
    subject: Subject,
    visit: Visit,
    form: str,
    data: Mapping[str, Any],
    record: Record | None,
    definition: StudyDefinition,
    records: list[Record],
    language: str,
) -> Entry:
    unknown = [name for name in data if not definition.form(form).has(name)]
    if unknown:
        raise RecordRefused([(name, _("The form has no such item.")) for name in unknown])
    entry = read_entry(
        subject=subject, visit=visit, form=form, typed=data, record=record, definition=definition, records=records
    )
    if entry.unread:
        raise RecordRefused([(name, bad.of(language)) for name, bad in entry.unread.items()], entry)
    return entry


def _refuse_incomplete(entry: Entry, complete: bool, language: str) -> None:
    if not complete:
        return
    hard = [finding for finding in entry.state.findings if finding.severity == "hard"]
    open_items = [finding for finding in entry.state.findings if finding.check == "required"]
    if hard or open_items:
        raise RecordRefused([(f.item, f.message.of(language)) for f in [*hard, *open_items]], entry)


def _refuse_unexplained(entry: Entry, comments: Mapping[str, str], due: bool, language: str) -> None:
    """A soft finding stands when somebody says why."""
    unexplained = record_rules.unexplained(entry.form, entry.state, comments) if due else []
    if unexplained:
        asked = _("If the value is right, say why in the comment; else correct it.")
        problems = [(one.item, f"{one.message.of(language)} {asked}") for one in unexplained]
        raise RecordRefused(problems, entry)


def _refuse_files(values: Mapping[str, Any], record: Record | None, subject: Subject) -> None:
    """A file that answers an item was uploaded for this subject, and is named as it was stored."""
    named = {place: value for place, value in flat(values).items() if isinstance(value, dict) and "file" in value}
    before = flat(record.data) if named and record else {}
    new = {place: value for place, value in named.items() if before.get(place) != value}
    if new and (strange := attachments.refused_files(new, subject=subject)):
        raise RecordRefused([(place, _("This file was not uploaded for this subject.")) for place in strange])


def _entries_agree(record: Record | None) -> bool:
    return record is not None and SecondEntry.objects.filter(record=record, status=SecondEntry.Status.AGREED).exists()


def _await_second_entry(record: Record, held_back: bool) -> None:
    """The first entry is finished; another person types the same paper before the record is complete."""
    if held_back and not SecondEntry.objects.filter(record=record).exists():
        SecondEntry(record=record).save()


def _ask_reason(record: Record | None, values: dict[str, Any], comments: dict[str, str], reason: str) -> None:
    if record is None or reason.strip():
        return
    changed = record_rules.changed_without_reason(record, record.study_definition.form(record.form), values, comments)
    if changed:
        raise ReasonNeeded([(name, _("Give a reason for changing this value.")) for name in changed])


def _after_save(record: Record, state: FormState, records: Iterable[Record], by: User) -> None:
    """Queries and source verification follow what was saved; a subject without any costs no statement."""
    known = next((one for one in records if hasattr(one, "has_queries")), None)
    queries.after_save(record=record, state=state, watched=known is None or known.has_queries, by=by)
    sdv.after_save(record=record, watched=known is not None and known.has_sdv, by=by)


def _refresh_dependants(subject: Subject, changed: Record, records: list[Record], by: User) -> None:
    """Derive again what other forms compute from this one (change from baseline, scores that need sex or age).

    What changes by that is itself read by others, and no longer what somebody verified or signed.
    """
    for record in records:
        if record.pk == changed.pk or not record_rules.reads(record, changed) or record.status == Record.Status.LOCKED:
            continue
        others = [one for one in records if one.pk != record.pk]
        form = record.study_definition.form(record.form)
        state = evaluate(form, record.data, context_for(subject, others, visit=record.visit))
        values = record_rules.derived_again(form, record.data, state)
        if values != record.data:
            with audit.change(by=by, reason=_("derived from %(form)s") % {"form": changed.form}, source="derived"):
                record.data = values
                record.status = Record.Status.COMPLETE if record_rules.is_past_entry(record) else record.status
                record.save()
                _after_save(record, state, records, by)
            _refresh_dependants(subject, record, records, by)
