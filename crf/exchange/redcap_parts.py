"""What a REDCap project consists of, whichever file says it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .loss import Loss
from .redcap_fields import DictionaryRow


@dataclass(frozen=True)
class Arm:
    number: str
    name: str


@dataclass(frozen=True)
class ProjectEvent:
    """An event by its unique name, such as visit_1_arm_1; the window runs from `before` days early to `after` late."""

    unique: str
    name: str
    arm: str
    day: int
    before: int
    after: int
    forms: tuple[str, ...]


@dataclass(frozen=True)
class MissingCode:
    code: str
    label: str


MOST_SITE_CODE = 10


def unique_group(name: str) -> str:
    """The unique name that REDCap gives a data access group, which is what its records say."""
    return re.sub(r"[^a-z0-9_]", "", name.lower().replace(" ", "_"))[:18]


@dataclass
class Project:
    """Fields, and what a dictionary leaves unsaid: without events the project is a classic one."""

    title: str
    rows: list[DictionaryRow]
    form_titles: dict[str, str] = field(default_factory=dict)
    arms: tuple[Arm, ...] = ()
    events: tuple[ProjectEvent, ...] = ()
    sites: tuple[str, ...] = ()
    repeating: dict[str, tuple[str, ...]] = field(default_factory=dict)
    repeating_events: frozenset[str] = frozenset()
    missing: tuple[MissingCode, ...] = ()
    losses: list[Loss] = field(default_factory=list)
