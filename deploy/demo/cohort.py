"""A synthetic cohort: subjects with identities, casebooks and bodies, all from one recipe and one seed."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from crf.definitions import StudyDefinition, evaluate, load_study, parse_value
from deploy.demo import hcc, hypersplenism
from deploy.demo.images import Person
from deploy.demo.phantoms import Body
from deploy.demo.recipe import Recipe, load
from deploy.demo.story import Course, Page, Story

Size = Literal["demo", "full"]
COURSES: dict[str, Course] = {"CHICTR2600121791": hcc.tell, "CHICTR2600121618": hypersplenism.tell}
FAMILY = [("Wang", "王"), ("Li", "李"), ("Zhang", "张"), ("Liu", "刘"), ("Chen", "陈"), ("Yang", "杨"), ("Huang", "黄")]
FAMILY += [("Zhao", "赵"), ("Wu", "吴"), ("Zhou", "周"), ("Xu", "徐"), ("Sun", "孙"), ("Ma", "马"), ("Zhu", "朱")]
GIVEN = [("Jia", "甲"), ("Yi", "乙"), ("Bing", "丙"), ("Ding", "丁"), ("Wu", "戊"), ("Ji", "己"), ("Geng", "庚")]
GIVEN += [("Xin", "辛"), ("Ren", "壬"), ("Gui", "癸"), ("Zi", "子"), ("Chou", "丑"), ("Yin", "寅"), ("Mao", "卯")]


@dataclass(frozen=True)
class SyntheticSubject:
    """Nobody: a person with a casebook and a body. `positive` is the binary endpoint as it was drawn."""

    site: str
    group: str
    person: Person
    enrolled_on: dt.date
    latents: dict[str, float]
    positive: bool  # the study's binary endpoint, before anything that hides it
    pages: tuple[Page, ...]
    scanned_on: dt.date
    body: Body
    number: int  # within the study, from 1: seeds the images


@dataclass(frozen=True)
class Plan:
    """A study's definition with the recipe of its cohort."""

    definition: StudyDefinition
    recipe: Recipe


def plan(folder: Path, today: dt.date | None = None) -> Plan:
    """Read a study folder; the definition is marked synthetic, and nothing will be dated after `today`."""
    definition = load_study(folder)
    recipe = load(folder)
    return Plan(definition.model_copy(update={"synthetic": True}), recipe.not_after(today) if today else recipe)


def make(plan: Plan, size: Size = "demo") -> Iterator[SyntheticSubject]:
    """The subjects of the cohort; the same recipe gives the same subjects."""
    for number, cell in enumerate(cells(plan, size), 1):
        yield subject(plan, cell, number)


def cells(plan: Plan, size: Size) -> list[str]:
    """The cell (site, or group of the only site) of each subject, in the order of their numbers."""
    return [cell for cell, count in getattr(plan.recipe.size, size).items() for _ in range(count)]


def hospital_number(site: str, number: int) -> str:
    """What the site calls the subject of this number; it says that it is synthetic."""
    return f"SYN{site}{number:05d}"


def hospital_numbers(plan: Plan, size: Size) -> list[str]:
    """Those of the whole cohort, in the order of their numbers."""
    return [hospital_number(place(plan, cell)[0], number) for number, cell in enumerate(cells(plan, size), 1)]


def subject(plan: Plan, cell: str, number: int) -> SyntheticSubject:
    """The subject of this number, who does not depend on the others."""
    recipe, definition = plan.recipe, plan.definition
    rng = np.random.default_rng([recipe.seed, number])
    site, group = place(plan, cell)
    latents = {name: float(rng.standard_normal()) for name in recipe.latents}
    log_odds = recipe.outcome.intercept + sum(w * latents[name] for name, w in recipe.outcome.weights.items())
    positive = bool(rng.random() < expit(log_odds))
    sex = "F" if rng.random() < recipe.female else "M"
    story = Story(definition, recipe, latents, rng, positive, site, group, sex, _birthday(recipe, rng))
    COURSES[definition.code](story)
    if story.scanned_on is None:
        raise RuntimeError(f"the course of {definition.code} tells no scan date")
    return SyntheticSubject(
        site=site,
        group=group,
        person=_person(definition, story, number),
        enrolled_on=_enrolled(story),
        latents=latents,
        positive=positive,
        pages=tuple(_settled(definition, story)),
        scanned_on=story.scanned_on,
        body=Body(latents["image"], story.spleen_ml, story.tumour_mm, recipe.seed % 100_000 * 1000 + number),
        number=number,
    )


def place(plan: Plan, cell: str) -> tuple[str, str]:
    """Site and group of a cell of the recipe's size, which names either."""
    definition = plan.definition
    if cell in {group.code for group in definition.groups}:
        return definition.sites[0].code, cell
    return cell, definition.groups[0].code


def _birthday(recipe: Recipe, rng: np.random.Generator) -> dt.date:
    low, high = recipe.age
    age = float(np.clip(rng.normal((low + high) / 2 + 3, (high - low) / 5.5), low + 0.5, high - 1.5))
    return recipe.as_of - dt.timedelta(days=int((age + 2) * 365.25))


def _person(definition: StudyDefinition, story: Story, number: int) -> Person:
    """A name made of heavenly stems, which nobody bears."""
    family, given = FAMILY[number % len(FAMILY)], GIVEN[number // len(FAMILY) % len(GIVEN)]
    site = next(site for site in definition.sites if site.code == story.site)
    return Person(
        name=f"{family[0]}^{given[0]}=合成{family[1]}^{given[1]}",
        hospital_number=hospital_number(story.site, number),
        birth_date=story.birth_date,
        sex=story.sex,
        institution=site.name.zh,
    )


def _enrolled(story: Story) -> dt.date:
    """Retrospective subjects entered the registry when it opened; prospective ones before their first page."""
    opened: dt.date = story.recipe.enrolment["from"]
    days = (story.recipe.enrolment["to"] - opened).days
    if story.group in story.recipe.prospective:
        return min(page.on for page in story.pages if page.on)
    return opened + dt.timedelta(days=math.floor(float(story.rng.random()) * days))


def _settled(definition: StudyDefinition, story: Story) -> list[Page]:
    """Pages whose values are as the form stores them, without answers to items that the form does not show.

    What a form shows may depend on other forms (target lesions), so the second round knows what the first found.
    """
    forms: dict[str, dict[str, Any]] = {}
    events: dict[str, dict[str, dict[str, Any]]] = {}
    pages: list[Page] = []
    for _ in range(2):
        pages, seen = [], set[str]()
        for page in story.pages:
            settled, effective = _shown(definition, story, page, forms, events)
            if page.form not in seen:
                forms[page.form] = effective
            seen.add(page.form)
            events.setdefault(settled.event, {})[page.form] = effective
            pages.append(settled)
    return pages


def _shown(
    definition: StudyDefinition, story: Story, page: Page, forms: dict[str, Any], events: dict[str, Any]
) -> tuple[Page, dict[str, Any]]:
    form = definition.form(page.form)
    parsed = {
        name: parse_value(form.item(name), definition.codelist(form.item(name)), raw)
        for name, raw in page.values.items()
    }
    subject = {"group": story.group, "site": story.site}
    context = {"today": story.recipe.as_of.isoformat(), "subject": subject, "forms": forms, "events": events}
    state = evaluate(form, parsed, context)
    values = {name: value for name, value in parsed.items() if name in state.visible}
    return replace(page, values=values, event=page.event or _event(definition, page.form)), state.effective


def _event(definition: StudyDefinition, form: str) -> str:
    events = [event.oid for event in definition.events if form in event.forms]
    if len(events) != 1:
        raise ValueError(f"form {form} is in the events {events}; the page must name one")
    return events[0]
