"""ODM's code lists: choices with codes and terminology; lists that lie outside the file stay references."""

from __future__ import annotations

import json
from typing import Any

from .naming import Names
from .numbers import read_whole
from .odm_file import Metadata
from .odm_notes import OWN_LISTS
from .odm_report import Report, codings, own_fields, with_own
from .xml_tree import Node

BOOLEAN: dict[str, Any] = {
    "name": {"zh": "是否", "en": "Yes or no"},
    "choices": [
        {"code": "1", "label": {"zh": "是", "en": "Yes"}},
        {"code": "0", "label": {"zh": "否", "en": "No"}},
    ],
    "alias": {"odm:boolean": "1"},
}


class Codelists:
    """`names`: code list here by OID; `raw`: as `StudyDefinition` takes them; `external`: what is outside the file."""

    def __init__(self, metadata: Metadata, report: Report) -> None:
        self.report = report
        self.names: dict[str, str] = {}
        self.raw: dict[str, dict[str, Any]] = {}
        self.external: dict[str, str] = {}
        self.data_types: dict[str, str] = {}
        taken = Names(first="list")
        taken.taken.add("boolean")
        for oid, node in metadata.all("CodeList").items():
            if not oid.startswith(OWN_LISTS):
                self.put(oid, node, taken)

    def put(self, oid: str, node: Node, taken: Names) -> None:
        choices = self.choices(oid, node)
        if not choices:
            self.outside(oid, node)
            return
        own = own_fields(node, self.report, oid)
        name = str(own.pop("key", "")) or taken.take(oid.removeprefix("CL.").removeprefix("CL_") or oid)
        text = self.report.text(node.first("Description")) or {
            "zh": node.get("Name") or oid,
            "en": node.get("Name") or oid,
        }
        alias = self.report.rest(
            node, oid, ("OID", "Name", "DataType"),
            ("Description", "CodeListItem", "EnumeratedItem", "ExternalCodeList", "Coding"),
        )  # fmt: skip
        alias |= {"odm": oid, "odm@Name": node.get("Name"), "odm@DataType": node.get("DataType")}
        if node.first("EnumeratedItem"):
            alias["odm:enumerated"] = "1"
        self.names[oid], self.data_types[name] = name, node.get("DataType")
        raw: dict[str, Any] = {"name": text, "choices": choices, "alias": alias}
        found = codings(node)
        if found:
            raw["codings"] = found
        self.raw[name] = with_own(raw, own)

    def choices(self, oid: str, node: Node) -> list[dict[str, Any]]:
        items = list(node.all("CodeListItem", "EnumeratedItem"))
        if all(read_whole(item.get("OrderNumber")) is not None for item in items):
            items.sort(key=lambda item: read_whole(item.get("OrderNumber")) or 0)
        codes = _Codes()
        found = []
        for item in items:
            choice = self.choice(oid, item, codes)
            if choice:
                found.append(choice)
        return found

    def choice(self, oid: str, item: Node, codes: _Codes) -> dict[str, Any] | None:
        value = item.get("CodedValue")
        place = f"{oid}/{value}"
        if value in codes.by_value:
            self.report.lose(
                "dropped", item, place, "", "代码重复;保留第一个", "the code is there twice; the first stays"
            )
            return None
        code = codes.take(value)
        alias = self.report.rest(item, place, ("CodedValue", "OrderNumber"), ("Decode", "Coding", "Description"))
        if code != value:
            alias["odm"] = value
            zh, en = f"代码不能这样写;此处为“{code}”", f"a code cannot be spelt so; it is {code!r} here"
            self.report.lose("changed", item, place, value, zh, en)
        if item.get("OrderNumber"):
            alias["odm@OrderNumber"] = item.get("OrderNumber")
        label = self.report.text(item.first("Decode")) or {"zh": value or code, "en": value or code}
        choice: dict[str, Any] = {"code": code, "label": label, "alias": alias}
        found = codings(item)
        if found:
            choice["codings"] = found
        return with_own(choice, own_fields(item, self.report, place))

    def outside(self, oid: str, node: Node) -> None:
        """A dictionary such as MedDRA: its items take text, and keep the reference."""
        dictionary = node.first("ExternalCodeList")
        facts = {"oid": oid, "name": node.get("Name"), "type": node.get("DataType"),
                 "attributes": dictionary.attributes if dictionary else {}}  # fmt: skip
        self.external[oid] = json.dumps(facts, ensure_ascii=False, sort_keys=True)
        zh, en = "代码表不在文件中;条目按文字录入", "its codes are not in the file; its items take text"
        self.report.lose("changed", node, oid, node.compact(300), zh, en)
        self.report.rest(node, oid, ("OID", "Name", "DataType"), ("Description", "ExternalCodeList", "Coding"))


class _Codes:
    """Codes of one list as definitions spell them: no braces, at most 64 characters, none twice."""

    def __init__(self) -> None:
        self.by_value: dict[str, str] = {}
        self.taken: set[str] = set()

    def take(self, value: str) -> str:
        plain = " ".join(value.replace("{", "(").replace("}", ")").split())[:64].strip() or "empty"
        code, number = plain, 2
        while code in self.taken:
            code, number = f"{plain[:60]}_{number}", number + 1
        self.taken.add(code)
        self.by_value[value] = code
        return code
