"""A long form as pages: whole sections where they fit, parts of a section where one alone is too long."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Form, Item, Section

ONE_PAGE = 150  # a form of no more questions than this is one page
LONGEST = 100  # questions on a page of a longer form


@dataclass(frozen=True)
class Part:
    """A section, or some consecutive items of it; `number` of `of` parts."""

    section: Section
    items: tuple[Item, ...]
    number: int = 1
    of: int = 1

    def name(self, language: str) -> str:
        name = self.section.name.of(language)
        return f"{name} ({self.number}/{self.of})" if self.of > 1 else name


@dataclass(frozen=True)
class Page:
    """What is shown and sent at once; `names` are the items and groups that are on it."""

    number: int
    parts: tuple[Part, ...]

    @property
    def names(self) -> frozenset[str]:
        """Of a repeating group its own name, of other sections those of their items."""
        return frozenset(
            name
            for part in self.parts
            for name in ([part.section.rows.name] if part.section.rows else [item.name for item in part.items])
        )


def pages(form: Form) -> tuple[Page, ...]:
    """The pages of a form, kept with it: one for most forms."""
    kept: tuple[Page, ...] | None = form.__dict__.get("_pages")
    if kept is None:
        kept = form.__dict__["_pages"] = _paged(form)
    return kept


def page_of(form: Form, number: object) -> Page:
    """The page of a number as an address or a field gives it; the first one for anything else."""
    found = pages(form)
    text = str(number or "")
    index = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1
    return found[index - 1] if 1 <= index <= len(found) else found[0]


def page_with(form: Form, name: str) -> Page:
    """The page that an item or group is on; the first one where the form has none of that name."""
    return next((page for page in pages(form) if name in page.names), pages(form)[0])


def _paged(form: Form) -> tuple[Page, ...]:
    parts = [part for section in form.sections for part in _parts(section)]
    if len(form.questions) <= ONE_PAGE:
        whole = tuple(Part(section, section.items) for section in form.sections)
        return (Page(1, whole),)
    return tuple(Page(number, (part,)) for number, part in enumerate(parts, start=1))


def _parts(section: Section) -> list[Part]:
    """A group stays whole, since its rows are sent together."""
    if section.rows or len(section.items) <= LONGEST:
        return [Part(section, section.items)]
    starts = range(0, len(section.items), LONGEST)
    return [
        Part(section, section.items[start : start + LONGEST], number, len(starts))
        for number, start in enumerate(starts, start=1)
    ]
