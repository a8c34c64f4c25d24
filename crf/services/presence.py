"""Who has a record open just now, so that two people on one record see each other."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from crf.models import Presence
from registry.models import User, Visit
from registry.permissions import Permission, authorise

LIFE = dt.timedelta(seconds=45)  # the page says that it is open every fifteen seconds


def seen(*, visit: Visit, form: str, repeat: int, typing: bool, by: User) -> list[Presence]:
    """Note that the person has the page open, and tell who else has, longest there first."""
    authorise(by, Permission.RECORD_VIEW, subject=visit.subject)
    now = timezone.now()
    Presence.objects.filter(seen_at__lt=now - 20 * LIFE).delete()
    row = Presence(visit=visit, form=form, repeat=repeat, user=by, typing=typing, seen_at=now)
    Presence.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["visit", "form", "repeat", "user"],
        update_fields=["typing", "seen_at"],
    )
    there = Presence.objects.filter(visit=visit, form=form, repeat=repeat, seen_at__gte=now - LIFE)
    return list(there.exclude(user=by).select_related("user").order_by("pk"))


def left(*, visit: Visit, form: str, repeat: int, by: User) -> None:
    """The page was closed."""
    authorise(by, Permission.RECORD_VIEW, subject=visit.subject)
    Presence.objects.filter(visit=visit, form=form, repeat=repeat, user=by).delete()
