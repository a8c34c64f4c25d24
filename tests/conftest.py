"""Tests connect as `lobule_app`, the role of web and workers, so that triggers and rights are the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    _connect_to(f"lobule_{worker}")
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
def _fast(settings: object) -> None:
    """Cheap passwords; static files looked up when asked for, where each new client would read all of them first."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
    settings.WHITENOISE_AUTOREFRESH = True  # type: ignore[attr-defined]


@pytest.fixture
def study(request: pytest.FixtureRequest) -> object:
    """The small study, published; in the test's transaction, or in its own database where it asks for one."""
    from tests.study import publish

    request.getfixturevalue("transactional_clone" if "transactional_clone" in request.fixturenames else "db")

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


@pytest.fixture
def transactional_clone(
    django_db_setup: None, django_db_blocker: object, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The name of a database of this test's own, in which commits are real; it is dropped afterwards."""
    from django.db import connections

    name = f"lobule_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_own"
    running = servers.attached()
    usual = connections["default"].settings_dict["NAME"]
    embedded.drop_database(running, name)
    embedded.create_database(running, name, template=servers.TEMPLATE)
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        _connect_to(name)
        yield name
        _connect_to(usual)
    embedded.drop_database(running, name)


def _connect_to(name: str) -> None:
    from django.db import connections

    from crf.models import definition_of_build

    definition_of_build.cache_clear()  # keyed by primary key, which starts again in another database
    for alias in connections:
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name


@pytest.fixture
def signed_in(client: Any, cast: dict[str, Any]) -> Callable[..., Any]:
    """`signed_in("monitor")`: the test's client as that person of the cast, in English unless asked otherwise."""

    def sign_in(role: str, language: str = "en") -> Any:
        client.force_login(cast[role])
        client.cookies["django_language"] = language
        return client

    return sign_in
