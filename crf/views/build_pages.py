"""What the pages of builds share: the build of the address, one section at a time, a difference form by form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from crf import forms
from crf.definitions.difference import EFFECTS, PARTS, Change, Effect, effects, worst
from crf.definitions.model import Check, Form, Item, NotInDefinition, Section, StudyDefinition
from crf.exchange.crf_pdf import codings, notes_of
from crf.models import BuildDraft, StudyBuild
from crf.views.entry_page import language
from registry.permissions import Permission
from registry.web import study_or_404

ITEMS_PER_PAGE = 60
CHANGES_PER_PAGE = 200
CODES_SHOWN = 40  # of an item; a longer list is in the workbook
TONES: dict[Effect, str] = {"none": "neutral", "look": "info", "may_fail": "warning", "orphan": "error"}
WHOLE = "-"  # what belongs to no form


def build_or_404(request: HttpRequest, code: str, build_id: int, *, needs: Permission) -> StudyBuild:
    study = study_or_404(request, code, needs=needs)
    build = get_object_or_404(StudyBuild.objects.select_related("published_by"), study=study, pk=build_id)
    build.study = study
    return build


def draft_or_404(request: HttpRequest, code: str, draft_id: int) -> BuildDraft:
    study = study_or_404(request, code, needs=Permission.BUILD_IMPORT)
    draft = get_object_or_404(BuildDraft.objects.select_related("uploaded_by", "weighing"), study=study, pk=draft_id)
    draft.study = study
    return draft


def form_or_404(definition: StudyDefinition, oid: str) -> Form:
    try:
        return definition.form(oid)
    except NotInDefinition as problem:
        raise Http404(str(problem)) from problem


# -- one section of a form, as the entry page shows it -----------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """An item as it will be entered, and what its definition says beside that."""

    view: Any
    item: Item
    definition: str
    guideline: str
    codes: tuple[tuple[str, str, str], ...]  # code, label, terminology codes
    more_codes: int
    notes: tuple[str, ...]
    checks: tuple[str, ...]


def section_page(study: StudyDefinition, form: Form, number: int, page: Any) -> dict[str, Any]:
    """Section `number` (from 1) of the form, so many items at a time."""
    if not 1 <= number <= len(form.sections):
        raise Http404(f"form {form.oid} has no section {number}")
    section = form.sections[number - 1]
    chosen = Paginator(section.items, ITEMS_PER_PAGE).get_page(page)
    return {
        "section": {
            "name": section.name.of(language()),
            "help": section.help.of(language()) if section.help else "",
            "show_if": section.show_if or "",
            "rows": section.rows,
        },
        "page": chosen,
        "items": _shown(study, form, section, chosen.object_list),
    }


def _shown(study: StudyDefinition, form: Form, section: Section, items: Sequence[Item]) -> list[Shown]:
    views = forms.blank(items, study, language())
    checks: dict[str, list[str]] = {}
    for check in form.checks:
        for name in check.items:
            checks.setdefault(name, []).append(_rule(check))
    return [_one(study, view, item, checks.get(item.name, [])) for view, item in zip(views, items, strict=True)]


def _one(study: StudyDefinition, view: Any, item: Item, checks: list[str]) -> Shown:
    codelist = study.codelist(item)
    choices = codelist.choices if codelist else ()
    return Shown(
        view=view,
        item=item,
        definition=item.definition.of(language()) if item.definition else "",
        guideline=item.guideline.of(language()) if item.guideline else "",
        codes=tuple((one.code, one.label.of(language()), ", ".join(codings(one))) for one in choices[:CODES_SHOWN]),
        more_codes=max(len(choices) - CODES_SHOWN, 0),
        notes=tuple(notes_of(item)),
        checks=tuple(checks),
    )


def _rule(check: Check) -> str:
    return f"{check.id} ({check.severity}): {check.require} → {check.message.of(language())}"


# -- a difference ------------------------------------------------------------------------------------------------------


def difference_page(study: StudyDefinition, changes: Sequence[Change], chosen: str, page: Any) -> dict[str, Any]:
    """The difference: by form with its effects, and the changes of the one that is looked at."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.form or WHOLE, []).append(change)
    chosen = chosen if chosen in groups else next(iter(groups), "")
    shown = Paginator(groups.get(chosen, []), CHANGES_PER_PAGE).get_page(page)
    return {
        "total": len(changes),
        "effects": _named(effects(changes)),
        "groups": [_group(study, key, found, key == chosen) for key, found in groups.items()],
        "chosen": chosen,
        "page": shown,
        "changes": [_change(change) for change in shown.object_list],
    }


def _named(counts: dict[Effect, int]) -> list[dict[str, Any]]:
    return [
        {"effect": effect, "label": EFFECTS[effect].of(language()), "tone": TONES[effect], "count": count}
        for effect, count in counts.items()
        if count
    ]


def _group(study: StudyDefinition, key: str, changes: Iterable[Change], is_chosen: bool) -> dict[str, Any]:
    found = list(changes)
    name = PARTS["study"].of(language()) if key == WHOLE else key
    if key != WHOLE:
        form = next((one for one in study.forms if one.oid == key), None)
        name = form.name.of(language()) if form else key
    tone = TONES[worst(found)]
    return {"key": key, "name": name, "count": len(found), "tone": tone, "is_chosen": is_chosen}


def _change(change: Change) -> dict[str, Any]:
    return {
        "part": PARTS[change.part].of(language()),
        "name": change.name,
        "label": change.label.of(language()) if change.label else "",
        "aspect": change.aspect_of(language()),
        "old": change.old_of(language()),
        "new": change.new_of(language()),
        "effect": EFFECTS[change.effect].of(language()),
        "tone": TONES[change.effect],
    }


# -- what a version means for records ----------------------------------------------------------------------------------

KINDS = {
    "orphaned": ("不再询问的值", "values no longer asked"),
    "failed": ("不符合新条目的值", "values the item does not take"),
    "finding": ("新的核查发现", "new findings"),
    "derived": ("重新派生", "derived anew"),
    "reread": ("按新类型存储", "stored as the new type"),
}


def kind_word(kind: str) -> str:
    return KINDS[kind][0 if language().startswith("zh") else 1]


def weight_page(study: StudyDefinition, result: dict[str, Any]) -> dict[str, Any]:
    """A weighing's result for people: by form, by item, and what is left where it is."""
    names = {form.oid: form.name.of(language()) for form in study.forms}
    zh = language().startswith("zh")
    return {
        "weight_forms": [
            {"name": names.get(form, form), "counts": counts} for form, counts in result.get("forms", {}).items()
        ],
        "weight_items": [
            {"form": names.get(form, form), "item": item, "kind": kind_word(kind), "records": count}
            for form, item, kind, count in result.get("items", [])[:CHANGES_PER_PAGE]
        ],
        "weight_items_more": max(len(result.get("items", [])) - CHANGES_PER_PAGE, 0),
        "weight_left": [
            {"why": one if zh else other, "records": count} for one, other, count in result.get("left_because", [])
        ],
        "has_weight": "forms" in result,
    }
