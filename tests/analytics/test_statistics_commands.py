"""`evaluate_predictions` and `survival` on the real cohort files, against R's values."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.utils import translation


@pytest.fixture(scope="module")
def cohorts(shared: Path) -> Path:
    return shared / "data" / "cohorts"


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((shared / "data" / "reference" / "statistics.json").read_text())
    return {ref["id"]: ref for ref in content["refs"]}


@pytest.fixture
def validation(cohorts: Path, tmp_path: Path) -> Path:
    """The external part of the PBC predictions."""
    path = tmp_path / "validation.csv"
    pd.read_csv(cohorts / "pbc_p2.csv", dtype=str).query("split == 'val'").to_csv(path, index=False)
    return path


def run(command: str, *arguments: object) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


def parsed(command: str, *arguments: object) -> dict[str, Any]:
    return json.loads(run(command, *arguments, "--json"))


def close(reference: dict[str, dict[str, Any]], name: str, value: float) -> bool:
    return abs(reference[name]["value"] - value) <= reference[name]["tol"]


def test_predictions_are_evaluated_as_in_r(validation: Path, reference: dict[str, dict[str, Any]]) -> None:
    report = parsed("evaluate_predictions", validation, "--outcome", "y", "--probability", "p2", "--threshold", "0.3")
    model = report["models"][0]
    calibration, rates = model["calibration"], model["classification"]
    found = {
        "auc.p2.val.auc": model["auc"]["value"],
        "auc.p2.val.delong_lo": model["auc"]["lo"],
        "auc.p2.val.logit_hi": model["auc_logit"]["hi"],
        "confusion.p2.val.t30.tp": rates["table"]["tp"],
        "confusion.p2.val.t30.sens.exact_lo": rates["sensitivity"]["exact"]["lo"],
        "confusion.p2.val.t30.npv.wilson_hi": rates["npv"]["wilson"]["hi"],
        "confusion.p2.val.t30.mcc": rates["mcc"],
        "calib.p2.val.slope": calibration["recalibration"]["slope"]["value"],
        "calib.p2.val.citl": calibration["recalibration"]["intercept"]["value"],
        "calib.p2.val.brier": calibration["brier"]["brier"]["value"],
        "calib.p2.val.oe": calibration["observed_expected"]["value"],
        "calib.p2.val.ICI_loess": calibration["curve"]["ici"],
        "hl.p2.val.p_df10": calibration["hosmer_lemeshow"]["p"],
        "dca.val.p2.t30": model["utility"]["decision_curve"]["model"][29],
    }
    assert [name for name, value in found.items() if not close(reference, name, value)] == []
    assert (report["dataset"], report["n"], report["events"]) == ("external", 99, 35)


def test_development_data_change_the_degrees_of_freedom(cohorts: Path, tmp_path: Path, reference) -> None:
    path = tmp_path / "development.csv"
    pd.read_csv(cohorts / "pbc_p2.csv", dtype=str).query("split == 'dev'").to_csv(path, index=False)
    report = parsed(
        "evaluate_predictions", path, "--outcome", "y", "--probability", "p2", "--dataset", "development"
    )  # fmt: skip
    test = report["models"][0]["calibration"]["hosmer_lemeshow"]
    assert test["df"] == 8
    assert close(reference, "hl.p2.dev.p_df8", test["p"])
    assert report["models"][0]["threshold"]["rule"] == "youden"


def test_markers_that_are_no_probabilities_are_compared_as_scores(cohorts: Path, reference) -> None:
    report = parsed("evaluate_predictions", cohorts / "aSAH.csv", "--outcome", "y", "--score", "wfns,s100b,ndka")
    pairs = {(pair["first"], pair["second"]): pair["auc"] for pair in report["comparisons"]}
    for first, second in (("wfns", "s100b"), ("wfns", "ndka"), ("s100b", "ndka")):
        assert close(reference, f"asah.{first}_vs_{second}.Z", pairs[first, second]["z"])
        assert close(reference, f"asah.{first}_vs_{second}.p", pairs[first, second]["p"])
    assert all(model["calibration"] is None and model["utility"] is None for model in report["models"])


def test_survival_is_analysed_as_in_r(cohorts: Path, reference) -> None:
    report = parsed(
        "survival", cohorts / "lung.csv", "--time", "time", "--event", "event", "--group", "sex",
        "--covariates", "age,sex,ph.ecog", "--times", "180,365,730",
    )  # fmt: skip
    men, women = report["survival"]["groups"]["1"], report["survival"]["groups"]["2"]
    model = report["regression"]["model"]
    age, sex, ecog = model["coefficients"]
    found = {
        "km.lung.sex1.median": men["median"]["value"],
        "km.lung.sex2.median_hi_loglog": women["median"]["hi"],
        "km.lung.sex1.S_365": report["survival"]["survival_at"]["1"][1]["survival"]["value"],
        "km.lung.sex2.atrisk_730": report["survival"]["at_risk"]["rows"]["2"][2],
        "km.lung.median_followup_reverseKM": report["survival"]["median_follow_up"]["value"],
        "logrank.lung.sex.chi2": report["survival"]["log_rank"]["chi2"],
        "cox.lung.efron.age.hr": age["hazard_ratio"]["value"],
        "cox.lung.efron.sex.hr_lo": sex["hazard_ratio"]["lo"],
        "cox.lung.efron.ph_ecog.p": ecog["p"],
        "cox.lung.efron.C": model["concordance"]["value"],
        "zph.lung.km.GLOBAL.p": report["regression"]["proportional_hazards"]["overall"]["p"],
    }
    assert [name for name, value in found.items() if not close(reference, name, value)] == []
    assert report["excluded_from_regression"] == [{"line": 15, "column": "ph.ecog"}]
    assert (report["survival"]["n"], model["n"]) == (228, 227)


def test_the_reference_level_is_chosen_by_the_user(cohorts: Path, reference) -> None:
    columns = ("--time", "time", "--event", "event", "--group", "grp", "--reference", "grp=low")
    report = parsed("survival", cohorts / "lung_riskgroups.csv", *columns)["survival"]
    ratio = report["hazard_ratios"]["coefficients"][0]
    assert ratio["name"] == "grp[high]"
    assert close(reference, "riskgroup.lung.HR", ratio["hazard_ratio"]["value"])
    assert close(reference, "riskgroup.lung.logrank_chi2", report["log_rank"]["chi2"])


def test_four_cell_types_are_compared_pair_by_pair(cohorts: Path, reference) -> None:
    report = parsed(
        "survival", cohorts / "veteran.csv", "--time", "time", "--event", "status", "--group", "celltype"
    )["survival"]  # fmt: skip
    assert close(reference, "logrank.veteran.celltype.p", report["log_rank"]["p"])
    assert len(report["pairwise"]) == 6


def test_the_real_pbc_status_with_transplants_is_refused_with_its_line(cohorts: Path) -> None:
    with (
        translation.override("en"),
        pytest.raises(CommandError, match=r"pbc\.csv, line 2, column status: '2' is neither"),
    ):
        run("survival", cohorts / "pbc.csv", "--time", "time", "--event", "status")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("y,p\n1,0.5\n0,\n", "line 3, column p: the value is missing; complete it"),
        ("y,p\n1,0.5\n\n0,NA\n", "line 4, column p: the value is missing"),
        ("y,p\n1,0.5\n0,50%\n", "line 3, column p: '50%' is not a number"),
        ("y,p\n1,0.5\n0,inf\n", "line 3, column p: 'inf' is not a number"),
        ("y,p\n1,0.5\n0,1_0\n", "line 3, column p: '1_0' is not a number"),
        ("y,p\n1,0.5\n0,50\n", "line 3, column p: 50 is not a probability; divide percentages by 100"),
        ("y,p\nyes,0.5\n0,0.4\n", "line 2, column y: 'yes' is neither 0 nor 1; recode"),
        ("y,q\n1,0.5\n0,0.4\n", "no column 'p'; its columns are y, q"),
        ("y,p\n1,0.5\n0,0.4,7\n", "line 3: 3 cells, but the header has 2"),
        ("y,p,p\n1,0.5,1\n0,0.4,1\n", "two columns named 'p'"),
        ("y,p\n", "at least one row"),
        ("", "header line"),
        ("y,p\n1,0.5\n1,0.4\n", "one class only"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_the_remedy(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with translation.override("en"), pytest.raises(CommandError) as refusal:
        run("evaluate_predictions", path, "--outcome", "y", "--probability", "p")
    assert says in str(refusal.value)


def test_refusals_are_in_chinese_for_chinese_users(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("y,p\n1,0.5\n0,\n")
    with translation.override("zh-hans"), pytest.raises(CommandError, match="第3行p列:缺失"):
        run("evaluate_predictions", path, "--outcome", "y", "--probability", "p")


def test_an_empty_column_name_is_refused(cohorts: Path) -> None:
    with translation.override("en"), pytest.raises(CommandError, match="no column ''"):
        run("evaluate_predictions", cohorts / "aSAH.csv", "--outcome", "y", "--probability", "")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with translation.override("en"), pytest.raises(CommandError, match="can't be read"):
        run("survival", tmp_path / "none.csv", "--time", "t", "--event", "e")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_files_from_chinese_excel_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "excel.csv"
    rows = ["结局,概率", *(f"{i % 2},{0.2 + 0.5 * (i % 3) / 3 + 0.1 * (i % 2):.2f}" for i in range(30))]
    path.write_bytes("\r\n".join(rows).encode(encoding))
    assert parsed("evaluate_predictions", path, "--outcome", "结局", "--probability", "概率")["n"] == 30


def test_a_reference_for_an_unused_column_is_refused(cohorts: Path) -> None:
    with translation.override("en"), pytest.raises(CommandError, match="neither --group nor"):
        run("survival", cohorts / "lung.csv", "--time", "time", "--event", "event", "--reference", "sex=1")


def test_rows_left_out_are_listed_for_people_too(cohorts: Path) -> None:
    with translation.override("en"):
        text = run("survival", cohorts / "lung.csv", "--time", "time", "--event", "event", "--covariates", "ph.ecog")
    assert "Line 15 left out: ph.ecog is missing" in text


def test_json_has_no_nan_even_where_numbers_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "perfect.csv"
    path.write_text("y,p\n0,0.1\n0,0.2\n1,0.8\n1,0.9\n")
    text = run("evaluate_predictions", path, "--outcome", "y", "--probability", "p", "--json")
    report = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert report["models"][0]["auc"]["lo"] is None
    assert "no finite solution" in report["models"][0]["calibration"]["recalibration"]["unavailable"]


def test_only_a_median_is_not_reached_another_limit_is_a_dash(tmp_path: Path) -> None:
    path = tmp_path / "perfect.csv"
    path.write_text("y,p\n0,0.1\n0,0.2\n1,0.8\n1,0.9\n")
    with translation.override("en"):
        predictions = run("evaluate_predictions", path, "--outcome", "y", "--score", "p")
        followed = run("survival", path, "--time", "p", "--event", "y", "--times", "0.9")
    assert "AUC: 1 (95% CI – - –)" in predictions
    assert "survival 0 (95% CI – - –)" in followed
    assert "median 0.85 (95% CI 0.8 - not reached)" in followed


def test_the_printed_report_has_every_headline_number(validation: Path) -> None:
    with translation.override("en"):
        text = run("evaluate_predictions", validation, "--outcome", "y", "--probability", "p2", "--threshold", "0.3")
    for part in ("0.8179", "0.7222", "32/35", "Calibration slope", "1.104", "Hosmer-Lemeshow", "df 10"):
        assert part in text
