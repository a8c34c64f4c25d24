"""A real web server (gunicorn as it is deployed) on a database of its own, and people who use it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.middleware.csrf import _get_new_csrf_string

ROOT = Path(__file__).resolve().parents[2]
KEPT_ALIVE = 1.5  # seconds; gunicorn closes what is idle for two


@dataclass
class Client:
    """One person's browser: a kept-alive connection with their session."""

    port: int
    cookie: str
    token: str
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.last = 0.0

    def ask(self, method: str, url: str, body: Any = None) -> bytes:
        """The answer's body; its time is noted. Any status but 200 is an error."""
        headers = {"Cookie": self.cookie, "X-CSRFToken": self.token, "Accept-Language": "en", "Host": "127.0.0.1"}
        content = None
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body), "application/json"
        if time.monotonic() - self.last > KEPT_ALIVE:
            self.connection.close()
        started = time.perf_counter()
        self.connection.request(method, url, content, headers)
        response = self.connection.getresponse()
        answer = response.read()
        self.seconds.append(time.perf_counter() - started)
        self.last = time.monotonic()
        assert response.status == 200, f"{method} {url}: {response.status} {answer[:300]!r}"
        return answer


@dataclass
class Server:
    """The running server, and how to sign in to it."""

    port: int
    processes: list[int]

    def client(self, user: Any) -> Client:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        token = _get_new_csrf_string()
        names = settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME
        return Client(self.port, f"{names[0]}={session.session_key}; {names[1]}={token}", token)


@contextmanager
def serving(
    database: str, *, workers: int | None = 2, settings_module: str = "tests.bench.settings"
) -> Iterator[Server]:
    """gunicorn as it is deployed, on `database`; with as many processes as it is deployed with, or `workers`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"DJANGO_SETTINGS_MODULE": settings_module, "BIND": f"127.0.0.1:{port}"}
    own |= {"WEB_WORKERS": str(workers)} if workers else {}
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.py", "--log-level", "error", "--preload"]
    command += ["--access-logfile", "/dev/null", "deploy.wsgi"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(database) | own)
    try:
        _wait(port, process)
        yield Server(port, [process.pid])
    finally:
        process.terminate()
        process.wait(timeout=30)


def environment(database: str) -> dict[str, str]:
    """What a process needs to work on `database` of this test run."""
    urls = {name: _with_database(os.environ[name], database) for name in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    return os.environ | urls | {"ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "ERROR"}


def _with_database(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _attempt in range(600):
        assert process.poll() is None, "the server ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def together(acts: list[Callable[[], None]]) -> float:
    """Run the acts at once, each in a thread; the wall time in seconds. The first error is raised."""
    errors: list[BaseException] = []

    def guarded(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # raised in the test below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(act,)) for act in acts]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - started


def percentile(seconds: list[float], share: int) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100)[share - 1]


@pytest.fixture
def own_database(transactional_clone: str) -> Iterator[str]:
    yield transactional_clone
    for alias in connections:
        connections[alias].close()
