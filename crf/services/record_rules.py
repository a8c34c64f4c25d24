"""What a save decides, as functions of the record and the form's state: the same for one record and for a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crf.definitions.check import Finding, FormState
from crf.definitions.model import Form
from crf.definitions.rows import address, flat
from crf.models import Record

# Findings that ask for an answer, tell of a broken rule, or are about what is about to go.
NO_COMMENT = frozenset({"required", "hidden", "rule", "derive", "rows"})
PAST_ENTRY = frozenset({Record.Status.COMPLETE, Record.Status.VERIFIED, Record.Status.SIGNED})


def kept(state: FormState) -> dict[str, Any]:
    """The values to store: entered and derived ones of visible items; empty ones left out."""
    return state.stored


def is_past_entry(record: Record) -> bool:
    return record.status in PAST_ENTRY


def next_status(record: Record | None, state: FormState, *, is_same: bool, complete: bool) -> str:
    """A change after completion, verification or signature voids the later states and says so in the trail.

    A complete record that gets a gap or a hard finding is in progress again.
    """
    was_complete = record is not None and is_past_entry(record)
    if record and is_same and (was_complete or not complete):
        return record.status
    if (complete or was_complete) and not any(finding.blocks_completion for finding in state.findings):
        return Record.Status.COMPLETE
    return Record.Status.IN_PROGRESS


def unexplained(form: Form, state: FormState, comments: Mapping[str, str]) -> list[Finding]:
    """The soft findings that nobody has commented, of those a person can answer for."""
    return [
        finding
        for finding in state.findings
        if finding.severity == "soft"
        and finding.check not in NO_COMMENT
        and finding.item in state.visible
        and form.item(finding.item).type not in ("group", "label")
        and not comments.get(finding.item, "").strip()
    ]


def changed_without_reason(
    record: Record | None, form: Form, values: Mapping[str, Any], comments: Mapping[str, str]
) -> list[str]:
    """The addresses for which a reason is due: something recorded changes or goes, or a complete record gets more.

    Filling what was empty is no change.
    """
    if record is None:
        return []
    before, values = flat(record.data), flat(values)
    entered = {name: value for name, value in before.items() if _is_entered(form, name)}
    recorded = ((entered, values), (record.comments, comments))
    changed = [name for old, new in recorded for name, value in old.items() if new.get(name) != value]
    if is_past_entry(record) and not changed:
        after = ((before, values), (record.comments, comments))
        changed = [name for old, new in after for name in new if name not in old]
    return changed


def _is_entered(form: Form, name: str) -> bool:
    place = address(name)
    item = form.questions.get(place.leaf) if place else None
    return not name.startswith("_") and (item is None or item.is_entered)


def reads(record: Record, other: Record) -> bool:
    """Whether the record derives something from the form of the other, by the build that the record is bound to."""
    readers = record.study_definition.readers
    return other.form in readers and record.form in readers[other.form]


def derived_again(form: Form, data: Mapping[str, Any], state: FormState) -> dict[str, Any]:
    """`data` with its derived values as `state` has them now, and everything entered as it was."""
    entered = {name: value for name, value in data.items() if name not in form.renewed}
    renewed = {name: value for name, value in state.values.items() if name in form.renewed}
    return entered | {name: value for name, value in renewed.items() if value is not None and value != []}
