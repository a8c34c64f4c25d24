"""Run an analysis plan on a locked dataset: features, leak check, models, numbers, figures, report."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from analytics.learning.cohort import BadCohort, cohort
from analytics.learning.leakage import LeakageRefused, refuse_leaks
from analytics.learning.plan import BadPlan, Plan
from analytics.learning.run import PlanResult, run, steps
from analytics.learning.store import save
from analytics.models import Dataset, Evaluation
from analytics.radiomics import engine_version
from analytics.results import figures
from analytics.results.assumptions import assumptions
from analytics.results.build import Built, build
from analytics.selectors import datasets as kept
from analytics.selectors import features as asked
from analytics.selectors import frames, plans, reports, rules, runs, storage
from analytics.selectors.frames import Assembled
from analytics.services import features
from analytics.services.features import ImageHasChanged
from analytics.snapshots.software import versions
from registry import audit, jobs
from registry.jobs import Progress
from registry.models import Job, User
from registry.permissions import Permission, authorise

KIND = "model.run"
LANGUAGES = ("zh-hans", "en")
RISK_NAMES = {
    "en": {"low": "Low predicted probability", "high": "High predicted probability"},
    "zh-hans": {"low": "预测概率低", "high": "预测概率高"},
}


class DatasetAltered(Exception):
    """The dataset's files are not what was signed; nothing is computed from them."""


# Why `evaluate` stores nothing; each says what to do.
REFUSALS = (DatasetAltered, ImageHasChanged, LeakageRefused, BadPlan, BadCohort)


def start(*, dataset: Dataset, plan: str, only_if_changed: bool = False, by: User) -> Job:
    """Queue the run: one task per image that has no features yet, then the evaluation."""
    authorise(by, Permission.EVALUATION_RUN, study=dataset.study)
    chosen = plans.plan(dataset.rules, plan)
    todo = asked.missing_for(dataset, chosen)
    sent: dict[str, Any] = {"dataset_id": dataset.pk, "plan": plan, "only_if_changed": only_if_changed}
    with transaction.atomic():
        job = jobs.create(kind=KIND, study=dataset.study, total=len(todo) + 1, by=by)
        for series, volume in sorted(todo):
            jobs.enqueue("analytics.tasks.extract_image", job=job, series=series, volume=volume, **sent)
        if not todo:
            jobs.enqueue("analytics.tasks.evaluate", job=job, **sent)
    return job


def after_image(*, job: Job, dataset: Dataset, plan: str, only_if_changed: bool = False, by: User) -> None:
    """Count an extracted image; the last one starts the evaluation, once, whichever worker it was."""
    authorise(by, Permission.EVALUATION_RUN, study=dataset.study)
    todo = asked.missing_for(dataset, plans.plan(dataset.rules, plan))
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.is_over or job.result.get("stage"):
            return
        job.state, job.done = Job.State.RUNNING, max(job.total - 1 - len(todo), job.done)
        job.started_at = job.started_at or timezone.now()
        if not todo:
            job.result = {"stage": "evaluation"}
            sent: dict[str, Any] = {"dataset_id": dataset.pk, "plan": plan, "only_if_changed": only_if_changed}
            jobs.enqueue("analytics.tasks.evaluate", job=job, **sent)
        job.save(update_fields=["state", "done", "started_at", "result"])


def evaluate(
    *, dataset: Dataset, plan: Plan, job: Job | None = None, only_if_changed: bool = False, by: User
) -> Evaluation | None:
    """Run the plan. With `only_if_changed`, None when the last run had the same inputs.

    Raises one of REFUSALS; then nothing is stored.
    """
    authorise(by, Permission.EVALUATION_RUN, study=dataset.study)
    if job and (done := Evaluation.objects.filter(job=job).first()):
        return done
    _guard_unaltered(dataset)
    if only_if_changed and runs.is_current(dataset, plan):
        return None
    progress, started = Progress(job), timezone.now()
    features.extract_for(dataset=dataset, plan=plan, progress=progress, by=by)
    assembled = frames.assemble(dataset, plan)
    refuse_leaks(assembled.dates, assembled.time_zero)
    people = cohort(assembled.predictors, assembled.outcome, sites=assembled.sites, groups=assembled.groups)
    progress.start(steps(people, plan) + 1)
    result = run(people, plan, on_fold=progress.step)
    built = build(plan, result, assembled.survival, _facts(dataset, plan, assembled))
    made = Evaluation(
        study=dataset.study,
        dataset=dataset,
        plan=plan.code,
        plan_hash=plan.sha256(),
        inputs=runs.inputs(dataset, plan),
        results=built.results,
        folder=f"evaluations/{dataset.study.code.lower()}/{uuid.uuid4().hex}",
        software=versions() | {"radiomics": engine_version()},
        previous=runs.last(dataset, plan),
        job=job,
        started_at=started,
        finished_at=timezone.now(),
    )
    return _store(made, plan, result, built, by)


def _guard_unaltered(dataset: Dataset) -> None:
    if faults := kept.faults(dataset):
        listed = "; ".join(f"{one.file}: {one.code}" for one in faults)
        raise DatasetAltered(f"dataset {dataset} is not as it was locked ({listed}); restore it from a backup")


def _facts(dataset: Dataset, plan: Plan, assembled: Assembled) -> dict[str, Any]:
    codes = (plan.outcome, *plan.survival)
    endpoints = rules.endpoints(dataset.rules)
    facts: dict[str, Any] = {
        "plan": plan.model_dump(mode="json"),
        "dataset": {"id": dataset.pk, "name": str(dataset), "hash": dataset.hash},
        "endpoints": [endpoints[code].model_dump(mode="json") for code in codes],
        "flow": [vars(step) for step in assembled.flow],
        "readers": assembled.readers,
        "missing": {name: int(count) for name, count in assembled.predictors.isna().sum().items() if count},
        "completed_dates": frames.completed_dates(dataset, codes),
        "sites": _counts(assembled, assembled.sites),
        "groups": _counts(assembled, assembled.groups),
    }
    return facts | {"assumptions": assumptions(plan, facts)}


def _counts(assembled: Assembled, by: Any) -> dict[str, dict[str, int]]:
    grouped = assembled.outcome.groupby(by)
    return {str(name): {"n": len(values), "events": int(values.sum())} for name, values in grouped}


def _store(made: Evaluation, plan: Plan, result: PlanResult, built: Built, by: User) -> Evaluation:
    """Files aside, then the row, then the files in place: killed anywhere, there is no evaluation."""
    with storage.aside("evaluation") as folder:
        result.predictions.to_parquet(folder / "predictions.parquet", index=False)
        (folder / "results.json").write_text(json.dumps(built.results, ensure_ascii=False), encoding="utf-8")
        (folder / "models").mkdir()
        for name, model in result.models.items():
            save(model, folder / "models" / f"{name}.skops")
        _draw(folder, plan, built)
        with audit.change(by=by):
            made.save(force_insert=True)
            for language in LANGUAGES:
                text = reports.render(made, folder, language, standalone=True)
                (folder / f"report.{language}.html").write_text(text, encoding="utf-8")
            details = {"evaluation": made.pk, "plan": made.plan, "dataset": made.dataset_id, "hash": made.dataset.hash}
            headline = built.results["headline"]
            audit.event(kind=KIND, study=made.study, details=details | {"headline": headline, "inputs": made.inputs})
            storage.settle(folder, made.folder)
    return made


def _draw(folder: Path, plan: Plan, built: Built) -> None:
    names = {one["code"]: one["name"] for one in built.results["endpoints"]}
    for language in LANGUAGES:
        drawn: dict[str, str] = {}
        for split, found in built.evaluations.items():
            drawn |= figures.prediction_figures(found, split, plan.primary_set, language)
        for code, report in built.survival.items():
            unit, title = ("months", names[code]["en"]) if language == "en" else ("月", names[code]["zh"])
            drawn[f"survival-{code}"] = figures.survival_figure(report, title, RISK_NAMES[language], unit, language)
        place = folder / "figures" / language
        place.mkdir(parents=True)
        for name, svg in drawn.items():
            (place / f"{name}.svg").write_text(svg, encoding="utf-8")
