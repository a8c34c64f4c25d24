"""The course after a liver transplantation, told for the demo: platelets and spleen recover, or stay as they were.

Days are counted from the transplantation. Whether hypersplenism persists at six months follows the story's latents;
counts and spleen sizes on the way follow from that. Numbers that a reader may want to change are in
fixtures/chictr2600121618/synthetic.yaml.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.demo.phantoms import CT_GRID
from deploy.demo.story import Story

# Event, planned day, days early and late that its window allows, share of the way from before to six months.
VISITS = [
    ("D7", 7, 2, -0.15),
    ("D14", 14, 3, 0.25),
    ("D30", 30, 7, 0.55),
    ("D90", 90, 14, 0.85),
    ("D180", 180, 8, 1.0),
]
SPLEEN_SHAPE = (0.72, 0.36)  # width and thickness of a spleen of length 1
EXCLUSIONS = ("splenectomy", "splenic_artery", "tips", "perioperative_death", "haematologic", "other")


@dataclass
class Course:
    """What matters for every later page."""

    start: dt.date
    last: int  # last day of life or follow-up
    dead: bool
    lost: bool
    platelets: int
    wbc: float
    spleen: tuple[float, float, float]
    volume: float
    hcc: str

    def date(self, day: int) -> dt.date:
        return self.start + dt.timedelta(day)


def tell(story: Story) -> None:
    """Write the whole casebook of one subject."""
    first, last = story.recipe.course["transplanted"][story.group]
    start = first + story.days(0, (last - first).days)
    story.scanned_on = start - story.days(3, 60)
    weight, hcc = _history(story, start)
    platelets, wbc = _before(story, start - story.days(0, 6))
    spleen, volume = _scan(story)
    _operation(story, start, weight)
    course = _course(story, Course(start, 0, False, False, platelets, wbc, spleen, volume, hcc))
    _visits(story, course)
    _events(story, course)
    _status(story, course)


def _history(story: Story, start: dt.date) -> tuple[float, str]:
    prospective = story.group in story.recipe.prospective
    story.write(
        "ELIG",
        on=start,
        study_group=story.group,
        consent_basis="SIGNED" if prospective else "WAIVED",
        consent_date=(story.scanned_on or start) - story.days(0, 2) if prospective else None,
        **dict.fromkeys(("inc_age", "inc_transplant", "inc_ct"), "Y"),
        **{f"exc_{name}": "N" for name in EXCLUSIONS},
    )
    indication, hcc = story.draw("DM.indication"), story.draw("DM.hcc")
    weight = round(float(np.clip(story.rng.normal(67 if story.sex == "M" else 57, 10), 42, 105)), 1)
    story.write(
        "DM",
        on=start,
        birth_date=story.birth_date,
        sex=story.sex,
        height=round(float(np.clip(story.rng.normal(170 if story.sex == "M" else 159, 6), 146, 190)), 1),
        weight=weight,
        indication=indication,
        hcc=hcc,
        hbsag="Y" if indication == "HBV" else "N",
    )
    return weight, hcc


def _before(story: Story, on: dt.date) -> tuple[int, float]:
    """The last laboratory values before the operation; returns platelets and white cells."""
    counts = {name: story.draw(f"LBPRE.{name}") for name in ("neutrophils", "lymphocytes", "monocytes")}
    wbc = _white_cells(story, counts)
    platelets, bilirubin, inr = (story.draw(f"LBPRE.{name}") for name in ("platelets", "bilirubin", "inr"))
    story.write(
        "LBPRE",
        on=on,
        sample_date=on,
        **counts,
        wbc=wbc,
        platelets=platelets,
        bilirubin=bilirubin,
        bilirubin_direct=round(bilirubin * story.between(0.4, 0.65), 1),
        inr=inr,
        pt=round(12.6 * inr**0.9 * story.between(0.97, 1.05), 1),
    )
    return platelets, wbc


def _white_cells(story: Story, counts: dict[str, Any]) -> float:
    """White cells are a little more than the sum of their kinds."""
    return round(sum(value for value in counts.values() if not isinstance(value, dict)) * story.between(1.03, 1.1), 2)


def _scan(story: Story) -> tuple[tuple[float, float, float], float]:
    """The preoperative CT; returns the spleen's length, width and thickness in cm and its volume in ml."""
    volume = story.draw("CT.spleen_volume_ct")
    story.spleen_ml = volume
    spleen = _spleen(story, volume)
    portal = story.draw("CT.portal_vein")
    varices, shunt = story.draw("CT.varices"), story.draw("CT.shunt")
    story.write(
        "CT",
        on=story.scanned_on,
        ct_date=story.scanned_on,
        phases=["NC", "AP", "PVP"],
        slice_thickness=CT_GRID.spacing[0],
        **dict(zip(("spleen_length", "spleen_width", "spleen_thickness"), spleen, strict=True)),
        spleen_volume_ct=volume,
        portal_vein=portal,
        splenic_vein=round(portal * story.between(0.6, 0.95), 1),
        varices=varices,
        varices_sites=["OESOPHAGEAL", "GASTRIC"] if varices == "SEVERE" else ["OESOPHAGEAL"],
        shunt=shunt,
        shunt_types=["SPLENORENAL" if story.chance(0.6) else "PARAUMBILICAL"],
    )
    return spleen, volume


def _spleen(story: Story, volume: float) -> tuple[float, float, float]:
    """Length, width and thickness whose formula volume (30 + 0.58 LWT, Prassopoulos) is near `volume`."""
    width, thickness = SPLEEN_SHAPE
    length = ((volume - 30) / (0.58 * width * thickness)) ** (1 / 3) * story.between(0.96, 1.05)
    return round(length, 1), round(length * width, 1), round(length * thickness * story.between(0.9, 1.1), 1)


def _operation(story: Story, start: dt.date, weight: float) -> None:
    donor = story.draw("OPER.donor_type")
    living = donor == "LIVING"
    story.write(
        "OPER",
        on=start,
        transplant_date=start,
        donor_type=donor,
        graft_type="RIGHT" if living else "WHOLE",
        graft_weight=int(weight * story.between(9, 12)) if living else int(story.between(1050, 1650)),
        cold_ischaemia=int(story.between(60, 120)) if living else story.draw("OPER.cold_ischaemia"),
    )


def _course(story: Story, course: Course) -> Course:
    """How long the subject is followed: to six months and a little beyond, unless death or loss comes before."""
    numbers = story.recipe.course
    followed = (story.recipe.as_of - course.start).days
    course.last = min(followed, int(story.between(205, 560)))
    course.dead = story.chance(numbers["dead_before_six_months"])
    course.lost = not course.dead and story.chance(numbers["lost"])
    if course.dead or course.lost:
        course.last = int(story.between(45, 140))
    return course


def _visits(story: Story, course: Course) -> None:
    """The laboratory of each visit moves from the value before to the value at six months."""
    platelets, wbc = _at_six_months(story, course)
    for event, planned, allowed, share in VISITS:
        day = planned + int(story.rng.integers(-allowed, allowed + 1))
        if planned < 180 and story.chance(story.recipe.course["late_visit"]):
            day = planned + allowed + int(story.rng.integers(1, 4))
        if day >= course.last:
            break
        on = course.date(day)
        final = event == "D180"
        noise = 1.0 if final else story.between(0.88, 1.14)
        count = round((course.platelets + (platelets - course.platelets) * share) * noise)
        white = (course.wbc + (wbc - course.wbc) * share) * noise
        values = _sample(story, event, on, max(count, 20), white)
        if planned >= 30:
            _immunosuppression(story, event, on)
        if final:
            _six_months(story, course, on, values)


def _at_six_months(story: Story, course: Course) -> tuple[int, float]:
    """Platelets and white cells (10⁹/L): below 100 where hypersplenism persists, clearly above where it does not."""
    if story.positive:
        return int(np.clip(story.rng.normal(74, 13), 34, 96)), round(story.between(2.2, 4.6), 2)
    return int(np.clip(story.rng.lognormal(np.log(165), 0.24), 106, 340)), round(story.between(4.3, 7.8), 2)


def _sample(story: Story, event: str, on: dt.date, platelets: int, wbc: float) -> dict[str, Any]:
    early = event in ("D7", "D14")
    bilirubin = round(float(story.rng.lognormal(np.log(45 if event == "D7" else 17), 0.4)), 1)
    return story.write(
        "LBPOST",
        event=event,
        on=on,
        sample_date=on,
        transfused="Y" if early and story.chance(0.25) else "N",
        wbc=max(round(wbc, 2), 2.05),
        neutrophils=round(wbc * 0.58, 2),
        lymphocytes=round(wbc * 0.27, 2),
        monocytes=round(wbc * 0.08, 2),
        haemoglobin=int(np.clip(story.rng.normal(95 if early else 124, 12), 66, 165)),
        platelets=platelets,
        alt=int(story.rng.lognormal(np.log(110 if early else 26), 0.5)) + 6,
        ast=int(story.rng.lognormal(np.log(70 if early else 24), 0.5)) + 8,
        bilirubin=bilirubin,
        bilirubin_direct=round(bilirubin * story.between(0.3, 0.6), 1),
        albumin=round(float(np.clip(story.rng.normal(34 if early else 42, 3), 26, 50)), 1),
        pt=round(story.between(11.6, 14.2), 1),
    )


def _immunosuppression(story: Story, event: str, on: dt.date) -> None:
    antimetabolite, mtor = story.draw("IMM.antimetabolite"), story.draw("IMM.mtor")
    story.write(
        "IMM",
        event=event,
        on=on,
        assessment_date=on,
        induction="BASILIXIMAB",
        tacrolimus_dose=round(story.between(1.5, 5.0) * 2) / 2,
        antimetabolite=antimetabolite,
        antimetabolite_dose=None if antimetabolite == "NONE" else 1000,
        mtor=mtor,
        prednisone_dose={"D30": 10.0, "D90": 5.0}.get(event, 0.0),
        marrow_drugs=["TMP_SMX"],
    )


def _six_months(story: Story, course: Course, on: dt.date, values: dict[str, Any]) -> None:
    """The page of the primary endpoint: counts of the same day, a repeat where they are low, the spleen on CT."""
    low = values["platelets"] < 100 or values["wbc"] < 4
    shrunk = story.between(0.86, 1.0) if story.positive else story.between(0.5, 0.78)
    volume = round(max(course.volume * shrunk, 120.0), 1)
    if story.positive:
        volume = max(volume, 330.0)  # a spleen longer than 12 cm
    spleen = _spleen(story, volume)
    repeated = on + story.days(8, 12) if low else None
    story.write(
        "SP6M",
        event="D180",
        on=on,
        sample_date=on,
        platelets=values["platelets"],
        wbc=values["wbc"],
        haemoglobin=values["haemoglobin"],
        repeat_date=repeated,
        repeat_platelets=min(values["platelets"] + int(story.rng.integers(-6, 4)), 98) if repeated else None,
        repeat_wbc=round(values["wbc"] * story.between(0.94, 1.02), 2) if repeated else None,
        ct_date=on + story.days(-6, 6),
        **dict(zip(("spleen_length", "spleen_width", "spleen_thickness"), spleen, strict=True)),
        spleen_volume_ct=volume,
        volume_method="SEGMENTATION",
        supported="N",
        alternative_cause="N",
        investigator_hypersplenism="Y" if story.positive else "N",
        judgement_reason="血小板持续减少伴脾大" if story.positive else None,
    )


def _events(story: Story, course: Course) -> None:
    """Events around hypersplenism, more of them where it persists."""
    kinds = ["INFECTION", "BLEEDING", "TRANSFUSION", "READMISSION"]
    number = 0
    for _ in range(int(story.rng.poisson(0.9 if story.positive else 0.35))):
        day = int(story.between(12, max(course.last, 14)))
        number += 1
        _event(story, kinds[int(story.rng.integers(len(kinds)))], course.date(min(day, course.last)), number)
    share = story.recipe.course["embolised_when_positive"]
    if story.positive and course.last > 200 and story.chance(share):
        _event(story, "EMBOLISATION", course.date(int(story.between(60, 150))), number + 1)


def _event(story: Story, kind: str, on: dt.date, number: int) -> None:
    low = story.positive and kind != "INFECTION"
    story.write(
        "HSEV",
        on=on,
        repeat=number,
        event_type=kind,
        event_date=on,
        because_hypersplenism="Y" if low or kind == "EMBOLISATION" else "N",
        bleeding_site="GI",
        infection_site="LUNG",
        product="PLATELET",
        product_units=float(story.rng.integers(1, 3)),
        grade="2",
        hospitalised="Y" if kind in ("READMISSION", "EMBOLISATION") else "N",
        readmission_reason="发热待查",
        outcome="RECOVERED",
    )


def _status(story: Story, course: Course) -> None:
    """The last known state, and the end of the study where it was reached."""
    on = course.date(course.last)
    vital = "DEAD" if course.dead else "LOST" if course.lost else "ALIVE"
    rejected = course.last > 60 and story.chance(0.08)
    story.write(
        "STATUS",
        on=on,
        status_date=on,
        vital_status=vital,
        last_contact_date=on if vital == "ALIVE" else on - story.days(5, 30),
        contact="VISIT",
        death_date=on if course.dead else None,
        death_cause="INFECTION" if course.dead else None,
        graft_status="FUNCTIONING",
        retransplanted="N",
        rejection="Y" if rejected else "N",
        rejection_types=["TCMR"] if rejected else None,
        rejection_date=course.date(int(story.between(15, 60))) if rejected else None,
        vascular="N",
        biliary="Y" if story.chance(0.1) else "N",
        tumour_recurrence="N" if course.hcc == "Y" else None,
    )
    if course.dead or course.lost or (course.last > 200 and story.chance(0.7)):
        reason = "DEATH" if course.dead else "LOST" if course.lost else "COMPLETED"
        story.write("EOS", on=on, end_date=on, end_reason=reason, data_complete="Y")
