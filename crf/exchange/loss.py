"""What a foreign file says that a study definition does not carry: every such thing, with its place and the reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from crf.definitions.errors import DefinitionError, DefinitionErrors
from crf.definitions.model import StudyDefinition

# dropped: nothing of it is left; kept: word for word in `alias`, but without effect; changed: taken in another
# form; assumed: the file does not say it and a definition needs it.
Fate = Literal["dropped", "kept", "changed", "assumed"]
FATES: dict[Fate, tuple[str, str]] = {
    "dropped": ("未导入", "dropped"),
    "kept": ("原文保留,不起作用", "kept, without effect"),
    "changed": ("已转换", "changed"),
    "assumed": ("假定", "assumed"),
}


@dataclass(frozen=True)
class Loss:
    """One thing of the file: the kind of element or column, whose it is (OID or name), its text, and why."""

    fate: Fate
    element: str
    place: str
    what: str
    zh: str
    en: str
    line: int = 0

    def of(self, language: str) -> str:
        """One line for people: fate, place, text, reason."""
        chinese = language.lower().startswith("zh")
        fate = FATES[self.fate][0 if chinese else 1]
        where = f"{self.element} {self.place}".strip() + (
            f" ({'行' if chinese else 'line '}{self.line})" if self.line else ""
        )
        what = f" {shortened(self.what)!r}" if self.what else ""
        return f"{fate}: {where}{what}: {self.zh if chinese else self.en}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Imported:
    """A foreign file as a definition that passes `verify`, and what of the file it does not carry."""

    definition: StudyDefinition
    losses: tuple[Loss, ...]


def shortened(text: str, most: int = 160) -> str:
    """The beginning of a long text on one line; the report as a table has all of it."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def refused(file: str, line: int, item: str, zh: str, en: str, remedy_zh: str, remedy_en: str) -> DefinitionErrors:
    """The one error that ends the reading of a file which is broken, hostile or of another kind; raise it."""
    return DefinitionErrors([DefinitionError(file, line, item, en, remedy_en, zh, remedy_zh)])


def as_csv(losses: Iterable[Loss]) -> str:
    """The report as a table for a spreadsheet: UTF-8 with BOM, texts that look like formulas made harmless."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["fate", "element", "place", "line", "what", "zh", "en"])
    for loss in losses:
        row = [loss.fate, loss.element, loss.place, str(loss.line or ""), loss.what, loss.zh, loss.en]
        writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in row])
    return "\ufeff" + out.getvalue()
