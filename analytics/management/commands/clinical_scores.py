"""Clinical scores of a laboratory table, without a database."""

import csv
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.score_table import BadCell, available, score_row
from crf.definitions.tables import BadTable, Row, Table, read_table

IDENTIFIERS = ("case", "id", "subject", "number")


class Command(BaseCommand):
    help = (
        "MELD, MELD-Na, MELD 3.0, Child-Pugh, ALBI, FIB-4, APRI, NLR, PLR, spleen index and volume, BSA and BMI "
        "of each row of a CSV. Columns such as bili_umol, alb_gL, inr, cr_umol, na, sex, plt, ast, alt, age."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("csv", type=Path, help="CSV file with a header, one row per case")
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of CSV")

    def handle(self, **options: Any) -> None:
        table = self.table(options["csv"])
        if not available(set(table.columns)):
            raise CommandError(_("No score can be calculated from these columns: %s") % ", ".join(table.columns))
        scored = [self.scored(table, row) for row in table.rows]
        if options["json"]:
            self.stdout.write(json.dumps({"rows": scored}, ensure_ascii=False, indent=2, allow_nan=False))
        else:
            writer = csv.DictWriter(self.stdout, fieldnames=list(scored[0]) if scored else [], lineterminator="\n")
            writer.writeheader()
            writer.writerows(scored)

    def table(self, path: Path) -> Table:
        try:
            table = read_table(path.read_bytes())
        except OSError as error:
            raise CommandError(
                _("%(path)s cannot be read: %(reason)s") % {"path": path, "reason": error.strerror}
            ) from error
        except BadTable as fault:
            raise CommandError(said(fault)) from fault
        if table.faults:
            raise CommandError("\n".join(said(fault) for fault in table.faults))
        return table

    def scored(self, table: Table, row: Row) -> dict[str, Any]:
        name = next((column for column in table.columns if column.lower() in IDENTIFIERS), None)
        identity = {name: row.cells[name]} if name else {"row": row.number}
        try:
            return identity | score_row(row.cells)
        except BadCell as bad:
            raise CommandError(_("row %(row)s, %(problem)s") % {"row": row.number, "problem": worded(bad)}) from bad


def worded(bad: BadCell) -> str:
    return bad.zh if (get_language() or "en").startswith("zh") else str(bad)


def said(fault: BadTable) -> str:
    """Row, column, what is wrong and what to do, in the active language."""
    place = (
        _("row %(row)s, column %(column)s: ") % {"row": fault.row, "column": fault.column or "-"} if fault.row else ""
    )
    if (get_language() or "en").startswith("zh"):
        return f"{place}{fault.zh};{fault.remedy_zh}"
    return f"{place}{fault.en}; {fault.remedy_en}"
