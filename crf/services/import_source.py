"""A file that somebody sends, as batches of readings: which format it is, its columns, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crf.definitions import DefinitionErrors
from crf.definitions.incoming import Problem, Reading, as_problem, in_batches, read_batches
from crf.definitions.mapping import Mapping, guessed
from crf.definitions.model import StudyDefinition
from crf.definitions.tables import BadTable, Table, read_table
from crf.definitions.workbooks import is_workbook, read_sheet
from crf.exchange.odm_data import read_odm_data
from crf.exchange.redcap_data import read_redcap_data

FORMATS = ("csv", "xlsx", "odm", "redcap")
# Columns that REDCap gives its exports of records, and nobody else.
OF_REDCAP = frozenset({"redcap_event_name", "redcap_repeat_instrument", "redcap_data_access_group"})
SPACE = b"\xef\xbb\xbf \t\r\n"  # and the byte order mark
XML = (b"<", b"\xff\xfe<\x00", b"\xfe\xff\x00<")


@dataclass
class Source:
    """A file that was read as far as its columns; `refusal` says why it could not be."""

    format: str
    encoding: str = ""
    table: Table | None = None
    content: bytes = b""
    refusal: Problem | None = None
    notes: list[Problem] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.table.columns if self.table else ()

    def mapping(self, given: Mapping | None) -> Mapping:
        if given is not None:
            return given
        return guessed(self.columns) if self.table else Mapping(hidden="keep")

    def readings(self, study: StudyDefinition, mapping: Mapping) -> Iterator[Reading]:
        """What the file says, subject by subject, problems first."""
        if self.refusal:
            yield Reading(0, self.encoding, [], [self.refusal])
        elif self.table:
            yield from read_batches(study, self.table, mapping)
        else:
            try:
                reading = _READERS[self.format](self.content, study)
            except DefinitionErrors as errors:
                yield Reading(0, "", [], [_as_problem(errors.errors[0])])
                return
            except BadTable as fault:
                yield Reading(0, "", [], [as_problem(fault)])
                return
            self.notes = list(getattr(reading, "notes", []))
            yield from in_batches(reading)


_READERS: dict[str, Any] = {"odm": read_odm_data, "redcap": read_redcap_data}


def open_source(content: bytes, *, format: str = "", sheet: str = "") -> Source:
    """The file as `format` says, or as its first bytes and its header do."""
    format = format or format_of(content)
    try:
        if format == "xlsx":
            table = read_sheet(content, sheet)
            return Source(format, table.encoding, table)
        if format == "csv":
            table = read_table(content)
            return Source(format, table.encoding, table)
    except BadTable as fault:
        return Source(format, refusal=as_problem(fault))
    return Source(format, content=content)


def format_of(content: bytes) -> str:
    """xlsx and XML by their first bytes, REDCap's records by their header, anything else is taken for a CSV."""
    if is_workbook(content):
        return "xlsx"
    start = content[:4096].lstrip(SPACE)
    if start.startswith(XML):
        # REDCap's project XML is ODM with names of its own.
        return "redcap" if b"projectredcap.org" in content[:8192] else "odm"
    header = start.splitlines()[0] if start else b""
    names = {name.strip(b' "').decode("utf-8", "replace") for name in header.replace(b";", b",").split(b",")}
    return "redcap" if names & OF_REDCAP else "csv"


def is_xml(content: bytes) -> bool:
    return content[:4096].lstrip(SPACE).startswith(XML)


def sent_rows(content: bytes, *, format: str, sheet: str = "") -> Table | None:
    """The rows of a file as they were sent, REDCap's too; None for XML, which has none."""
    if is_xml(content):
        return None
    return open_source(content, format="csv" if format == "redcap" else format, sheet=sheet).table


def _as_problem(error: Any) -> Problem:
    """One error of a whole file, with the line where it was found."""
    zh, en = error.message_zh or error.message, error.message
    return Problem(error.line or 0, error.item or "", zh, en, error.remedy_zh or error.remedy, error.remedy)
