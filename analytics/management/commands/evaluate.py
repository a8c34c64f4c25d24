"""Run the analysis plans of a locked dataset, or those of a file, and store the evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.learning.plan import Plan, load_plans
from analytics.management.lookup import dataset_of, user_of
from analytics.models import Dataset, Evaluation
from analytics.selectors import plans
from analytics.selectors.datasets import summary
from analytics.services import evaluations


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", type=int, help="the dataset's number")
        parser.add_argument("--plan", type=Path, metavar="FILE", help="analysis.yaml instead of the locked plans")
        parser.add_argument("--code", help="only the plan of this code")
        parser.add_argument("--user", help="act as this account (default: system)")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        dataset, by = dataset_of(options["dataset"]), user_of(options["user"])
        try:
            made = [
                evaluations.evaluate(dataset=dataset, plan=plan, by=by)
                for plan in _plans(dataset, options["plan"], options["code"])
            ]
        except (*evaluations.REFUSALS, PermissionDenied) as refused:
            raise CommandError(str(refused)) from refused
        found = [summary(evaluation) for evaluation in made if evaluation]
        if options["json"]:
            self.stdout.write(json.dumps(found, ensure_ascii=False, indent=1))
        for evaluation in () if options["json"] else made:
            self.stdout.write(_line(evaluation))


def _plans(dataset: Dataset, file: Path | None, code: str | None) -> list[Plan]:
    if file and not file.is_file():
        raise CommandError(f"{file} is no file; name an analysis.yaml")
    found = list(load_plans(file).plans if file else plans.plans(dataset.rules))
    chosen = [plan for plan in found if code in (None, plan.code)]
    if not chosen:
        known = ", ".join(plan.code for plan in found) or "none"
        raise CommandError(f"no plan {code or ''} to run; the plans are: {known}")
    return chosen


def _line(evaluation: Evaluation | None) -> str:
    assert evaluation
    about = evaluation.results["headline"]
    area = about["auc"]
    found = f"{area['value']:.3f} ({area['lo']:.3f}–{area['hi']:.3f})" if area else "–"
    counts = f"n {about['n']}, events {about['events']}"
    return f"{evaluation}: {about['set']}, {counts}, AUC {found}; dataset {evaluation.dataset.hash}"
