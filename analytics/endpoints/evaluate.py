"""Apply a study's endpoints to its subjects' rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import yaml
from pydantic import ValidationError

from analytics.endpoints.binary import binary
from analytics.endpoints.dates import NotADate
from analytics.endpoints.landmark import change, landmark
from analytics.endpoints.model import AnyEndpoint, BestResponse, Binary, Duration, EndpointSet, Landmark, TimeToEvent
from analytics.endpoints.response import best_response
from analytics.endpoints.rows import Result, SubjectRows
from analytics.endpoints.survival import duration, time_to_event


class BadEndpoints(ValueError):
    """The endpoints file breaks a rule; the text names file and place."""


def load_endpoints(path: Path) -> EndpointSet:
    """Read `endpoints.yaml`; an empty or missing file is a study without endpoints."""
    if not path.exists():
        return EndpointSet(endpoints=())
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return EndpointSet.model_validate(content or {"endpoints": []})
    except yaml.YAMLError as error:
        raise BadEndpoints(f"{path}: not valid YAML: {error}") from None
    except ValidationError as error:
        lines = [f"{path}: {_place(one['loc'])}: {one['msg']}" for one in error.errors()]
        raise BadEndpoints("\n".join(lines)) from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "file"


def evaluate(endpoint: AnyEndpoint, subject: SubjectRows, cutoff: date | None = None) -> Result:
    """One subject's result; an unreadable date makes it not evaluable and says which."""
    try:
        if isinstance(endpoint, TimeToEvent):
            return time_to_event(endpoint, subject, cutoff)
        if isinstance(endpoint, Duration):
            return duration(endpoint, subject)
        if isinstance(endpoint, Binary):
            return binary(endpoint, subject)
        if isinstance(endpoint, BestResponse):
            return best_response(endpoint, subject, cutoff)
        if isinstance(endpoint, Landmark):
            return landmark(endpoint, subject, cutoff)
        return change(endpoint, subject, cutoff)
    except NotADate as error:
        return Result(endpoint.code, endpoint.version, "not_evaluable", {"detail": str(error)}, "bad_date")


def evaluate_all(
    endpoints: EndpointSet, subjects: Iterable[SubjectRows], cutoff: date | None = None
) -> list[tuple[str, Result]]:
    """(subject, result) of every endpoint for every subject, in the order given."""
    return [(one.subject, evaluate(rule, one, cutoff)) for one in subjects for rule in endpoints.endpoints]
