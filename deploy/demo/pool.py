"""Two coordinators at once: processes that enter synthetic subjects side by side and end with the demo."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import django

from deploy import embedded

Job = tuple[Callable[..., Any], tuple[Any, ...]]


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes with Django set up; what is still waiting is dropped when the block is left by an exception."""
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def each(executor: ProcessPoolExecutor, jobs: Sequence[Job], done: Callable[[], None]) -> list[Any]:
    """Do all jobs, in any order, calling `done` after each; returns their results. The first exception ends it."""
    waiting = [executor.submit(function, *arguments) for function, arguments in jobs]
    for future in as_completed(waiting):
        future.result()
        done()
    return [future.result() for future in waiting]


def _begin() -> None:
    """Ctrl-C is the demo's to handle; these processes end when it does, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if end := embedded.stop_with_parent(signal.SIGKILL):
        end()
    django.setup()
