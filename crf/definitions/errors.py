"""What is wrong with a study's files: all of it at once, each with its place and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

Place = tuple[str | int, ...]


class Refusal(ValueError):
    """What can't be taken, said in both languages."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en

    def of(self, language: str) -> str:
        return self.zh if language.lower().startswith("zh") else self.en


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong at `place`, the keys that lead there inside a definition; `item` names it."""

    place: Place
    item: str
    zh: str
    en: str
    remedy_zh: str
    remedy_en: str


@dataclass(frozen=True)
class DefinitionError:
    """A fault with the file and line that it comes from."""

    file: str
    line: int
    item: str
    message: str
    remedy: str
    message_zh: str
    remedy_zh: str

    def __str__(self) -> str:
        return self.of("en")

    def of(self, language: str) -> str:
        where = f"{self.file}:{self.line}: " + (f"{self.item}: " if self.item else "")
        if language.lower().startswith("zh"):
            return f"{where}{self.message_zh};{self.remedy_zh}"
        return f"{where}{self.message}; {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class DefinitionErrors(ValueError):
    """Every fault of a definition, in the order of files and lines."""

    def __init__(self, errors: Sequence[DefinitionError]) -> None:
        self.errors = sorted(errors, key=lambda error: (error.file, error.line))
        super().__init__("\n".join(str(error) for error in self.errors))

    def of(self, language: str) -> str:
        return "\n".join(error.of(language) for error in self.errors)
