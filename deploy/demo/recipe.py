"""The recipe of a synthetic cohort, as `fixtures/<study>/synthetic.yaml` says it, and how one value is drawn.

A rule names a distribution and how strongly the value follows the subject's latents (`load`); the value is the
distribution's quantile at Phi(load·latents + rest·noise), so that its distribution stays what the rule says.

    LB.afp: {lognormal: [300, 2.0], load: {clinical: 0.5}, clip: [1.2, 60500], missing: 0.03}
    DM.sex: {choice: {M: 0.86, F: 0.14}}

Numbers are rounded as the form's item asks.
"""

from __future__ import annotations

import bisect
import datetime as dt
import itertools
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from crf.definitions.model import NUMERIC, Item

DISTRIBUTIONS = ("value", "normal", "lognormal", "choice")
Latents = dict[str, float]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Part):
    """How one item is drawn; exactly one distribution."""

    value: Any = None
    normal: tuple[float, float] | None = None  # mean, sd
    lognormal: tuple[float, float] | None = None  # median, sd of the natural logarithm
    choice: dict[str, float] | None = None  # code: weight; latents move towards the later codes
    load: dict[str, float] = {}
    clip: tuple[float, float] | None = None
    missing: float = Field(default=0, ge=0, lt=1)
    why: Literal["not_done", "unknown", "not_applicable"] = "not_done"

    @model_validator(mode="after")
    def _one_distribution(self) -> Rule:
        given = [name for name in DISTRIBUTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a rule has one of {', '.join(DISTRIBUTIONS)}; this one has {given or 'none'}")
        if sum(weight**2 for weight in self.load.values()) >= 1:
            raise ValueError("the squares of `load` must sum to less than 1, so that some noise is left")
        return self


class Size(Part):
    """Subjects per site, or per group of the only site."""

    demo: dict[str, int]
    full: dict[str, int]


class Outcome(Part):
    """Log odds of the binary endpoint: intercept + weights·latents; the course of the disease follows from it."""

    intercept: float
    weights: dict[str, float]


class Recipe(Part):
    """The whole recipe of one study."""

    seed: int
    as_of: dt.date  # the data cut-off: nothing in the casebooks is dated later
    size: Size
    female: float = Field(ge=0, le=1)
    age: tuple[float, float]  # years, as the study includes them
    enrolment: dict[Literal["from", "to"], dt.date]
    prospective: tuple[str, ...] = ()  # groups enrolled before their first page instead of in the period
    latents: tuple[str, ...]
    outcome: Outcome
    course: dict[str, Any] = {}  # numbers that the study's own course (deploy/demo/) reads
    items: dict[str, Rule]

    def not_after(self, today: dt.date) -> Recipe:
        """The same recipe with every date moved back, where its data cut-off still lies ahead."""
        back = min(today - self.as_of, dt.timedelta())
        return Recipe.model_validate(_moved(self.model_dump(), back)) if back else self


def _moved(value: Any, by: dt.timedelta) -> Any:
    if isinstance(value, dt.date):
        return value + by
    if isinstance(value, dict):
        return {key: _moved(inner, by) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_moved(inner, by) for inner in value]
    return value


def load(folder: Path) -> Recipe:
    """Read synthetic.yaml of a study folder. Raises pydantic.ValidationError naming the rule."""
    return Recipe.model_validate(yaml.safe_load((folder / "synthetic.yaml").read_text(encoding="utf-8")))


def draw(rule: Rule, item: Item, latents: Latents, rng: np.random.Generator) -> Any:
    """One value of `item` by the rule; {"missing": …} with the rule's probability."""
    if rule.missing and rng.random() < rule.missing:
        return {"missing": rule.why, "reason": ""}
    if rule.value is not None:
        return rule.value
    score = _score(rule, latents, rng)
    if rule.choice is not None:
        code = _choice(rule.choice, score)
        return float(code) if item.value_kind in NUMERIC else [code] if item.value_kind == "choices" else code
    return rounded(_quantile(rule, score), item, rule.clip)


def _score(rule: Rule, latents: Latents, rng: np.random.Generator) -> float:
    """The standard normal score that latents and noise give together."""
    rest = (1 - sum(weight**2 for weight in rule.load.values())) ** 0.5
    return float(sum(weight * latents[name] for name, weight in rule.load.items()) + rest * rng.standard_normal())


def _quantile(rule: Rule, score: float) -> float:
    if rule.normal:
        return rule.normal[0] + rule.normal[1] * score
    assert rule.lognormal
    median, spread = rule.lognormal
    return median * math.exp(spread * score)


def _phi(score: float) -> float:
    """The standard normal distribution function."""
    return (1 + math.erf(score / math.sqrt(2))) / 2


def _choice(weights: dict[str, float], score: float) -> str:
    codes = list(weights)
    steps = list(itertools.accumulate(weights.values()))
    return codes[min(bisect.bisect(steps, _phi(score) * steps[-1]), len(codes) - 1)]


def rounded(value: float, item: Item, clip: tuple[float, float] | None = None) -> float | int:
    """`value` inside `clip`, with the decimals that `item` asks for."""
    if clip:
        value = min(max(value, clip[0]), clip[1])
    return round(value) if item.value_kind == "integer" else round(value, item.precision or 0)
