"""Copy a locked dataset (Parquet files, rules, dictionary, manifest) into a folder. The export is audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.lookup import dataset_of, user_of
from analytics.services import datasets


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", type=int, help="the dataset's number")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        dataset = dataset_of(options["dataset"])
        try:
            place = datasets.export(dataset=dataset, folder=options["output"], by=user_of(options["user"]))
        except (datasets.ExportRefused, PermissionDenied, OSError) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"{dataset}, SHA-256 {dataset.hash}, in {place}")
