"""What an export holds, what was done to it, and the hash of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import FORMAT
from .layout import TableLayout
from .rules import WORDS, Rule, Wanted

NAME = "manifest.json"


def write(
    folder: Path,
    *,
    origin: Mapping[str, Any],
    wanted: Wanted,
    format: str,
    layouts: Sequence[TableLayout],
    rows: Mapping[str, int],
    lost: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """Write manifest.json over the files of `folder` and return it. `origin` says who, when, which study and builds,
    `lost` how many texts of each column of a table the format could not hold whole."""
    found = {
        "format": FORMAT,
        "files_format": format,
        **origin,
        "wanted": asdict(wanted),
        "deidentification": _treatment(wanted),
        "items": {question.path: question.rule.value for layout in layouts for question in layout.questions},
        "tables": {
            layout.name: {"rows": rows.get(layout.name, 0), "columns": len(layout.columns)}
            | ({"texts_cut": dict(lost[layout.name])} if layout.name in lost else {})
            for layout in layouts
        },
        "files": {
            path.relative_to(folder).as_posix(): sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != NAME
        },
    }
    text = json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
    return found


def _treatment(wanted: Wanted) -> dict[str, Any]:
    """What was done by rule, in words that a reader of the file needs."""
    if wanted.identified:
        return {"identified": True}
    return {
        "identified": False,
        "subject": "keyed pseudonym" if wanted.subjects == "pseudonym" else "subject number kept",
        "dates": "moved back by a keyed number of days, 1 to 3652, the same for all dates and images of a subject; "
        "times kept; a partial date is moved from its middle and stays partial",
        "ages": "ages over 89 given as 90",
        "comments": "left out",
        "reasons of missing values": "left out, their kind is kept",
        "rules": {rule.value: WORDS[rule].en for rule in Rule},
    }


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
