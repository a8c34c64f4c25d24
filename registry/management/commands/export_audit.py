"""Export a study's audit trail: one line per changed value and per event."""

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.models import Site, Study, Subject, User
from registry.services import audit_export, people


def moment(text: str) -> dt.datetime:
    """A date or time of ISO 8601, in UTC where it names no zone."""
    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError as bad:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-04-03 or 2026-04-03T08:00") from bad
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
        parser.add_argument("-o", "--output", type=Path, required=True)
        parser.add_argument("--site", help="only this site's code")
        parser.add_argument("--subject", help="only this subject's number")
        parser.add_argument("--since", type=moment, help="from this moment on; a date is its first instant, in UTC")
        parser.add_argument("--until", type=moment, help="up to this moment; a date is its first instant, in UTC")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            study = Study.objects.get(code=options["study"])
            site = Site.objects.get(study=study, code=options["site"]) if options["site"] else None
            subject = Subject.objects.get(study=study, number=options["subject"]) if options["subject"] else None
            by = people.acting_user(options["user"])
        except (Study.DoesNotExist, Site.DoesNotExist, Subject.DoesNotExist, User.DoesNotExist) as missing:
            raise CommandError(f"{missing} Check the study, site, subject or user you named.") from missing
        filters = audit_export.Filters(site=site, subject=subject, since=options["since"], until=options["until"])
        temporary = options["output"].with_name(options["output"].name + ".part")
        encoding = "utf-8-sig" if options["format"] == "csv" else "utf-8"
        try:
            with temporary.open("w", encoding=encoding, newline="") as file:
                written = audit_export.export(study=study, file=file, filters=filters, format=options["format"], by=by)
            temporary.replace(options["output"])
        except (PermissionDenied, OSError) as refused:
            raise CommandError(str(refused)) from refused
        finally:
            temporary.unlink(missing_ok=True)
        self.stdout.write(f"{written} lines in {options['output']}")
