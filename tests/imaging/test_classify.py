"""Sequences and phases are named from tags and times, with the reason; descriptions count last."""

import pytest

from imaging.dicom.classify import Run, Series, classify, classify_study
from tests.imaging.volumes import kinds, sort_folder

T1 = {"te": 1.3, "tr": 3.9, "flip": 12.0, "sequence": "GR", "agent": "YES"}


def series(modality="MR", acquisition=None, description="", split=None, **keys):
    return Series(modality, acquisition or {}, description, keys, split or {}, (4, 4, 4))


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("mr_t2_adc/adc_image", ["ADC"]),
        ("mr_t2_adc/t2_image", ["T2"]),
        ("mr_dce/image", ["T1", "AP", "PVP"]),
        ("dcm_qa_philips_dwi", ["DWI"] * 17),
        ("dcm_qa_deident", ["T1"]),
        ("ct_liver", ["CT"]),
    ],
)
def test_real_series(shared, folder, expected):
    assert kinds(*sort_folder(shared / "data/imaging" / folder)) == expected


@pytest.mark.parametrize(
    ("seconds", "agent", "expected"),
    [(-60, "YES", "T1"), (5, "YES", "T1"), (25, "YES", "AP"), (70, "YES", "PVP"), (180, "YES", "DP"),
     (1200, "gadoxetate", "HBP"), (1200, "YES", "DP")],
)  # fmt: skip
def test_phases_follow_the_time_since_injection(seconds, agent, expected):
    kind = classify(series(acquisition=T1 | {"contrast_start": 36000.0, "agent": agent}, acquired=36000.0 + seconds))
    assert kind.code == expected
    assert kind.zh and kind.en


def test_ct_phases_follow_the_time_too():
    found = classify(series("CT", {"agent": "YES", "contrast_start": 100.0}, acquired=135.0))
    assert found.code == "AP"


def test_a_time_beats_a_description_and_a_description_beats_the_order():
    timed = series(acquisition=T1 | {"contrast_start": 0.0}, description="delayed", acquired=70.0)
    assert classify(timed).code == "PVP"
    untimed = series(acquisition=T1, description="T1 delayed", acquired=70.0)
    assert classify(untimed, Run((0.0, 70.0, 140.0), 1)).code == "DP"
    silent = series(acquisition=T1, acquired=70.0)
    assert classify(silent, Run((0.0, 70.0, 140.0), 1)).code == "AP"


def test_phases_in_separate_series_of_one_examination_are_seen_as_one_run():
    volumes = [series(acquisition=T1, acquired=float(time)) for time in (300, 100, 200)]
    assert [kind.code for kind in classify_study(volumes)] == ["PVP", "T1", "AP"]


@pytest.mark.parametrize(
    ("modality", "acquisition", "description", "keys", "expected"),
    [
        ("MR", {"te": 80.0, "tr": 3000.0}, "", {}, "T2"),
        ("MR", {"te": 70.0, "tr": 3000.0, "sequence": "EP"}, "", {"b": 800.0}, "DWI"),
        ("MR", {"te": 2.3, "tr": 120.0, "sequence": "GR"}, "", {"b": 0.0}, "T1"),
        ("MR", {}, "T2 TSE", {}, "T2"),
        ("MR", {}, "动脉期", {}, "AP"),
        ("MR", {}, "", {}, "MR"),
        ("CT", {}, "", {}, "NC"),
        ("CT", {"agent": "YES"}, "门静脉期", {}, "PVP"),
        ("CT", {"agent": "YES"}, "", {}, "CT"),
        ("PT", {}, "", {}, "OTHER"),
    ],
)
def test_tags_then_words(modality, acquisition, description, keys, expected):
    assert classify(series(modality, acquisition, description, **keys)).code == expected
