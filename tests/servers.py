"""A pytest plugin: one throw-away PostgreSQL and Valkey for the test run, started before Django reads its settings."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from deploy import embedded

TEMPLATE = "lobule_template"
_running = contextlib.ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Start the servers as soon as this plugin loads; the processes of xdist inherit them."""
    if "LOBULE_TEST_SERVERS" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="lobule-test-"))
    folder.chmod(0o755)
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL", "SECRET_KEY"):
        os.environ.pop(name, None)
    embedded.load_secrets(folder)
    servers = _running.enter_context(embedded.running(folder / "servers", durable=False))
    embedded.create_database(servers, TEMPLATE)
    os.environ["DATABASE_URL"] = servers.database_url("lobule_app", TEMPLATE)
    os.environ["DATABASE_OWNER_URL"] = servers.database_url("lobule_owner", TEMPLATE)
    os.environ["CELERY_BROKER_URL"] = servers.broker_url
    os.environ["LOBULE_TEST_SERVERS"] = str(folder)
    os.environ["STORAGE_FOLDER"] = str(folder / "storage")
    os.environ["HTTPS"] = "no"


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _running.close()


def folder() -> Path:
    """The folder of this test run, the same in all of its processes."""
    return Path(os.environ["LOBULE_TEST_SERVERS"])


def attached() -> embedded.Servers:
    """The servers of this test run, from any of its processes."""
    return embedded.attached(folder() / "servers")
