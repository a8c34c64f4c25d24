"""The entry form of a record: what a definition shows, and what a person typed into it.

Fields are named `value-<item>`, `missing-<item>`, `missing-reason-<item>` and `comment-<item>`. What is typed goes
back into the page as it was typed, whatever the server thinks of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from crf.definitions.check import Finding
from crf.definitions.model import Codelist, Form, Item, StudyDefinition
from crf.definitions.values import display_value, is_missing
from crf.selectors import Entry

RADIO_LIMIT = 6  # more choices than this are a list to pick from
SHORT_LABELS = 60  # characters of all labels together that fit on one line
LONG_TEXT = 200
SHORT_WORDS = {"not_done": "ND", "unknown": "UNK", "not_applicable": "NA"}


@dataclass(frozen=True)
class Reason:
    """Why saved answers change: a code of `registry.wording.REASONS` and words; the trail keeps `code: words`."""

    code: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.code == "other":
            return f"other: {self.text}" if self.text else ""
        return ": ".join(part for part in (self.code, self.text) if part)


@dataclass(frozen=True)
class Option:
    code: str
    label: str
    chosen: bool
    short: str = ""


@dataclass(frozen=True)
class Remark:
    """A finding in the reader's language, at its item; severity is hard, soft or required."""

    item: str
    label: str
    severity: str
    text: str


@dataclass(frozen=True)
class ItemView:
    """One line of the entry form."""

    name: str
    control: str
    label: str
    help: str
    unit: str
    required: bool
    text: str
    options: tuple[Option, ...]
    missing: str
    missing_reason: str
    visible: bool = True
    comment: str = ""
    findings: tuple[Remark, ...] = ()
    history_url: str = ""

    @property
    def is_hard(self) -> bool:
        return any(remark.severity == "hard" for remark in self.findings)

    @property
    def is_soft(self) -> bool:
        return any(remark.severity == "soft" for remark in self.findings)

    @property
    def shows_comment(self) -> bool:
        return self.is_soft or bool(self.comment)

    @property
    def is_short(self) -> bool:
        return sum(len(option.label) for option in self.options) <= SHORT_LABELS

    @property
    def described_by(self) -> str:
        return f"help-{self.name} findings-{self.name}" if self.help else f"findings-{self.name}"

    @property
    def inputmode(self) -> str:
        return {"number": "decimal", "time": "numeric"}.get(self.control, "")

    @property
    def placeholder(self) -> str:
        return {"date": _("YYYY-MM-DD"), "time": "HH:MM", "datetime": _("YYYY-MM-DD HH:MM")}.get(self.control, "")

    @property
    def missing_options(self) -> list[Option]:
        return [
            Option(code, str(_missing_label(code)), code == self.missing, short) for code, short in SHORT_WORDS.items()
        ]


def _missing_label(code: str) -> str:
    return {"not_done": _("not done"), "unknown": _("unknown"), "not_applicable": _("not applicable")}[code]


@dataclass(frozen=True)
class SectionView:
    name: str
    help: str
    items: tuple[ItemView, ...]

    @property
    def visible(self) -> bool:
        return any(item.visible for item in self.items)


@dataclass(frozen=True)
class Evaluation:
    """What the checks say of the form as typed, for the summary and for the lines of the form."""

    hidden: tuple[str, ...]
    remarks: tuple[Remark, ...]
    derived: tuple[tuple[str, str], ...]
    to_do: int  # required items still empty, named or not

    @property
    def hard(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "hard"]

    @property
    def soft(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "soft"]

    @property
    def required(self) -> list[Remark]:
        return [remark for remark in self.remarks if remark.severity == "required"]

    def at(self, item: str) -> tuple[Remark, ...]:
        return tuple(remark for remark in self.remarks if remark.item == item)

    def items(self) -> list[dict[str, Any]]:
        """The remarks grouped by item, as the fragment lists them."""
        names = dict.fromkeys(remark.item for remark in self.remarks)
        return [{"name": name, "findings": self.at(name), **self._severities(name)} for name in names]

    def _severities(self, item: str) -> dict[str, bool]:
        found = {remark.severity for remark in self.at(item)}
        return {"is_hard": "hard" in found, "is_soft": "soft" in found}


def evaluation(entry: Entry, study: StudyDefinition, language: str, *, names_required: bool) -> Evaluation:
    """What to tell of `entry`; empty required items are counted, and named only once asked for."""
    required = {finding.item for finding in entry.state.findings if finding.check == "required"}
    found = [f for f in entry.state.findings if names_required or f.check != "required"]
    remarks = [Remark(f.item, _label(entry.form, f.item, language), _weight(f), f.message.of(language)) for f in found]
    unread = [
        Remark(name, _label(entry.form, name, language), "hard", bad.of(language)) for name, bad in entry.unread.items()
    ]
    return Evaluation(
        hidden=tuple(name for name in entry.form.items if name not in entry.state.visible),
        remarks=tuple(_in_order(entry.form, [*unread, *remarks])),
        derived=tuple(
            (name, display_value(item, study.codelist(item), entry.state.values.get(name), language))
            for name, item in entry.form.items.items()
            if item.type == "derived"
        ),
        to_do=len(required),
    )


def _weight(finding: Finding) -> str:
    """An empty required item asks for an answer, not for a comment."""
    return "required" if finding.check == "required" else finding.severity


def _in_order(form: Form, remarks: Iterable[Remark]) -> list[Remark]:
    order = list(form.items)
    return sorted(remarks, key=lambda remark: order.index(remark.item) if remark.item in order else len(order))


def _label(form: Form, item: str, language: str) -> str:
    return form.items[item].label.of(language) if item in form.items else ""


def typed(form: Form, post: QueryDict) -> dict[str, Any]:
    """What was typed, by item, as the services take it: text, a list of codes, or a missing value."""
    return {name: _typed_item(name, item, post) for name, item in form.items.items() if item.is_entered}


def _typed_item(name: str, item: Item, post: QueryDict) -> Any:
    if missing := post.get(f"missing-{name}"):
        return {"missing": missing, "reason": post.get(f"missing-reason-{name}", "").strip()}
    if item.type == "choices":
        return post.getlist(f"value-{name}")
    return post.get(f"value-{name}", "").strip()


def comments(form: Form, post: QueryDict) -> dict[str, str]:
    """Why soft findings stand, by item; an emptied comment is taken back."""
    return {name: post.get(f"comment-{name}", "").strip() for name in form.items if f"comment-{name}" in post}


def reason(post: QueryDict) -> Reason:
    return Reason(post.get("reason-code", "").strip(), post.get("reason-text", "").strip())


def revision_of(post: QueryDict) -> int:
    """The revision of the record that the page showed; 0 where it showed none."""
    revision = post.get("revision", "")
    return int(revision) if revision.isdecimal() else 0


def as_typed(form: Form, study: StudyDefinition, values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values the way a person would type them."""
    return {name: _as_typed(item, study.codelist(item), values.get(name)) for name, item in form.items.items()}


def _as_typed(item: Item, codelist: Codelist | None, value: Any) -> Any:
    if is_missing(value) or item.type in ("choice", "choices"):
        return value if value is not None else ("" if item.type == "choice" else [])
    return display_value(item, codelist, value)


def sections(
    form: Form,
    study: StudyDefinition,
    language: str,
    *,
    answers: Mapping[str, Any],
    remarks: Mapping[str, str],
    found: Evaluation,
    history_urls: Mapping[str, str],
) -> list[SectionView]:
    """The form with `answers` as typed, `remarks` as comments, and what was `found` beside the items."""
    given = dict(answers) | dict(found.derived)

    def view(item: Item) -> ItemView:
        line = _line(item, study.codelist(item), given.get(item.name, ""), language)
        return replace(
            line,
            visible=item.name not in found.hidden,
            comment=remarks.get(item.name, ""),
            findings=found.at(item.name),
            history_url=history_urls.get(item.name, ""),
        )

    return [
        SectionView(
            name=section.name.of(language),
            help=section.help.of(language) if section.help else "",
            items=tuple(view(item) for item in section.items),
        )
        for section in form.sections
    ]


def _line(item: Item, codelist: Codelist | None, answer: Any, language: str) -> ItemView:
    """The item with its answer, before anything was found."""
    missing = answer if isinstance(answer, dict) else {}
    return ItemView(
        name=item.name,
        control=_control(item, codelist),
        label=item.label.of(language),
        help=item.help.of(language) if item.help else "",
        unit=item.unit or "",
        required=item.required is not False and item.is_entered,
        text=answer if isinstance(answer, str) else "",
        options=_options(item, codelist, answer, language),
        missing=missing.get("missing", ""),
        missing_reason=missing.get("reason", ""),
    )


def _control(item: Item, codelist: Codelist | None) -> str:
    if item.type == "choice":
        return "radio" if codelist and len(codelist.choices) <= RADIO_LIMIT else "select"
    if item.type == "text":
        return "long" if (item.max_length or 0) > LONG_TEXT else "text"
    return {"integer": "number", "decimal": "number", "choices": "checkboxes"}.get(item.type, item.type)


def _options(item: Item, codelist: Codelist | None, answer: Any, language: str) -> tuple[Option, ...]:
    if codelist is None or item.type not in ("choice", "choices"):
        return ()
    chosen = answer if isinstance(answer, list) else [answer] if isinstance(answer, str) else []
    return tuple(Option(c.code, c.label.of(language), c.code in chosen) for c in codelist.choices)


def fields_of(name: str, answer: Any) -> dict[str, list[str]]:
    """The fields and values that show `answer`, for the button that takes the other person's answer."""
    missing = answer if isinstance(answer, dict) else {}
    values = [] if missing else answer if isinstance(answer, list) else [answer] if answer else []
    return {
        f"value-{name}": values,
        f"missing-{name}": [missing["missing"]] if missing else [],
        f"missing-reason-{name}": [missing.get("reason", "")],
    }
