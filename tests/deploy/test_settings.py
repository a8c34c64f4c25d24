"""Settings refuse what they can't mean, and say which variable it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(**changes: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **changes}
    variables = {name: value for name, value in variables.items() if value != "unset"}
    command = [sys.executable, "-c", "import django.conf as c; print(c.settings.DEBUG, c.settings.SECRET_KEY)"]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)


def test_debug_is_off_by_default():
    assert start(DEBUG="unset").stdout.startswith("False")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEBUG", "maybe"),
        ("HTTPS", "1"),
        ("SECRET_KEY", "unset"),
        ("DATABASE_URL", "sqlite:///db"),
        ("DATABASE_URL", "unset"),
        ("CELERY_BROKER_URL", "unset"),
        ("DATABASE_URL", "postgresql://lobule_app@127.0.0.1:port/lobule"),
        ("CELERY_BROKER_URL", "127.0.0.1:6379"),
        ("IDENTITY_KEYS", "secret"),
        ("IDENTITY_KEYS", "ab" * 32 + ","),
        ("PSEUDONYM_KEY", "secret"),
        ("SEAL_KEY", "ab" * 16),
        ("NIGHTLY_HOUR", "late"),
        ("NIGHTLY_HOUR", "24"),
        ("LOG_LEVEL", "loud"),
        ("CONN_MAX_AGE", "-1"),
        ("SECRET_KEY_FILE", "/nowhere/key"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(variable, value):
    done = start(**{variable: value})
    assert done.returncode != 0 and variable in done.stderr


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    assert "from-a-file" in start(SECRET_KEY_FILE=str(tmp_path / "key")).stdout


def test_migrate_without_the_owner_says_what_is_missing():
    variables = {name: value for name, value in os.environ.items() if name != "DATABASE_OWNER_URL"}
    command = [sys.executable, "manage.py", "migrate"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr.startswith("CommandError: DATABASE_OWNER_URL is not set")
