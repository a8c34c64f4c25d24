"""Clinical scores in the units Chinese laboratories report; nothing in, nothing out.

Every function takes SI values (bilirubin and creatinine µmol/L, albumin g/L, sodium mmol/L, cells 10⁹/L, lengths cm)
and returns None when a value it needs is None. Sources stand at each function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec

BILIRUBIN_UMOL_PER_MG_DL = 17.1  # conventional; 584.66 g/mol gives 17.104
CREATININE_UMOL_PER_MG_DL = 88.4  # conventional; 113.12 g/mol gives 88.402

P = ParamSpec("P")

MALE = frozenset({"M", "MALE", "1"})
FEMALE = frozenset({"F", "FEMALE", "2"})
YES = frozenset({"Y", "YES", "TRUE", "1"})
NO = frozenset({"N", "NO", "FALSE", "0"})
ASCITES_POINTS = {
    **dict.fromkeys(("NONE", "ABSENT", "N", "0"), 1),
    **dict.fromkeys(("MILD", "SLIGHT", "1"), 2),
    **dict.fromkeys(("MODERATE", "SEVERE", "LARGE", "MODERATE_SEVERE", "2", "3"), 3),
}
ENCEPHALOPATHY_POINTS = {
    **dict.fromkeys(("NONE", "ABSENT", "N", "0", "G0"), 1),
    **dict.fromkeys(("1", "2", "G1", "G2", "1-2", "G1_2"), 2),
    **dict.fromkeys(("3", "4", "G3", "G4", "3-4", "G3_4"), 3),
}


class NotAScoreInput(ValueError):
    """A value that the score's definition has no place for, such as a negative bilirubin."""


def none_in_none_out(function: Callable[P, object]) -> Callable[P, Any]:
    """Return None as soon as one argument is None or not finite."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Any:
        for value in (*args, *kwargs.values()):
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                return None
        return function(*args, **kwargs)

    return wrapped


def half_up(value: float, digits: int = 0) -> float:
    """Round halves away from zero; Python's round() goes to the even digit, which no score means."""
    factor = 10.0**digits
    return math.copysign(math.floor(abs(value) * factor + 0.5), value) / factor


def _positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise NotAScoreInput(f"{name} is {value}; it must be above 0")


def _code(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().upper()


def is_yes(value: Any) -> bool:
    code = _code(value)
    if code not in YES | NO:
        raise NotAScoreInput(f"{value!r} is neither yes (Y, 1) nor no (N, 0)")
    return code in YES


def is_female(value: Any) -> bool:
    code = _code(value)
    if code not in MALE | FEMALE:
        raise NotAScoreInput(f"sex {value!r} is neither M nor F")
    return code in FEMALE


def _points(table: dict[str, int], value: Any, name: str) -> int:
    try:
        return table[_code(value)]
    except KeyError:
        raise NotAScoreInput(f"{name} {value!r} is none of {', '.join(table)}") from None


def _creatinine_mg_dl(creatinine: float, dialysis: Any, ceiling: float) -> float:
    """Bounded creatinine; dialysis (twice in the last week) counts as the ceiling."""
    if is_yes(dialysis):
        return ceiling
    return min(max(creatinine / CREATININE_UMOL_PER_MG_DL, 1.0), ceiling)


@none_in_none_out
def meld_raw(bilirubin: float, inr: float, creatinine: float, dialysis: Any = "N") -> float:
    """MELD before rounding and cap. Kamath 2001, Wiesner 2003 (UNOS): lower bounds 1, creatinine 1-4 mg/dL."""
    _positive(bilirubin=bilirubin, inr=inr, creatinine=creatinine)
    mg_dl = max(bilirubin / BILIRUBIN_UMOL_PER_MG_DL, 1.0)
    kidney = _creatinine_mg_dl(creatinine, dialysis, 4.0)
    return 9.57 * math.log(kidney) + 3.78 * math.log(mg_dl) + 11.2 * math.log(max(inr, 1.0)) + 6.43


@none_in_none_out
def meld(bilirubin: float, inr: float, creatinine: float, dialysis: Any = "N") -> int:
    """MELD, whole points 6-40."""
    return _capped(meld_raw(bilirubin, inr, creatinine, dialysis))


def _capped(raw: float) -> int:
    return int(min(max(half_up(raw), 6), 40))


@none_in_none_out
def meld_na_raw(bilirubin: float, inr: float, creatinine: float, sodium: float, dialysis: Any = "N") -> float:
    """MELD-Na before rounding and cap. OPTN 2016: MELD(i) to one decimal; sodium 125-137 counts above MELD(i) 11."""
    _positive(sodium=sodium)
    initial = half_up(meld_raw(bilirubin, inr, creatinine, dialysis), 1)
    if initial <= 11:
        return initial
    deficit = 137 - min(max(sodium, 125.0), 137.0)
    return initial + 1.32 * deficit - 0.033 * initial * deficit


@none_in_none_out
def meld_na(bilirubin: float, inr: float, creatinine: float, sodium: float, dialysis: Any = "N") -> int:
    """MELD-Na, whole points 6-40."""
    return _capped(meld_na_raw(bilirubin, inr, creatinine, sodium, dialysis))


@none_in_none_out
def meld3_raw(
    sex: Any, bilirubin: float, inr: float, creatinine: float, sodium: float, albumin: float, dialysis: Any = "N"
) -> float:
    """MELD 3.0 before rounding and cap. Kim 2021 (PMC8608337): creatinine 1-3 mg/dL, Na 125-137, albumin 1.5-3.5."""
    _positive(bilirubin=bilirubin, inr=inr, creatinine=creatinine, sodium=sodium, albumin=albumin)
    bili = math.log(max(bilirubin / BILIRUBIN_UMOL_PER_MG_DL, 1.0))
    kidney = math.log(_creatinine_mg_dl(creatinine, dialysis, 3.0))
    salt = 137 - min(max(sodium, 125.0), 137.0)
    protein = 3.5 - min(max(albumin / 10, 1.5), 3.5)
    return (
        1.33 * is_female(sex)
        + 4.56 * bili
        + 0.82 * salt
        - 0.24 * salt * bili
        + 9.09 * math.log(max(inr, 1.0))
        + 11.14 * kidney
        + 1.85 * protein
        - 1.83 * protein * kidney
        + 6
    )


@none_in_none_out
def meld3(
    sex: Any, bilirubin: float, inr: float, creatinine: float, sodium: float, albumin: float, dialysis: Any = "N"
) -> int:
    """MELD 3.0, whole points 6-40; the cap of 40 is OPTN's practice, Kim 2021 has none."""
    return _capped(meld3_raw(sex, bilirubin, inr, creatinine, sodium, albumin, dialysis))


def _child_pugh_chemistry(bilirubin: float, albumin: float) -> int:
    _positive(bilirubin=bilirubin, albumin=albumin)
    jaundice = 1 if bilirubin < 34.2 else 2 if bilirubin <= 51.3 else 3
    protein = 1 if albumin > 35 else 2 if albumin >= 28 else 3
    return jaundice + protein


@none_in_none_out
def child_pugh(bilirubin: float, albumin: float, inr: float, ascites: Any, encephalopathy: Any) -> int:
    """Child-Pugh points 5-15 with INR (<1.7, 1.7-2.3, >2.3). Pugh 1973; bilirubin cuts 2 and 3 mg/dL."""
    _positive(inr=inr)
    clotting = 1 if inr < 1.7 else 2 if inr <= 2.3 else 3
    signs = _points(ASCITES_POINTS, ascites, "ascites")
    mind = _points(ENCEPHALOPATHY_POINTS, encephalopathy, "encephalopathy")
    return _child_pugh_chemistry(bilirubin, albumin) + clotting + signs + mind


@none_in_none_out
def child_pugh_pt(bilirubin: float, albumin: float, pt_prolonged: float, ascites: Any, encephalopathy: Any) -> int:
    """Child-Pugh points with the prolongation of prothrombin time in seconds (<4, 4-6, >6); can differ from INR's."""
    clotting = 1 if pt_prolonged < 4 else 2 if pt_prolonged <= 6 else 3
    signs = _points(ASCITES_POINTS, ascites, "ascites")
    mind = _points(ENCEPHALOPATHY_POINTS, encephalopathy, "encephalopathy")
    return _child_pugh_chemistry(bilirubin, albumin) + clotting + signs + mind


@none_in_none_out
def child_pugh_class(points: float) -> str:
    """A 5-6, B 7-9, C 10-15."""
    if not 5 <= points <= 15:
        raise NotAScoreInput(f"{points} is no Child-Pugh total; it runs from 5 to 15")
    return "A" if points <= 6 else "B" if points <= 9 else "C"


@none_in_none_out
def albi(bilirubin: float, albumin: float) -> float:
    """Albumin-bilirubin score. Johnson 2015: 0.66 log10(bilirubin µmol/L) - 0.085 (albumin g/L)."""
    _positive(bilirubin=bilirubin, albumin=albumin)
    return 0.66 * math.log10(bilirubin) - 0.085 * albumin


@none_in_none_out
def albi_grade(bilirubin: float, albumin: float) -> int:
    """ALBI grade 1 (<= -2.60), 2 (<= -1.39), 3; from the unrounded score."""
    score = albi(bilirubin, albumin)
    return 1 if score <= -2.60 else 2 if score <= -1.39 else 3


@none_in_none_out
def malbi_grade(bilirubin: float, albumin: float) -> str:
    """Modified ALBI grade 1, 2a (<= -2.27), 2b, 3. Hiraoka 2017."""
    grade = albi_grade(bilirubin, albumin)
    if grade != 2:
        return str(grade)
    return "2a" if albi(bilirubin, albumin) <= -2.27 else "2b"


@none_in_none_out
def fib4(age: float, ast: float, alt: float, platelets: float) -> float:
    """FIB-4: age (years) x AST / (platelets x sqrt(ALT)), U/L. Sterling 2006."""
    _positive(age=age, ast=ast, alt=alt, platelets=platelets)
    return age * ast / (platelets * math.sqrt(alt))


@none_in_none_out
def apri(ast: float, platelets: float, ast_upper_limit: float = 40.0) -> float:
    """AST to platelet ratio index: (AST / upper limit of normal) x 100 / platelets. Wai 2003."""
    _positive(ast=ast, platelets=platelets, ast_upper_limit=ast_upper_limit)
    return ast / ast_upper_limit / platelets * 100


@none_in_none_out
def nlr(neutrophils: float, lymphocytes: float) -> float:
    """Neutrophil to lymphocyte ratio, both 10⁹/L."""
    _positive(lymphocytes=lymphocytes)
    return neutrophils / lymphocytes


@none_in_none_out
def plr(platelets: float, lymphocytes: float) -> float:
    """Platelet to lymphocyte ratio, both 10⁹/L."""
    _positive(lymphocytes=lymphocytes)
    return platelets / lymphocytes


@none_in_none_out
def spleen_index(length: float, width: float, thickness: float) -> float:
    """Splenic index in cm³: the product of the three diameters in cm. Lackner 1980; normal 120-480."""
    _positive(length=length, width=width, thickness=thickness)
    return length * width * thickness


@none_in_none_out
def spleen_volume(length: float, width: float, thickness: float) -> float:
    """Spleen volume in mL from CT diameters in cm: 30 + 0.58 x product. Prassopoulos 1997."""
    return 30 + 0.58 * spleen_index(length, width, thickness)


@none_in_none_out
def spleen_volume_ellipsoid(length: float, width: float, thickness: float) -> float:
    """Spleen volume in mL as an ellipsoid: pi / 6 x product of the diameters in cm."""
    return math.pi / 6 * spleen_index(length, width, thickness)


@none_in_none_out
def platelet_spleen_ratio(platelets: float, length: float) -> float:
    """Platelets per µL over spleen length in mm (cut 909). Giannini 2003. Length given in cm."""
    _positive(platelets=platelets, length=length)
    return platelets * 1000 / (length * 10)


@none_in_none_out
def bsa(weight: float, height: float) -> float:
    """Body surface area in m² from kg and cm. Mosteller 1987."""
    _positive(weight=weight, height=height)
    return math.sqrt(weight * height / 3600)


@none_in_none_out
def bmi(weight: float, height: float) -> float:
    """Body mass index in kg/m² from kg and cm."""
    _positive(weight=weight, height=height)
    return weight / (height / 100) ** 2


@none_in_none_out
def liver_volume(weight: float, height: float) -> float:
    """Standard liver volume in mL: 706.2 x BSA + 2.4. Urata 1995."""
    return 706.2 * bsa(weight, height) + 2.4


# What one conventional unit is in the unit used here. Platelets 10³/µL and sodium mEq/L are the same numbers.
# Prothrombin activity in % has no conversion to INR, and none is offered.
TO_SI: dict[tuple[str, str], float] = {
    ("bilirubin", "mg/dL"): BILIRUBIN_UMOL_PER_MG_DL,
    ("creatinine", "mg/dL"): CREATININE_UMOL_PER_MG_DL,
    ("albumin", "g/dL"): 10.0,
    ("haemoglobin", "g/dL"): 10.0,
    ("glucose", "mg/dL"): 1 / 18.0,
    ("urea", "mg/dL"): 1 / 2.8,
    ("ammonia", "ug/dL"): 1 / 1.703,
    ("sodium", "mEq/L"): 1.0,
    ("platelets", "10^3/uL"): 1.0,
    ("afp", "ug/L"): 1.0,
    ("afp", "IU/mL"): 1.21,
}


@none_in_none_out
def to_si(analyte: str, value: float, unit: str) -> float:
    """`value` of `analyte` in `unit` as this module's unit (AFP: ng/mL, glucose and urea: mmol/L)."""
    try:
        return value * TO_SI[analyte, unit]
    except KeyError:
        known = ", ".join(f"{name} {from_unit}" for name, from_unit in TO_SI)
        raise NotAScoreInput(f"no conversion for {analyte} in {unit}; known: {known}") from None
