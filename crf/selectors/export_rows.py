"""The rows of an export, streamed: chunks of subjects, whose answers PostgreSQL sends as CSV and Arrow reads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import ExecStatus

from crf.definitions.model import StudyDefinition
from crf.exports import sql
from crf.exports.cells import read_day, read_question, schema
from crf.exports.layout import TableLayout
from crf.exports.rules import Wanted
from crf.models import Record, StudyBuild
from crf.selectors import current_build
from registry import pseudonyms
from registry.models import Study, Subject, User
from registry.permissions import Permission

SUBJECTS_AT_ONCE = 300
TIES = ("subject_id", "build_id", "event", "repeat", "visited_on", "number", "status", "revision")


Chunk = Sequence[tuple[str, int]]  # (name in the file, key) of subjects


@dataclass(frozen=True)
class Scope:
    """Whose records an export holds: (name in the file, key) of each subject, in the order of the file."""

    study: Study
    subjects: tuple[tuple[str, int], ...]
    sites: tuple[str, ...]
    events: tuple[str, ...]
    builds: dict[int, str]
    wanted: Wanted

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, len(self.subjects), SUBJECTS_AT_ONCE):
            yield self.subjects[start : start + SUBJECTS_AT_ONCE]


@contextlib.contextmanager
def one_moment() -> Iterator[BaseDatabaseWrapper]:
    """A connection on which everything read is of one moment, though it takes many statements.

    It is one of its own, so that progress can be written meanwhile; inside a transaction it is that transaction's.
    """
    if connection.in_atomic_block:
        yield connection  # type: ignore[misc]
        return
    own = connection.copy()
    try:
        with own.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield own
    finally:
        own.close()


def definitions(study: Study) -> list[StudyDefinition]:
    """The builds that records were made with and the one in force, oldest first."""
    used = StudyBuild.objects.filter(study=study, records__isnull=False).values("pk")
    found = StudyBuild.objects.filter(study=study, pk__in=used).order_by("pk")
    newest = current_build(study)
    return [build.study_definition for build in found if build.pk != newest.pk] + [newest.study_definition]


def scope(study: Study, wanted: Wanted, *, needs: Permission, by: User) -> Scope:
    """The subjects of the sites where `by` holds `needs`, under the names that the file gives them."""
    visible = Subject.objects.visible_to(by, needs=needs).filter(study=study)
    if wanted.sites:
        visible = visible.filter(site__code__in=wanted.sites)
    rows = visible.order_by().values_list("pk", "number", "identity__hospital_number_hash")
    key = pseudonyms.study_key(study)
    named = ((_name(key, number, hashed, wanted), pk) for pk, number, hashed in rows.iterator(chunk_size=5000))
    sites = visible.order_by("site__code").values_list("site__code", flat=True).distinct()
    events = [event.oid for event in current_build(study).study_definition.events]
    builds = dict(StudyBuild.objects.filter(study=study).values_list("pk", "version"))
    return Scope(study, tuple(sorted(named)), tuple(sites), wanted.events or tuple(events), builds, wanted)


def _name(key: bytes, number: str, hashed: str | None, wanted: Wanted) -> str:
    return number if wanted.shows_numbers else pseudonyms.pseudonym(key, pseudonyms.person_key(hashed, number))


def batches(source: BaseDatabaseWrapper, scope: Scope, layout: TableLayout) -> Iterator[pa.RecordBatch | None]:
    """One table, chunk by chunk; None for a chunk without rows. The next chunk is read while one is worked on."""
    chunks = list(scope.chunks())
    with _reader(source) as read:
        waiting = [read(_content, source, scope, layout, chunk) for chunk in chunks[:1]]
        for position, chunk in enumerate(chunks):
            content = waiting.pop().result()
            waiting += [read(_content, source, scope, layout, after) for after in chunks[position + 1 : position + 2]]
            yield _batch(content, scope, layout, chunk)


@contextlib.contextmanager
def _reader(source: BaseDatabaseWrapper) -> Iterator[Callable[..., Future[bytes]]]:
    """Runs what reads in a thread of its own; on a connection that others use, here and now."""
    if source is connection or source.in_atomic_block:
        yield _now
        return
    source.inc_thread_sharing()
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit


def _now(act: Callable[..., bytes], *given: Any) -> Future[bytes]:
    done: Future[bytes] = Future()
    done.set_result(act(*given))
    return done


def _content(source: BaseDatabaseWrapper, scope: Scope, layout: TableLayout, chunk: Chunk) -> bytes:
    parameters = [[pk for _, pk in chunk], list(scope.events), list(scope.wanted.events)]
    with source.cursor() as cursor:
        statement = cursor.mogrify(_statement(scope, layout), parameters)
        return b"".join(_copied(cursor.connection.pgconn, statement.encode()))


def _copied(server: Any, statement: bytes) -> Iterator[bytes]:
    """What COPY … TO STDOUT sends, straight from libpq: the driver's own loop costs more than all the typing."""
    begun = server.exec_(statement)
    if begun.status != ExecStatus.COPY_OUT:
        raise DatabaseError(begun.error_message.decode())
    while True:
        size, line = server.get_copy_data(0)
        if size <= 0:
            break
        yield bytes(line)
    while ended := server.get_result():
        if ended.status != ExecStatus.COMMAND_OK:
            raise DatabaseError(ended.error_message.decode())


def _batch(content: bytes, scope: Scope, layout: TableLayout, chunk: Chunk) -> pa.RecordBatch | None:
    """The rows of one table and one chunk of subjects, typed and de-identified."""
    if not content:
        return None
    names = [f"c{position}" for position in range(len(TIES) + bool(layout.group) + len(layout.kept))]
    raw = _parsed(content, names)
    people = _people(scope, chunk)
    place = pc.index_in(raw[0].cast(pa.int64()), pa.array([one["pk"] for one in people], pa.int64()))
    days = pa.array([one["days"] for one in people], pa.int32()).take(place)
    columns = _keys(scope, layout, raw, people, place, days)
    answers = raw[len(TIES) + bool(layout.group) :]
    for question, texts in zip(layout.kept, answers, strict=True):
        columns += read_question(question, texts, days)
    return pa.RecordBatch.from_arrays(columns, schema=schema(layout.columns))


def _statement(scope: Scope, layout: TableLayout) -> str:
    """Keys, then one text per item; parameters are subjects, all events in order, the events wanted."""
    source = "entry.value" if layout.group else "record.data"
    asked = [sql.raw(source, question.item.name, question.kind) for question in layout.kept]
    row = ["entry.value->>'row'"] if layout.group else []
    group = (
        f"CROSS JOIN LATERAL jsonb_array_elements(record.data->{sql.literal(layout.group)}) WITH ORDINALITY AS entry"
    )
    columns = ", ".join(
        [
            "record.subject_id, record.build_id, visit.event, visit.repeat, visit.occurred_on, record.repeat",
            "record.status, record.revision",
            *row,
            *asked,
        ]
    )
    return f"""COPY (
        SELECT {columns} FROM unnest(%s::bigint[]) WITH ORDINALITY AS chunk(subject, place)
        JOIN crf_record AS record ON record.subject_id = chunk.subject AND record.form = {sql.literal(layout.form)}
        JOIN registry_visit AS visit ON visit.id = record.visit_id
        {group if layout.group else ""}
        CROSS JOIN (SELECT %s::text[] AS all_events, %s::text[] AS events) AS asked
        WHERE asked.events = '{{}}' OR visit.event = ANY (asked.events)
        ORDER BY chunk.place, array_position(asked.all_events, visit.event::text), visit.event, visit.repeat,
            record.repeat{", entry.ordinality" if layout.group else ""}
    ) TO STDOUT (FORMAT csv)"""  # noqa: S608 - names and texts are quoted by crf.exports.sql


def _parsed(content: bytes, names: list[str]) -> list[pa.Array]:
    """Every column as text; an unquoted empty cell is null, a quoted one is an empty text."""
    table = pa_csv.read_csv(
        pa.BufferReader(content),
        read_options=pa_csv.ReadOptions(column_names=names, block_size=len(content) + 1),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return [column.combine_chunks() for column in table.columns]


def _people(scope: Scope, chunk: Chunk) -> list[dict[str, Any]]:
    """What is known of each subject of a chunk, in its order."""
    key = pseudonyms.study_key(scope.study)
    fields = ("pk", "number", "site__code", "group__code", "identity__hospital_number_hash")
    rows = {
        row[0]: row for row in Subject.objects.filter(pk__in=[pk for _, pk in chunk]).order_by().values_list(*fields)
    }
    return [
        {"pk": pk, "name": name, "site": site, "group": group}
        | {"days": pseudonyms.days_back(key, pseudonyms.person_key(hashed, number))}
        for name, pk in chunk
        for _, number, site, group, hashed in [rows[pk]]
    ]


def _keys(
    scope: Scope,
    layout: TableLayout,
    raw: list[pa.Array],
    people: list[dict[str, Any]],
    place: pa.Array,
    days: pa.Array,
) -> list[pa.Array]:
    """The key columns in the order of the layout."""

    def of_person(fact: str) -> pa.Array:
        return pa.array([one[fact] for one in people], pa.string()).take(place)

    def always(text: str) -> pa.Array:
        return pa.repeat(pa.scalar(text, pa.string()), len(place))

    given = dict(zip((*TIES, *(["row"] if layout.group else [])), raw, strict=False))
    builds = pa.array(list(scope.builds), pa.int64())
    found = {
        "study": always(scope.study.code),
        "site": of_person("site"),
        "subject": of_person("name"),
        "group": of_person("group"),
        "visited_on": read_day(given["visited_on"], days, not scope.wanted.identified),
        "form": always(layout.form),
        "build": pa.array(list(scope.builds.values()), pa.string()).take(
            pc.index_in(given["build_id"].cast(pa.int64()), builds)
        ),
        **{name: given[name] for name in ("event", "repeat", "number", "status", "revision")},
        **({"row": given["row"]} if layout.group else {}),
    }
    types = schema(layout.keys)
    return [found[key.name].cast(types.field(key.name).type) for key in layout.keys]


def count(scope: Scope) -> int:
    """How many records the export will read."""
    records = Record.objects.filter(subject__study=scope.study)
    if scope.wanted.forms:
        records = records.filter(form__in=scope.wanted.forms)
    if scope.wanted.events:
        records = records.filter(visit__event__in=scope.wanted.events)
    return records.filter(subject__site__code__in=scope.sites).count()
