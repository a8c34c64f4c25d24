"""Publish a study definition from YAML, CDISC ODM, REDCap or XLSForm, or only check it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions import DefinitionErrors, StudyDefinition, load_study
from crf.exchange.formats import FORMATS, read_study
from crf.exchange.loss import Imported, Loss, as_csv
from crf.services import builds
from registry.models import User
from registry.services import people


class Command(BaseCommand):
    help = (
        "Publish the study in PATH as a new build: a folder of YAML (study.yaml, codelists.yaml, forms/*.yaml), or a "
        "file of CDISC ODM 1.3 or 2.0, of REDCap (data dictionary CSV or project XML), or an XLSForm. What a file of "
        "another system says and a definition does not carry is listed: read it before you go on."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--format", choices=FORMATS, help="default: by what PATH is")
        parser.add_argument("--code", default="", help="code of the study here (default: from the file)")
        parser.add_argument("--check", action="store_true", help="say what is wrong and write nothing; no database")
        parser.add_argument("--losses", type=Path, help="write the list of losses to this CSV, not to the screen")
        parser.add_argument("--no-release", action="store_true", help="publish, but leave every site on its build")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        try:
            imported = read(options["path"], options["format"], options["code"])
        except DefinitionErrors as errors:
            self.refuse(errors, as_json=options["json"])
        except OSError as error:
            raise CommandError(_("%(problem)s Check the path.") % {"problem": error}) from error
        summary = summarised(imported.definition) | {"published": not options["check"], "losses": len(imported.losses)}
        if not options["check"]:
            self.publish(imported.definition, options["user"], release=not options["no_release"])
        if options["losses"]:
            options["losses"].write_text(as_csv(imported.losses), encoding="utf-8", newline="")
        if options["json"]:
            said = {} if options["losses"] else {"lost": [loss.as_dict() for loss in imported.losses]}
            self.stdout.write(json.dumps(summary | said, ensure_ascii=False))
            return
        self.stdout.write(as_line(summary))
        self.stdout.write("\n".join(loss_lines(imported.losses, options["losses"])))

    def publish(self, definition: StudyDefinition, username: str | None, *, release: bool) -> None:
        try:
            builds.publish(definition=definition, release=release, by=people.acting_user(username))
        except (builds.VersionTaken, PermissionDenied) as refusal:
            raise CommandError(str(refusal)) from refusal
        except User.DoesNotExist as missing:
            raise CommandError(_("There is no account %(name)s.") % {"name": username}) from missing

    def refuse(self, errors: DefinitionErrors, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"errors": [error.as_dict() for error in errors.errors]}, ensure_ascii=False))
        raise CommandError(errors.of(get_language() or "en")) from errors


def read(path: Path, format: str | None, code: str) -> Imported:
    """The definition in a folder of YAML, which loses nothing, or in a file of another format."""
    if format == "yaml" or (format is None and not path.is_file()):
        return Imported(load_study(path), ())
    return read_study(path.read_bytes(), format=format or "", code=code, file=path.name)


def summarised(definition: StudyDefinition) -> dict[str, Any]:
    return {
        "code": definition.code,
        "version": definition.version,
        "sha256": definition.sha256(),
        "events": len(definition.events),
        "forms": len(definition.forms),
        "items": sum(len(section.items) for form in definition.forms for section in form.sections),
        "checks": sum(len(form.checks) for form in definition.forms),
    }


def as_line(summary: dict[str, Any]) -> str:
    verb = _("published") if summary["published"] else _("is well formed")
    counts = ", ".join(f"{summary[name]} {name}" for name in ("events", "forms", "items", "checks"))
    return f"{summary['code']} {summary['version']} {verb}: {counts}; sha256 {summary['sha256']}"


def loss_lines(losses: Sequence[Loss], file: Path | None) -> list[str]:
    """What the file says that the definition does not; where a CSV has it, only how much."""
    if not losses:
        return []
    head = _("%(count)s things of the file are not in the definition as they were:") % {"count": len(losses)}
    if file:
        return [f"{head} {file}"]
    return [head, *(loss.of(get_language() or "en") for loss in losses)]
