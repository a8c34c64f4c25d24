"""The course of an unresectable HCC under lenvatinib, immunotherapy and intervention, told for the demo.

Days are counted from the index treatment. The response follows the story's latents; progression, surgery and death
follow the response; every date respects the checks of the forms. Numbers that a reader may want to change are in
fixtures/chictr2600121791/synthetic.yaml.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from crf.definitions.response import mrecist, mrecist_target
from deploy.demo import hcc_baseline
from deploy.demo.story import Story

MONTH = 30.4375
ASSESSED_EVERY, FOLLOWED_EVERY = 56, 91
ICI_DOSE = {"TORIPALIMAB": 240}
EMBOLICS = {"TACE": ["LIPIODOL", "GELATIN"], "DEB_TACE": ["DEB"], "TACE_HAIC": ["LIPIODOL"]}


@dataclass
class Course:
    """Days of what happened; None where it did not, or not before the end of follow-up."""

    start: dt.date
    end: int  # last day of follow-up
    lost: bool
    progression: int | None
    surgery: int | None
    death: int | None
    seen: int | None = None  # the day progression was first documented

    def date(self, day: float) -> dt.date:
        return self.start + dt.timedelta(int(day))

    @property
    def last(self) -> int:
        """The last day of life or follow-up."""
        return self.end if self.death is None else self.death


def tell(story: Story) -> None:
    """Write the whole casebook of one subject."""
    first, last = story.recipe.course["first_treated"], story.recipe.course["last_treated"]
    start = first + story.days(0, (last - first).days)
    story.scanned_on = start - story.days(2, 26)
    weight, tumour = hcc_baseline.tell(story, start)
    course = _course(story, start, tumour)
    _responses(story, course, tumour)
    _treatment(story, course, weight)
    _adverse_events(story, course)
    _surgery(story, course)
    _follow_up(story, course)


def _course(story: Story, start: dt.date, tumour: dict[str, Any]) -> Course:
    """When progression, surgery, death or loss to follow-up happen, if before the data cut-off."""
    numbers = story.recipe.course
    severity = 0.25 * story.latents["clinical"] + 0.25 * story.latents["image"]
    end, lost = (story.recipe.as_of - start).days, story.chance(numbers["lost"])
    if lost:
        end = int(story.between(70, end))
    median = numbers["median_pfs_months"]["responder" if story.positive else "other"] * MONTH * np.exp(-severity)
    earliest = 130 if story.positive else 25
    progression = int(earliest + _waits(story, median - earliest, shape=1.3))
    surgery = None
    if story.positive and tumour["extrahepatic"] == "N" and story.chance(numbers["surgery_among_responders"]):
        surgery = int(story.between(95, 128))
        progression += int(story.between(60, 400))
    after = numbers["median_after_progression_months"] * MONTH * np.exp(-1.5 * severity)
    death = int(progression + 70 + _waits(story, after, shape=1.0))
    return Course(
        start,
        end,
        lost,
        progression if progression < end else None,
        surgery if surgery and surgery < end else None,
        death if death < end - 12 else None,
    )


def _waits(story: Story, median: float, shape: float) -> float:
    """A Weibull waiting time of the given median, in days."""
    return max(float(median), 20.0) * float(story.rng.exponential() / np.log(2)) ** (1 / shape)


def _responses(story: Story, course: Course, tumour: dict[str, Any]) -> None:
    """Assessments until progression, surgery or the end; the first one after progression documents it."""
    baseline = round(sum(tumour["targets"]), 1)
    nadir, best = baseline, _best_change(story)
    for number in range(1, 8):
        day = _assessed(story, number)
        if day >= min(course.last, course.surgery or course.last):
            break
        progressed = course.progression is not None and day >= course.progression
        change = best * (story.between(0.45, 0.8) if number == 1 and story.positive else 1.0)
        if not story.positive and number == 1:
            change = max(change, -24)
        new_lesion = progressed and (nadir == 0 or story.chance(0.6))
        if progressed and not new_lesion:
            change = (nadir * story.between(1.26, 1.6) / baseline - 1) * 100
        sizes = [round(size * (1 + change / 100), 1) for size in tumour["targets"]]
        first = number == 1
        nadir = _assess(story, course.date(day), number, sizes, None if first else nadir, baseline, tumour, new_lesion)
        if progressed:
            course.seen = day
            break


def _best_change(story: Story) -> float:
    """Best change of the sum from baseline in percent: at most -36 with a response, else -26 to +11."""
    depth = float(np.clip(story.rng.normal(-0.35 * (story.latents["clinical"] + story.latents["image"]), 0.8), -2, 2))
    if not story.positive:
        return -7.5 - 9 * depth
    change = -68 - 20 * depth
    return -100.0 if change < -84 else min(change, -48.0)


def _assessed(story: Story, number: int) -> int:
    """The day of an assessment, now and then after its window."""
    late = story.chance(story.recipe.course["late_assessment"])
    return ASSESSED_EVERY * number + int(story.rng.integers(15, 27) if late else story.rng.integers(-8, 12))


def _assess(
    story: Story,
    on: dt.date,
    number: int,
    sizes: list[float],
    nadir: float | None,
    baseline: float,
    tumour: dict[str, Any],
    new_lesion: bool,
) -> float:
    """One RESP page; returns the smallest sum so far."""
    total = round(sum(sizes), 1)
    lowest = baseline if nadir is None else nadir
    target = mrecist_target(baseline, lowest, total, 0.0)
    rest = "NONE" if tumour["nontarget"] == "N" else "CR" if target == "CR" else "NONCR"
    overall = mrecist(target, rest, "Y" if new_lesion else "N")
    story.write(
        "RESP",
        on=on,
        visit=number,
        assessment_date=on,
        modality="MRI",
        target_evaluable="Y",
        **{f"target{n}_diameter": size for n, size in enumerate(sizes, 1)},
        previous_nadir=nadir,
        nontarget_response=rest,
        new_lesion="Y" if new_lesion else "N",
        new_lesion_type=["INTRAHEPATIC"] if new_lesion else None,
        investigator_response=overall,
    )
    return min(lowest, total)


def _treatment(story: Story, course: Course, weight: float) -> None:
    stop, reason = _stopped(course)
    begun = course.start + story.days(0, 6)
    weighed = round(weight + story.between(-1.5, 1.5), 1)
    dose = 12 if weighed >= 60 else 8
    changed = story.draw("LEN.dose_changed") if stop > 40 else "N"
    change_on = begun + story.days(14, min(stop, 180) - 10) if changed == "Y" else None
    ended = None if reason is None else course.date(stop)
    story.write(
        "LEN",
        on=begun,
        start_date=begun,
        weight=weighed,
        initial_dose=str(dose),
        dose_changed=changed,
        change1_date=change_on,
        change1_dose=dose - 4 if change_on else None,
        change1_reason="AE" if change_on else None,
        ongoing="N" if ended else "Y",
        end_date=ended,
        end_reason=reason,
    )
    _immunotherapy(story, course, ended, reason)
    _sessions(story, course, stop)


def _stopped(course: Course) -> tuple[int, str | None]:
    """The day systemic treatment ended and why; no reason while it goes on."""
    if course.surgery:
        return course.surgery - 10, "SURGERY"
    if course.progression is not None:
        return min(course.seen or course.progression, course.last) + 1, "PROGRESSION"
    return course.last, "DEATH" if course.death is not None else None


def _immunotherapy(story: Story, course: Course, ended: dt.date | None, reason: str | None) -> None:
    begun = course.start + story.days(0, 9)
    until = max(ended or course.date(course.last), begun)
    drug = story.draw("ICI.drug")
    story.write(
        "ICI",
        on=begun,
        drug=drug,
        dose=ICI_DOSE.get(drug, 200),
        interval_weeks=3,
        start_date=begun,
        cycles=min((until - begun).days // 23 + 1, 34),
        delay_reason="AE",
        ongoing="N" if ended else "Y",
        end_date=until if ended else None,
        end_reason=reason,
    )


def _sessions(story: Story, course: Course, stop: int) -> None:
    day, procedure = int(story.rng.integers(0, 8)), story.draw("INTV.procedure")
    for number in range(1, int(story.rng.integers(1, 5)) + 1):
        if day >= min(stop, course.last):
            break
        haic = procedure in ("HAIC", "TACE_HAIC")
        story.write(
            "INTV",
            on=course.date(day),
            repeat=number,
            session_date=course.date(day),
            session_number=number,
            procedure=procedure,
            superselective=None if procedure == "HAIC" else story.draw("INTV.superselective"),
            embolics=EMBOLICS.get(procedure),
            lipiodol_volume=story.draw("INTV.lipiodol_volume") if "LIPIODOL" in EMBOLICS.get(procedure, ()) else None,
            bead_size="100–300" if procedure == "DEB_TACE" else None,
            drugs=["OXALIPLATIN", "FLUOROURACIL", "LEUCOVORIN"] if haic else ["EPIRUBICIN"],
            haic_regimen="FOLFOX" if haic else None,
            infusion_hours=story.draw("INTV.infusion_hours") if haic else None,
            complication_text="术后发热，对症处理",
        )
        day += int(story.rng.integers(30, 56))


def _adverse_events(story: Story, course: Course) -> None:
    for number in range(1, int(story.rng.poisson(2.2)) + 1):
        begun = int(story.between(4, max(min(course.last, 320), 6)))
        grade, over = story.draw("AE.grade"), story.chance(0.75)
        serious = grade == "3" and story.chance(0.2)
        ended = min(begun + int(story.rng.integers(3, 60)), course.last)
        start_date = course.date(begun)
        story.write(
            "AE",
            on=start_date,
            repeat=number,
            grade=grade,
            start_date=story.partly(start_date) if begun > 40 else start_date,
            ongoing="N" if over else "Y",
            end_date=course.date(ended) if over else None,
            serious="Y" if serious else "N",
            serious_criteria=["HOSPITAL"] if serious else None,
            related_lenvatinib="RELATED" if story.chance(0.6) else "POSSIBLE",
            related_ici="POSSIBLE" if story.chance(0.4) else "UNLIKELY",
            related_intervention="UNLIKELY",
            immune_related="N",
            outcome="RECOVERED" if over else "RECOVERING",
        )


def _surgery(story: Story, course: Course) -> None:
    """Every subject has the page: with surgery and its pathology, or with the reason against it."""
    if course.surgery is None:
        seen = course.progression is not None
        reason = "PROGRESSION" if seen else "UNRESECTABLE"
        story.write("CONV", surgery_done="N", no_surgery_reason=reason)
        return
    complete = story.chance(
        float(np.clip(0.42 - 0.15 * (story.latents["image"] + story.latents["clinical"]), 0.1, 0.9))
    )
    on = course.date(course.surgery)
    residual = 0.0 if complete else round(float(story.rng.beta(0.9, 1.6) * 90 + 1), 1)
    margin = story.draw("CONV.margin")
    story.write(
        "CONV",
        on=on,
        surgery_done="Y",
        surgery_date=on,
        pathology_available="Y",
        pathology_date=on + story.days(5, 12),
        specimen_diameter=round((story.tumour_mm or 50) / 10 * story.between(0.5, 0.95), 1),
        residual_viable=residual,
        sampling_adequate="Y",
        mvi="M0" if complete else story.draw("CONV.mvi"),
        margin=margin,
    )


def _follow_up(story: Story, course: Course) -> None:
    """A visit each quarter; the one after a death reports it, the last one of a lost subject says so."""
    number, day = 1, 0
    while day < course.last:
        day = FOLLOWED_EVERY * number + int(story.rng.integers(-14, 22))
        dead = course.death is not None and day >= course.death
        if dead:
            day = min(course.death + int(story.rng.integers(3, 40)), course.end)  # type: ignore[operator]
        elif day > course.end:
            if not course.lost or number == 1:
                break
            day = course.end
        _visit(story, course, number, day, dead)
        if dead or day >= course.end:
            break
        number += 1
    _end_of_study(story, course)


def _visit(story: Story, course: Course, number: int, day: int, dead: bool) -> None:
    known = course.seen or course.progression
    progressed = known is not None and known <= day
    therapy_day = (known or 0) + 21
    treated = progressed and therapy_day <= day and story.latents["clinical"] < 0.8
    lost = course.lost and day >= course.end
    on = course.date(day)
    documented = course.date(known) if progressed and known else None
    if documented and course.seen is None:
        documented = story.partly(documented)
    story.write(
        "FU",
        on=on,
        visit=number,
        visit_date=on,
        vital_status="DEAD" if dead else "LOST" if lost else "ALIVE",
        last_contact_date=None if dead else on - story.days(0, 5) if not lost else on - story.days(20, 40),
        progression="Y" if progressed else "N",
        progression_date=documented,
        progression_basis="IMAGING" if progressed else None,
        progression_pattern=["RECURRENCE" if course.surgery else "INTRAHEPATIC"] if progressed else None,
        later_therapy="Y" if treated else "N",
        later_therapies=["REGORAFENIB"] if treated else None,
        later_therapy_date=course.date(therapy_day) if treated else None,
        death_date=course.date(course.death) if dead and course.death is not None else None,
        death_cause="HCC" if dead else None,
    )


def _end_of_study(story: Story, course: Course) -> None:
    if course.death is not None:
        ended, reason = course.death, "DEATH"
    elif course.lost:
        ended, reason = course.end, "LOST"
    elif story.chance(0.5):
        ended, reason = course.end, "COMPLETED"
    else:
        return
    story.write("EOS", on=course.date(ended), end_date=course.date(ended), end_reason=reason, data_complete="Y")
