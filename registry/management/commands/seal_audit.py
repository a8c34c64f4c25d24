"""Seal what was written to the audit trail since the last seal."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.services import people, seals


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        sealed = seals.seal(by=people.system_user())
        self.stdout.write(
            f"Seal {sealed.pk}: {sealed.rows} rows, root {sealed.root}" if sealed else "Nothing new to seal."
        )
