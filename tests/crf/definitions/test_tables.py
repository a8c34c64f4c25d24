"""A CSV is read whatever tool wrote it; what is not plainly a table is refused with its place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crf.definitions.tables import BadTable, read_table

TEXT = "编号,白蛋白\n01-0001,38.5\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_every_encoding_a_hospital_uses_is_read(encoding):
    table = read_table(TEXT.encode(encoding))
    assert table.columns == ("编号", "白蛋白")
    assert table.rows[0].cells == {"编号": "01-0001", "白蛋白": "38.5"}


def test_latin_text_is_not_taken_for_chinese():
    with pytest.raises(BadTable, match="encoding"):
        read_table("Größe,Übung\n1,äöü\n".encode("latin-1"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(delimiter):
    table = read_table(f'"a, b; c"{delimiter}d\n1{delimiter}2\n'.encode())
    assert table.columns == ("a, b; c", "d")


def test_rows_keep_the_number_of_the_spreadsheet():
    table = read_table(b'a,b\n1,"x\ny"\n\n,\n3,4\n')
    assert [(row.number, row.cells["a"]) for row in table.rows] == [(2, "1"), (5, "3")]


@pytest.mark.parametrize(
    ("content", "said", "row"),
    [
        (b"", "empty", 0),
        (b"\n\n", "no column names", 1),
        (b"a,a\n1,2\n", "twice", 1),
        (b"a,,c\n1,2,3\n", "column 2 has no usable name", 1),
        (b'a,b\n1,"open\n', "not well-formed", 2),
        (b"\xff\xff\xff\xff", "encoding", 0),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xb5\x55\x30\x23\xf4", "encoding", 0),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, said, row):
    with pytest.raises(BadTable) as refusal:
        read_table(content)
    assert said in refusal.value.en
    assert refusal.value.row == row
    assert refusal.value.zh
    assert refusal.value.remedy_zh


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("=1+1", "formula"),
        ("@SUM(A1)", "formula"),
        ("+cmd|' /C calc'!A0", "formula"),
        ("-A1", "formula"),
        ("a\x00b", "NUL"),
        ("x" * 10_001, "longer than 10000"),
        ("1,2", "has 3 cells under 2 columns"),
    ],
)
def test_a_dangerous_cell_is_refused_with_row_and_column(cell, said):
    table = read_table(f"id,value\n1,5\n2,{cell}\n".encode())
    assert [(fault.row, fault.column) for fault in table.faults] == [(3, "value" if "cells" not in said else "")]
    assert said in table.faults[0].en


@pytest.mark.parametrize("cell", ["-3.5", "+5", "-", "−2", "a=b", "-.5"])
def test_signed_numbers_are_no_formulas(cell):
    assert read_table(f"id,value\n1,{cell}\n".encode()).faults == []


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_refusal(content):
    with contextlib.suppress(BadTable):
        read_table(content)
