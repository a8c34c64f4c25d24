"""Whatever bytes arrive, they are parsed or refused with a reason; never a crash, a hang or another exception."""

import json
import random
import re
import time
import zlib
from pathlib import Path

import pydicom
import pytest

from imaging.dicom import gate, geometry, guard, holding
from imaging.dicom.deidentify import Pseudonyms
from imaging.dicom.reasons import REASONS, Refused
from tests.imaging.dicom_objects import ORIGINAL_ROOT, as_bytes, slice_of, with_meta

MALFORMED = {
    "deep_nested_sequence_300.dcm": "too_deep",
    "deep_nested_sequence_50.dcm": "too_deep",
    "empty.dcm": "empty",
    "html_error_page.dcm": "not_dicom",
    "no_sop_instance_uid.dcm": "missing_attribute",
    "preamble_only.dcm": "missing_attribute",
    "random_bytes.dcm": "not_dicom",
    "rows_cols_lie_60000.dcm": "too_large",
    "truncated_half.dcm": "truncated",
    "truncated_in_meta.dcm": "missing_attribute",
    "uid_invalid_chars.dcm": "invalid_uid",
    "uid_path_traversal.dcm": "invalid_uid",
    "wrong_transfer_syntax_says_rle.dcm": "not_encapsulated",
    # Readable: geometry, de-identification and the conflict rule deal with them.
    "dup_sop_uid_different_pixels.dcm": "",
    "html_and_formula_in_text.dcm": "",
    "iop_parallel_vectors.dcm": "",
    "no_image_position.dcm": "",
    "pixel_spacing_zero.dcm": "",
    "unknown_charset.dcm": "",
}


def verdict(content: bytes, **limits) -> str:
    try:
        guard.parse(content, **limits)
    except Refused as refused:
        assert refused.zh and refused.en
        return refused.code
    return ""


@pytest.mark.parametrize(("name", "expected"), MALFORMED.items())
def test_each_broken_file_is_refused_for_its_own_reason(shared, name, expected):
    assert verdict((shared / "data/imaging/malformed" / name).read_bytes()) == expected


def test_the_list_of_broken_files_is_complete(shared):
    assert {path.name for path in (shared / "data/imaging/malformed").iterdir()} == set(MALFORMED)


def every_file(shared) -> list[Path]:
    own = Path(pydicom.__file__).parent / "data/test_files"
    return sorted(path for root in (shared / "data/imaging", own) for path in root.rglob("*") if path.is_file())


def test_every_real_file_is_read_or_refused_within_seconds(shared):
    files = every_file(shared)
    read = 0
    for path in files:
        started = time.perf_counter()
        read += verdict(path.read_bytes()) == ""
        assert time.perf_counter() - started < 5, path
    assert len(files) > 650
    assert read > 500


def test_mutated_files_never_raise_anything_but_a_refusal(shared):
    chance = random.Random(20260102)
    sources = [shared / "data/imaging/highdicom/ct_image.dcm", shared / "data/imaging/dcm_qa_enh/6_1.dcm"]
    frames = []
    for content in (path.read_bytes() for path in sources):
        for _ in range(150):
            broken = bytearray(content)
            for _ in range(chance.randint(1, 12)):
                # Headers, not pixels, are what parsers trip over.
                broken[chance.randrange(132, min(len(broken), 60_000))] = chance.randrange(256)
            cut = broken[: chance.choice([len(broken), chance.randrange(200, len(broken))])]
            try:
                passed = gate.admit(bytes(cut), pseudonyms=Pseudonyms(b"key"), patient_key=str)
            except Refused:
                continue
            json.dumps(passed.facts, allow_nan=False)
            frames += geometry.read_frames(len(frames), passed.facts)
    assert len(frames) > 20
    geometry.sort_volumes(frames)


def test_a_file_over_the_cap_is_refused_before_it_is_read():
    assert verdict(as_bytes(slice_of()), max_bytes=300) == "too_large"


def test_a_deflated_bomb_is_refused():
    dataset = with_meta(slice_of(), "1.2.840.10008.1.2.1.99")
    content = as_bytes(dataset)
    assert verdict(content) == ""
    body, _ = guard.transfer_syntax(content)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = content[:body] + packer.compress(b"\0" * 5_000_000) + packer.flush()
    assert verdict(bomb, max_bytes=1_000_000) == "inflates_too_large"


def test_a_small_deflated_file_may_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(guard, "RATIO_FROM", 1_000_000)
    content = as_bytes(with_meta(slice_of(), "1.2.840.10008.1.2.1.99"))
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = content[: guard.transfer_syntax(content)[0]] + packer.compress(bytes(50_000_000)) + packer.flush()
    assert verdict(bomb) == "inflates_too_large"


def test_every_reason_is_written_in_both_languages():
    for zh, en in REASONS.values():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in zh)
        assert en.isascii() and en.endswith(".")


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"Modality": "US"}, "burned_in"),
        ({"Modality": "XA"}, "burned_in"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "burned_in"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "BurnedInAnnotation": "NO"}, "burned_in"),
        ({"RecognizableVisualFeatures": "YES"}, "recognisable_face"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "document"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34"}, "document"),
    ],
)
def test_objects_that_may_show_text_are_held(attributes, code):
    found = holding.reason_to_hold(slice_of(**attributes))
    assert (found.code if found else None) == code


@pytest.mark.parametrize(
    ("name", "code"), [("missing", "burned_in"), ("no", None), ("other", "burned_in"), ("yes", "burned_in")]
)
def test_secondary_captures_pass_only_when_they_say_they_carry_no_text(shared, name, code):
    path = shared / f"data/imaging/dicognito_burned_in/burned_in_{name}.dcm"
    found = holding.reason_to_hold(guard.parse(path.read_bytes()))
    assert (found.code if found else None) == code


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"BurnedInAnnotation": "ZHANG"}, "burned_in"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE", "ZHANG"]}, "burned_in"),
        ({"SOPClassUID": f"{ORIGINAL_ROOT}.12345", "PixelData": None}, "no_image"),
    ],
)
def test_a_reason_to_hold_quotes_nothing_that_could_name_a_person(attributes, code):
    dataset = slice_of()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value) if value else delattr(dataset, keyword)
    found = holding.reason_to_hold(dataset)
    assert found and found.code == code
    assert not re.search(r"ZHANG|12345", f"{found.zh} {found.en}")


@pytest.mark.parametrize(
    "name", ["IM0001.dcm", "1-012.dcm", "img_3_0021", "00017", "MR.12.ima", "Zhang San/slice-7.dcm"]
)
def test_names_that_count_slices_are_shown(name):
    assert gate.shown_name(name, 3) == name.split("/")[-1]


@pytest.mark.parametrize(
    "name",
    [
        "0012345.dcm",
        "I0012345",
        "19620305.dcm",
        "1962-03-05.dcm",
        "1962-0305",
        "001-2345",
        "13800138000",
        "Zhang San.zip",
    ],
)
def test_names_that_may_be_a_hospital_number_or_a_birth_date_are_not(name):
    assert gate.shown_name(name, 3) == "#3"
