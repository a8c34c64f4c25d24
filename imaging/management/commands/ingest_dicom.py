"""Take in DICOM files: a file, a zip or a folder, de-identified before anything is stored."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imaging.models import Intake, Series
from imaging.services import intake
from registry.models import Site, Study, Subject, User
from registry.services import people


class Command(BaseCommand):
    help = f"{__doc__} Exit code 0 only when every file was accepted or already there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--study", required=True, help="study code")
        parser.add_argument("--site", required=True, help="site code")
        parser.add_argument("--subject", help="subject number; default: by the PatientID, else the site's inbox")
        parser.add_argument("--user", help="act as this account (default: system)")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"]
        if not path.exists():
            raise CommandError(f"{path} does not exist; name a DICOM file, a zip or a folder.")
        where = _where(options)
        received = intake.receive(files=_files(path), **where)
        report = {"intake": received.pk, **received.report, "series": _series(received)}
        self.stdout.write(json.dumps(report, ensure_ascii=False, indent=1) if options["json"] else _text(received))
        if received.counts["quarantined"] or received.counts["refused"]:
            raise CommandError("Not every file was taken; the report names each and why.", returncode=1)


def _where(options: dict[str, Any]) -> dict[str, Any]:
    try:
        study = Study.objects.get(code=options["study"])
        site = Site.objects.get(study=study, code=options["site"])
        number = options["subject"]
        subject = Subject.objects.get(study=study, site=site, number=number) if number else None
        by = people.acting_user(options["user"])
    except (Study.DoesNotExist, Site.DoesNotExist, Subject.DoesNotExist, User.DoesNotExist) as missing:
        raise CommandError(f"{missing} Check the study, site, subject or user you named.") from missing
    return {"study": study, "site": site, "subject": subject, "by": by}


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for each in found:
        yield each.name, each


def _series(received: Intake) -> list[dict[str, Any]]:
    uids = received.instances.values_list("series_instance_uid", flat=True).distinct()
    found = Series.objects.filter(study=received.study, series_instance_uid__in=uids).select_related("subject")
    return [
        {
            "id": one.pk,
            "volume": one.volume_number,
            "kind": one.kind,
            "modality": one.modality,
            "size": one.geometry.get("size"),
            "spacing": one.geometry.get("spacing"),
            "qc": one.verdict,
            "subject": one.subject.number if one.subject else None,
        }
        for one in found
    ]


def _text(received: Intake) -> str:
    lines = [", ".join(f"{name} {count}" for name, count in received.counts.items())]
    lines += [f"{row['outcome']}: file {row['n']} {row['name']}: {row['why']}" for row in received.problems]
    lines += [
        f"series {row['id']}: {row['modality']} {row['kind']} {row['size']} {row['qc']} {row['subject'] or 'inbox'}"
        for row in _series(received)
    ]
    return "\n".join(lines)
