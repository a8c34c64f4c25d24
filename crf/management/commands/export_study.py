"""Write a study's definition as YAML, CDISC ODM, REDCap data dictionary or XLSForm."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.exchange.formats import FORMATS, write_study
from crf.exchange.loss import as_csv
from crf.exchange.odm_write import VERSIONS
from crf.management.commands.import_study import loss_lines
from crf.models import StudyBuild
from crf.selectors import NoBuild, current_build
from registry.models import Study, User
from registry.permissions import Permission
from registry.services import people


class Command(BaseCommand):
    help = (
        "Write the definition of STUDY into the folder OUTPUT, in the format asked for. What the format has no place "
        "for is listed. ODM says everything: import_study reads the file as the same definition."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="study code")
        parser.add_argument("--format", choices=FORMATS, default="odm")
        parser.add_argument("-o", "--output", type=Path, required=True, help="folder; files in it are not overwritten")
        parser.add_argument("--odm-version", choices=VERSIONS, default="1.3.2")
        parser.add_argument("--build", help="version of the build (default: the last one released)")
        parser.add_argument("--language", choices=["zh", "en"], help="of formats with one language (default: yours)")
        parser.add_argument("--losses", type=Path, help="write the list of losses to this CSV, not to the screen")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--user", help="act as this account (default: system)")

    def handle(self, **options: Any) -> None:
        build = found(options["study"], options["build"], options["user"])
        exported = write_study(
            build.study_definition,
            format=options["format"],
            odm=options["odm_version"],
            created=build.published_at.isoformat(timespec="seconds"),
            language=options["language"] or (get_language() or "en")[:2],
        )
        paths = [options["output"] / name for name in exported.files]
        present = next((path for path in paths if path.exists()), None)
        if present:
            raise CommandError(_("%(path)s exists; choose another folder.") % {"path": present})
        for path, content in zip(paths, exported.files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if options["losses"]:
            options["losses"].write_text(as_csv(exported.losses), encoding="utf-8", newline="")
        if options["json"]:
            said = {"files": [str(path) for path in paths], "lost": [loss.as_dict() for loss in exported.losses]}
            self.stdout.write(json.dumps(said, ensure_ascii=False))
            return
        self.stdout.write("\n".join([*map(str, paths), *loss_lines(exported.losses, options["losses"])]))


def found(code: str, version: str | None, username: str | None) -> StudyBuild:
    """The build that the account may see."""
    try:
        by = people.acting_user(username)
        study = Study.objects.visible_to(by, needs=Permission.BUILD_VIEW).get(code=code)
        return StudyBuild.objects.get(study=study, version=version) if version else current_build(study)
    except User.DoesNotExist as missing:
        raise CommandError(_("There is no account %(name)s.") % {"name": username}) from missing
    except (Study.DoesNotExist, StudyBuild.DoesNotExist, NoBuild) as missing:
        raise CommandError(_("There is no study %(code)s with this build for you.") % {"code": code}) from missing
