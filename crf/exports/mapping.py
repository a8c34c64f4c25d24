"""The mapping with which a table of an identified export is imported again, and changes nothing."""

from __future__ import annotations

from typing import Any

import yaml

from crf.definitions.model import StudyDefinition

from .layout import TableLayout

FACTS = ("subject", "site", "event", "repeat", "form", "number")


def mapping(layout: TableLayout, newest: StudyDefinition) -> str:
    """YAML for import_records: which column is which item of the build in force, and what is left alone."""
    form = next((form for form in newest.forms if form.oid == layout.form), None)
    columns = {
        column.name: column.item
        for question in layout.kept
        for column in question.columns
        if column.part == "value" and form is not None and question.item.name in form.items
        if question.item.is_entered and question.kind not in ("file", "series")
    }
    found: dict[str, Any] = {fact: {"column": fact} for fact in FACTS}
    found["columns"] = columns
    found["ignore"] = [column.name for column in layout.columns if column.name not in {*columns, *FACTS}]
    return yaml.safe_dump(found, allow_unicode=True, sort_keys=False)
