"""A REDCap project moves in: the study is published, its subjects enrolled, every answer stored through the import."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crf.definitions.mapping import Mapping
from crf.definitions.values import is_missing
from crf.exchange.redcap_data import read_redcap_data
from crf.exchange.redcap_project import read_project
from crf.models import Record
from crf.services import builds, imports
from registry.models import Study, Subject
from registry.services import people

pytestmark = pytest.mark.django_db
SMALL = Path(__file__).parent / "data" / "redcap_small.project.xml"


def moved_in(path: Path, data: Path | None = None) -> Study:
    """Publish the project's study and import its data, enrolling everybody who is new."""
    system = people.system_user()
    definition = read_project(path.read_bytes(), file=path.name).definition
    study = builds.publish(definition=definition, by=system).study
    mapping = Mapping.model_validate(
        {"match": "identifier", "create_subjects": True, "enrolled_on": "2026-01-05", "group": None}
    )
    content = (data or path).read_bytes()
    plan = imports.commit(study=study, content=content, format="redcap", mapping=mapping, by=system)
    assert plan.problems == []
    again = imports.preview(study=study, content=content, format="redcap", mapping=mapping, by=system)
    assert again.counts["records_new"] == again.counts["values_changed"] == 0
    return study


def stored(study: Study) -> Counter[Any]:
    """How often each item has each value, whoever's; what is derived is not counted."""
    found: Counter[Any] = Counter()
    for record in Record.objects.filter(visit__subject__site__study=study).select_related("build"):
        form = record.build.study_definition.form(record.form)
        found.update((name, str(value)) for name, value in record.data.items() if form.items[name].is_entered)
    return found


def test_a_small_project_moves_in_with_arms_sites_repeats_and_missing_codes() -> None:
    study = moved_in(SMALL)
    north, south = Subject.objects.filter(site__study=study).order_by("site__code")
    assert (north.site.code, north.group.code) == ("north_hosp", "ARM_1")
    assert (south.site.code, south.group.code) == ("south", "ARM_2")
    records = {(one.visit.event, one.visit.repeat, one.form, one.repeat): one.data for one in north.records.all()}
    assert records["BASELINE_ARM_1", 1, "START", 1]["sign"] == ["1", "-2"]
    assert records["BASELINE_ARM_1", 1, "START", 1]["double_2"] == 123
    assert is_missing(records["BASELINE_ARM_1", 1, "START", 1]["stage"])
    assert records["BASELINE_ARM_1", 1, "MED", 3]["drug"] == "B"
    assert records["EXTRA_ARM_1", 2, "VISIT", 1]["seen"] == "2026-04-03"


def test_redcaps_500_subjects_come_in_with_all_their_answers(shared: Path) -> None:
    path = shared / "data/redcap/redcapr_clinical-trial-1.project.xml"
    study = moved_in(path)
    assert Subject.objects.filter(site__study=study).count() == 500
    definition = read_project(path.read_bytes(), file=path.name).definition
    expected = Counter(
        (name, str(cell.value)) for one in read_redcap_data(path.read_bytes(), definition).records
        for name, cell in one.cells.items()
    )  # fmt: skip
    assert sum(expected.values()) == 6000
    assert stored(study) == expected


@pytest.mark.parametrize("project", ["longitudinal", "repeating-instruments", "dag", "checkboxes-1"])
def test_every_other_real_project_moves_in_from_its_csv(shared: Path, project: str) -> None:
    folder = shared / "data/redcap"
    path, data = folder / f"redcapr_{project}.project.xml", folder / f"redcapr_{project}.data.csv"
    study = moved_in(path, data)
    definition = read_project(path.read_bytes(), file=path.name).definition
    reading = read_redcap_data(data.read_bytes(), definition)
    assert sum(stored(study).values()) == sum(len(one.cells) for one in reading.records)
