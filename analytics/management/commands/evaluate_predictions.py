"""Evaluate any model's predictions from a CSV file, without a database."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.management import report_text
from analytics.stats.evaluation import evaluate
from analytics.stats.inputs import DegenerateInput
from analytics.stats.plain import as_plain
from analytics.stats.tables import Table, binary_column, number_column, probability_column, read_table


class Command(BaseCommand):
    help = (
        "Evaluate predictions: AUC (DeLong), accuracy at a threshold, calibration, decision and clinical impact "
        "curves; several models are compared in the same subjects."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("csv", type=Path, help="CSV file with a header, one row per subject")
        parser.add_argument("--outcome", required=True, metavar="Y", help="column of the outcome, 0 or 1")
        predictions = parser.add_mutually_exclusive_group(required=True)
        predictions.add_argument("--probability", metavar="P[,P2]", help="column(s) of predicted probabilities, 0-1")
        predictions.add_argument(
            "--score", metavar="S[,S2]", help="column(s) of scores that are no probabilities: discrimination only"
        )
        parser.add_argument("--threshold", type=float, help="pre-specified: positive means prediction >= threshold")
        parser.add_argument(
            "--dataset",
            choices=["external", "development"],
            default="external",
            help="sets the Hosmer-Lemeshow degrees of freedom; only development data may choose a threshold",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = _evaluated(read_table(options["csv"]), options)
        except DegenerateInput as problem:
            raise CommandError(report_text.reason(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(as_plain(report), ensure_ascii=False, indent=2))
        else:
            self.stdout.write("\n".join(report_text.evaluation_lines(report)))


def _evaluated(table: Table, options: dict[str, Any]) -> Any:
    scores = options["probability"] is None
    names = (options["score"] if scores else options["probability"]).split(",")
    read = number_column if scores else probability_column
    return evaluate(
        binary_column(table, options["outcome"]),
        {name: read(table, name) for name in map(str.strip, names)},
        threshold=options["threshold"],
        dataset=options["dataset"],
        scores=scores,
    )
