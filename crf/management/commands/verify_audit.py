"""Recompute the whole audit trail and name what was altered, inserted or removed."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crf.services import integrity
from registry.services import seals


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        verification = seals.verify()
        verification.problems.extend(integrity.problems())
        if options["json"]:
            self.stdout.write(json.dumps(verification.as_json(), ensure_ascii=False, indent=2))
        else:
            for problem in verification.problems:
                self.stdout.write(f"{problem.kind}: {problem.message}")
            self.stdout.write(
                f"{verification.seals} seals over {verification.rows} rows checked, "
                f"{verification.unsealed} rows not yet sealed."
            )
        if verification.problems:
            raise CommandError(f"{len(verification.problems)} problems: the audit trail was bent.", returncode=1)
