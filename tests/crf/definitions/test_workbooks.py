"""A workbook is guarded before it is opened, and read as the text that somebody would type."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions import workbooks
from crf.definitions.tables import BadTable
from crf.definitions.workbooks import read_sheet, sheet_names


def workbook(*rows, sheets=("Data",), prepare=lambda book, sheet: None) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    formats = {
        dt.datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
        dt.date: book.add_format({"num_format": "yyyy-mm-dd"}),
        dt.time: book.add_format({"num_format": "hh:mm"}),
    }
    for name in sheets:
        sheet = book.add_worksheet(name)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(at, column, cell)
                elif type(cell) in formats:
                    sheet.write_datetime(at, column, cell, formats[type(cell)])
                else:
                    sheet.write(at, column, cell)
        prepare(book, sheet)
    book.close()
    return out.getvalue()


def test_cells_are_read_as_somebody_would_type_them():
    when = dt.datetime(2026, 3, 2, 10, 30)
    cells = [
        "01-0001",
        38.5,
        12,
        0.1 + 0.2,
        1e-7,
        123456789012345,
        dt.date(2026, 3, 2),
        when,
        dt.time(9, 5),
        True,
        "中文",
    ]
    table = read_sheet(workbook([f"c{n}" for n in range(len(cells))], cells))
    assert table.rows[0].texts == [
        "01-0001", "38.5", "12", "0.3", "0.0000001", "123456789012345", "2026-03-02", "2026-03-02 10:30", "09:05",
        "TRUE", "中文",
    ]  # fmt: skip


def test_a_formula_counts_as_its_value_and_a_text_that_looks_like_one_is_refused():
    def prepare(book, sheet):
        sheet.write_formula(1, 0, "=1+1", None, 2)
        sheet.write_string(1, 1, "=1+1")

    table = read_sheet(workbook(["a", "b"], prepare=prepare))
    assert table.rows[0].texts[0] == "2"
    assert [(fault.row, fault.column) for fault in table.faults] == [(2, "b")]


def test_errors_of_excel_and_merged_cells_are_named_with_their_place():
    def prepare(book, sheet):
        sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
        sheet.merge_range(2, 0, 3, 0, "both")

    table = read_sheet(workbook(["a", "b"], ["x", 1], prepare=prepare))
    assert {(fault.row, fault.column, fault.en) for fault in table.faults} == {
        (2, "b", "an error of Excel, such as #DIV/0!"),
        (3, "a", "merged cells"),
    }


def test_an_error_is_found_on_the_sheet_that_holds_it_whatever_its_part_is_called():
    def prepare(book, sheet):
        if sheet.name == "Two":
            sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")

    content = workbook(["a", "b"], ["x", 1], sheets=("One", "Two"), prepare=prepare)
    swapped = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(swapped, "w") as new:
        for entry in old.infolist():
            name = {"sheet1.xml": "sheet2.xml", "sheet2.xml": "sheet1.xml"}.get(entry.filename.rpartition("/")[2])
            data = old.read(entry)
            if entry.filename == "xl/_rels/workbook.xml.rels":
                data = data.replace(b"sheet1", b"sheet0").replace(b"sheet2", b"sheet1").replace(b"sheet0", b"sheet2")
            new.writestr(f"xl/worksheets/{name}" if name and "_rels" not in entry.filename else entry.filename, data)
    for made in (content, swapped.getvalue()):
        assert [(fault.row, fault.column) for fault in read_sheet(made, "Two").faults] == [(2, "b")]
        assert read_sheet(made, "One").faults == []


def test_a_sheet_is_chosen_by_name_and_hidden_ones_are_not_offered():
    def prepare(book, sheet):
        if sheet.name == "Hidden":
            sheet.hide()

    content = workbook(["a"], ["1"], sheets=("One", "Two", "Hidden"), prepare=prepare)
    assert sheet_names(content) == ["One", "Two"]
    assert read_sheet(content, "Two").rows[0].cells == {"a": "1"}
    with pytest.raises(BadTable, match="no sheet 'Hidden'"):
        read_sheet(content, "Hidden")


def with_entry(content: bytes, name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename != name:
                new.writestr(entry.filename, old.read(entry))
        new.writestr(name, data)
    return out.getvalue()


GOOD = workbook(["a", "b"], ["1", "2"])


def lying(content: bytes) -> bytes:
    """The same archive with every declared size set to 10 bytes."""
    data = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            struct.pack_into("<I", data, entry.header_offset + 22, 10)
    at = data.find(b"PK\x01\x02")
    while at != -1:
        struct.pack_into("<I", data, at + 24, 10)
        at = data.find(b"PK\x01\x02", at + 4)
    return bytes(data)


BOMB = with_entry(GOOD, "xl/worksheets/sheet1.xml", b"<a>" + b" " * 60_000_000 + b"</a>")
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 and nothing more", "damaged"),
        (GOOD[: len(GOOD) // 2], "damaged"),
        (BOMB, "zip bomb"),
        (lying(BOMB), "zip bomb"),
        (with_entry(GOOD, "xl/worksheets/sheet1.xml", ENTITIES), "entities"),
        (with_entry(GOOD, "xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row"), "damaged|no data"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "old XLS"),
        (workbook(), "no data"),
    ],
    ids=["no zip", "truncated", "bomb", "lying bomb", "entities", "broken xml", "xls", "empty"],
)
def test_a_hostile_or_broken_workbook_gets_one_error(content, said):
    with pytest.raises(BadTable, match=said) as refusal:
        read_sheet(content)
    assert refusal.value.zh
    assert refusal.value.remedy_zh


def test_two_cells_far_apart_are_refused_before_a_place_is_kept_for_all_between():
    with pytest.raises(BadTable, match="zip bomb"):
        read_sheet(workbook(["a", "b"], prepare=lambda book, sheet: sheet.write(1_048_575, 16_383, 1)))
    assert len(read_sheet(workbook(["a", "b"], prepare=lambda book, sheet: sheet.write(100_000, 1, 1))).rows) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'r="A2"', b'r="A99999999"'),
        (b'r="A2"', b"r = 'a9999999'"),
        (b'r="A2"', b'r="ZZZZZ200000"'),
        (b'<row r="2" spans="1:2">', b'<row r="90000000">'),
        (b'<row r="2" spans="1:2">', b'<row r="1000000">' + b"<c/>" * 100),
    ],
    ids=["row", "lower case", "column", "row alone", "cells without a place"],
)
def test_places_far_away_are_refused_however_they_are_written(old, new):
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert old in sheet
    with pytest.raises(BadTable, match="zip bomb"):
        read_sheet(with_entry(GOOD, "xl/worksheets/sheet1.xml", sheet.replace(old, new)))


def test_a_zip_that_is_no_workbook_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", "a,b")
    with pytest.raises(BadTable, match="without an Excel workbook"):
        read_sheet(out.getvalue())


def test_a_zip_of_too_many_entries_is_refused(monkeypatch):
    monkeypatch.setattr(workbooks, "MOST_ENTRIES", 3)
    with pytest.raises(BadTable, match="zip bomb"):
        read_sheet(GOOD)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
def test_any_damage_is_read_or_refused_and_never_a_crash(at, byte, cut):
    damaged = bytearray(GOOD)
    damaged[at] = byte
    for content in (bytes(damaged), GOOD[:cut]):
        try:
            read_sheet(content)
        except BadTable as refusal:
            assert refusal.zh
