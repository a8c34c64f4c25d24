"""A small study and its cast, built through the services, so that the tests obey the rules too."""

from __future__ import annotations

import datetime as dt
from typing import Any

from crf.definitions.model import StudyDefinition
from crf.models import Record, StudyBuild
from crf.services import builds, enrolment, records
from registry.models import Membership, Site, Study, Subject, User
from registry.services import people

PASSWORD = "correct-horse-battery"


def both(text: str) -> dict[str, str]:
    return {"zh": f"{text}(中)", "en": text}


DEFINITION: dict[str, Any] = {
    "code": "LIVER",
    "version": "1.0",
    "title": both("Liver study"),
    "registration_number": "ChiCTR0000000000",
    "sites": [
        {"code": "01", "name": both("First hospital"), "target": 30},
        {"code": "02", "name": both("Second hospital"), "target": 20},
    ],
    "groups": [{"code": "ALL", "name": both("All"), "target": 50}],
    "codelists": {
        "SEX": {
            "name": both("Sex"),
            "choices": [{"code": "F", "label": {"zh": "女", "en": "Female"}}]
            + [{"code": "M", "label": {"zh": "男", "en": "Male"}}],
        }
    },
    "events": [
        {"oid": "BASELINE", "name": both("Baseline"), "anchor": "enrolment", "day": 0, "window": [-7, 7]}
        | {"forms": ["DM", "LB"]},
        {"oid": "MONTH1", "name": both("Month 1"), "anchor": "LB.lb_date", "day": 30, "window": [-5, 5]}
        | {"forms": ["LB"]},
        {"oid": "LOG", "name": both("Events"), "kind": "log", "forms": ["AE"]},
    ],
    "forms": [
        {
            "oid": "DM",
            "name": both("Demographics"),
            "sections": [
                {
                    "name": both("About"),
                    "items": [
                        {"name": "age", "type": "integer", "label": both("Age"), "unit": "a", "range": [0, 120]}
                        | {"soft_range": [18, 80], "required": True},
                        {"name": "sex", "type": "choice", "codelist": "SEX", "label": both("Sex"), "required": True},
                        {"name": "pregnant", "type": "text", "label": both("Pregnant"), "show_if": "sex == 'F'"},
                    ],
                }
            ],
        },
        {
            "oid": "LB",
            "name": both("Laboratory"),
            "sections": [
                {
                    "name": both("Blood"),
                    "items": [
                        {"name": "lb_date", "type": "date", "label": both("Date"), "role": "time"},
                        {"name": "albumin", "type": "decimal", "label": both("Albumin"), "unit": "g/L"}
                        | {"precision": 1, "range": [5, 80], "soft_range": [20, 60], "role": "predictor"},
                        {"name": "bilirubin", "type": "decimal", "label": both("Bilirubin"), "unit": "µmol/L"}
                        | {"precision": 1, "range": [0, 1000], "soft_range": [3, 500], "role": "predictor"},
                        {"name": "albi_score", "type": "derived", "value_type": "decimal", "label": both("ALBI")}
                        | {"precision": 2, "derive": "albi(bilirubin, albumin)"},
                        {"name": "albumin_change", "type": "derived", "value_type": "decimal", "precision": 1}
                        | {"label": both("Change"), "derive": "albumin - events.BASELINE.LB.albumin"},
                    ],
                }
            ],
        },
        {
            "oid": "AE",
            "name": both("Adverse event"),
            "repeating": True,
            "sections": [
                {"name": both("Event"), "items": [{"name": "ae_term", "type": "text", "label": both("Term")}]},
            ],
        },
    ],
}


def publish(**changes: Any) -> StudyBuild:
    definition = StudyDefinition.from_json({**DEFINITION, **changes})
    return builds.publish(definition=definition, by=people.system_user())


def person(username: str, *, study: Study, role: str, site: Site | None = None) -> User:
    """An account with one role; its password is PASSWORD."""
    user = User(username=username, full_name=username.title(), organisation=site.name_en if site else "Sponsor")
    user.set_password(PASSWORD)
    user.save()
    people.grant(user=user, study=study, role=role, site=site, by=people.system_user())
    return user


def enrol(site: Site, *, by: User, on: dt.date = dt.date(2026, 3, 2), **identity: str) -> Subject:
    group = site.study.groups.first()
    return enrolment.enrol(site=site, group=group, enrolled_on=on, by=by, **identity)


def enter(
    subject: Subject, form: str, data: dict[str, Any], *, by: User, event: str = "BASELINE", **more: Any
) -> Record:
    visit = subject.visits.get(event=event, repeat=1)
    return records.save(subject=subject, visit=visit, form=form, data=data, by=by, **more).record


__all__ = ["DEFINITION", "PASSWORD", "Membership", "enrol", "enter", "person", "publish"]
