"""Django's `migrate`, as the role that owns the tables; web and workers never own any."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

# pgtrigger's triggers ask this function whether the session told them to look away (`SET pgtrigger.ignore`), which any
# role may do; the audit trail's never look away. Its own way of asking, a failing subtransaction for each row, also
# cost the more the longer a transaction was. Every trigger that is installed makes it anew, so it is made last.
NEVER_IGNORED = """
CREATE OR REPLACE FUNCTION public._pgtrigger_should_ignore(trigger_name NAME) RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT FALSE'
"""


class Command(Migrate):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def execute(self, *args: Any, **options: Any) -> Any:
        if options["database"] not in connections:
            raise CommandError("DATABASE_OWNER_URL is not set; only the owner of the tables can change them.")
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("SELECT to_regprocedure('public._pgtrigger_should_ignore(name)') IS NOT NULL")
            if cursor.fetchone() == (True,):
                cursor.execute(NEVER_IGNORED)
