"""A real browser on the pages without a server: Chromium's requests are answered by Django's test client.

So a browser test runs inside the test's transaction, with the page's own scripts and its Content-Security-Policy.
"""

from __future__ import annotations

import mimetypes
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.db import connections

ADDRESS = "http://localhost"  # an origin that Chromium trusts without TLS; nothing listens there
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
REPLACED = ("htmx:afterRequest", "htmx:sendAbort")  # typing went on before the last answer came


def chromium() -> str:
    """The path of Chromium; without it the test is skipped, or fails where a browser is required."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path:
        return path
    if os.environ.get("LOBULE_REQUIRE_BROWSER"):
        pytest.fail("LOBULE_REQUIRE_BROWSER is set and there is no chromium: apt-get install chromium")
    pytest.skip("needs Chromium: apt-get install chromium")


@contextmanager
def playwright_and_database() -> Iterator[Any]:
    """Playwright where the test reads a database between its steps.

    Django keeps connections apart for Playwright's loop, and no test's clean-up sees them: those of a test before are
    of a database that is gone.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        connections.close_all()
        try:
            yield playwright
        finally:
            connections.close_all()


@contextmanager
def page_of(client: Any, *, width: int = 1280, height: int = 900, language: str = "en") -> Iterator[Any]:
    """A page whose requests `client` answers, signed in as `client` is.

    `page.complaints` collects what the console says; `page.meanwhile(f)` runs `f` on the test's database while the
    page is open.
    """
    from playwright.sync_api import sync_playwright

    executable = chromium()
    client.cookies["django_language"] = language
    with _beside() as run, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": width, "height": height}, base_url=ADDRESS).new_page()
        page.complaints, page.meanwhile = [], run
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda message: _note(page, message))
        answered_by(page, run, client)
        yield page
        browser.close()


def answered_by(page: Any, run: Callable[..., Any], client: Any) -> None:
    """Let `client` answer the page; a second page beside `page_of`'s takes that page's `meanwhile` as `run`."""
    page.route(lambda url: True, lambda route, request: _answer(run, client, route, request))


@contextmanager
def _beside() -> Iterator[Callable[..., Any]]:
    """Run functions in a second thread on this thread's connection: Playwright's event loop occupies this one."""
    shared = {alias: connections[alias] for alias in connections}

    def adopt() -> None:
        for alias, connection in shared.items():
            connections[alias] = connection

    for connection in shared.values():
        connection.inc_thread_sharing()
    try:
        with ThreadPoolExecutor(1, initializer=adopt) as executor:
            yield lambda function, *args: executor.submit(function, *args).result()
    finally:
        for connection in shared.values():
            connection.dec_thread_sharing()


def _note(page: Any, message: Any) -> None:
    """Refusals (409, 422) are part of the tests; scripts that fail and policies that are broken are not."""
    if message.type == "error" and "status of 4" not in message.text and message.text not in REPLACED:
        page.complaints.append(message.text)


def _answer(run: Callable[..., Any], client: Any, route: Any, request: Any) -> None:
    url = urlsplit(request.url)
    if url.path.startswith("/static/"):
        found = finders.find(url.path.removeprefix("/static/"))
        kind = mimetypes.guess_type(url.path)[0] or "application/octet-stream"
        route.fulfill(status=200, body=Path(found).read_bytes(), content_type=kind) if found else route.abort()
        return
    response = run(_asked, client, request.method, url, request.headers, request.post_data_buffer or b"")
    body = b"".join(response.streaming_content) if response.streaming else response.content
    if response.status_code in (301, 302, 303):
        # Chromium would follow a redirect to the network, past this route.
        body = f'<meta http-equiv="refresh" content="0; url={response["Location"]}">'.encode()
        route.fulfill(status=200, content_type="text/html", body=body)
    else:
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=body)


def _asked(client: Any, method: str, url: Any, headers: dict[str, str], body: bytes) -> Any:
    kept = {name: value for name, value in headers.items() if name.startswith(("hx-", "x-csrf", "accept"))}
    path = f"{url.path}?{url.query}" if url.query else url.path
    return client.generic(method, path, data=body, content_type=headers.get("content-type", ""), headers=kept)
