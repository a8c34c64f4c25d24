"""Import the records of a CSV into a study, or show what that would do."""

import json
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions import DefinitionErrors
from crf.definitions.mapping import Mapping, read_mapping
from crf.services import imports
from crf.services.import_plan import Plan
from crf.services.import_source import FORMATS
from registry.models import Study, User
from registry.services import people


class Command(BaseCommand):
    help = (
        "Import the records in FILE (CSV, XLSX, ODM, REDCap) through the checks and audit of typing them: all rows or "
        "nothing, or with --mode good those that are in order. "
        "Without --mapping, columns are named subject, site, event, repeat, form, number and as the items."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=FORMATS, default="", help="default: as its content says")
        parser.add_argument("--sheet", default="", help="of a workbook (default: the first that holds anything)")
        parser.add_argument("--mode", choices=[imports.ALL, imports.GOOD], default=imports.ALL)
        parser.add_argument("--mapping", type=Path, help="YAML file: which column is which item")
        parser.add_argument("--dry-run", action="store_true", help="show what would change and write nothing")
        parser.add_argument("--reason", default="", help="why stored values change; needed if any does")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        try:
            study = Study.objects.get(code=options["study"])
            by = people.acting_user(options["user"])
            content = options["file"].read_bytes()
            mapping = mapping_of(options["mapping"])
        except (Study.DoesNotExist, User.DoesNotExist, OSError) as missing:
            raise CommandError(_("%(problem)s Check study, file and user.") % {"problem": missing}) from missing
        asked = {"study": study, "content": content, "mapping": mapping, "by": by}
        asked |= {"format": options["format"], "sheet": options["sheet"]}
        how = {"mode": options["mode"], "reason": options["reason"], "file_name": options["file"].name}
        if options["dry_run"]:
            plan = self.asked(lambda: imports.preview(**asked))
        else:
            plan = self.asked(lambda: imports.commit(**asked, **how))
        in_order = not plan.problems or (options["mode"] == imports.GOOD and plan.writes)
        self.report(plan, options, written=in_order and not options["dry_run"])

    def asked(self, act: Any) -> Plan:
        try:
            return act()
        except imports.ImportRefused as refused:
            return refused.plan
        except PermissionDenied as denied:
            raise CommandError(str(denied)) from denied

    def report(self, plan: Plan, options: dict[str, Any], *, written: bool) -> None:
        language = get_language() or "en"
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(plan, language, written), ensure_ascii=False, indent=2))
        else:
            self.stdout.write("\n".join(as_lines(plan, language, written)))
        count = {"count": plan.counts["refused"]}
        if plan.problems and not written:
            raise CommandError(_("Nothing was imported: %(count)s problems.") % count)
        if plan.problems:
            raise CommandError(_("The good rows were imported; %(count)s problems are left.") % count)


def mapping_of(path: Path | None) -> Mapping | None:
    if path is None:
        return None
    try:
        return read_mapping(path.read_bytes(), path.name)
    except DefinitionErrors as errors:
        raise CommandError(errors.of(get_language() or "en")) from errors


def as_dict(plan: Plan, language: str, written: bool) -> dict[str, Any]:
    return {
        "imported": written,
        **plan.counts,
        "changes": [
            {
                **planned.incoming.key._asdict(),
                "item": change.item,
                "old": change.old,
                "new": change.new,
                "row": change.row,
            }
            for planned in plan.records
            for change in planned.overwrites
        ],
        "problems": [
            {"row": one.row, "column": one.column, "reason": one.of(language), "remedy": one.remedy(language)}
            for one in plan.problems
        ],
    }


def as_lines(plan: Plan, language: str, written: bool) -> list[str]:
    counts = ", ".join(f"{name} {count}" for name, count in plan.counts.items())
    changes = [
        f"{key.subject} {key.event} {key.form}.{change.item}: {change.old!r} -> {change.new!r}"
        for planned in plan.records
        for key in [planned.incoming.key]
        for change in planned.overwrites
    ]
    problems = [
        _("row %(row)s, %(column)s: %(reason)s; %(remedy)s")
        % {"row": one.row, "column": one.column or "-", "reason": one.of(language), "remedy": one.remedy(language)}
        for one in plan.problems
    ]
    return [(_("imported") if written else _("not imported")) + ": " + counts, *changes, *problems]
