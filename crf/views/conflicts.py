"""Two people saved one record: what is typed here against what the other saved; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crf import forms
from crf.definitions.model import Item
from crf.definitions.values import BadValue, display_value, parse_value
from crf.models import Record
from crf.views.entry_page import language
from crf.views.places import Place


def differences(place: Place, typed: Mapping[str, Any], current: Record) -> dict[str, Any]:
    """Item by item, the answers that differ, and the fields that would show the other person's."""
    theirs = forms.as_typed(place.form, place.study, current.data)
    rows = []
    for name, item in place.form.items.items():
        if not item.is_entered:
            continue
        saved = display_value(item, place.study.codelist(item), current.data.get(name), language())
        mine = _read(place, item, typed[name])
        if mine != saved:
            fields = json.dumps(forms.fields_of(name, theirs[name]))
            rows.append(
                {"name": name, "label": item.label.of(language()), "mine": mine, "theirs": saved, "fields": fields}
            )
    last = current.history.select_related("history_user").first()
    return {"rows": rows, "who": str(last.history_user), "revision": current.revision, "current": current}


def _read(place: Place, item: Item, answer: Any) -> str:
    """A typed answer as people read it; as it was typed where it can't be understood."""
    codelist = place.study.codelist(item)
    try:
        return display_value(item, codelist, parse_value(item, codelist, answer), language())
    except BadValue:
        return str(answer)
