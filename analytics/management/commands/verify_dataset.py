"""Recompute every hash of a locked dataset; names each file that is not as it was signed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.lookup import dataset_of, user_of
from analytics.services import datasets


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", type=int, help="the dataset's number")
        parser.add_argument("--user", help="act as this account (default: system)")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        dataset = dataset_of(options["dataset"])
        try:
            faults = datasets.verify(dataset=dataset, by=user_of(options["user"]))
        except PermissionDenied as refused:
            raise CommandError(str(refused)) from refused
        if options["json"]:
            found = [dataclasses.asdict(fault) for fault in faults]
            self.stdout.write(json.dumps({"dataset": dataset.pk, "hash": dataset.hash, "faults": found}, indent=1))
        for fault in () if options["json"] else faults:
            self.stdout.write(f"{fault.file}: {fault.code} {fault.detail}")
        if faults:
            raise CommandError(f"{dataset} is not as it was locked: {len(faults)} fault(s). Restore it from a backup.")
        if not options["json"]:
            self.stdout.write(f"{dataset} is as it was locked: SHA-256 {dataset.hash}")
