"""Typed SQL views of a study's forms, in a schema that only the reporting role reads.

The role of web and workers owns nothing and gains nothing: views are made by the owner's connection, as migrations are,
and `lobule_app` may not even look into their schema.
"""

from __future__ import annotations

from django.db import connections, transaction
from django.utils.translation import gettext as _

from crf.exports import view_sql
from crf.exports.layout import tables
from crf.exports.rules import Wanted
from crf.selectors import export_rows
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise

OWNER = "owner"
OLD_VIEWS = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = %s::regnamespace AND relkind = 'v' AND starts_with(obj_description(oid, 'pg_class'), %s)
"""


class NoOwner(RuntimeError):
    """This process may not make views: DATABASE_OWNER_URL is not set."""


def create(*, study: Study, by: User) -> list[str]:
    """Make the study's views anew, one per form and repeating group over all its builds; their names.

    Raises NoOwner, and ProgrammingError where deploy/roles.sql has not made the schema and the reporting role.
    """
    authorise(by, Permission.BUILD_RELEASE, study=study)
    if OWNER not in connections:
        raise NoOwner(_("Views are made by the owner of the tables: set DATABASE_OWNER_URL."))
    layouts = tables(export_rows.definitions(study), Wanted())
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(OLD_VIEWS, [view_sql.SCHEMA, view_sql.mark(study.code)])
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP VIEW {view_sql.SCHEMA}.{name}")
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", [view_sql.SCHEMA])
        names = view_sql.view_names(study.code, layouts, [taken for (taken,) in cursor.fetchall()])
        for name, layout in zip(names, layouts, strict=True):
            for statement in view_sql.create_view(name, study.code, study.pk, layout):
                cursor.execute(statement)
    with audit.change(by=by):
        audit.event(kind="views.create", study=study, details={"views": len(names)})
    return names
