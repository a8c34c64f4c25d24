"""What a person has to do in a study today, by what their rights let them do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from crf.models import Draft, Import, Query, Record, SecondEntry
from crf.selectors import definition_of, queries, sdv
from crf.selectors.board import unfinished_visits, waiting_visits
from registry.models import Study, User, Visit
from registry.permissions import Permission, rights

P = Permission
SHOWN = 8


@dataclass(frozen=True)
class Task:
    """One kind of work: how much of it there is, and the first of it."""

    kind: str
    count: int
    rows: list[Any]  # drafts, visits, records, second entries or queries, by kind


def worklist(study: Study, user: User) -> list[Task]:
    """The work that waits for the user, most pressing first; kinds with none of it are left out."""
    held = rights(user, study=study)
    found = []
    for kind, needs, rows in TASKS:
        if needs in held:
            waiting = rows(study, user, needs)
            count = waiting.count()
            if count:
                found.append(Task(kind, count, list(waiting[:SHOWN])))
    return found


def _drafts(study: Study, user: User, needs: Permission) -> QuerySet:
    own = Draft.objects.visible_to(user, needs=needs).filter(user=user, visit__subject__study=study)
    return own.select_related("visit__subject").order_by("-saved_at")


def _queries(*statuses: str) -> Callable[[Study, User, Permission], QuerySet]:
    def rows(study: Study, user: User, needs: Permission) -> QuerySet:
        waiting = queries.waiting_for(study, user).filter(status__in=statuses)
        return waiting.select_related("visit", "subject").order_by("-priority", "opened_at")

    return rows


def _records(*statuses: str) -> Callable[[Study, User, Permission], QuerySet]:
    def rows(study: Study, user: User, needs: Permission) -> QuerySet:
        seen = Record.objects.visible_to(user, needs=needs).filter(subject__study=study, status__in=statuses)
        return seen.select_related("visit", "subject").defer("data", "comments").order_by("subject__number", "pk")

    return rows


def _to_verify(study: Study, user: User, needs: Permission) -> QuerySet:
    waiting = sdv.records_to_verify(study, user, sdv.plan_of(study))
    return waiting.select_related("visit", "subject").defer("data", "comments").order_by("subject__number", "pk")


def _changed_after_verification(study: Study, user: User, needs: Permission) -> QuerySet:
    """What was verified and then changed, so that it is to be looked at again."""
    changed = sdv.changed_after_sdv(study, user)
    return changed.select_related("record__visit", "record__subject").order_by("record__subject__number", "pk")


def _imports(study: Study, user: User, needs: Permission) -> QuerySet:
    """The person's own files that are not records yet: read and not started, stopped or failed."""
    over = (Import.State.RUNNING, Import.State.DONE)
    return Import.objects.visible_to(user).filter(study=study, by=user).exclude(state__in=over).order_by("-pk")


def _visits(state: str) -> Callable[[Study, User, Permission], QuerySet]:
    def rows(study: Study, user: User, needs: Permission) -> QuerySet:
        seen = Visit.objects.visible_to(user, needs=needs).filter(subject__study=study)
        return waiting_visits(seen, state).select_related("subject").order_by("window_to", "subject__number")

    return rows


def _unfinished(study: Study, user: User, needs: Permission) -> QuerySet:
    seen = Visit.objects.visible_to(user, needs=needs).filter(subject__study=study)
    waiting = unfinished_visits(seen, definition_of(study))
    return waiting.select_related("subject").order_by("window_to", "subject__number")


def _second_entries(status: str) -> Callable[[Study, User, Permission], QuerySet]:
    def rows(study: Study, user: User, needs: Permission) -> QuerySet:
        """Those that another person's first entry waits for: who typed it can't make the second."""
        seen = SecondEntry.objects.visible_to(user, needs=needs).filter(record__subject__study=study, status=status)
        typed = Record.history.model.objects.filter(id=OuterRef("record_id"), history_user=user)
        typed = typed.filter(~Q(history_source__in=("derived", "dicom", "migration")))
        return seen.filter(~Exists(typed)).select_related("record__visit", "record__subject").order_by("pk")

    return rows


# (kind, who does it, its rows), most pressing first.
TASKS: tuple[tuple[str, Permission, Callable[[Study, User, Permission], QuerySet]], ...] = (
    ("drafts", P.RECORD_ENTER, _drafts),
    ("to_answer", P.QUERY_ANSWER, _queries(Query.Status.OPEN)),
    ("to_close", P.QUERY_CLOSE, _queries(Query.Status.ANSWERED)),
    ("entries_differ", P.RECORD_ENTER, _second_entries(SecondEntry.Status.DIFFERS)),
    ("second_entries", P.RECORD_ENTER, _second_entries(SecondEntry.Status.AWAITED)),
    ("changed_after_verification", P.RECORD_VERIFY, _changed_after_verification),
    ("overdue", P.RECORD_ENTER, _visits("overdue")),
    ("due", P.RECORD_ENTER, _visits("due")),
    ("unfinished", P.RECORD_ENTER, _unfinished),
    ("in_progress", P.RECORD_ENTER, _records(Record.Status.IN_PROGRESS)),
    ("to_sign", P.RECORD_SIGN, _records(Record.Status.COMPLETE, Record.Status.VERIFIED)),
    ("to_verify", P.RECORD_VERIFY, _to_verify),
    ("imports", P.RECORD_IMPORT, _imports),
)
