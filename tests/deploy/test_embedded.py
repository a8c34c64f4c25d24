"""The embedded servers stop with whoever started them, and start again after anything."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from deploy import embedded

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import signal, sys, time
from pathlib import Path
from deploy import embedded
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
with embedded.running(Path(sys.argv[1]), durable=False) as servers:
    print(servers.database_url("lobule_app"), flush=True)
    try:
        time.sleep(120)
    finally:
        time.sleep(float(sys.argv[2]))  # as long as the processes that use the servers take to stop
"""


@pytest.fixture
def folder():
    # PostgreSQL runs as an account of its own when root starts it, and pytest's own folders are private.
    made = Path(tempfile.mkdtemp(prefix="lobule-embedded-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def program(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder, "0.5"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    address = process.stdout.readline().strip()
    assert address.startswith("postgresql://"), "the servers did not start"
    yield process, address
    process.kill()
    process.wait()


def answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def stops(address: str) -> bool:
    deadline = time.monotonic() + 15
    while answers(address) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not answers(address)


def test_a_program_that_starts_while_another_is_killed_has_servers_of_its_own(program, folder):
    process, address = program
    process.terminate()
    while (folder / "servers.json").exists():  # until the signal has arrived
        time.sleep(0.01)
    assert process.poll() is None, "still stopping"
    with embedded.running(folder, durable=False) as servers:
        assert servers.database_url("lobule_app") != address
        assert process.wait(10) == 128 + signal.SIGTERM
        assert answers(servers.database_url("lobule_app"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "kill", "kill -9"])
def test_the_servers_stop_with_the_program_however_it_ends(program, how):
    process, address = program
    assert answers(address)
    os.kill(process.pid, how)
    assert stops(address)


def test_the_servers_start_again_after_kill_9(program, folder):
    process, _ = program
    process.kill()
    process.wait()
    with embedded.running(folder, durable=False) as servers:
        assert answers(servers.database_url("lobule_owner"))


def test_a_second_program_uses_the_servers_of_the_first(program, folder):
    _, address = program
    with embedded.running(folder) as servers:
        assert servers.database_url("lobule_app") == address
    assert answers(address)


@pytest.mark.parametrize("lock", ["", "{pid}\n{data}\n"], ids=["empty", "of another process by now"])
def test_a_lock_that_a_power_cut_left_is_cleared(folder, lock):
    with embedded.running(folder, durable=False):
        pass
    data = folder / "postgres"
    # PostgreSQL looks whether a process of its own account has the number.
    other = subprocess.Popen(["sleep", "60"], user=embedded._postgres_user(folder), cwd="/")
    try:
        (data / "postmaster.pid").write_text(lock.format(pid=other.pid, data=data))
        with embedded.running(folder, durable=False) as servers:
            assert answers(servers.database_url("lobule_app"))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_program_that_holds_the_lock_without_servers_is_named(folder, monkeypatch):
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
    with (folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(embedded.ServersUnavailable, match="stop it first"), embedded.running(folder):
            pass


def test_a_database_left_without_its_roles_gets_them(folder):
    with embedded.running(folder, durable=False) as servers:
        url = servers.database_url("postgres", "postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in ("DROP DATABASE lobule", "DROP ROLE lobule_app", "DROP ROLE lobule_owner"):
                connection.execute(statement)
            connection.execute("CREATE DATABASE lobule")
    with embedded.running(folder, durable=False) as servers:
        assert answers(servers.database_url("lobule_app"))
        with psycopg.connect(servers.database_url("lobule_owner")) as connection:
            connection.execute("CREATE TABLE owned ()")


@pytest.mark.parametrize(("variable", "made"), [("DATABASE_URL", False), ("UNRELATED", True)])
def test_secrets_are_made_for_the_embedded_servers_only(tmp_path, variable, made):
    program = "from deploy import embedded\nwith embedded.environment(['manage.py', 'survival']): pass"
    variables = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "SECRET_KEY")}
    variables |= {"LOBULE_VAR": str(tmp_path), variable: "postgresql://real/lobule"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, check=True)
    assert (tmp_path / "secrets.json").exists() == made


def test_an_initdb_killed_half_way_is_made_again(folder):
    half_made = folder / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with embedded.running(folder, durable=False) as servers:
        assert answers(servers.database_url("lobule_app"))
    assert not half_made.exists()


def test_a_folder_that_is_no_database_is_left_alone_and_explained(folder):
    (folder / "postgres").mkdir()
    (folder / "postgres" / "thesis.doc").write_text("mine")
    with pytest.raises(embedded.ServersUnavailable, match="move it away"), embedded.running(folder):
        pass
    assert (folder / "postgres" / "thesis.doc").read_text() == "mine"


def test_the_app_role_has_no_password_but_the_generated_one(program, folder):
    _, address = program
    assert not answers(address.replace(":" + address.split(":")[2].split("@")[0], ":guess"))
    assert (folder / "passwords.json").stat().st_mode & 0o077 == 0
