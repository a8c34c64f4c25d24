"""Compose, systemd and the demo start the same processes with the same roles and secrets."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from deploy import make_secrets, processes

DEPLOY = Path(processes.__file__).parent
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def unit(name):
    lines = (DEPLOY / f"systemd/lobule-{name}.service").read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#")]


@pytest.mark.parametrize("name", processes.COMMANDS)
def test_compose_systemd_and_the_demo_start_the_same_command(name):
    assert COMPOSE["services"][name]["command"] == processes.COMMANDS[name]
    assert dict(unit(name))["ExecStart"] == f"/opt/lobule/.venv/bin/{processes.COMMANDS[name]}"


def test_the_image_starts_the_web_process_unless_told_otherwise():
    command = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M).group(1)
    assert " ".join(yaml.safe_load(command)) == processes.COMMANDS["web"]


def test_only_migrate_knows_the_owner_of_the_tables():
    for name, service in COMPOSE["services"].items():
        holds = {"database_owner_url", "owner_password"} & set(service.get("secrets", []))
        assert bool(holds) == (name in ("migrate", "postgres")), name
    for name in ("migrate", *processes.COMMANDS):
        credentials = {value.split(":")[0] for key, value in unit(name) if key == "LoadCredential"}
        assert ("database_owner_url" in credentials) == (name == "migrate")


def test_every_secret_that_a_service_reads_is_mounted_and_made(tmp_path):
    make_secrets.write(tmp_path, "postgres:5432", "valkey:6379")
    for name in ("migrate", *processes.COMMANDS):
        service = COMPOSE["services"][name]
        read = {Path(value).name for key, value in service["environment"].items() if key.endswith("_FILE")}
        assert read == set(service["secrets"])
        paths = [path for key, value in unit(name) if key == "Environment" for path in re.findall(r"%d/(\w+)", value)]
        assert set(paths) == read == {value.split(":")[0] for key, value in unit(name) if key == "LoadCredential"}
    assert {path.name for path in tmp_path.iterdir()} == set(COMPOSE["secrets"])


def test_no_secret_is_written_into_compose_or_units():
    text = "".join(path.read_text() for path in [DEPLOY / "compose.yaml", *(DEPLOY / "systemd").iterdir()])
    assert not re.search(r"(PASSWORD|_KEYS?|_URL)[:=] *(?!/)\S*[0-9a-f]{16}", text)
    assert "redis://" not in text and "postgresql://" not in text


def test_no_secret_is_copied_into_the_image():
    assert "COPY . ." in (DEPLOY / "Dockerfile").read_text()
    kept_out = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert {"deploy/secrets", "var"} <= set(kept_out)


def test_secrets_once_made_are_kept(tmp_path):
    make_secrets.write(tmp_path, "postgres:5432", "valkey:6379")
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    assert make_secrets.write(tmp_path, "elsewhere:1", "elsewhere:2") == []
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before
    assert before[tmp_path / "app_password"].strip() in before[tmp_path / "database_url"]


def test_only_the_proxy_can_be_reached_from_outside():
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["inside"]["internal"]
    outside = [name for name, service in COMPOSE["services"].items() if "outside" in service.get("networks", [])]
    assert outside == ["proxy"]


def test_the_runbook_names_every_variable_that_the_settings_read():
    settings = (DEPLOY / "settings.py").read_text() + (DEPLOY / "gunicorn.py").read_text()
    read = set(re.findall(r'(?:text|yes_or_no|whole_number|postgresql|broker|log_level)\("([A-Z_]+)"', settings))
    read |= set(re.findall(r'environ\.get\("([A-Z_]+?)(?:_FILE)?"', settings))
    runbook = (DEPLOY / "README.md").read_text()
    assert not {name for name in read if f"`{name}`" not in runbook}


def test_processes_stop_when_the_program_that_started_them_is_killed(tmp_path):
    script = f"""
import signal, sys, time
from pathlib import Path
from deploy.embedded import child
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
with child(sleep, Path({str(tmp_path / "log")!r}), signal.SIGTERM) as process:
    print(process.pid, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=DEPLOY.parent)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(pid)


def gone(pid):
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path):
    (tmp_path / "web.log").write_text("Address already in use")
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    with pytest.raises(processes.ProcessStopped, match=r"status 3(.|\n)*Address already in use"):
        processes.check({"web": ended}, logs=tmp_path)
