"""The three processes of an installation, named once: compose, systemd and the demo start these commands.

`web` answers the pages, `worker` does the jobs, `beat` starts the nightly ones. All read settings.py's environment.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.embedded import ROOT, VAR, child

COMMANDS = {
    "web": "gunicorn --config deploy/gunicorn.py deploy.wsgi",
    "worker": "celery --app deploy worker --loglevel INFO",
    "beat": "celery --app deploy beat --loglevel INFO",
}
START_SECONDS = 60


class ProcessStopped(RuntimeError):
    """One of the processes ended by itself; the message shows the end of its log."""


@contextlib.contextmanager
def running(*names: str, logs: Path = VAR / "log") -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run the named processes while the block runs; they stop in reverse order, also on Ctrl-C and kill."""
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(_process(name, logs)) for name in names}


def wait(
    ready: Callable[[], bool],
    processes: dict[str, subprocess.Popen[bytes]],
    *,
    seconds: float,
    every: float,
    logs: Path = VAR / "log",
) -> bool:
    """Wait until `ready()`; False when `seconds` are over. Raises ProcessStopped when a process ends meanwhile."""
    deadline = time.monotonic() + seconds
    while not ready():
        check(processes, logs)
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def check(processes: dict[str, subprocess.Popen[bytes]], logs: Path = VAR / "log") -> None:
    """Raise ProcessStopped where a process is no longer running."""
    for name, process in processes.items():
        if process.poll() is not None:
            tail = (logs / f"{name}.log").read_text(errors="replace")[-2000:]
            raise ProcessStopped(
                f"{name} ended with status {process.returncode}. The end of {logs / name}.log:\n{tail}"
            )


def answers(port: int) -> bool:
    """True when a web process answers on this machine's `port` without a server error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _process(name: str, logs: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    program, *arguments = COMMANDS[name].split()
    command: list[object] = [Path(sys.executable).with_name(program), *arguments]
    return child(command, logs / f"{name}.log", signal.SIGTERM, cwd=ROOT)
