"""Both studies with a synthetic cohort, built through the real path, then the site on http://127.0.0.1:8000."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deploy import processes
from deploy.demo import accounts, build
from deploy.demo.progress import Bar
from deploy.demo.summary import summary

PORT = 8000
START_SECONDS = 60


class Command(BaseCommand):
    help = f"{__doc__} Run again, it changes nothing; killed half-way, it goes on where it stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="end after building")
        parser.add_argument("--full", action="store_true", help="400 and 230 subjects instead of 120 and 70")
        parser.add_argument("--json", action="store_true", help="print a summary as JSON")
        parser.add_argument(
            "--workers", type=int, default=min(os.cpu_count() or 1, 4), help="processes that enter data"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # The demo listens on this machine only, without TLS; its children read this when they start.
        os.environ["HTTPS"] = "no"
        bar = Bar(self.stderr)  # type: ignore[arg-type]
        try:
            build.everything(size="full" if options["full"] else "demo", bar=bar, workers=options["workers"])
        except (build.NotForDemo, build.NightFailed, processes.ProcessStopped) as problem:
            raise CommandError(str(problem)) from problem
        made = summary(build.studies(), bar.seconds)
        self.stdout.write(json.dumps(made, ensure_ascii=False, indent=1) if options["json"] else _text(made))
        if made["audit"]["problems"]:
            raise CommandError("The audit trail does not verify; the summary names the rows.")
        if not options["no_serve"]:
            self.serve()

    def serve(self) -> None:
        """Web, worker and beat until Ctrl-C or kill."""
        os.environ["BIND"] = f"127.0.0.1:{PORT}"
        try:
            with processes.running("web", "worker", "beat") as started:
                if not processes.wait(lambda: processes.answers(PORT), started, seconds=START_SECONDS, every=0.3):
                    raise CommandError(f"The site does not answer on port {PORT}; see var/log/web.log.")
                self.stdout.write(_accounts())
                processes.wait(lambda: False, started, seconds=float("inf"), every=1)
        except processes.ProcessStopped as problem:
            raise CommandError(str(problem)) from problem
        except KeyboardInterrupt:
            self.stdout.write("\nstopped")


def _text(made: dict[str, Any]) -> str:
    lines = []
    for code, study in made["studies"].items():
        counts = ", ".join(f"{study[name]} {name}" for name in ("subjects", "records", "series", "features"))
        lines.append(f"{code}  SYNTHETIC  {counts}")
        lines += [f"  dataset {one['name']} v{one['version']} {one['hash']}" for one in study["datasets"]]
        lines += [f"  {one['plan']} ({one['set']}, {one['split']}): {_numbers(one)}" for one in study["evaluations"]]
    audit = made["audit"]
    lines.append(f"audit: {audit['rows']} rows in {audit['seals']} seals, {'clean' if audit['clean'] else 'NOT CLEAN'}")
    return "\n".join(lines)


def _numbers(evaluation: dict[str, Any]) -> str:
    named = [(name, evaluation[name]) for name in ("auc", "sensitivity", "specificity")]
    return ", ".join(f"{name} {one['value']:.2f} ({one['lo']:.2f} to {one['hi']:.2f})" for name, one in named if one)


def _accounts() -> str:
    known = accounts.passwords(build.ACCOUNTS)
    lines = ["", f"http://127.0.0.1:{PORT}   SYNTHETIC DATA", ""]
    lines += [f"  {one.username:<14} {known[one.username]:<14} {one.zh} / {one.en}" for one in accounts.CAST[:8]]
    return "\n".join([*lines, "", f"All accounts: {build.ACCOUNTS}. Ctrl-C stops everything."])
