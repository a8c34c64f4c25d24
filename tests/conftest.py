"""One throw-away PostgreSQL for the test run, migrated once as the owner, cloned for each worker.

Tests connect as `lobule_app`, the role of web and workers, so that triggers and rights are the real ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import embedded

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "lobule_template"
_servers = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the controlling process, before Django reads its settings; workers inherit them."""
    if hasattr(config, "workerinput") or os.environ.get("LOBULE_TEST_SERVERS"):
        return
    folder = Path(tempfile.mkdtemp(prefix="lobule-test-"))
    folder.chmod(0o755)
    _servers.callback(shutil.rmtree, folder, ignore_errors=True)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    embedded.load_secrets(folder)
    servers = _servers.enter_context(embedded.running(folder / "servers", durable=False))
    embedded.create_database(servers, TEMPLATE)
    os.environ["DATABASE_URL"] = servers.database_url("lobule_app", TEMPLATE)
    os.environ["DATABASE_OWNER_URL"] = servers.database_url("lobule_owner", TEMPLATE)
    os.environ["CELERY_BROKER_URL"] = servers.broker_url
    os.environ["LOBULE_TEST_SERVERS"] = str(folder)
    os.environ["STORAGE_FOLDER"] = str(folder / "storage")
    os.environ["HTTPS"] = "no"


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _servers.close()


def test_servers() -> embedded.Servers:
    """The servers of this test run, from any of its processes."""
    return embedded.attached(Path(os.environ["LOBULE_TEST_SERVERS"]) / "servers")


test_servers.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this worker its own clone of the migrated template."""
    import fcntl

    from django.core.management import call_command
    from django.db import connections

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    lock_file = Path(os.environ["LOBULE_TEST_SERVERS"]) / "migrate.lock"
    with lock_file.open("a+") as lock, django_db_blocker.unblock():  # type: ignore[attr-defined]
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = Path(os.environ["LOBULE_TEST_SERVERS"]) / "migrated"
        if not done.exists():
            call_command("migrate", verbosity=0, interactive=False)
            done.touch()
        connections.close_all()
        embedded.create_database(test_servers(), f"lobule_{worker}", template=TEMPLATE)
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
