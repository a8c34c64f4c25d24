"""Publish a study definition from a folder of YAML, or only check it."""

import json
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions import DefinitionErrors, StudyDefinition, load_study
from crf.services import builds
from registry.models import User
from registry.services import people


class Command(BaseCommand):
    help = "Publish the study definition in PATH (study.yaml, codelists.yaml, forms/*.yaml) as a new build."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--format", choices=["yaml"], default="yaml")
        parser.add_argument("--check", action="store_true", help="say what is wrong and write nothing; no database")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        try:
            definition = load_study(options["path"])
        except DefinitionErrors as errors:
            self.refuse(errors, as_json=options["json"])
        summary = summarised(definition) | {"published": not options["check"]}
        if not options["check"]:
            self.publish(definition, options["user"])
        self.stdout.write(json.dumps(summary, ensure_ascii=False) if options["json"] else as_line(summary))

    def publish(self, definition: StudyDefinition, username: str | None) -> None:
        try:
            builds.publish(definition=definition, by=people.acting_user(username))
        except (builds.VersionTaken, PermissionDenied) as refusal:
            raise CommandError(str(refusal)) from refusal
        except User.DoesNotExist as missing:
            raise CommandError(_("There is no account %(name)s.") % {"name": username}) from missing

    def refuse(self, errors: DefinitionErrors, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"errors": [error.as_dict() for error in errors.errors]}, ensure_ascii=False))
        raise CommandError(errors.of(get_language() or "en")) from errors


def summarised(definition: StudyDefinition) -> dict[str, Any]:
    return {
        "code": definition.code,
        "version": definition.version,
        "sha256": definition.sha256(),
        "events": len(definition.events),
        "forms": len(definition.forms),
        "items": sum(1 for _form, _item in definition.items()),
        "checks": sum(len(form.checks) for form in definition.forms),
    }


def as_line(summary: dict[str, Any]) -> str:
    verb = _("published") if summary["published"] else _("is well formed")
    counts = ", ".join(f"{summary[name]} {name}" for name in ("events", "forms", "items", "checks"))
    return f"{summary['code']} {summary['version']} {verb}: {counts}; sha256 {summary['sha256']}"
