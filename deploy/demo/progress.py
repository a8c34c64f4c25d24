"""How far the demo is: one line that is drawn again on a terminal, a line per tenth elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 28


class Bar:
    """The progress of one phase; phases follow each other, and their seconds are kept."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.seconds: dict[str, float] = {}
        self._phase, self._total, self._done, self._tenth, self._began = "", 0, 0, 0, 0.0

    def start(self, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self.finish()
        self._phase, self._total, self._done, self._tenth = phase, max(total, 1), 0, -1
        self._began = time.monotonic()
        self._draw()

    def to(self, done: int) -> None:
        """Show that `done` steps are behind."""
        self._done = min(done, self._total)
        self._draw()

    def step(self) -> None:
        self.to(self._done + 1)

    def finish(self) -> None:
        """End the phase and keep how long it took."""
        if not self._phase:
            return
        self.seconds[self._phase] = round(time.monotonic() - self._began, 1)
        self.to(self._total)
        if self.out.isatty():
            self.out.write("\n")
        self._phase = ""

    def _draw(self) -> None:
        share = self._done / self._total
        seconds = time.monotonic() - self._began
        if self.out.isatty():
            filled = round(share * WIDTH)
            line = f"{self._phase:<24} [{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} {seconds:5.0f} s"
            self.out.write(f"\r{line}")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self.out.write(f"{self._phase} {share:.0%} {seconds:.0f} s\n")
        self.out.flush()
