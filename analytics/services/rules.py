"""Publish a study's endpoint rules and analysis plans, as its folder states them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analytics.endpoints import load_endpoints
from analytics.learning.plan import load_plans
from analytics.models import StudyRules
from analytics.selectors import rules as published
from analytics.snapshots import manifest
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise


def publish(*, study: Study, folder: Path, by: User) -> StudyRules:
    """Read `endpoints.yaml` and `analysis.yaml` of `folder`; the same rules again change nothing.

    Raises BadEndpoints or BadPlan, which name the file and the place.
    """
    authorise(by, Permission.BUILD_IMPORT, study=study)
    endpoints = load_endpoints(folder / "endpoints.yaml").model_dump(mode="json", by_alias=True, exclude_unset=True)
    analysis = _plans(folder / "analysis.yaml")
    sha256 = manifest.digest({"endpoints": endpoints, "analysis": analysis})
    with audit.change(by=by):
        current = published.current(study)
        if current and current.sha256 == sha256:
            return current
        rules = StudyRules.objects.create(
            study=study,
            endpoints=endpoints,
            analysis=json.dumps(analysis, ensure_ascii=False) if analysis else "",
            sha256=sha256,
            published_by=by,
        )
        audit.event(kind="rules.publish", study=study, details={"sha256": sha256})
    return rules


def _plans(path: Path) -> dict[str, Any]:
    """A study may have endpoints and no plan yet."""
    if not path.exists():
        return {}
    # The primary set is named, so that it no longer depends on the order of the sets.
    return {"plans": [plan.model_dump(mode="json") | {"primary": plan.primary_set} for plan in load_plans(path).plans]}
