"""The entry page of a record: the form as typed, what the checks say, and what lies around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language

from crf import forms
from crf.models import Record
from crf.selectors import CasebookRow, casebook, read_entry
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
    names_required: bool = False,
    **trouble: Any,
) -> HttpResponse:
    """The page with `answers` as typed; `trouble` (problem, reason_missing, conflict) says what went wrong."""
    names_required = names_required or (place.record is not None and place.record.status != Record.Status.IN_PROGRESS)
    found = evaluate(place, answers, names_required=names_required)
    context = _around(place) | {
        # After a conflict the next save is on top of what the other person saved.
        "record": trouble["conflict"]["current"] if "conflict" in trouble else place.record,
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
            history_urls=_history_urls(place),
        ),
    }
    return render_page(request, "crf/record_edit.html", context | trouble, status=status)


def evaluate(place: Place, answers: Mapping[str, Any], *, names_required: bool) -> forms.Evaluation:
    """What the checks say of `answers`; writes nothing."""
    entry = read_entry(
        subject=place.subject,
        visit=place.visit,
        form=place.form.oid,
        typed={name: answers[name] for name, item in place.form.items.items() if item.is_entered},
        record=place.record,
        definition=place.study,
        records=place.records,
    )
    return forms.evaluation(entry, place.study, language(), names_required=names_required)


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


def _around(place: Place) -> dict[str, Any]:
    row = _row(place)
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
        "saved": place.record and place.record.history.select_related("history_user").first(),
        "verify_url": place.url_of("crf:verify-record"),
        "sign_url": place.url_of("crf:sign-record"),
        "unlock_url": place.url_of("crf:unlock-record"),
        "evaluate_url": place.url_of("crf:evaluate-record"),
        "history_url": place.url_of("crf:record-history"),
        "next_repeat_url": place.next_repeat_url,
    }


def _row(place: Place) -> CasebookRow | None:
    return next((row for row in casebook(place.subject, language()) if row.visit.pk == place.visit.pk), None)


def _is(place: Place, *states: str) -> bool:
    return place.record is not None and place.record.status in states


def _history_urls(place: Place) -> dict[str, str]:
    if place.record is None:
        return {}
    return {name: place.url_of("crf:item-history", name) for name in place.form.items}


def language() -> str:
    return get_language() or "zh-hans"
