"""A study's endpoint rules and analysis plans in force."""

from __future__ import annotations

from analytics.endpoints import EndpointSet
from analytics.models import StudyRules
from registry.models import Study


def current(study: Study) -> StudyRules | None:
    """The rules published last."""
    return StudyRules.objects.filter(study=study).first()


def endpoints(rules: StudyRules) -> EndpointSet:
    return EndpointSet.model_validate(rules.endpoints)
