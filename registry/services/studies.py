"""Studies, sites and groups, as a study definition names them."""

from __future__ import annotations

from typing import Any

from registry import audit
from registry.models import Group, Site, Study, User
from registry.permissions import Permission, authorise


def define(*, code: str, facts: dict[str, Any], sites: list[dict], groups: list[dict], by: User) -> Study:
    """Create the study of `code`, or bring its facts, sites and groups up to date; nothing is removed.

    `facts` are Study fields; each site and group is {code, name_zh, name_en, target}.
    """
    study = Study.objects.filter(code=code).first()
    authorise(by, Permission.BUILD_IMPORT if study else Permission.STUDY_CREATE, study=study)
    with audit.change(by=by):
        study = _saved(study or Study(code=code), facts)
        for model, rows in ((Site, sites), (Group, groups)):
            present = {row.code: row for row in model.objects.filter(study=study)}
            for row in rows:
                _saved(present.get(row["code"]) or model(study=study), row)
    return study


def _saved(row: Any, values: dict[str, Any]) -> Any:
    """Set `values` and save only if something differs, so that a repeat leaves no empty history."""
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed or row.pk is None:
        row.save()
    return row
