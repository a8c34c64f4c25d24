"""The entry page of a record: the form as typed, what the checks say, and what lies around it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf import forms
from crf.definitions.pages import Page, page_of
from crf.definitions.rows import ROW
from crf.models import Record
from crf.selectors import CasebookRow, last_row_of, read_entry, visit_row
from crf.selectors.builds import orphans_of
from crf.selectors.series import series_of
from crf.services import drafts
from crf.views.marks import Marks
from crf.views.places import Place, links
from registry.permissions import Permission
from registry.web import render_page
from registry.wording import REASONS


def show(
    request: HttpRequest,
    place: Place,
    *,
    answers: Mapping[str, Any],
    comments: Mapping[str, str],
    reason: forms.Reason | None = None,
    status: int = 200,
    revision: int | None = None,
    names_required: bool = False,
    section: str | None = None,
    **trouble: Any,
) -> HttpResponse:
    """The page with `answers` as typed; `trouble` (problem, reason_missing, conflict) says what went wrong.

    Of a long form the page is that of `section`, else of what was sent, else of the address.

    `revision` is that of the record which `answers` were typed on, where it is not the present one.
    """
    names_required = names_required or (place.record is not None and place.record.status != Record.Status.IN_PROGRESS)
    page = page_of(place.form, section or request.POST.get("section") or request.GET.get("section"))
    next_rows = {group: last_row_of(place.record, group) + 1 for group in place.form.groups}
    answers = forms.with_blank_rows(place.form, answers, next_rows)
    found = evaluate(place, answers, names_required=names_required, page=page)
    draft = trouble.get("draft")
    context = _around(request, place) | {
        "draft_kept": draft.saved_at.isoformat() if draft else request.POST.get("draft-kept", ""),
        "record": place.record,
        "revision": revision if revision is not None else revision_now(place),
        "revision_now": revision_now(place),
        "evaluation": found,
        "names_required": names_required,
        "reasons": REASONS.items(),
        "reason": reason or forms.Reason(),
        "sections": forms.sections(
            place.form,
            place.study,
            language(),
            answers=answers,
            remarks=comments,
            found=found,
            history_urls=_history_urls(place, answers),
            page=page,
            next_rows=next_rows,
            series=series_of(place.subject, request.user) if _names_series(place) else (),
        ),
        "page": page,
        "page_links": forms.page_links(place.form, page, language(), found),
    }
    response = render_page(request, "crf/record_edit.html", context | trouble, status=status)
    response["Cache-Control"] = "private, no-store"
    return response


def _names_series(place: Place) -> bool:
    return any(item.type == "series" for item in place.form.questions.values())


@dataclass(frozen=True)
class Saved:
    """Who saved the record's present revision, and when."""

    revision: int
    at: dt.datetime
    by: str


def last_saved(record: Record) -> Saved | None:
    columns = "revision", "history_date", "history_user__full_name", "history_user__username"
    found = record.history.values_list(*columns).first()
    return Saved(found[0], found[1], found[2] or found[3] or "") if found else None


def is_anothers(request: HttpRequest) -> bool:
    """Whether the page that is sent was opened by another account: its answers are not the sender's."""
    return request.POST.get("author", str(request.user.pk)) != str(request.user.pk)


def draft_seen(request: HttpRequest) -> dt.datetime | None:
    """When the draft was kept that the page showed or sent last; None from a page that does not tell."""
    told = request.POST.get("draft-kept")
    if told is None:
        return None
    try:
        return dt.datetime.fromisoformat(told).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)  # it had none


def turned_away(request: HttpRequest, place: Place) -> HttpResponse:
    """Back to the sender's own page; what another person typed is saved under nobody else's name."""
    messages.error(request, _("Somebody else opened that page; nothing was saved. What they typed is kept for them."))
    return redirect(place.form_url)


def fields_of(kept: Mapping[str, list[str]]) -> QueryDict:
    """A draft's fields as a browser would send them."""
    fields = QueryDict(mutable=True)
    for name, texts in kept.items():
        fields.setlist(name, texts)
    return fields


def revision_now(place: Place) -> int:
    return place.record.revision if place.record else 0


def evaluate(
    place: Place, answers: Mapping[str, Any], *, names_required: bool, page: Page | None = None
) -> forms.Evaluation:
    """What the checks say of `answers`; writes nothing."""
    entry = read_entry(
        subject=place.subject,
        visit=place.visit,
        form=place.form.oid,
        typed={name: answers[name] for name in place.form.items if name in answers},
        record=place.record,
        definition=place.study,
        records=place.records,
    )
    return forms.evaluation(entry, place.study, language(), names_required=names_required, answers=answers, page=page)


def stored(place: Place) -> dict[str, Any]:
    """The saved answers, as a person would type them."""
    return forms.as_typed(place.form, place.study, place.record.data if place.record else {})


def next_form(place: Place, row: CasebookRow | None = None) -> dict[str, Any] | None:
    """The form after this one at the same visit, or None at the end."""
    row = row or _row(place)
    oids = [cell.form.oid for cell in row.cells] if row else []
    after = oids.index(place.form.oid) + 1 if place.form.oid in oids else len(oids)
    if row is None or after >= len(oids):
        return None
    return next((link for link in links(row, place.subject) if link["form"] == oids[after]), None)


def _around(request: HttpRequest, place: Place) -> dict[str, Any]:
    row = _row(place)
    second = "?second=yes" if place.is_second else ""
    help_text = place.form.help
    return {
        "place": place,
        "subject": place.subject,
        "build": place.build,
        "form": {"name": place.form.name.of(language()), "help": help_text.of(language()) if help_text else ""},
        "may_enter": place.may_enter,
        "may_verify": Permission.RECORD_VERIFY in place.held and _is(place, Record.Status.COMPLETE),
        "may_sign": Permission.RECORD_SIGN in place.held and _is(place, Record.Status.COMPLETE, Record.Status.VERIFIED),
        "may_unlock": Permission.DATASET_LOCK in place.held and _is(place, Record.Status.LOCKED),
        "visit_name": place.visit_name,
        "visit_forms": links(row, place.subject, here=place.url) if row else [],
        "next_form": next_form(place, row),
        "state": place.record.status if place.record else "not_started",
        "saved": last_saved(place.record) if place.record else None,
        "verify_url": place.url_of("crf:verify-record"),
        "sign_url": place.url_of("crf:sign-record"),
        "unlock_url": place.url_of("crf:unlock-record"),
        "evaluate_url": place.url_of("crf:evaluate-record") + second,
        "draft_url": place.url_of("crf:draft") + second,
        "discard_url": place.url_of("crf:discard-draft") + second,
        "presence_url": place.url_of("crf:presence") + second,
        "add_file_url": place.url_of("crf:add-file", "ITEM"),
        "mirror_key": drafts.mirror_key(request.user) if place.may_enter else "",
        "has_files": any(item.type == "file" for item in place.form.questions.values()),
        "is_double": place.form.double_entry,
        "history_url": place.url_of("crf:record-history"),
        "marks": Marks(place),
        "orphans": orphans_of(place.record, language()) if place.record and not place.is_second else [],
        "next_repeat_url": place.next_repeat_url,
    }


def _row(place: Place) -> CasebookRow | None:
    """The place's own visit, without another look at the database."""
    return visit_row(place.study, place.visit, place.records, language())


def _is(place: Place, *states: str) -> bool:
    return place.record is not None and place.record.status in states


def _history_urls(place: Place, answers: Mapping[str, Any]) -> dict[str, str]:
    """By address, for the rows on the page too."""
    if place.record is None:
        return {}
    names = list(place.form.items)
    for group, section in place.form.groups.items():
        held = [row for row in answers.get(group) or [] if isinstance(row, dict)]
        names += [f"{group}[{row[ROW]}].{item.name}" for row in held for item in section.items]
    history = place.url_of("crf:record-history")
    return {name: f"{history}{quote(name)}/" for name in names}  # as `reverse` of item-history gives it


def language() -> str:
    return get_language() or "zh-hans"
