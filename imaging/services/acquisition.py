"""Answer from DICOM headers what a form asks about the images, so that nobody types it."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import PermissionDenied

from crf.definitions.model import Codelist, Form, Item, StudyDefinition
from crf.definitions.values import BadValue, parse_value
from crf.models import Record
from crf.selectors import NoBuild, definition_of, read_entry
from crf.services import records
from imaging.models import Series
from registry import audit
from registry.models import Subject, User, Visit
from registry.permissions import Permission, authorise
from registry.services import people

HEADERS = {
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "MagneticFieldStrength": "field",
    "KVP": "kvp",
    "SliceThickness": "thickness",
    "RepetitionTime": "tr",
    "EchoTime": "te",
    "InversionTime": "ti",
    "FlipAngle": "flip",
}
SOURCE = "dicom"
LATER = "additional: DICOM"  # a reason of registry.wording: information came later
SAME_NUMBER = 0.1  # relative: a magnet of 2.89 T is sold, and coded, as 3.0 T


def fill(*, subject: Subject, by: User) -> list[Record]:
    """Fill the items that name a `dicom` source, from the subject's images; returns the records that changed.

    Only what no person ever answered: an answer, also one that a person took away, is never written again, while
    headers' own answers grow with later uploads of the examination. A completed, verified, signed or locked record
    stays as it is. The audit trail names the source `dicom`.
    """
    authorise(by, Permission.IMAGE_UPLOAD, subject=subject)
    try:
        definition = definition_of(subject.study, subject.site)
    except NoBuild:
        return []
    imaging = definition.imaging
    forms = [form.oid for form in definition.forms if any(item.dicom for item in form.items.values())]
    if imaging is None or not forms:
        return []
    visit = subject.visits.filter(event=imaging.event, repeat=1).first()
    if visit is None:
        return []
    writer = _writer(subject, by)
    with audit.change(by=writer, source=SOURCE):
        # As a save does: nobody may answer between our reading of the form and our writing.
        Subject.objects.select_for_update().only("pk").get(pk=subject.pk)
        found = [_fill_form(subject, visit, form, definition, writer) for form in forms]
    return [record for record in found if record is not None]


def _writer(subject: Subject, by: User) -> User:
    """Who uploads images may not be one who enters forms; then the system does."""
    try:
        authorise(by, Permission.RECORD_ENTER, subject=subject)
    except PermissionDenied:
        return people.system_user()
    return by


def _fill_form(subject: Subject, visit: Visit, oid: str, current: StudyDefinition, writer: User) -> Record | None:
    record = Record.objects.filter(subject=subject, visit=visit, form=oid, repeat=1).first()
    if record is not None and record.status != Record.Status.IN_PROGRESS:
        return None
    definition = record.study_definition if record else current  # a record keeps the build it was begun with
    form = definition.form(oid)
    answered = _answered_by_people(record) if record else set()
    volumes = _examination(subject, form, record, current)
    data = {}
    for item in form.items.values():
        if item.dicom and item.name not in answered:
            value = answer(item, definition.codelist(item), volumes)
            if value is not None:
                data[item.name] = value
    if not data or (record and _hides(record, data, answered)):
        return None
    try:
        saved = records.save(subject=subject, visit=visit, form=oid, data=data, reason=LATER, source=SOURCE, by=writer)
    except records.RecordRefused:  # no form stops an intake: then the person fills it
        return None
    return saved.record if saved.changed else None


def _hides(record: Record, data: dict[str, Any], answered: set[str]) -> bool:
    """Whether these answers would take away one that a person gave: then the person fills the form."""
    entry = read_entry(subject=record.subject, visit=record.visit, form=record.form, typed=data, record=record)
    return any(name in answered and name not in entry.state.visible for name in record.data)


def _answered_by_people(record: Record) -> set[str]:
    """Items that anybody but the headers ever gave a value or took one from."""
    found: set[str] = set()
    before: dict[str, Any] = {}
    for row in record.history.order_by("revision"):
        if row.history_source != SOURCE:
            found |= {name for name in {*before, *row.data} if before.get(name) != row.data.get(name)}
        before = row.data
    return found


def _examination(subject: Subject, form: Form, record: Record | None, definition: StudyDefinition) -> list[Series]:
    """The volumes of the examination that the form means: of its date, else the first with a wanted sequence."""
    volumes = list(
        Series.objects.filter(subject=subject, volume_number__gt=0, instances__gt=0).order_by("acquired_on", "pk")
    )
    asked = next((item.name for item in form.items.values() if item.dicom_source[1] == "AcquisitionDate"), None)
    said = record.data.get(asked) if record and asked else None
    if said:
        volumes = [one for one in volumes if one.acquired_on and one.acquired_on.isoformat() == said]
    assert definition.imaging is not None
    wanted = {sequence.code for sequence in definition.imaging.sequences}
    first = next((one for one in volumes if one.kind in wanted), None)
    return [one for one in volumes if first and one.study_instance_uid == first.study_instance_uid]


def answer(item: Item, codelist: Codelist | None, volumes: list[Series]) -> Any:
    """The value that the headers of `volumes` give the item, as stored; None where they don't say, or disagree."""
    sequence, keyword = item.dicom_source
    said = [value for one in volumes if not sequence or one.kind == sequence for value in _said(one, keyword)]
    if keyword == "sequences":
        raw: Any = [code for code in codelist.codes() if code in said] if codelist else []
    elif keyword == "DiffusionBValue":
        raw = ", ".join(f"{value:g}" for value in sorted(set(said)))
    else:
        values = {_as_item(value, item, codelist) for value in said}
        raw = values.pop() if len(values) == 1 else None
    try:
        return parse_value(item, codelist, raw) if raw else None
    except BadValue:
        return None


def _said(series: Series, keyword: str) -> list[Any]:
    if keyword == "sequences":
        return [series.kind]
    if keyword == "AcquisitionDate":
        return [series.acquired_on.isoformat()] if series.acquired_on else []
    if keyword == "DiffusionBValue":
        return [series.split["b"]] if series.split.get("b") is not None else []
    value = series.acquisition.get(HEADERS[keyword])
    return [] if value in (None, "") else [value]


def _as_item(value: Any, item: Item, codelist: Codelist | None) -> Any:
    if codelist:
        return _code(value, codelist)
    if item.type == "decimal":
        return round(float(value), 6 if item.precision is None else item.precision)
    if item.type == "integer":
        return round(float(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _code(value: Any, codelist: Codelist) -> str | None:
    """The one choice that a header means: the nearest number, or a code or English label with a word in common."""
    if isinstance(value, (int, float)):
        off = {code: abs(value / number - 1) for code in codelist.codes() if (number := _number(code))}
        nearest = min(off, key=lambda code: off[code], default=None)
        return nearest if nearest and off[nearest] <= SAME_NUMBER else None
    words = _words(value)
    meant = [choice.code for choice in codelist.choices if words & _words(f"{choice.code} {choice.label.en}")]
    return meant[0] if len(meant) == 1 else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[A-Z0-9]+", text.upper()))


def _number(code: str) -> float:
    try:
        return float(code)
    except ValueError:
        return 0.0
