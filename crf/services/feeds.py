"""Calendar feeds: one secret, revocable address per person and study, for their own calendar program."""

from __future__ import annotations

import hashlib
import secrets

from crf.models import CalendarFeed
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise


def make(*, study: Study, language: str, by: User) -> str:
    """The token of a new address; the one before it stops working. It is shown once: only its hash is kept."""
    authorise(by, Permission.RECORD_VIEW, study=study)
    token = secrets.token_urlsafe(32)
    with audit.change(by=by):
        values = {"token_hash": token_hash(token), "language": language}
        CalendarFeed.objects.update_or_create(user=by, study=study, defaults=values)
        audit.event(kind="calendar.feed_made", study=study)
    return token


def revoke(*, study: Study, by: User) -> None:
    """The address stops working at once."""
    authorise(by, Permission.RECORD_VIEW, study=study)
    with audit.change(by=by):
        deleted, _kinds = CalendarFeed.objects.filter(user=by, study=study).delete()
        if deleted:
            audit.event(kind="calendar.feed_revoked", study=study)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
