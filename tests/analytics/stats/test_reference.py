"""Every number that analytics/stats computes, against R's value for it (../shared/data/reference/statistics.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.analytics.stats.reference_values import NOT_COVERED, values

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
FILE = SHARED / "reference" / "statistics.json"
REFERENCES: dict[str, dict[str, Any]] = (
    {ref["id"]: ref for ref in json.loads(FILE.read_text())["refs"]} if FILE.exists() else {}
)
COVERED = [name for name in REFERENCES if not name.startswith(NOT_COVERED)]


@pytest.fixture(scope="module")
def ours(shared: Path) -> dict[str, float]:
    return values(shared / "data" / "cohorts")


@pytest.mark.parametrize("name", COVERED)
def test_agrees_with_r(ours: dict[str, float], name: str) -> None:
    reference = REFERENCES[name]
    assert abs(ours[name] - reference["value"]) <= reference["tol"], reference["method"]


def test_the_covered_references_are_exactly_those_outside_the_list_of_gaps(ours: dict[str, float]) -> None:
    print(f"{len(ours)} of {len(REFERENCES)} reference values are covered")
    assert set(ours) == set(COVERED)
    assert len(COVERED) >= 366


def test_each_gap_in_the_list_still_exists_in_the_reference_file(shared: Path) -> None:
    assert all(any(name.startswith(gap) for name in REFERENCES) for gap in NOT_COVERED)


@pytest.mark.parametrize("split", ["dev", "val"])
def test_hosmer_lemeshow_groups_are_those_of_r(shared: Path, split: str) -> None:
    import pandas as pd

    from analytics.stats.calibration import risk_groups

    table = pd.read_csv(shared / "data" / "reference" / f"hl_table_p2_{split}.csv")
    rows = pd.read_csv(shared / "data" / "cohorts" / "pbc_p2.csv").query("split == @split")
    groups = risk_groups(rows.y, rows.p2)
    assert [g.n for g in groups] == table.n.tolist()
    assert [g.events for g in groups] == table.obs.tolist()
    assert [g.expected for g in groups] == pytest.approx(table.exp.tolist(), abs=1e-9)
