"""Tests connect as `lobule_app`, the role of web and workers, so that triggers and rights are the real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import embedded
from tests import servers

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this worker its own clone of the migrated template."""
    import fcntl

    from django.core.management import call_command
    from django.db import connections

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    lock_file = servers.folder() / "migrate.lock"
    with lock_file.open("a+") as lock, django_db_blocker.unblock():  # type: ignore[attr-defined]
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = servers.folder() / "migrated"
        if not done.exists():
            call_command("migrate", verbosity=0, interactive=False)
            done.touch()
        connections.close_all()
        embedded.create_database(servers.attached(), f"lobule_{worker}", template=servers.TEMPLATE)
    for alias in connections:
        connections[alias].settings_dict["NAME"] = f"lobule_{worker}"
        connections.databases[alias]["NAME"] = f"lobule_{worker}"
    yield
    connections.close_all()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files nobody here wrote; it lies beside the project and is never part of it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (real DICOM, ODM, cohorts and R's reference values), which is not here")
    return folder


@pytest.fixture(autouse=True)
def _fast_passwords(settings: object) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture
def study(db: None) -> object:
    """The small study, published."""
    from tests.study import publish

    return publish().study


@pytest.fixture
def site(study: object) -> object:
    return study.sites.get(code="01")  # type: ignore[attr-defined]


@pytest.fixture
def other_site(study: object) -> object:
    return study.sites.get(code="02")  # type: ignore[attr-defined]


@pytest.fixture
def cast(study: object, site: object, other_site: object) -> dict[str, object]:
    """One person per role; coordinators, investigator and reader at site 01, the stranger at site 02."""
    from registry.permissions import Role
    from tests.study import person

    at_site = {"coordinator", "investigator", "reader"}
    roles = [role.value for role in Role if role is not Role.SYSTEM]
    people = {role: person(role, study=study, role=role, site=site if role in at_site else None) for role in roles}
    return people | {"stranger": person("stranger", study=study, role="coordinator", site=other_site)}


@pytest.fixture
def coordinator(cast: dict[str, object]) -> object:
    return cast["coordinator"]
