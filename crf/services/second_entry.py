"""Double entry: another person types the same paper, blind to the first, and the two are made to agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from crf.definitions.merge import Difference, differing
from crf.definitions.model import Form
from crf.definitions.rows import address
from crf.models import Record, SecondEntry
from crf.selectors import read_entry
from crf.services import records
from registry import audit
from registry.models import Subject, User
from registry.permissions import Permission, authorise, rights

NOT_TYPED = ("derived", "dicom", "migration")  # sources of a record's history that no person typed


def enter(
    *, record: Record, data: Mapping[str, Any], finished: bool = True, language: str = "zh-hans", by: User
) -> SecondEntry:
    """Keep what the second person typed, and complete the record where both entries say the same.

    `data` is the whole entry as far as it is typed; of a long form it grows page by page until it is `finished`.
    Raises RecordRefused: it is not awaited, `by` typed the first, or an answer can't be read.
    """
    authorise(by, Permission.RECORD_ENTER, subject=record.subject)
    with audit.change(by=by):
        record, second = _held(record)
        _refuse_first_person(record, by)
        if second.status != SecondEntry.Status.AWAITED:
            raise records.RecordRefused([("", _("The second entry of this form was made already."))])
        definition = record.study_definition
        entry = read_entry(
            subject=record.subject, visit=record.visit, form=record.form, typed=data, definition=definition
        )
        if entry.unread:
            raise records.RecordRefused([(item, bad.of(language)) for item, bad in entry.unread.items()], entry)
        second.data = entered(entry.form, entry.state.stored)
        second.entered_by, second.revision = by, record.revision
        if not finished:
            second.save()
            return second
        agree = not differences(record, second)
        second.status = SecondEntry.Status.AGREED if agree else SecondEntry.Status.DIFFERS
        second.save()
        if agree:
            _complete(record, {}, "", language, by)
    return second


def resolve(
    *, record: Record, choices: Mapping[str, str], reason: str, language: str = "zh-hans", by: User
) -> records.SaveResult:
    """Decide each difference for the `first` or the `second` entry, with a reason, and complete the record.

    Whoever typed the first entry can't decide. Raises RecordRefused (then nothing is changed), ReasonNeeded.
    """
    authorise(by, Permission.RECORD_ENTER, subject=record.subject)
    if not reason.strip():
        raise records.ReasonNeeded([("", _("Say how it was decided, such as: compared with the paper."))])
    with audit.change(by=by, reason=reason):
        record, second = _held(record)
        _refuse_first_person(record, by)
        if second.status != SecondEntry.Status.DIFFERS:
            raise records.RecordRefused([("", _("There is nothing to decide here."))])
        found = differences(record, second)
        undecided = [one.address for one in found if choices.get(one.address) not in ("first", "second")]
        if undecided:
            raise records.RecordRefused([(place, _("Choose one of the two entries.")) for place in undecided])
        taken = {one.address: one.mine for one in found if choices[one.address] == "second"}
        second.status = SecondEntry.Status.AGREED
        second.save()
        return _complete(record, taken, reason, language, by)


def differences(record: Record, second: SecondEntry) -> list[Difference]:
    """Where the entries differ: `theirs` is the first entry, `mine` the second."""
    form = record.study_definition.form(record.form)
    return differing(entered(form, record.data), second.data)


def entered(form: Form, data: Mapping[str, Any]) -> dict[str, Any]:
    """The answers a person typed, without what is derived, columns of groups too."""
    typed = {name for name, item in form.questions.items() if item.is_entered}
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name in form.groups:
            found[name] = [{key: one for key, one in row.items() if key == "row" or key in typed} for row in value]
        elif name in typed:
            found[name] = value
    return found


def first_people(record: Record) -> set[int]:
    """The accounts that typed into the record."""
    rows = record.history.exclude(history_source__in=NOT_TYPED)
    return set(rows.values_list("history_user_id", flat=True))


def is_blind(record: Record, user: User) -> bool:
    """Whether the person may not see the record's answers yet, since they are the one to enter it a second time."""
    if not record.study_definition.form(record.form).double_entry:
        return False
    if not SecondEntry.objects.filter(record=record, status=SecondEntry.Status.AWAITED).exists():
        return False
    return Permission.RECORD_ENTER in rights(user, site=record.subject.site) and user.pk not in first_people(record)


def _held(record: Record) -> tuple[Record, SecondEntry]:
    """The record and its second entry as they are now, held until the transaction ends."""
    Subject.objects.select_for_update().only("pk").get(pk=record.subject_id)
    now = Record.objects.select_related("visit").get(pk=record.pk)
    now.subject = record.subject
    second = SecondEntry.objects.filter(record=now).first()
    if second is None:
        raise records.RecordRefused([("", _("The first entry of this form is not finished yet."))])
    second.record = now
    return now, second


def _refuse_first_person(record: Record, by: User) -> None:
    if by.pk in first_people(record):
        raise records.RecordRefused([("", _("You made the first entry; another person makes the second."))])


def _complete(record: Record, taken: Mapping[str, Any], reason: str, language: str, by: User) -> records.SaveResult:
    data: dict[str, Any] = {place: value for place, value in taken.items() if address(place)}
    return records.save(
        subject=record.subject,
        visit=record.visit,
        form=record.form,
        repeat=record.repeat,
        data=data,
        reason=reason,
        complete=True,
        language=language,
        by=by,
    )
