"""Survival analysis of a CSV file, without a database."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from analytics.management import report_text
from analytics.stats.inputs import DegenerateInput
from analytics.stats.kaplan_meier import INTERVALS
from analytics.stats.plain import as_plain
from analytics.stats.survival import Regression, SurvivalReport, ordered_levels, regress, summarise
from analytics.stats.tables import (
    Table,
    binary_column,
    covariate_column,
    missing_rows,
    number_column,
    read_table,
    texts,
)


@dataclass(frozen=True, slots=True)
class Excluded:
    """A row left out because this cell is missing: line of the file, column."""

    line: int
    column: str


@dataclass(frozen=True, slots=True)
class Result:
    survival: SurvivalReport
    regression: Regression | None
    excluded_from_survival: tuple[Excluded, ...]
    excluded_from_regression: tuple[Excluded, ...]


class Command(BaseCommand):
    help = (
        "Kaplan-Meier curves with numbers at risk, medians and follow-up, log-rank test, "
        "Cox regression (Efron) with its proportional-hazards test."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("csv", type=Path, help="CSV file with a header, one row per subject")
        parser.add_argument("--time", required=True, metavar="T", help="column of the time from time zero")
        parser.add_argument("--event", required=True, metavar="E", help="column: 1 event, 0 censored")
        parser.add_argument("--group", metavar="G", help="column to compare curves by")
        parser.add_argument("--covariates", metavar="A,B", help="columns of the Cox model; text becomes categories")
        parser.add_argument(
            "--reference", action="append", default=[], type=_pair, metavar="COLUMN=LEVEL",
            help="reference level of a group or text covariate; may be repeated",
        )  # fmt: skip
        parser.add_argument("--times", type=_times, default=(), metavar="T1,T2", help="times of the at-risk table")
        parser.add_argument(
            "--interval",
            choices=INTERVALS,
            default="log-log",
            help="confidence interval of survival (R's default: log)",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = _analysed(read_table(options["csv"]), options)
        except DegenerateInput as problem:
            raise CommandError(report_text.reason(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(as_plain(result), ensure_ascii=False, indent=2))
            return
        self.stdout.write("\n".join(report_text.survival_lines(result.survival, result.regression)))
        for row in dict.fromkeys(result.excluded_from_survival + result.excluded_from_regression):
            left_out = _("Line %(line)d left out: %(column)s is missing")
            self.stdout.write(left_out % {"line": row.line, "column": row.column})


def _analysed(table: Table, options: dict[str, Any]) -> Result:
    references = dict(options["reference"])
    group = [options["group"]] if options["group"] else []
    covariates = [name.strip() for name in (options["covariates"] or "").split(",") if name.strip()]
    _refuse_unused(references, [*group, *covariates])
    grouped, without_group = _complete(table, group)
    labels = texts(grouped, group[0]) if group else None
    report = summarise(
        number_column(grouped, options["time"]),
        binary_column(grouped, options["event"]),
        group=labels,
        group_name=options["group"] or "group",
        order=ordered_levels(labels, references.get(group[0])) if labels else (),
        times=options["times"],
        interval=options["interval"],
    )
    if not covariates:
        return Result(report, None, without_group, ())
    complete, incomplete = _complete(table, covariates)
    return Result(report, _regressed(complete, covariates, references, options), without_group, incomplete)


def _regressed(table: Table, names: list[str], references: dict[str, str], options: dict[str, Any]) -> Regression:
    columns = {name: texts(table, name) if name in references else covariate_column(table, name) for name in names}
    categories = {name: values for name, values in columns.items() if isinstance(values, tuple)}
    levels = {name: ordered_levels(values, references.get(name)) for name, values in categories.items()}
    time, event = number_column(table, options["time"]), binary_column(table, options["event"])
    return regress(time, event, columns, levels=levels)


def _complete(table: Table, columns: list[str]) -> tuple[Table, tuple[Excluded, ...]]:
    """Rows that have all of `columns`; time and event are never guessed and are refused when missing."""
    gone = {row: column for column in columns for row in missing_rows(table, column)}
    excluded = tuple(Excluded(table.lines[row], column) for row, column in sorted(gone.items()))
    return table.without(sorted(gone)), excluded


def _refuse_unused(references: dict[str, str], used: list[str]) -> None:
    unused = sorted(set(references) - set(used))
    if unused:
        raise CommandError(
            _("--reference names %(column)s, which is neither --group nor one of --covariates.") % {"column": unused[0]}
        )


def _pair(text: str) -> tuple[str, str]:
    column, equals, level = text.partition("=")
    if not (column and equals and level):
        raise ArgumentTypeError(f"{text!r}: write COLUMN=LEVEL")
    return column, level


def _times(text: str) -> tuple[float, ...]:
    try:
        return tuple(sorted(float(part) for part in text.split(",")))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: write numbers separated by commas") from error
