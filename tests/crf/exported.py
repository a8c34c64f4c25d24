"""A study with every kind of item, and its records: what the tests of exports share."""

from __future__ import annotations

from typing import Any

from crf.models import Record, StudyBuild
from registry.models import Site, Study, User
from tests.study import DEFINITION, both, enrol, enter, publish

HOSTILE = "=cmd|' /C calc'!A0"

KINDS: dict[str, Any] = {
    "oid": "KINDS",
    "name": both("Kinds"),
    "sections": [
        {
            "name": both("All kinds"),
            "items": [
                {"name": "initials", "type": "text", "label": both("Initials"), "role": "identifier"},
                {"name": "note", "type": "text", "label": both("Note")},
                {"name": "scanner", "type": "text", "label": both("Scanner")},
                {"name": "age", "type": "integer", "label": both("Age"), "unit": "a"},
                {"name": "dose", "type": "decimal", "label": both("Dose"), "unit": "mg", "precision": 2},
                {"name": "born", "type": "date", "label": both("Born"), "cdisc": "BRTHDTC"},
                {"name": "seen", "type": "date", "label": both("Seen")},
                {"name": "at_time", "type": "time", "label": both("Time")},
                {"name": "taken", "type": "datetime", "label": both("Taken")},
                {"name": "sex", "type": "choice", "codelist": "SEX", "label": both("Sex")},
                {"name": "grade", "type": "choice", "codelist": "GRADE", "label": both(HOSTILE)},
                {"name": "signs", "type": "choices", "codelist": "SIGNS", "label": both("Signs")},
                {"name": "outcome", "type": "choice", "codelist": "GRADE", "label": both("Outcome"), "blinded": True},
                {"name": "status", "type": "integer", "label": both("Named like a key")},
                {
                    "name": "doubled",
                    "type": "derived",
                    "value_type": "decimal",
                    "label": both("Doubled"),
                    "precision": 2,
                }
                | {"derive": "dose * 2.0"},
            ],
        },
        {
            "name": both("Medicines"),
            "rows": {"name": "meds"},
            "items": [
                {"name": "drug", "type": "text", "label": both("Drug")},
                {"name": "started", "type": "date", "label": both("Started")},
                {"name": "units", "type": "integer", "label": both("Units")},
            ],
        },
    ],
}
CODELISTS = DEFINITION["codelists"] | {
    "GRADE": {"name": both("Grade"), "choices": [{"code": str(n), "label": both(f"Grade {n}")} for n in (1, 2, 3)]},
    "SIGNS": {
        "name": both("Signs"),
        "choices": [{"code": code, "label": both(code.title())} for code in ("FEVER", "NA", "ITCH-2")],
    },
}
EVENTS = [
    {**DEFINITION["events"][0], "forms": ["DM", "LB", "KINDS"]},
    *DEFINITION["events"][1:],
]

FULL = {
    "initials": "ZXQ",
    "note": "Sentinel free text, 哨兵",
    "scanner": HOSTILE,
    "age": "93",
    "dose": "12.5",
    "born": "1933-02-01",
    "seen": "2026-04-03",
    "at_time": "08:30",
    "taken": "2026-04-03 23:15",
    "sex": "F",
    "grade": "2",
    "signs": ["FEVER", "NA"],
    "outcome": "3",
    "status": "7",
}
MISSING = {
    "age": {"missing": "unknown", "reason": "paper lost"},
    "dose": {"missing": "not_done", "reason": "Sentinel reason"},
    "seen": "2026-02-UK",
    "taken": {"missing": "not_applicable", "reason": ""},
    "sex": {"missing": "unknown", "reason": ""},
    "grade": {"missing": "not_done", "reason": ""},
    "signs": {"missing": "not_done", "reason": ""},
    "note": {"missing": "unknown", "reason": ""},
}
EMPTY = {"at_time": "00:05"}


def published(**changes: Any) -> StudyBuild:
    forms = [*DEFINITION["forms"], KINDS]
    return publish(**{"forms": forms, "events": EVENTS, "codelists": CODELISTS, **changes})


def filled(study: Study, *, by: User) -> list[Record]:
    """Three subjects at site 01 and one at 02: full, missing, almost empty; each with an ordinary form beside it."""
    sites: list[Site] = [study.sites.get(code=code) for code in ("01", "01", "01", "02")]
    made = []
    for number, (site, answers) in enumerate(zip(sites, [FULL, MISSING, EMPTY, FULL], strict=True)):
        subject = enrol(site, by=by, name=f"Name{number}", hospital_number=f"HN000{number}")
        made.append(enter(subject, "KINDS", answers, by=by))
        enter(subject, "DM", {"age": str(40 + number), "sex": "M"}, comments={"age": "Sentinel comment"}, by=by)
    return made
