"""What happens every night: seal the audit trail, derive endpoints, extract features, re-evaluate what changed."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.lookup import user_of
from analytics.services import nights
from registry import jobs
from registry.models import Study, User


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", nargs="?", help="study code (default: every study)")
        parser.add_argument("--user", help="act as this account (default: system)")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        by = user_of(options["user"])
        studies = Study.objects.filter(code=options["study"]) if options["study"] else Study.objects.all()
        if not studies:
            raise CommandError(f"no study {options['study'] or ''}; import one first")
        try:
            sealed = nights.seal(by=by)
        except PermissionDenied as refused:
            raise CommandError(str(refused)) from refused
        found: dict[str, Any] = {"seal": sealed.root if sealed else None, "studies": {}}
        failed: dict[str, str] = {}
        for study in studies:
            try:
                result = found["studies"][study.code] = _night_of(study, by)
            except Exception as problem:  # the other studies have their night all the same
                failed[study.code] = f"{type(problem).__name__}: {problem}"
                continue
            if not options["json"]:
                made = f"{result['feature_sets']} feature sets, {len(result['evaluations'])} evaluations"
                self.stdout.write(f"{study.code}: {made}")
        if options["json"]:
            self.stdout.write(json.dumps(found, ensure_ascii=False, indent=1))
        if failed:
            raise CommandError("\n".join(f"{code}: {why}" for code, why in failed.items()))


def _night_of(study: Study, by: User) -> dict[str, Any]:
    job = jobs.create(kind=nights.KIND, study=study, by=by)
    with jobs.running(job.pk) as progress:
        result = nights.run(study=study, progress=progress, by=by)
        progress.finish(result)
    return result
