"""The live content of a study as tables: what a lock freezes. Natural keys only, so that no machine's ids are in it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analytics.endpoints import EndpointSet, Result, Row, SubjectRows, evaluate_all
from analytics.models import StudyRules
from analytics.selectors.rules import endpoints
from analytics.snapshots.tables import Column, Table, table
from crf.definitions.model import Form, Item, StudyDefinition
from crf.definitions.rows import ROW, is_rows
from crf.models import Record, StudyBuild, definition_of_build
from imaging.models import Segmentation, Series
from registry.models import Study, Subject, Visit

COLUMN_TYPES = {"integer": "integer", "decimal": "decimal", "choices": "texts"}
ROW_KEY = (Column("subject"), Column("event"), Column("event_repeat", "integer"), Column("repeat", "integer"))
FORM_HEAD = (*ROW_KEY, Column("site"), Column("group"), Column("occurred_on"))
SUBJECTS = (Column("subject"), Column("site"), Column("group"), Column("enrolled_on"), Column("status"))
VISITS = (*ROW_KEY[:3], Column("target_on"), Column("occurred_on"))
ENDPOINTS = (
    Column("subject"),
    Column("endpoint"),
    Column("version"),
    Column("status"),
    Column("reason"),
    Column("label", "integer"),
    Column("days", "integer"),
    Column("months", "decimal"),
    Column("event", "integer"),
    Column("code"),
    Column("start"),
    Column("value"),
    Column("evidence"),
)
IMAGES = (
    Column("subject"),
    Column("series"),
    Column("volume", "integer"),
    Column("kind"),
    Column("modality"),
    Column("acquired_on"),
    Column("instances", "integer"),
    Column("verdict"),
    Column("digest"),
)
SEGMENTATIONS = (
    Column("subject"),
    Column("series"),
    Column("volume", "integer"),
    Column("roi"),
    Column("reader"),
    Column("round", "integer"),
    Column("sha256"),
    Column("voxels", "integer"),
    Column("volume_ml", "decimal"),
)
LINKS = (Column("record", "integer"), Column("revision", "integer"), Column("digest"), Column("form"), *ROW_KEY)


@dataclass(frozen=True)
class Content:
    """Everything that a dataset holds; `links` leads from its rows to the records of this machine."""

    build: StudyBuild
    tables: tuple[Table, ...]
    links: Table
    counts: dict[str, int]


def content(study: Study, rules: StudyRules) -> Content:
    """The study's content now. Call inside the transaction that locks it."""
    build = StudyBuild.objects.filter(study=study).first()
    if build is None:
        raise LookupError(f"study {study.code} has no build; import its definition first")
    records = list(_records(study))
    definition = _definition(records, build)
    found = [
        table("subjects", SUBJECTS, _subjects(study)),
        table("visits", VISITS, _visits(study), key=3),
        *_forms(definition, records),
        table("endpoints", ENDPOINTS, _endpoint_rows(records, study, endpoints(rules)), key=2),
        table("images", IMAGES, _images(study), key=3),
        table("segmentations", SEGMENTATIONS, _segmentations(study), key=6),
        dictionary(definition),
    ]
    links = table("links", LINKS, (_link(record) for record in records))
    sizes = {one.name: len(one.rows) for one in found}
    counts = {name: sizes[name] for name in ("subjects", "images", "segmentations")}
    return Content(build, tuple(found), links, counts | {"records": len(records)})


def subject_rows(study: Study) -> list[SubjectRows]:
    """Every subject's records as the endpoint rules read them."""
    return _subject_rows(_records(study), study)


def _records(study: Study) -> Iterable[Record]:
    related = ("subject__site", "subject__group", "visit")  # not the build: its JSON would be read again per record
    return (
        Record.objects.filter(subject__study=study)
        .select_related(*related)
        .order_by("subject__number", "visit__event", "visit__repeat", "form", "repeat")
    )


def _definition(records: list[Record], newest: StudyBuild) -> StudyDefinition:
    """The newest build, with the forms and items of older builds that records still hold."""
    definition = newest.study_definition
    older = {record.build_id for record in records if record.build_id != newest.pk}
    for build in sorted(older, reverse=True):
        definition = _united(definition, definition_of_build(build))
    return definition


def _united(newer: StudyDefinition, older: StudyDefinition) -> StudyDefinition:
    known = {form.oid: form for form in newer.forms}
    forms = []
    for form in older.forms:
        if form.oid not in known:
            forms.append(form)
            continue
        gone = [item for item in form.items.values() if item.name not in known[form.oid].items]
        if gone:
            alone = tuple(item for item in gone if item.type != "group")
            more = [form.sections[0].model_copy(update={"items": alone, "rows": None})] if alone else []
            more += [form.groups[item.name] for item in gone if item.type == "group"]
            sections = (*known[form.oid].sections, *more)
            known[form.oid] = Form.model_validate(known[form.oid].model_dump() | {"sections": sections})
    return newer.model_copy(update={"forms": (*known.values(), *forms), "codelists": older.codelists | newer.codelists})


def _subjects(study: Study) -> Iterator[dict[str, Any]]:
    for one in Subject.objects.filter(study=study).select_related("site", "group"):
        group = one.group.code if one.group else None
        yield {
            "subject": one.number,
            "site": one.site.code,
            "group": group,
            "enrolled_on": one.enrolled_on,
            "status": one.status,
        }


def _visits(study: Study) -> Iterator[dict[str, Any]]:
    for one in Visit.objects.filter(subject__study=study).select_related("subject"):
        yield {
            "subject": one.subject.number,
            "event": one.event,
            "event_repeat": one.repeat,
            "target_on": one.target_on,
            "occurred_on": one.occurred_on,
        }


def _key(record: Record) -> dict[str, Any]:
    return {
        "subject": record.subject.number,
        "event": record.visit.event,
        "event_repeat": record.visit.repeat,
        "repeat": record.repeat,
    }


def _link(record: Record) -> dict[str, Any]:
    about = {"record": record.pk, "revision": record.revision, "digest": record.digest, "form": record.form}
    return about | _key(record)


def exported(form: Form) -> list[Item]:
    """The items of a form that leave with a dataset: all but labels and identifiers; groups have their own tables."""
    return [item for item in form.items.values() if item.type != "group" and _leaves(item)]


def exported_columns(form: Form, group: str) -> list[Item]:
    """The items of a group's rows that leave with a dataset."""
    return [item for item in form.groups[group].items if _leaves(item)]


def _leaves(item: Item) -> bool:
    return item.type != "label" and item.role != "identifier"


def _forms(definition: StudyDefinition, records: list[Record]) -> Iterator[Table]:
    by_form: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_form[record.form].append(record)
    for form in definition.forms:
        items = exported(form)
        columns = [Column(item.name, COLUMN_TYPES.get(item.value_kind, "text")) for item in items]
        head = [column for column in FORM_HEAD if column.name not in form.items]
        rows = (_form_row(record, items) for record in by_form.get(form.oid, []))
        yield table(f"forms/{form.oid}", [*head, *columns, Column("missing_codes")], rows, key=4)
        for group in form.groups:
            yield _group_table(form, group, by_form.get(form.oid, []))


def _group_table(form: Form, group: str, records: list[Record]) -> Table:
    """One line for each row of a repeating group, with its number."""
    items = exported_columns(form, group)
    columns = [Column(item.name, COLUMN_TYPES.get(item.value_kind, "text")) for item in items]
    names = {item.name for item in items}
    head = [*FORM_HEAD[: len(ROW_KEY)], Column(ROW, "integer")]
    head += [column for column in FORM_HEAD[len(ROW_KEY) :] if column.name not in names]
    rows = (
        {**_form_row(record, items, row), ROW: row[ROW]}
        for record in records
        for row in (record.data[group] if is_rows(record.data.get(group)) else [])
    )
    return table(f"forms/{form.oid}.{group}", [*head, *columns, Column("missing_codes")], rows, key=len(ROW_KEY) + 1)


def _form_row(record: Record, items: list[Item], row: Mapping[str, Any] | None = None) -> dict[str, Any]:
    held = record.data if row is None else row
    answers = {item.name: _plain(held.get(item.name)) for item in items}
    missing = {name: value["missing"] for name, value in answers.items() if _is_missing(value)}
    return {
        **_key(record),
        "site": record.subject.site.code,
        "group": record.subject.group.code if record.subject.group else None,
        "occurred_on": record.visit.occurred_on,
        **{name: None if name in missing else value for name, value in answers.items()},
        "missing_codes": json.dumps(missing, sort_keys=True) if missing else None,
    }


def _plain(value: Any) -> Any:
    """A file by its name, an image series by its id."""
    if isinstance(value, Mapping) and not _is_missing(value):
        return value.get("series") or value.get("name")
    return value


def _is_missing(value: Any) -> bool:
    return isinstance(value, Mapping) and "missing" in value


def _subject_rows(records: Iterable[Record], study: Study) -> list[SubjectRows]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for one in records:
        row = Row(one.pk, one.revision, one.form, one.data, one.visit.event, one.visit.repeat, one.visit.occurred_on)
        rows[one.subject.number].append(row)
    numbers = Subject.objects.filter(study=study).order_by("number").values_list("number", flat=True)
    return [SubjectRows(number, tuple(rows[number])) for number in numbers]


def _endpoint_rows(records: list[Record], study: Study, rules: EndpointSet) -> Iterator[dict[str, Any]]:
    repeats = {record.pk: record.repeat for record in records}
    for subject, result in evaluate_all(rules, _subject_rows(records, study)):
        value = dict(result.value)
        yield {
            "subject": subject,
            "endpoint": result.endpoint,
            "version": result.version,
            "status": result.status,
            "reason": result.reason,
            **{name: value.get(name) for name in ("label", "days", "months", "event")},
            "code": value.get("code") or value.get("event_code") or value.get("response"),
            "start": _start(result),
            "value": json.dumps(value, sort_keys=True, ensure_ascii=False),
            "evidence": json.dumps(_evidence(result, repeats), sort_keys=True, ensure_ascii=False),
        }


def _start(result: Result) -> str | None:
    return next((str(one.used) for one in result.evidence if one.role == "start"), None)


def _evidence(result: Result, repeats: dict[int, int]) -> list[dict[str, Any]]:
    """Evidence by natural key; `links` leads from there to the record and its revision."""
    return [
        {
            "role": one.role,
            "form": one.form,
            "event": one.event,
            "event_repeat": one.repeat,
            "repeat": repeats.get(one.record),
            "item": one.item,
            "raw": one.raw,
            "used": one.used,
            "completion": one.completion,
        }
        for one in result.evidence
    ]


def _images(study: Study) -> Iterator[dict[str, Any]]:
    """Volumes only: number 0 holds what forms none."""
    series = Series.objects.filter(study=study, subject__isnull=False, volume_number__gt=0).select_related("subject")
    for one in series:
        yield {
            "subject": one.subject.number,
            "series": one.series_instance_uid,
            "volume": one.volume_number,
            "kind": one.kind,
            "modality": one.modality,
            "acquired_on": one.acquired_on,
            "instances": one.instances,
            "verdict": one.verdict,
            "digest": one.digest,
        }


def _segmentations(study: Study) -> Iterator[dict[str, Any]]:
    """The masks in force: one per image, region, reader and round."""
    found = Segmentation.objects.current().filter(series__study=study, series__subject__isnull=False)
    for one in found.select_related("series__subject", "reader"):
        yield {
            "subject": one.series.subject.number,
            "series": one.series.series_instance_uid,
            "volume": one.series.volume_number,
            "roi": one.roi,
            "reader": one.reader.username,
            "round": one.round,
            "sha256": one.sha256,
            "voxels": one.voxels,
            "volume_ml": one.volume_ml,
        }


DICTIONARY = (
    Column("form"),
    Column("item"),
    Column("type"),
    Column("label_zh"),
    Column("label_en"),
    Column("unit"),
    Column("codelist"),
    Column("role"),
    Column("origin"),
    Column("cdisc"),
)


def dictionary(definition: StudyDefinition) -> Table:
    """One row per exported item, and what it means."""
    tables = [(form.oid, exported(form)) for form in definition.forms]
    tables += [
        (f"{form.oid}.{group}", exported_columns(form, group)) for form in definition.forms for group in form.groups
    ]
    return table(
        "dictionary", DICTIONARY, (_dictionary_row(name, item) for name, items in tables for item in items), key=2
    )


def _dictionary_row(form: str, item: Item) -> dict[str, Any]:
    return {
        "form": form,
        "item": item.name,
        "type": item.value_kind,
        "label_zh": item.label.zh,
        "label_en": item.label.en,
        "unit": item.unit,
        "codelist": item.codelist,
        "role": item.role,
        "origin": item.origin,
        "cdisc": item.cdisc,
    }
