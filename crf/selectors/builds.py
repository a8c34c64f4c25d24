"""Reads over builds: where each is in force, what was entered with it, and how two versions differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import Count, QuerySet

from crf.definitions.difference import Change, difference
from crf.definitions.model import StudyDefinition
from crf.definitions.values import display_value
from crf.models import BuildDraft, BuildRelease, Record, StudyBuild, definition_of_build
from crf.selectors import orphans
from registry.models import Study

Versioned = StudyBuild | BuildDraft


def in_force(study: Study) -> dict[int, BuildRelease]:
    """The release in force at each site that has one, by the site's key."""
    latest = BuildRelease.objects.filter(build__study=study).order_by("site_id", "-pk").distinct("site_id")
    found = latest.select_related("build", "site", "released_by").defer("build__definition")
    return {release.site_id: release for release in found}


def definitions_in_force(study: Study) -> dict[int, StudyDefinition]:
    """What each site that has a release enters now, by the site's key; one query."""
    return {site: release.build.study_definition for site, release in in_force(study).items()}


def releases_of(build: StudyBuild) -> QuerySet:
    return build.releases.select_related("site", "released_by").order_by("site__code", "-pk")


def records_by_build(study: Study) -> dict[int, int]:
    """Number of records bound to each build of the study."""
    counted = Record.objects.filter(subject__study=study).order_by().values_list("build").annotate(Count("pk"))
    return dict(counted)


def waiting_at_sites(study: Study, build: StudyBuild) -> dict[int, dict[str, int]]:
    """By site: how many records are bound to other builds, and how many of those are locked or signed."""
    others = Record.objects.filter(subject__study=study).exclude(build=build).order_by()
    found: dict[int, dict[str, int]] = {}
    for site, status, count in others.values_list("subject__site", "status").annotate(Count("pk")):
        counts = found.setdefault(site, {"records": 0, "locked": 0, "signed": 0})
        counts["records"] += count
        if status in counts:
            counts[status] += count
    return found


def changes_between(old: Versioned, new: Versioned) -> tuple[Change, ...]:
    """Every change from `old` to `new`; kept for a while, since a review looks at it form by form."""
    return _changes(_Key(old), _Key(new))


@dataclass(frozen=True)
class Orphan:
    """An answer that no item of the record's form asks for, in the words of the version that did."""

    place: str
    label: str
    text: str


def orphans_of(record: Record, language: str) -> list[Orphan]:
    """What the record holds that its form does not ask (any more); one query, and only where there is something."""
    held = orphans(record)
    builds = record.history.order_by("-revision").values_list("build", flat=True) if held else ()
    studies = [definition_of_build(build) for build in dict.fromkeys(builds)]
    return [_orphan(studies, record.form, place, value, language) for place, value in held.items()]


def _orphan(studies: list[StudyDefinition], oid: str, place: str, value: Any, language: str) -> Orphan:
    asked, _at, version = place.partition("@")
    for study in sorted(studies, key=lambda one: not f"{version}.".startswith(f"{one.version}.")):
        form = next((one for one in study.forms if one.oid == oid), None)
        if form is not None and form.has(asked):
            item = form.item(asked)
            text = display_value(item, study.codelist(item), value, language, unit=True)
            return Orphan(place, item.label.of(language), text)
    return Orphan(place, "", str(value))


class _Key:
    """A version as a key of the cache: what it holds, however often it is fetched."""

    def __init__(self, version: Versioned) -> None:
        self.version = version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.version.sha256 == other.version.sha256

    def __hash__(self) -> int:
        return hash(self.version.sha256)


@lru_cache(maxsize=16)
def _changes(old: _Key, new: _Key) -> tuple[Change, ...]:
    return difference(old.version.study_definition, new.version.study_definition)
