"""One subject's casebook while it is being told: which form is answered when, with which values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crf.definitions import StudyDefinition
from deploy.demo.recipe import Latents, Recipe, draw


@dataclass(frozen=True)
class Page:
    """One form as a coordinator fills it in. `event` is empty where the study has the form in one event only."""

    form: str
    values: dict[str, Any]
    on: dt.date | None = None
    event: str = ""
    visit: int = 1
    repeat: int = 1


@dataclass
class Story:
    """What the course of a disease is told with: the recipe's distributions, the subject's latents, one generator."""

    definition: StudyDefinition
    recipe: Recipe
    latents: Latents
    rng: np.random.Generator
    positive: bool  # the study's binary endpoint, before anything that hides it
    site: str
    group: str
    sex: str
    birth_date: dt.date
    pages: list[Page] = field(default_factory=list)
    scanned_on: dt.date | None = None
    tumour_mm: float | None = None
    spleen_ml: float = 220.0

    def draw(self, name: str) -> Any:
        """A value for FORM.item by its rule in the recipe; whole codes of numbers become numbers."""
        form, item = name.split(".")
        return draw(self.recipe.items[name], self.definition.form(form).item(item), self.latents, self.rng)

    def write(
        self, form: str, *, on: dt.date | None = None, event: str = "", visit: int = 1, repeat: int = 1, **known: Any
    ) -> dict[str, Any]:
        """Add a page: `known` values, then the recipe's for what is left; None leaves an item blank."""
        values: dict[str, Any] = {}
        for name, item in self.definition.form(form).items.items():
            if not item.is_entered:
                continue
            if name in known:
                value = known.pop(name)
            elif f"{form}.{name}" in self.recipe.items:
                value = self.draw(f"{form}.{name}")
            else:
                continue
            if value is not None:
                values[name] = value.isoformat() if isinstance(value, dt.date) else value
        if known:
            raise KeyError(f"form {form} has no item {', '.join(known)}")
        self.pages.append(Page(form, values, on, event, visit, repeat))
        return values

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def days(self, low: int, high: int) -> dt.timedelta:
        """A whole number of days from `low` to `high`, both included."""
        return dt.timedelta(int(self.rng.integers(low, high + 1)))

    def partly(self, date: dt.date) -> dt.date | str:
        """The date, or with the recipe's probability only its month."""
        return f"{date:%Y-%m}-UK" if self.chance(self.recipe.course["partial_date"]) else date


Course = Callable[[Story], None]
