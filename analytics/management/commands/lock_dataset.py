"""Lock a dataset: freeze a study's content, sign its hash, lock its records. All of it, or nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.selectors.readiness import KINDS
from analytics.services import datasets
from registry.models import Study, User
from registry.services.signatures import WrongPassword


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("name", help="name of the dataset; the same name again makes a new version")
        parser.add_argument("--user", required=True, help="the account that signs (a principal investigator)")
        password = parser.add_mutually_exclusive_group(required=True)
        password.add_argument("--password-file", type=Path, help="file whose first line is the signer's password")
        password.add_argument("--password-env", metavar="NAME", help="environment variable that holds the password")
        parser.add_argument(
            "--except",
            dest="exceptions",
            action="append",
            default=[],
            metavar="KIND=REASON",
            help=f"why the lock goes on with open points of a kind: {', '.join(KINDS)}",
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            study = Study.objects.get(code=options["study"])
            by = User.objects.get(username=options["user"])
            dataset = datasets.lock(
                study=study,
                name=options["name"],
                password=_password(options),
                exceptions=_exceptions(options["exceptions"]),
                by=by,
            )
        except (Study.DoesNotExist, User.DoesNotExist) as missing:
            raise CommandError(f"{missing} Check the study and the user you named.") from missing
        except (datasets.LockRefused, WrongPassword, PermissionDenied) as refused:
            raise CommandError(str(refused)) from refused
        facts = {"id": dataset.pk, "name": dataset.name, "version": dataset.version, "hash": dataset.hash}
        if options["json"]:
            self.stdout.write(json.dumps(facts | dataset.manifest["content"]["counts"]))
        else:
            self.stdout.write(f"Dataset {dataset.pk}: {dataset}, SHA-256 {dataset.hash}")


def _password(options: dict[str, Any]) -> str:
    if options["password_env"]:
        if options["password_env"] not in os.environ:
            raise CommandError(f"the environment variable {options['password_env']} is not set")
        return os.environ[options["password_env"]]
    try:
        return (options["password_file"].read_text(encoding="utf-8").splitlines() or [""])[0]
    except OSError as problem:
        raise CommandError(f"{options['password_file']} can't be read: {problem.strerror}") from problem


def _exceptions(given: list[str]) -> dict[str, str]:
    found = dict(one.partition("=")[::2] for one in given)
    for kind, why in found.items():
        if kind not in KINDS or not why.strip():
            raise CommandError(f"--except {kind}={why}: write KIND=REASON with a kind of {', '.join(KINDS)}")
    return found
