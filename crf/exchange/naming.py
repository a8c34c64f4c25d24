"""Foreign names as names of this product: unique, spelt as definitions want them, and as near as can be."""

from __future__ import annotations

import re
import unicodedata

from crf.definitions.model import RESERVED


class Names:
    """Gives each foreign name of one scope (a form's items, a study's forms) its own name, always the same one."""

    def __init__(
        self, *, upper: bool = False, first: str = "x", most: int = 0, reserved: frozenset[str] = RESERVED
    ) -> None:
        self.reserved = reserved
        self.upper = upper
        self.first = first.upper() if upper else first
        self.most = most or (40 if upper else 63)
        self.taken: set[str] = set()
        self.next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """A new name spelt like `wanted`; a number is added where it is taken or reserved."""
        base = name = self.spelt(wanted)
        number = self.next.get(base, 2)
        while name in self.taken or name in self.reserved:
            tail = f"_{number}"
            name, number = base[: self.most - len(tail)] + tail, number + 1
        self.next[base] = number
        self.taken.add(name)
        return name

    def spelt(self, wanted: str) -> str:
        plain = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode()
        text = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
        text = text.upper() if self.upper else text.lower()
        if not text:
            text = self.first
        elif not text[0].isalpha():
            text = f"{self.first}_{text}"
        return text[: self.most].rstrip("_")
