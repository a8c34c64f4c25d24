"""How long a study of 7,000 items takes in each format, in and out; the study is synthetic."""

from __future__ import annotations

import time

import pytest

from crf.exchange.odm_read import read_odm
from crf.exchange.odm_write import write_metadata
from crf.exchange.redcap_dictionary import read_dictionary
from crf.exchange.redcap_write import write_dictionary
from crf.exchange.xlsform import read_xlsform
from crf.exchange.xlsform_write import write_xlsform
from tests.crf.exchange.synthetic import odm_of

ITEMS = 7_000
MOST_SECONDS = 30


@pytest.mark.parametrize("version", ["1.3.2", "2.0"])
def test_a_file_of_seven_thousand_items_is_read_and_written_in_thirty_seconds(version):
    content = odm_of(ITEMS)
    started = time.perf_counter()
    study = read_odm(content).definition
    read = time.perf_counter() - started
    started = time.perf_counter()
    written = write_metadata(study, version=version)
    wrote = time.perf_counter() - started
    items = sum(len(section.items) for form in study.forms for section in form.sections)
    print(f"\nODM {version}, synthetic study of {items} items ({len(content) / 1e6:.1f} MB): read and checked in "
          f"{read:.1f} s, written in {wrote:.1f} s")  # fmt: skip
    assert items == ITEMS
    assert max(read, wrote) <= MOST_SECONDS
    assert read_odm(written).definition == study


@pytest.mark.parametrize(
    ("name", "read", "write"),
    [("REDCap dictionary", read_dictionary, write_dictionary), ("XLSForm", read_xlsform, write_xlsform)],
)
def test_seven_thousand_items_of_other_formats_are_read_and_written_in_thirty_seconds(name, read, write):
    study = read_odm(odm_of(ITEMS)).definition
    started = time.perf_counter()
    content = write(study).content
    wrote = time.perf_counter() - started
    started = time.perf_counter()
    again = read(content).definition
    took = time.perf_counter() - started
    items = sum(len(form.questions) for form in again.forms)
    print(f"\n{name}, synthetic study of {items} items ({len(content) / 1e6:.1f} MB): read in {took:.1f} s, "
          f"written in {wrote:.1f} s")  # fmt: skip
    assert items >= ITEMS
    assert max(took, wrote) <= MOST_SECONDS
