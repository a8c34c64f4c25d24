"""Publish study definitions as immutable builds."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _

from crf.definitions.model import StudyDefinition
from crf.models import StudyBuild
from crf.services import release as releases
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise
from registry.services import studies

MOST_NAME = 300  # of what the registry keeps beside the definition, which has it whole


class VersionTaken(ValueError):
    """A build of this version exists with other content."""


def publish(*, definition: StudyDefinition, synthetic: bool = False, release: bool = True, by: User) -> StudyBuild:
    """Store the definition as the study's newest build; the same content again returns the build there is.

    Creates the study, its sites and groups when they are new. With `release` the build is in force at every site of
    the definition at once; without, each site goes on with the build it has. Raises VersionTaken when this version was
    already published with other content.
    """
    study = Study.objects.filter(code=definition.code).first()
    authorise(by, Permission.BUILD_IMPORT if study else Permission.STUDY_CREATE, study=study)
    with audit.change(by=by):
        if study:  # somebody else may be publishing the same version at this moment
            Study.objects.select_for_update().only("pk").get(pk=study.pk)
            if present := refuse_version(study, definition):
                return present
        study = studies.define(
            code=definition.code,
            facts=_facts(definition, synthetic),
            sites=[_named(site) for site in definition.sites],
            groups=[_named(group) for group in definition.groups],
            by=by,
        )
        build = StudyBuild.objects.create(
            study=study,
            version=definition.version,
            definition=json.loads(definition.canonical_json()),
            sha256=definition.sha256(),
            published_by=by,
        )
        audit.event(kind="build.publish", study=study, details={"version": build.version, "sha256": build.sha256})
        if release:
            named = [site.code for site in definition.sites]
            releases.release(build=build, sites=study.sites.filter(code__in=named), by=by)
    return build


def refuse_version(study: Study, definition: StudyDefinition) -> StudyBuild | None:
    """The build that holds this definition already, if any; VersionTaken where its version holds another."""
    present = StudyBuild.objects.filter(study=study, version=definition.version).first()
    if present and present.sha256 != definition.sha256():
        raise VersionTaken(
            _("Version %(version)s of this study was published with other content; give the definition a new version.")
            % {"version": definition.version}
        )
    return present


def _facts(definition: StudyDefinition, synthetic: bool) -> dict[str, Any]:
    short = definition.short_title or definition.title
    return {
        "name_zh": definition.title.zh[:MOST_NAME],
        "name_en": definition.title.en[:MOST_NAME],
        "short_name_zh": short.zh[:100],
        "short_name_en": short.en[:100],
        "registration_number": definition.registration_number[:60],
        "subject_number": definition.subject_number,
        "protocol": definition.protocol,
        "synthetic": synthetic or definition.synthetic,
    }


def _named(part: Any) -> dict[str, Any]:
    names = {"name_zh": part.name.zh[:MOST_NAME], "name_en": part.name.en[:MOST_NAME]}
    return {"code": part.code, **names, "target": part.target or 0}
