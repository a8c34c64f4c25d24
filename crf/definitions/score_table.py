"""One row of a laboratory table in, every clinical score that its columns allow out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import scores

Row = Mapping[str, Any]

# The quantity, the column names it may come under, and what one of the column's units is in ours.
COLUMNS: dict[str, dict[str, float]] = {
    "bilirubin": {"bilirubin": 1, "bili": 1, "bili_umol": 1, "bilirubin_umol_l": 1, "bili_mg_dl": 17.1},
    "albumin": {"albumin": 1, "alb": 1, "alb_gl": 1, "albumin_g_l": 1, "albumin_g_dl": 10, "alb_g_dl": 10},
    "inr": {"inr": 1},
    "creatinine": {"creatinine": 1, "cr": 1, "cr_umol": 1, "creatinine_umol_l": 1, "creatinine_mg_dl": 88.4},
    "sodium": {"sodium": 1, "na": 1},
    "pt_prolonged": {"pt_prolonged": 1, "ptsec_prolong": 1},
    "platelets": {"platelets": 1, "plt": 1},
    "ast": {"ast": 1},
    "alt": {"alt": 1},
    "ast_upper_limit": {"ast_upper_limit": 1, "ast_uln": 1},
    "age": {"age": 1},
    "neutrophils": {"neutrophils": 1, "neut": 1},
    "lymphocytes": {"lymphocytes": 1, "lymph": 1},
    "length": {"spleen_length": 1, "spleen_l_cm": 1, "spleen_length_mm": 0.1},
    "width": {"spleen_width": 1, "spleen_w_cm": 1, "spleen_width_mm": 0.1},
    "thickness": {"spleen_thickness": 1, "spleen_t_cm": 1, "spleen_thickness_mm": 0.1},
    "weight": {"weight": 1, "weight_kg": 1},
    "height": {"height": 1, "height_cm": 1},
}
WORDS: dict[str, tuple[str, ...]] = {"sex": ("sex",), "dialysis": ("dialysis",), "ascites": ("ascites",)}
WORDS["encephalopathy"] = ("encephalopathy", "enceph")
DEFAULTS = {"dialysis": "N", "ast_upper_limit": 40.0}

LIVER = ("bilirubin", "inr", "creatinine")
PUGH = ("ascites", "encephalopathy")
SPLEEN = ("length", "width", "thickness")
SCORES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "meld_raw": (scores.meld_raw, (*LIVER, "dialysis")),
    "meld": (scores.meld, (*LIVER, "dialysis")),
    "meld_na_raw": (scores.meld_na_raw, (*LIVER, "sodium", "dialysis")),
    "meld_na": (scores.meld_na, (*LIVER, "sodium", "dialysis")),
    "meld3_raw": (scores.meld3_raw, ("sex", *LIVER, "sodium", "albumin", "dialysis")),
    "meld3": (scores.meld3, ("sex", *LIVER, "sodium", "albumin", "dialysis")),
    "albi": (scores.albi, ("bilirubin", "albumin")),
    "albi_grade": (scores.albi_grade, ("bilirubin", "albumin")),
    "malbi": (scores.malbi_grade, ("bilirubin", "albumin")),
    "cp_inr": (scores.child_pugh, ("bilirubin", "albumin", "inr", *PUGH)),
    "cp_pt": (scores.child_pugh_pt, ("bilirubin", "albumin", "pt_prolonged", *PUGH)),
    "fib4": (scores.fib4, ("age", "ast", "alt", "platelets")),
    "apri40": (scores.apri, ("ast", "platelets", "ast_upper_limit")),
    "nlr": (scores.nlr, ("neutrophils", "lymphocytes")),
    "plr": (scores.plr, ("platelets", "lymphocytes")),
    "spleen_index_cm3": (scores.spleen_index, SPLEEN),
    "spleen_vol_prassopoulos": (scores.spleen_volume, SPLEEN),
    "spleen_vol_ellipsoid": (scores.spleen_volume_ellipsoid, SPLEEN),
    "plt_spleen_ratio": (scores.platelet_spleen_ratio, ("platelets", "length")),
    "bsa_mosteller": (scores.bsa, ("weight", "height")),
    "bmi": (scores.bmi, ("weight", "height")),
    "lsv_urata": (scores.liver_volume, ("weight", "height")),
}


class BadCell(ValueError):
    """A cell that cannot be read as the number or word its column promises."""

    def __init__(self, column: str, zh: str, en: str) -> None:
        super().__init__(f"column {column}: {en}")
        self.zh = f"{column}列:{zh}"


def quantities(row: Row) -> dict[str, Any]:
    """The row's values by quantity, in this module's units; absent and empty cells are left out."""
    lowered = {str(name).strip().lower(): name for name in row if name is not None}
    found: dict[str, Any] = {}
    for quantity, columns in COLUMNS.items():
        for column, factor in columns.items():
            cell = str(row[lowered[column]] or "").strip() if column in lowered else ""
            if cell and cell.upper() != "NA":
                found[quantity] = _number(column, cell) * factor
                break
    for quantity, names in WORDS.items():
        for name in names:
            cell = str(row[lowered[name]] or "").strip() if name in lowered else ""
            if cell and cell.upper() != "NA":
                found[quantity] = cell
    return found


def _number(column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise BadCell(
            column, f"“{cell}”不是数字;请用小数点书写", f"{cell!r} is not a number; write it with a decimal point"
        ) from None


def available(columns: set[str]) -> list[str]:
    """The scores that a table with these columns can give, in order."""
    given = {name.strip().lower() for name in columns}
    known = {quantity for quantity, names in {**COLUMNS, **WORDS}.items() if given & set(names)} | set(DEFAULTS)
    return [score for score, (_, needs) in SCORES.items() if set(needs) <= known]


def score_row(row: Row) -> dict[str, Any]:
    """Every score of one row; None where a value that it needs is missing."""
    values = {**DEFAULTS, **quantities(row)}
    result: dict[str, Any] = {}
    for score, (function, needs) in SCORES.items():
        try:
            result[score] = function(*(values.get(name) for name in needs))
        except scores.NotAScoreInput as refusal:
            raise BadCell(", ".join(needs), f"{score} 无法计算({refusal})", f"{score}: {refusal}") from refusal
        if score.startswith("cp_"):
            result[score.replace("cp_", "cp_class_")] = scores.child_pugh_class(result[score])
    return result
