"""How ODM calls what a definition does not call otherwise: default OIDs, names and data types, one rule each."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

# Type and Repeating of a StudyEventDef, by kind of event.
DEFAULTS = {
    "scheduled": ("Scheduled", False),
    "repeating": ("Scheduled", True),
    "unscheduled": ("Unscheduled", True),
    "log": ("Common", False),
}
DATA_TYPES = {
    "text": "text", "integer": "integer", "decimal": "float", "date": "partialDate", "time": "time",
    "datetime": "datetime", "choice": "text", "choices": "text", "file": "text", "series": "text", "label": "text",
}  # fmt: skip

MOST_SITE_CODE = 10

Raw = dict[str, Any]


def event_oid(oid: str) -> str:
    return f"SE.{oid}"


def form_oid(oid: str) -> str:
    return f"F.{oid}"


def section_oid(form: str, number: int) -> str:
    return f"IG.{form}.{number}"


def item_oid(form: str, name: str) -> str:
    return f"I.{form}.{name}"


def codelist_oid(name: str) -> str:
    return f"CL.{name}"


def version_oid(version: str) -> str:
    return f"MDV.{version}"


def site_oid(code: str) -> str:
    return f"LOC.{code}"


def site_code(oid: str) -> str:
    """The code of a location here; one with too long an OID gets the same short code each time."""
    code = re.sub(r"[{}\s]+", "-", oid).removeprefix("LOC.")
    return code if len(code) <= MOST_SITE_CODE else f"{code[:5]}-{hashlib.sha256(code.encode()).hexdigest()[:4]}"


def condition_oid(owner: str) -> str:
    return f"C.{owner}"


def method_oid(owner: str) -> str:
    return f"M.{owner}"


def negation(cel: str) -> str:
    """The opposite of a condition; the opposite of that is the condition again, letter by letter."""
    return cel[2:-1] if cel.startswith("!(") and _closes(cel) == len(cel) - 1 else f"!({cel})"


def _closes(cel: str) -> int:
    """Where the bracket at position 1 is closed."""
    depth, quote, at = 0, "", 1
    while at < len(cel):
        character = cel[at]
        if quote:
            at += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([") - (character in ")]")
            if depth == 0:
                return at
        at += 1
    return -1


def prune(raw: Raw) -> None:
    """Take out of every alias what the writer would say anyway, so that a definition comes back as it was written."""
    _drop(raw["alias"], {
        "odm": raw["code"], "odm:version": version_oid(raw["version"]), "odm:version@Name": raw["version"],
        "odm:StudyDescription": raw["title"]["en"], "odm:ProtocolName": raw.get("registration_number") or raw["code"],
    })  # fmt: skip
    for event in raw["events"]:
        _drop(event.setdefault("alias", {}), {"odm": event_oid(event["oid"]), "odm@Name": event["name"]["en"]})
    for name, codelist in raw.get("codelists", {}).items():
        _drop(codelist.setdefault("alias", {}), {
            "odm": codelist_oid(name), "odm@Name": codelist["name"]["en"], "odm@DataType": "text",
        })  # fmt: skip
    for form in raw["forms"]:
        _drop(form["alias"], {"odm": form_oid(form["oid"]), "odm@Name": form["name"]["en"]})
        for number, section in enumerate(form["sections"], start=1):
            _prune_section(form["oid"], number, section)


def _prune_section(form: str, number: int, section: Raw) -> None:
    alias, oid = section["alias"], section_oid(form, number)
    group = alias.get("odm", oid)
    _drop(alias, {"odm": oid, "odm@Name": section["name"]["en"]})
    _drop_rule(alias, "odm:condition", condition_oid(f"{group}@{form}"))
    for item in section["items"]:
        alias, own = item["alias"], item_oid(form, item["name"])
        kind = item.get("value_type") or item["type"]
        reference = f"{alias.get('odm', own)}@{form}"
        data_type = "boolean" if item.get("codelist") == "boolean" else DATA_TYPES[kind]
        _drop(alias, {"odm": own, "odm@Name": item["name"], "odm@DataType": data_type})
        if "unit" in item:
            _drop(alias, {"odm:unit": f"MU.{item['unit']}", "odm:unit@Name": item["unit"]})
        _drop_rule(alias, "odm:condition", condition_oid(reference))
        _drop_rule(alias, "odm:method", method_oid(reference))


def _drop(alias: dict[str, str], defaults: dict[str, str]) -> None:
    for key, value in defaults.items():
        if alias.get(key) in (value, ""):
            del alias[key]


def _drop_rule(alias: dict[str, str], key: str, default: str) -> None:
    """A rule that this product wrote says nothing that the expression does not say."""
    if key in alias:
        facts = json.loads(alias[key])
        if facts["oid"] == default and not facts["texts"] and facts["cel"]:
            del alias[key]
