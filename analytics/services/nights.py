"""What happens every night: seal the audit, derive endpoints, re-evaluate what is new, look for errors in the data."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from typing import Any

from analytics.endpoints import evaluate_all
from analytics.selectors import plans, rules, runs, storage
from analytics.selectors.content import subject_rows
from analytics.selectors.datasets import newest
from analytics.services import evaluations, features
from crf.services import quality, queries
from registry.jobs import Progress
from registry.models import AuditSeal, Study, User
from registry.permissions import Permission, authorise
from registry.services import seals

KIND = "nightly"
STALE_SECONDS = 24 * 3600


def seal(*, by: User) -> AuditSeal | None:
    """Seal the day's audit rows, and clear what killed processes left aside."""
    authorise(by, Permission.AUDIT_SEAL)
    _clear_aside()
    return seals.seal(by=by)


def start(*, study: Study, by: User) -> dict[str, Any]:
    """Derive endpoints and bring queries up to date now; queue extraction and evaluation of each plan whose inputs
    changed, and the data-quality rules, for all the workers."""
    authorise(by, Permission.EVALUATION_RUN, study=study)
    derived = derive_endpoints(study=study, by=by)
    asked = queries.nightly(study=study, by=by)
    queued = [
        evaluations.start(dataset=dataset, plan=plan.code, only_if_changed=True, by=by).pk
        for dataset in newest(study)
        for plan in plans.plans(dataset.rules)
        if not runs.is_current(dataset, plan)
    ]
    return {"endpoints": derived, "queries": asked, "jobs": [*queued, quality.start(study=study, by=by).pk]}


def run(*, study: Study, progress: Progress | None = None, by: User) -> dict[str, Any]:
    """The same here and now, without workers; what did not change is not computed again."""
    authorise(by, Permission.EVALUATION_RUN, study=study)
    derived = derive_endpoints(study=study, by=by)
    made, evaluated = 0, []
    for dataset in newest(study):
        made += features.extract(dataset=dataset, progress=progress, by=by)
        for plan in plans.plans(dataset.rules):
            found = evaluations.evaluate(dataset=dataset, plan=plan, job=None, only_if_changed=True, by=by)
            evaluated += [found.pk] if found else []
    asked = queries.nightly(study=study, by=by)
    found = quality.run(study=study, by=by)
    told = {"queries": asked, "findings": found.counts}
    return {"endpoints": derived, "feature_sets": made, "evaluations": evaluated} | told


def derive_endpoints(*, study: Study, by: User) -> dict[str, dict[str, int]]:
    """How many subjects each endpoint can be derived for from the live records: {code: {status: subjects}}."""
    authorise(by, Permission.EVALUATION_RUN, study=study)
    in_force = rules.current(study)
    if in_force is None:
        return {}
    found: dict[str, Counter[str]] = {}
    for _subject, result in evaluate_all(rules.endpoints(in_force), subject_rows(study)):
        counts = found.setdefault(result.endpoint, Counter())
        counts[result.status] += 1
        counts["events"] += int(result.value.get("label") == 1 or result.value.get("event") == 1)
    return {code: dict(counts) for code, counts in found.items()}


def _clear_aside() -> None:
    aside = storage.folder(storage.INCOMING)
    for path in aside.iterdir() if aside.is_dir() else ():
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
