"""Keep what is being typed until it is saved: for its author only, never as data."""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Mapping

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from crf.models import Draft
from registry.models import User, Visit
from registry.permissions import Permission, authorise

LIFE = dt.timedelta(days=30)
MOST_FIELDS = 20_000
MOST_CHARACTERS = 2_000_000
# The fields of the entry page that say what was typed.
KEPT = ("value-", "missing-", "comment-", "reason-", "unit-", "row-", "remove-", "clear-", "choice-", "section")


class DraftRefused(ValueError):
    """The fields are more than a page can have."""


def keep(
    *,
    visit: Visit,
    form: str,
    repeat: int,
    revision: int,
    fields: Mapping[str, list[str]],
    purpose: str = "entry",
    by: User,
) -> Draft:
    """Keep the unsaved fields of the person's entry page in place of those kept before. Raises DraftRefused.

    `revision` is that of the record which the page showed (0: none): what a later save is compared with.
    """
    authorise(by, Permission.RECORD_ENTER, subject=visit.subject)
    kept = {name: list(texts) for name, texts in fields.items() if name.startswith(KEPT)}
    size = sum(len(name) + sum(len(text) for text in texts) for name, texts in kept.items())
    if len(kept) > MOST_FIELDS or size > MOST_CHARACTERS or any("\0" in text for one in kept.values() for text in one):
        raise DraftRefused(_("This is more than an entry page can hold; it was not kept."))
    place = {"user": by, "visit": visit, "form": form, "repeat": repeat, "purpose": purpose}
    values = {"fields": kept, "revision": revision, "saved_at": timezone.now()}
    Draft.objects.filter(saved_at__lt=timezone.now() - LIFE).delete()
    return Draft.objects.update_or_create(defaults=values, **place)[0]


def discard(
    *, visit: Visit, form: str, repeat: int, purpose: str = "entry", until: dt.datetime | None = None, by: User
) -> None:
    """Forget the person's own draft of a place: it was saved, or they took it back.

    One kept after `until` stays: it was typed on another page of theirs, and is not what was saved.
    """
    authorise(by, Permission.RECORD_VIEW, subject=visit.subject)
    drafts = Draft.objects.filter(user=by, visit=visit, form=form, repeat=repeat, purpose=purpose)
    (drafts if until is None else drafts.filter(saved_at__lte=until)).delete()


def own_draft(*, visit: Visit, form: str, repeat: int, purpose: str = "entry", user: User) -> Draft | None:
    """The person's own draft of a place, while it lasts; nobody else's."""
    found = Draft.objects.filter(user=user, visit=visit, form=form, repeat=repeat, purpose=purpose)
    return found.filter(saved_at__gte=timezone.now() - LIFE).first()


def mirror_key(user: User) -> str:
    """The person's key (hex) for what their browser keeps while the server can't be reached.

    What stays on a shared computer is unreadable until its author signs in again.
    """
    return hmac.digest(settings.SECRET_KEY.encode(), f"lobule draft mirror {user.pk}".encode(), "sha256").hex()
