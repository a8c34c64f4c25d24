"""Files made to cost time, memory or a crash: each is read in its size's time, or refused with one clear error."""

from __future__ import annotations

import io
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, load_study
from crf.definitions.file_content import checked_type
from crf.definitions.incoming import read_records
from crf.definitions.mapping import guessed
from crf.definitions.model import FileRule
from crf.definitions.tables import read_table
from crf.definitions.values import BadValue
from crf.exchange.naming import Names
from crf.exchange.odm_read import read_odm
from crf.exchange.odm_write import write_metadata
from crf.exchange.redcap_fields import choices, readable, tags
from crf.exchange.xlsform_file import FORMULA
from crf.exchange.xml_tree import read_xml

SMALL = (Path(__file__).parent / "data" / "small_odm.xml").read_bytes()
MINI = Path(__file__).parents[1] / "definitions" / "data" / "mini"
FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"


def named_alike(count: int) -> str:
    names = Names()
    return [names.take("名") for _ in range(count)][-1]


def pdf(content: bytes) -> str:
    return checked_type("a.pdf", len(content), io.BytesIO(content), FileRule())


# Each took the square of its size: minutes to days at the sizes that the bounds of a file allow.
@pytest.mark.parametrize(
    ("read", "gives"),
    [
        (lambda: len(list(tags("@A(" * 16_000))), 16_000),
        (lambda: len(readable("<style " * 7_000)), 48_999),
        (lambda: readable("a<STYLE x>b</style >c<script>d</script>e<style>f"), "a c ef"),
        (lambda: choices("1" + " " * 49_000 + ", a |2,b"), [("1", "a"), ("2", "b")]),
        (lambda: read_table(b"a,b\n1,2" + b"," * 400_000 + b"\n").rows[0].texts, ["1", "2"]),
        (lambda: named_alike(20_000), "x_20000"),
        (lambda: FORMULA.search(b"<c " * 300_000), None),
        (lambda: read_xml(b"<a>" + b"x<b/>" * 150_000 + b"</a>", file="a.xml").text, "x" * 150_000),
        (lambda: pdf(b"%PDF-1.7\n" + b"stream\n" * 300_000), "application/pdf"),
    ],
    ids=["action tags", "styles", "a style that ends", "spaces", "commas", "names", "cells", "XML text", "PDF streams"],
)
def test_reading_takes_no_more_than_the_size_of_a_hostile_text(read: Callable[[], Any], gives: Any) -> None:
    started = time.process_time()
    assert read() == gives
    assert time.process_time() - started < 8


def test_a_script_in_the_second_stream_of_a_pdf_is_still_found() -> None:
    hidden = zlib.compress(b"<< /JavaScript (x) >>")
    plain = zlib.compress(b"<< /Page >>")
    with pytest.raises(BadValue, match="scripts"):
        pdf(b"%%PDF-1.7\nstream\n%b\nendstream\nstream\r\n%b\nendstream\n" % (plain, hidden))


def one_error(content: bytes) -> str:
    with pytest.raises(DefinitionErrors) as caught:
        read_odm(content, file="a.xml")
    (error,) = caught.value.errors
    assert error.message_zh and error.remedy and error.remedy_zh
    return str(error)


def odm2(groups: str) -> bytes:
    return (
        '<ODM xmlns="http://www.cdisc.org/ns/odm/v2.0" ODMVersion="2.0"><Study OID="S"><MetaDataVersion OID="M">'
        f'{groups}<ItemDef OID="I" Name="i" DataType="text"/></MetaDataVersion></Study></ODM>'
    ).encode()


def group(oid: str, inner: str, kind: str = "Section") -> str:
    return f'<ItemGroupDef OID="{oid}" Name="{oid}" Type="{kind}">{inner}</ItemGroupDef>'


@pytest.mark.parametrize(
    "content",
    [
        odm2(group("F", '<ItemGroupRef ItemGroupOID="G0"/>', "Form")
             + "".join(group(f"G{n}", f'<ItemGroupRef ItemGroupOID="G{n + 1}"/>' * 9) for n in range(20))
             + group("G20", '<ItemRef ItemOID="I"/>')),
        odm2(group("F", '<ItemGroupRef ItemGroupOID="G0"/>', "Form")
             + "".join(group(f"G{n}", f'<ItemGroupRef ItemGroupOID="G{n + 1}"/>') for n in range(2000))
             + group("G2000", '<ItemRef ItemOID="I"/>')),
        odm2(group("F", '<ItemGroupRef ItemGroupOID="G"/>' * 999, "Form") + group("G", '<ItemRef ItemOID="I"/>' * 999)),
    ],
    ids=["nine times nine", "two thousand deep", "a thousand times a thousand"],
)  # fmt: skip
def test_references_that_unfold_to_millions_are_refused_before_they_do(content: bytes) -> None:
    assert "unfold" in one_error(content)


@pytest.mark.parametrize("number", ["²", "--5", "٣", "9" * 5000])
@pytest.mark.parametrize("attribute", ["OrderNumber", "Length", "SignificantDigits"])
def test_a_number_that_is_none_counts_as_none(attribute: str, number: str) -> None:
    content = re.sub(rf' {attribute}="[^"]*"', f' {attribute}="{number}"', SMALL.decode())
    assert number in content
    assert read_odm(content.encode()).definition.forms == read_odm(write_metadata(
        read_odm(content.encode()).definition)).definition.forms  # fmt: skip


def test_a_limit_beyond_all_numbers_is_kept_word_for_word() -> None:
    content = SMALL.replace(b"<CheckValue>18</CheckValue>", b"<CheckValue>" + b"9" * 400 + b"</CheckValue>")
    assert content != SMALL
    imported = read_odm(content)
    assert any("9" * 100 in loss.what for loss in imported.losses)
    assert "9" * 400 in imported.definition.canonical_json()


def test_a_repeat_of_five_thousand_digits_is_one_problem() -> None:
    table = read_table(b"subject,event,repeat,sex\n1,BASELINE," + b"9" * 5000 + b",F\n")
    (problem,) = read_records(load_study(MINI), table, guessed(table.columns)).problems
    assert (problem.row, problem.column) == (2, "repeat") and "whole number from 1" in problem.en


OURS = write_metadata(load_study(FIXTURES / "chictr2600121618")).decode()
ALIASES = [match.span(1) for match in re.finditer(r'Context="lobule:[^"]*" Name="([^"]*)"', OURS)]
WORDS = ["null", "5", "[]", "{}", '"x"', "true", '{"zh": 1}', "[1, [2]]", '{"a": "\\u0000"}', '"\\ud800"', "NaN",
         "1e999", "[" * 3000, '{"alias": {"odm": "x"}}', '{"odm:units": "x"}', "-1", ""]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ALIASES), st.sampled_from(WORDS)), min_size=1, max_size=3))
def test_what_this_product_wrote_and_somebody_changed_is_read_or_refused(changes: list[Any]) -> None:
    text = OURS
    for (start, end), word in sorted(changes, reverse=True):
        text = text[:start] + word.replace("&", "&amp;").replace('"', "&quot;") + text[end:]
    try:
        study = read_odm(text.encode(), file="a.xml").definition
    except DefinitionErrors as refused:
        assert all(error.message_zh and error.remedy for error in refused.errors)
        return
    study.sha256()
