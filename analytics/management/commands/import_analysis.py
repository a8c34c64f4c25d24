"""Publish the endpoint rules and analysis plans (endpoints.yaml, analysis.yaml) of a study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.endpoints import BadEndpoints
from analytics.learning.plan import BadPlan
from analytics.management.lookup import user_of
from analytics.services import rules
from registry.models import Study


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("folder", type=Path, help="folder with endpoints.yaml and, if there is one, analysis.yaml")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        folder = options["folder"]
        if not (folder / "endpoints.yaml").is_file():
            raise CommandError(f"{folder} has no endpoints.yaml; name the study's folder")
        try:
            study = Study.objects.get(code=options["study"])
            published = rules.publish(study=study, folder=folder, by=user_of(options["user"]))
        except Study.DoesNotExist as missing:
            raise CommandError(f"no study {options['study']}; import its definition first") from missing
        except (BadEndpoints, BadPlan, PermissionDenied) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"Rules and plans of {study.code}: SHA-256 {published.sha256}")
