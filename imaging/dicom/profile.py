"""PS3.15 Table E.1-1 as data: which attribute gets which action under the Basic Profile.

`profile.json` is generated from the published tables by
`python -m imaging.dicom.profile FOLDER EDITION > imaging/dicom/profile.json`,
where FOLDER holds `confidentiality_profile_attributes.json` and `attributes.json` of the dicom-standard project.
"""

import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

OPTION_CODES = {
    "rtnLongFullDatesOpt": "full_dates",
    "rtnLongModifDatesOpt": "modified_dates",
    "rtnPatCharsOpt": "patient_characteristics",
    "rtnDevIdOpt": "device_identity",
    "rtnInstIdOpt": "institution_identity",
    "rtnUIDsOpt": "uids",
    "cleanDescOpt": "clean_descriptors",
    "cleanStructContOpt": "clean_structured_content",
    "cleanGraphOpt": "clean_graphics",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: an attribute, its basic action and the options' actions (K keep, C clean)."""

    tag: int
    keyword: str
    vr: str
    action: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    edition: str
    rules: dict[int, Rule]

    def rule(self, tag: int) -> Rule | None:
        return self.rules.get(tag)


@cache
def load() -> Profile:
    document = json.loads((Path(__file__).parent / "profile.json").read_text(encoding="utf-8"))
    rows = (
        Rule(int(tag, 16), keyword, vr, action, options) for tag, keyword, vr, action, options in document["attributes"]
    )
    return Profile(document["edition"], {row.tag: row for row in rows})


def generate(confidentiality: list[dict[str, Any]], attributes: list[dict[str, Any]], edition: str) -> dict[str, Any]:
    """Build our data file: exact tags only; private, curve and overlay groups are rules of the engine itself."""
    known = {row["id"]: row for row in attributes}
    rows = [_row(row, known.get(row["id"], {})) for row in confidentiality if re.fullmatch(r"[0-9a-f]{8}", row["id"])]
    return {"source": "DICOM PS3.15 Table E.1-1", "edition": edition, "attributes": sorted(rows)}


def _row(row: dict[str, Any], attribute: dict[str, Any]) -> list[Any]:
    options = {name: row[key] for key, name in OPTION_CODES.items() if key in row}
    vr = attribute.get("valueRepresentation", "").split(" ")[0]
    return [row["id"], attribute.get("keyword", ""), vr, row["basicProfile"], options]


def main(folder: str, edition: str) -> str:
    tables = [
        json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("confidentiality_profile_attributes", "attributes")
    ]
    document = generate(tables[0], tables[1], edition)
    lines = ",\n".join(json.dumps(row) for row in document.pop("attributes"))
    return json.dumps(document)[:-1] + ', "attributes": [\n' + lines + "\n]}\n"


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]))
