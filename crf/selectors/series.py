"""The image series that an item of type `series` may name, as the room above that keeps images tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from registry.models import Subject, User


@dataclass(frozen=True)
class SeriesChoice:
    """One series: `key` is what the answer holds, `url` where it is looked at."""

    key: str
    label: str
    url: str


Source = Callable[[Subject, User], Iterable[SeriesChoice]]
_sources: list[Source] = []


def tell_series(source: Source) -> None:
    """Name, as an app starts, who knows a subject's series: imports go one way, so the forms cannot ask by name."""
    _sources.append(source)


def series_of(subject: Subject, user: User) -> tuple[SeriesChoice, ...]:
    """The subject's series that the user may see."""
    return tuple(choice for source in _sources for choice in source(subject, user))
