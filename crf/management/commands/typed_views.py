"""Make the typed SQL views of a study's forms: analysis.v_<study>_<form>, for the reporting role only."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError

from crf.exports.view_sql import SCHEMA
from crf.services import views_sql
from registry.models import Study, User
from registry.services import people


class Command(BaseCommand):
    help = f"{__doc__} Run it again after each release of a build."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        try:
            study = Study.objects.get(code=options["study"])
            names = views_sql.create(study=study, by=people.acting_user(options["user"]))
        except (Study.DoesNotExist, User.DoesNotExist) as missing:
            raise CommandError(f"{missing} Check the study and the user you named.") from missing
        except (views_sql.NoOwner, PermissionDenied, ProgrammingError) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write("\n".join(f"{SCHEMA}.{name}" for name in names))
