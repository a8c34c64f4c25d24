"""What stands beside an item of the entry page: its queries, and whether it was verified against the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from crf.definitions.sampling import value_digest
from crf.models import Query, Record, SourceVerification
from crf.selectors.queries import by_item, queries_at
from crf.selectors.sdv import entered_values
from crf.views.places import Place
from registry.permissions import Permission


@dataclass(frozen=True)
class Mark:
    """One item: where its panel is, how many queries wait there or were closed, and its verification."""

    address: str
    path: str
    waiting: int
    closed: int
    state: str  # of the query that waits longest for the site: open, answered, or closed
    sdv: str  # verified, changed, or empty
    may_raise: bool

    @property
    def url(self) -> str:
        return f"{self.address}?{urlencode({'item': self.path})}"

    @property
    def is_shown(self) -> bool:
        return self.may_raise or bool(self.waiting or self.closed)


class Marks:
    """The marks of one form; at most two queries, whatever its size. Nothing where a second person enters it unseen."""

    def __init__(self, place: Place) -> None:
        self.address = place.url_of("crf:place-queries")
        is_blind = place.is_second
        known = place.records[0] if place.records else None  # each knows of the whole subject
        was_queried = known is None or known.was_queried
        found = queries_at(place.visit, place.form.oid, place.repeat) if was_queried and not is_blind else []
        self.queries = by_item(found)
        self.may_raise = Permission.QUERY_RAISE in place.held and not is_blind
        self.has_record = place.record is not None
        self.sdv_url = place.url_of("crf:sdv-record") if self._is_to_verify(place) else ""
        has_sdv = known is None or known.has_sdv
        self.sdv = _standing(place.record) if place.record and has_sdv and not is_blind else {}

    @staticmethod
    def _is_to_verify(place: Place) -> bool:
        record = place.record
        may = Permission.RECORD_VERIFY in place.held
        return may and record is not None and record.status != Record.Status.IN_PROGRESS

    def at(self, path: str = "") -> Mark:
        """The mark of an item by its path; of the form itself without one."""
        found = self.queries.get(path, [])
        waiting = [query for query in found if query.status != Query.Status.CLOSED]
        is_open = any(query.status == Query.Status.OPEN for query in waiting)
        return Mark(
            address=self.address,
            path=path,
            waiting=len(waiting),
            closed=len(found) - len(waiting),
            state="open" if is_open else "answered" if waiting else "closed",
            sdv=self.sdv.get(path, ""),
            may_raise=self.may_raise and (self.has_record or not path),
        )

    @property
    def waiting(self) -> list[Query]:
        """Everything that waits on this form, oldest first."""
        found = [query for queries in self.queries.values() for query in queries]
        return sorted((one for one in found if one.status != Query.Status.CLOSED), key=lambda query: query.pk)


def _standing(record: Record) -> dict[str, str]:
    held = SourceVerification.objects.filter(record=record).first()
    if held is None:
        return {}
    now: dict[str, Any] = entered_values(record)
    verified = {path: "verified" for path, one in held.items.items() if one["digest"] == value_digest(now.get(path))}
    return dict.fromkeys(held.changed, "changed") | verified
