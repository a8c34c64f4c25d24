"""What a person typed into the entry form, and stored values as a person would type them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from crf.definitions.model import Codelist, Form, Item, StudyDefinition
from crf.definitions.pages import page_of, pages
from crf.definitions.rows import ROW
from crf.definitions.values import TYPED, display_value, is_missing


@dataclass(frozen=True)
class Reason:
    """Why saved answers change: a code of `registry.wording.REASONS` and words; the trail keeps `code: words`."""

    code: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.code == "other":
            return f"other: {self.text}" if self.text else ""
        return ": ".join(part for part in (self.code, self.text) if part)


def typed(form: Form, post: QueryDict) -> dict[str, Any]:
    """What was typed on the page that was sent, by item, as the services take it.

    Text, a list of codes, a number with its unit, a missing value, a file; of a group the list of its rows.
    """
    names = page_of(form, post.get("section")).names
    return {
        name: _typed_rows(form, name, post) if item.type == "group" else _typed_item(name, item, post)
        for name, item in form.items.items()
        if item.is_entered and name in names
    }


def _typed_rows(form: Form, group: str, post: QueryDict) -> list[dict[str, Any]]:
    """The rows that the page had, but those marked for removal; blank ones too, which the services leave out."""
    removed = set(post.getlist(f"remove-{group}"))
    numbers = [number for number in dict.fromkeys(post.getlist(f"row-{group}")) if number not in removed]
    entered = [item for item in form.groups[group].items if item.is_entered]
    return [
        {ROW: int(number)}
        | {item.name: _typed_item(f"{group}[{int(number)}].{item.name}", item, post) for item in entered}
        for number in numbers
        if number.isascii() and number.isdigit() and len(number) <= 6 and int(number) > 0
    ]


def _typed_item(name: str, item: Item, post: QueryDict) -> Any:
    if missing := post.get(f"missing-{name}"):
        return {"missing": missing, "reason": post.get(f"missing-reason-{name}", "").strip()}
    if item.type == "choices":
        return post.getlist(f"value-{name}")
    text = post.get(f"value-{name}", "").strip()
    if item.type in ("file", "series"):
        return "" if f"clear-{name}" in post else _reference(text)
    unit = post.get(f"unit-{name}", "")
    return {"value": text, "unit": unit} if unit and unit != item.unit else text


def _reference(text: str) -> Any:
    """A stored file or series as the page carries it; any other text is left to the services to refuse."""
    if not text.startswith("{") or len(text) > 4000:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def with_blank_rows(form: Form, answers: Mapping[str, Any], next_rows: Mapping[str, int]) -> dict[str, Any]:
    """`answers` with one blank row at the end of each group that may have another, numbered as `next_rows` says."""
    found = dict(answers)
    for group, section in form.groups.items():
        rows = rows_of(found.get(group))
        is_full = section.rows is None or len(rows) >= section.rows.max
        if not is_full and not (rows and is_blank(section.items, rows[-1])):
            following = max([next_rows.get(group, 1), *(int(row[ROW]) + 1 for row in rows)])
            found[group] = [*rows, {ROW: following}]
    return found


def page_asked(form: Form, post: QueryDict) -> str:
    """The query of the page to show after a save: the one that a button asked for, else the one that was sent."""
    if len(pages(form)) == 1:
        return ""
    act = post.get("act", "")
    wanted = act.removeprefix("section-") if act.startswith("section-") else post.get("section")
    return f"?section={page_of(form, wanted).number}"


def comments(form: Form, post: QueryDict) -> dict[str, str]:
    """Why soft findings stand, by address; an emptied comment is taken back."""
    names = (name.removeprefix("comment-") for name in post if name.startswith("comment-"))
    return {name: post.get(f"comment-{name}", "").strip() for name in names if form.has(name)}


def reason(post: QueryDict) -> Reason:
    return Reason(post.get("reason-code", "").strip(), post.get("reason-text", "").strip())


def revision_of(post: QueryDict) -> int:
    """The revision of the record that the page showed; 0 where it showed none."""
    revision = post.get("revision", "")
    return int(revision) if revision.isdecimal() and len(revision) < 10 else 0


def as_typed(form: Form, study: StudyDefinition, values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values the way a person would type them; converted numbers in the unit that was typed."""
    given: Mapping[str, Any] = values.get(TYPED) or {}

    def shown(item: Item, place: str, value: Any) -> Any:
        return given[place] if place in given else _as_typed(item, study.codelist(item), value)

    return {
        name: [
            {ROW: row[ROW]}
            | {
                one.name: shown(one, f"{name}[{row[ROW]}].{one.name}", row.get(one.name))
                for one in form.groups[name].items
            }
            for row in rows_of(values.get(name))
        ]
        if item.type == "group"
        else shown(item, name, values.get(name))
        for name, item in form.items.items()
    }


def _as_typed(item: Item, codelist: Codelist | None, value: Any) -> Any:
    if is_missing(value) or item.type in ("choice", "choices"):
        return value if value is not None else ("" if item.type == "choice" else [])
    if item.type in ("file", "series"):
        return value or ""
    return display_value(item, codelist, value)


def rows_of(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def is_blank(items: Iterable[Item], row: Mapping[str, Any]) -> bool:
    return not any(_is_typed(row.get(item.name)) for item in items if item.is_entered)


def _is_typed(answer: Any) -> bool:
    """Whether anything was typed; a unit alone is no answer."""
    return bool(answer.get("value") if isinstance(answer, dict) and "value" in answer else answer)
