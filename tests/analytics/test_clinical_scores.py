"""The command `clinical_scores`: a table in, scores out, no database."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation


def run(*arguments) -> str:
    out = io.StringIO()
    call_command("clinical_scores", *arguments, stdout=out)
    return out.getvalue()


def test_scores_of_a_file_agree_with_r(shared):
    path = shared / "data/cohorts/clinical_cases.csv"
    references = {
        one["id"]: one for one in json.loads((shared / "data/reference/clinical_scores.json").read_text())["refs"]
    }
    rows = json.loads(run(path, "--json"))["rows"]
    compared = 0
    for row in rows:
        for name, value in row.items():
            reference = references.get(f"case{int(row['case']):02d}.{name}")
            if reference:
                compared += 1
                expected = reference["value"]
                assert value == expected if isinstance(expected, str) else abs(value - expected) <= reference["tol"]
    assert compared == 154
    printed = list(csv.DictReader(io.StringIO(run(path))))
    assert [row["meld3"] for row in printed] == [str(row["meld3"]) for row in rows]


def test_conventional_units_are_converted_by_their_column_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,bili_mg_dl,albumin_g_dl\nx,1,4\n", encoding="utf-8")
    row = json.loads(run(path, "--json"))["rows"][0]
    assert row["id"] == "x"
    assert row["albi"] == pytest.approx(-2.586, abs=1e-3)
    assert row["meld"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,bili_umol,alb_gL\n1,<5,40\n", r"row 2, column bili_umol: '<5' is not a number"),
        ("id,bili_umol,alb_gL\n1,-5,40\n", r"row 2, .*bilirubin is -5"),
        ("a,b\n1,2\n", "No score can be calculated"),
        ("id,bili_umol\n1,=1\n", r"row 2, column bili_umol: looks like a formula"),
    ],
)
def test_a_bad_cell_is_named_and_nothing_is_printed(tmp_path, content, said):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with translation.override("en"), pytest.raises(CommandError, match=said):
        run(path)
    with translation.override("zh-hans"), pytest.raises(CommandError, match=r"[列数式]"):
        run(path)


def test_a_missing_file_is_named(tmp_path):
    with translation.override("en"), pytest.raises(CommandError, match=r"nothing\.csv cannot be read"):
        run(tmp_path / "nothing.csv")
