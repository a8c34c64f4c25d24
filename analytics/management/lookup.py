"""What commands are given by name or number, found or refused with the remedy."""

from __future__ import annotations

from django.core.management.base import CommandError

from analytics.models import Dataset
from registry.models import User
from registry.services import people


def dataset_of(number: int) -> Dataset:
    found = Dataset.objects.select_related("study", "build", "rules").filter(pk=number).first()
    if found is None:
        known = ", ".join(f"{one.pk} ({one.study.code} {one})" for one in Dataset.objects.select_related("study")[:20])
        raise CommandError(f"no dataset {number}; the datasets are: {known or 'none'}")
    return found


def user_of(username: str | None) -> User:
    try:
        return people.acting_user(username)
    except User.DoesNotExist:
        raise CommandError(f"no account {username}; name one with --user, or leave it out to act as system") from None
