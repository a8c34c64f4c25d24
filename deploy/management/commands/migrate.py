"""Django's `migrate`, as the role that owns the tables; web and workers never own any."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections


class Command(Migrate):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def execute(self, *args: Any, **options: Any) -> Any:
        if options["database"] not in connections:
            raise CommandError("DATABASE_OWNER_URL is not set; only the owner of the tables can change them.")
        return super().execute(*args, **options)
