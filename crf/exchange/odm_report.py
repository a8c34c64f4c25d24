"""What a reader of ODM notes: texts in other languages, and everything that a definition has no place for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from .loss import Fate, Loss
from .xml_tree import Node

OWN = "lobule:"  # Alias contexts that say what ODM cannot: one JSON value for each field
NO_PLACE = ("研究定义中没有对应的位置", "a definition has no place for it")
IN_ALIAS = (
    "研究定义中没有对应的位置;原文保留在 alias 中",
    "a definition has no place for it; its text stays in `alias`",
)
NCI = ("nci:ExtCodeID", "{http://ncicb.nci.nih.gov/xml/odm/EVS/CDISC}ExtCodeID")

Alias = dict[str, str]


class Report:
    """Collects losses; languages are counted, and reported once for each."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.left: Counter[str] = Counter()
        self.borrowed: Counter[tuple[str, str]] = Counter()
        self.said: set[tuple[str, str, str]] = set()
        self.texts: dict[int, dict[str, str] | None] = {}

    def lose(self, fate: Fate, node: Node, place: str, what: str, zh: str, en: str, element: str = "") -> None:
        """Note a loss once, however often its definition is used."""
        key = (element or node.tag, place, what)
        if key not in self.said:
            self.said.add(key)
            self.losses.append(Loss(fate, element or node.tag, place, what, zh, en, node.line))

    def text(self, node: Node | None) -> dict[str, str] | None:
        """The texts of a Description, Question and so on as {zh, en}; a missing language borrows another's."""
        if node is None:
            return None
        if id(node) not in self.texts:  # a definition is read once for each form that uses it, and counted once
            self.texts[id(node)] = self._text(node)
        found = self.texts[id(node)]
        return dict(found) if found else None

    def _text(self, node: Node) -> dict[str, str] | None:
        found: dict[str, str] = {}
        for child in node.all("TranslatedText"):
            text = child.text.strip()
            language = child.get("lang").lower()
            short = language[:2] if language[:2] in ("zh", "en") else language
            if text and short not in found:
                found[short] = text
            elif text:
                self.left[child.get("lang")] += 1
        return self._chosen(found)

    def _chosen(self, found: dict[str, str]) -> dict[str, str] | None:
        if not found:
            return None
        other = next(iter(sorted(found.items(), key=lambda pair: pair[0] not in ("en", "zh", ""))))
        used = {other[0]}
        result: dict[str, str] = {}
        for language in ("zh", "en"):
            if language in found:
                result[language] = found[language]
                used.add(language)
            else:
                result[language] = other[1]
                self.borrowed[(language, other[0])] += 1
        for language in set(found) - used:
            self.left[language] += 1
        return result

    def say_languages(self) -> None:
        """One line for each language that is missing, and for each that has no place."""
        for (wanted, used), count in sorted(self.borrowed.items()):
            zh, en = (
                f"缺少{wanted}译文,使用“{used or '未注明'}”的文字",
                f"no text in {wanted}; {used or 'unmarked'} is used",
            )
            self.losses.append(Loss("assumed", "TranslatedText", f"xml:lang={wanted}", f"{count} ×", zh, en))
        for language, count in sorted(self.left.items()):
            zh, en = "研究定义只有中文和英文", "a definition has Chinese and English only"
            self.losses.append(
                Loss("dropped", "TranslatedText", f"xml:lang={language or '-'}", f"{count} ×", zh, en)
            )  # fmt: skip

    def rest(
        self, node: Node, place: str, attributes: Collection[str], children: Collection[str], *, fate: Fate = "kept"
    ) -> Alias:
        """What of a definition nobody read: attributes and Aliases are kept as returned, elements are dropped.

        With fate "dropped" the caller has no place for what is returned.
        """
        kept: Alias = {}
        for name, value in node.attributes.items():
            if name in attributes:
                continue
            why = IN_ALIAS if fate == "kept" else NO_PLACE
            self.lose(fate, node, place, value, *why, element=f"{node.tag}/@{name.rpartition('}')[2]}")
            kept[f"odm@{name}"] = value
        for child in node.children:
            if child.tag == "Alias":
                self._alias(child, place, kept)
            elif child.tag not in children or (child.space and child.space != node.space):
                self.lose("dropped", child, place, child.compact(), *NO_PLACE, element=f"{node.tag}/{child.tag}")
        return kept

    def _alias(self, node: Node, place: str, kept: Alias) -> None:
        context = node.get("Context")
        if context.startswith(OWN) or context in ("CDASH", *NCI):
            return
        key = f"odm:alias:{context}"
        if key in kept:
            self.lose("dropped", node, place, node.get("Name"), "同一语境的第二个别名", "a second alias of one context")
            return
        kept[key] = node.get("Name")
        self.lose("kept", node, place, f"{context}={node.get('Name')}", *IN_ALIAS)


def own_fields(node: Node, report: Report, place: str) -> dict[str, Any]:
    """The fields that this product wrote into Aliases, by name."""
    fields: dict[str, Any] = {}
    for child in node.all("Alias"):
        context = child.get("Context")
        if context.startswith(OWN):
            try:
                fields[context.removeprefix(OWN)] = json.loads(child.get("Name"))
            except (ValueError, RecursionError):
                report.lose("dropped", child, place, child.get("Name"), "不是 JSON", "is not JSON")
    return fields


def codings(node: Node) -> list[dict[str, str]]:
    """NCI thesaurus codes, written as Alias, attribute (define.xml) or, in ODM 2, with others as Coding."""
    codes = [child.get("Name") for child in node.all("Alias") if child.get("Context") in NCI]
    codes += [node.get(NCI[1])] if node.get(NCI[1]) else []
    found = [{"system": "NCIt", "code": code} for code in dict.fromkeys(code for code in codes if code)]
    for child in node.all("Coding"):
        system = child.get("SystemName") or child.get("System")
        if system and child.get("Code"):
            name = {"name": child.get("Label")} if child.get("Label") else {}
            found.append({"system": system[:80], "code": child.get("Code")[:80], **name})
    return found


def with_own(raw: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The fields that this product wrote win; its alias joins the one that the elements gave."""
    alias = own.pop("alias", None)
    raw |= own
    if isinstance(alias, dict):
        raw["alias"] = raw["alias"] | alias
    return raw
