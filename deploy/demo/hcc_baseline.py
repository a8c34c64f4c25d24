"""What the HCC study knows of a subject before treatment: eligibility, laboratory, MRI, tumour burden, history."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from deploy.demo.images import PROTOCOLS, SCANNERS
from deploy.demo.phantoms import MR_GRID
from deploy.demo.story import Story

VENDOR = {"SIEMENS": "SIEMENS", "GE MEDICAL SYSTEMS": "GE", "Philips Medical Systems": "PHILIPS", "UIH": "UIH"}


def tell(story: Story, start: dt.date) -> tuple[float, dict[str, Any]]:
    """Write the baseline pages; returns the weight in kg and the facts of the tumour."""
    _eligibility(story, start)
    _laboratory(story, start - story.days(0, 12))
    _acquisition(story)
    tumour = _tumour(story)
    weight = round(float(np.clip(story.rng.normal(66 if story.sex == "M" else 57, 9), 42, 98)), 1)
    _history(story, start, weight, tumour)
    return weight, tumour


def _eligibility(story: Story, start: dt.date) -> None:
    reasons = ["MULTIFOCAL", "VASCULAR", "REMNANT"]
    story.write(
        "ELIG",
        on=start,
        index_treatment_date=start,
        **dict.fromkeys(("inc_age", "inc_hcc", "inc_unresectable", "inc_triple", "inc_mri"), "Y"),
        **dict.fromkeys(("exc_malignancy", "exc_organ", "exc_other_therapy"), "N"),
        unresectable_reason=[reasons[int(story.rng.integers(3))]],
    )


def _laboratory(story: Story, on: dt.date) -> None:
    """Values that depend on each other: counts add up, fractions are below their totals, PT goes with INR."""
    counts = {name: story.draw(f"LB.{name}") for name in ("neutrophils", "lymphocytes", "monocytes")}
    sum_of_counts = sum(value for value in counts.values() if not isinstance(value, dict))
    albumin, bilirubin, inr = (story.draw(f"LB.{name}") for name in ("albumin", "bilirubin", "inr"))
    story.write(
        "LB",
        on=on,
        sample_date=on,
        **counts,
        wbc=round(sum_of_counts * story.between(1.02, 1.09), 2),
        albumin=albumin,
        total_protein=round(albumin + story.between(24, 37), 1),
        bilirubin=bilirubin,
        bilirubin_direct=round(bilirubin * story.between(0.25, 0.5), 1),
        inr=inr,
        pt=round(12.4 * inr**0.9 * story.between(0.96, 1.05), 1),
    )


def _acquisition(story: Story) -> None:
    """The MRI form says what the DICOM headers say."""
    scanner = SCANNERS[story.site]
    timing: dict[str, Any] = {}
    for kind in ("T2", "AP"):
        timing |= {f"slice_thickness_{kind.lower()}": MR_GRID.spacing[0]}
        timing |= {f"tr_{kind.lower()}": PROTOCOLS[kind]["RepetitionTime"]}
        timing |= {f"te_{kind.lower()}": PROTOCOLS[kind]["EchoTime"]}
    story.write(
        "MRI",
        on=story.scanned_on,
        scan_date=story.scanned_on,
        manufacturer=VENDOR[scanner.manufacturer],
        model=scanner.model,
        field_strength=f"{scanner.tesla:.1f}",
        sequences=["T2", "AP"],
        **timing,
    )


def _tumour(story: Story) -> dict[str, Any]:
    """Burden at baseline, with up to three target lesions inside the largest diameter."""
    count, largest = int(story.draw("TB.lesion_count")), story.draw("TB.largest_diameter")
    pvtt, extrahepatic = story.draw("TB.pvtt"), story.draw("TB.extrahepatic")
    targets = [round(largest * 10 * story.between(0.9, 1.0), 1)]
    targets += [round(max(10.5, targets[0] * story.between(0.2, 0.8)), 1) for _ in range(min(count, 3) - 1)]
    segments = story.rng.permutation(["S4", "S5", "S6", "S7", "S8"])
    known = {f"target{n}_diameter": size for n, size in enumerate(targets, 1)}
    known |= {f"target{n}_site": str(segments[n]) for n in range(1, len(targets) + 1)}
    story.tumour_mm = largest * 10
    nontarget = "Y" if count > len(targets) else story.draw("TB.nontarget_present")
    story.write(
        "TB",
        on=story.scanned_on,
        imaging_date=story.scanned_on,
        lesion_count=count,
        diffuse="Y" if count > 9 else "N",
        largest_diameter=largest,
        pvtt=pvtt,
        extrahepatic=extrahepatic,
        extrahepatic_sites=["LUNG"] if extrahepatic == "Y" else None,
        target_count=len(targets),
        **known,
        nontarget_present=nontarget,
        nontarget_description="其余肝内病灶" if nontarget == "Y" else None,
    )
    facts = {"count": count, "largest": largest, "pvtt": pvtt, "extrahepatic": extrahepatic}
    return facts | {"targets": targets, "nontarget": nontarget}


def _history(story: Story, start: dt.date, weight: float, tumour: dict[str, Any]) -> None:
    aetiology, ecog, prior = (story.draw(f"DM.{name}") for name in ("aetiology", "ecog", "prior_treatment"))
    diagnosed = start - story.days(8, 60) if prior == "N" else start - story.days(200, 1100)
    story.write(
        "DM",
        on=start,
        birth_date=story.birth_date,
        sex=story.sex,
        height=round(float(np.clip(story.rng.normal(169 if story.sex == "M" else 158, 6), 146, 190)), 1),
        weight=weight,
        aetiology=aetiology,
        hbsag="Y" if aetiology.startswith("HBV") else "N",
        diagnosis_date=f"{diagnosed:%Y-%m}-UK" if prior == "Y" else diagnosed,
        prior_treatment=prior,
        prior_treatments=["RESECTION"] if prior == "Y" else None,
        prior_treatment_date=f"{diagnosed.year}-UK-UK" if prior == "Y" and story.chance(0.3) else None,
        ecog=ecog,
        bclc=_bclc(tumour, ecog),
        cnlc=_cnlc(tumour),
    )


def _bclc(tumour: dict[str, Any], ecog: str) -> str:
    if tumour["pvtt"] != "NONE" or tumour["extrahepatic"] == "Y" or ecog != "0":
        return "C"
    return "B" if tumour["count"] > 3 or (tumour["count"] > 1 and tumour["largest"] > 3) else "A"


def _cnlc(tumour: dict[str, Any]) -> str:
    """The NHC 2024 staging for Child-Pugh A or B and ECOG 0 to 2."""
    if tumour["extrahepatic"] == "Y":
        return "IIIB"
    if tumour["pvtt"] != "NONE":
        return "IIIA"
    if tumour["count"] >= 4:
        return "IIB"
    if tumour["count"] >= 2:
        return "IIA" if tumour["largest"] > 3 else "IB"
    return "IB" if tumour["largest"] > 5 else "IA"
