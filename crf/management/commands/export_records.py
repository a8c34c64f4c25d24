"""Export the records of a study for analysis: de-identified by rule, with dictionary, scripts and manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from crf.exports.rules import Wanted
from crf.services import exports
from crf.services.export_files import FORMATS
from registry.models import Study, User
from registry.services import people
from registry.services.signatures import WrongPassword


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("--format", choices=list(FORMATS), default="csv")
        parser.add_argument("-o", "--output", type=Path, required=True, help="a new or empty folder")
        parser.add_argument("--form", action="append", default=[], help="only this form; may be repeated")
        parser.add_argument("--site", action="append", default=[], help="only this site's code; may be repeated")
        parser.add_argument("--event", action="append", default=[], help="only this event; may be repeated")
        parser.add_argument("--language", choices=["zh", "en"], default="en", help="of labels (default: en)")
        parser.add_argument(
            "--subjects",
            choices=["pseudonym", "number"],
            default="pseudonym",
            help="what names a subject: the keyed pseudonym that the images have too, or the subject number",
        )
        parser.add_argument(
            "--keep-text",
            action="append",
            default=[],
            metavar="FORM.ITEM",
            help="a free-text item that holds nothing about a person; may be repeated",
        )
        parser.add_argument("--identified", action="store_true", help="nothing left out or moved; signed")
        parser.add_argument("--blinded", action="store_true", help="with blinded items; signed")
        parser.add_argument("--user", help="act as this account (default: system, which can't sign)")
        password = parser.add_mutually_exclusive_group()
        password.add_argument("--password-file", type=Path, help="file whose first line is the signer's password")
        password.add_argument("--password-env", metavar="NAME", help="environment variable that holds the password")
        parser.add_argument("--json", action="store_true", help="print the manifest")

    def handle(self, **options: Any) -> None:
        try:
            study = Study.objects.get(code=options["study"])
            by = people.acting_user(options["user"])
            made = exports.export(
                study=study,
                folder=options["output"],
                format=options["format"],
                wanted=wanted(options),
                password=_password(options),
                by=by,
            )
        except (Study.DoesNotExist, User.DoesNotExist) as missing:
            raise CommandError(f"{missing} Check the study and the user you named.") from missing
        except (exports.ExportRefused, WrongPassword, PermissionDenied, OSError) as refused:
            raise CommandError(str(refused)) from refused
        if options["json"]:
            self.stdout.write(json.dumps(made, ensure_ascii=False))
            return
        for name, table in made["tables"].items():
            self.stdout.write(f"{name}: {table['rows']} rows, {table['columns']} columns")
            for column, count in table.get("texts_cut", {}).items():
                self.stdout.write(f"{name}.{column}: {count} texts are longer than the format allows and were cut")
        self.stdout.write(f"{made['format']}, {len(made['files'])} files in {options['output']}")


def wanted(options: dict[str, Any]) -> Wanted:
    """What the options ask for."""
    return Wanted(
        forms=tuple(options["form"]),
        sites=tuple(options["site"]),
        events=tuple(options["event"]),
        language=options["language"],
        identified=options["identified"],
        subjects=options["subjects"],
        keep_text=tuple(options["keep_text"]),
        blinded=options["blinded"],
    )


def _password(options: dict[str, Any]) -> str:
    if options["password_file"]:
        return (options["password_file"].read_text().splitlines() or [""])[0]
    return os.environ.get(options["password_env"] or "", "")
