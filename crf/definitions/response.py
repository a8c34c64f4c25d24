"""Tumour response by mRECIST (Lencioni and Llovet 2010): sums of viable diameters in, category out."""

from __future__ import annotations

from typing import Any

from .scores import NotAScoreInput, is_yes, none_in_none_out

TARGET = ("CR", "PR", "SD", "PD", "NE")
NON_TARGET = {
    "CR": "CR", "NONE": "CR", "NA": "CR", "IR/SD": "IR", "IR_SD": "IR", "IR": "IR", "SD": "IR", "NON_CR": "IR",
    "NONCR": "IR", "NON-CR/NON-PD": "IR", "PD": "PD", "NE": "NE",
}  # fmt: skip


@none_in_none_out
def mrecist_target(baseline: float, nadir: float, current: float, floor: float = 5.0) -> str:
    """Response of the target lesions from sums of viable diameters in mm.

    PR is at least 30 % below baseline; PD at least 20 % above the smallest sum so far and at least `floor` mm more:
    RECIST 1.1 asks for 5 mm, mRECIST 2010 for none, so a study sets it.
    """
    if baseline <= 0 or nadir < 0 or current < 0:
        raise NotAScoreInput("sums of diameters: the baseline is above 0, the others are not negative")
    growth = current - nadir
    if growth > 0 and growth >= 0.2 * nadir - 1e-9 and growth >= floor - 1e-9:
        return "PD"
    if current == 0:
        return "CR"
    return "PR" if current <= 0.7 * baseline + 1e-9 else "SD"


@none_in_none_out
def mrecist(target: str, non_target: str, new_lesion: Any) -> str:
    """Overall response of one time point from target, non-target (CR, NONE, IR/SD, PD, NE) and new lesion (Y, N)."""
    rest = NON_TARGET.get(str(non_target).strip().upper())
    if target not in TARGET or rest is None:
        raise NotAScoreInput(f"target {target!r} or non-target {non_target!r} is no response category")
    if is_yes(new_lesion) or "PD" in (target, rest):
        return "PD"
    if target == "CR":
        return "CR" if rest == "CR" else "PR"
    return target
