"""A filled study, its rules, and its dataset locked by the PI."""

from __future__ import annotations

import pytest


@pytest.fixture
def filled(study, cast, tmp_path):
    from registry.services import people
    from tests.analytics.cohort import fill, publish_rules

    publish_rules(study, tmp_path)
    fill(study, by=people.system_user(), size=4)
    return study


@pytest.fixture
def dataset(filled, cast):
    from analytics.services import datasets
    from tests.study import PASSWORD

    return datasets.lock(study=filled, name="main", password=PASSWORD, by=cast["pi"])
