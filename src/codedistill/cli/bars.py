"""Progress on standard error: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from codedistill.progress import Watch

if TYPE_CHECKING:
    from codedistill.training import StepMetrics

LINE_SECONDS = 30
"""Without a terminal, a line is due this many seconds after the last one, even if nothing has moved."""

RATE_STEPS, RATE_SECONDS = 20, 600
"""How far back tokens per second and the time left look."""


@contextmanager
def progress() -> Iterator[Watch]:
    """Callbacks that draw a bar, or print lines where standard error is no terminal."""
    display = Display(Console(stderr=True))
    with display.bars if display.console.is_terminal else display.lines():
        yield display.watch()


class _Detail(ProgressColumn):
    """The only column that a narrow terminal may cut: loss, tokens per second, beta and divergences, in this order."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["detail"], no_wrap=True, overflow="ellipsis")


class Display:
    """The stage and its progress. On a terminal, rich draws `bars`; elsewhere, `beat` prints a line when due."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self._clock = console, clock
        whole = Column(no_wrap=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(24 if console.width >= 100 else 12, table_column=whole),
            MofNCompleteColumn(table_column=whole),
            _Detail(),
            TimeElapsedColumn(table_column=whole),
            TimeRemainingColumn(compact=True, table_column=whole),
            console=console,
            get_time=clock,
            speed_estimate_period=RATE_SECONDS,
        )
        self._stage = ""
        self._recent: deque[tuple[int, float]] = deque(maxlen=RATE_STEPS)  # tokens and seconds of the last steps
        self._written = clock()
        self._lock = threading.Lock()  # the thread of `lines` reads the one task that `_begin` replaces
        self._begin("loading", None)

    def watch(self) -> Watch:
        def directory(path: Path, unfinished: Path | None) -> None:
            self._line(f"run directory: {path}")

        return Watch(self.stage, self.step, self.count, directory)

    def stage(self, text: str) -> None:
        self._stage = text
        self._recent.clear()
        self._begin(text, None)
        if not self.console.is_terminal:
            self._line(text)

    def step(self, metrics: StepMetrics, total: int) -> None:
        self._recent.append((metrics.tokens or 0, metrics.seconds or 0.0))
        tokens, seconds = (sum(column) for column in zip(*self._recent, strict=True))
        parts = [f"loss {metrics.loss:.4f}", f"{tokens / max(1e-9, seconds):,.0f} tok/s"]
        if metrics.beta is not None:
            parts.append(f"beta {metrics.beta:.3f}")
        if metrics.forward_kl is not None and metrics.reverse_kl is not None:
            parts.append(f"fkl {metrics.forward_kl:.4f} rkl {metrics.reverse_kl:.4f}")
        self.count("step", metrics.step, total, "  ".join(parts))
        if not self.console.is_terminal and (len(self._recent) == 1 or metrics.step == total):
            self._line(self._state())

    def count(self, what: str, done: int, total: int, detail: str = "") -> None:
        if what != self._what:
            self._begin(what, total, done)
        self.bars.update(self._task, completed=done, detail=detail)

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Call `beat` every second from a thread, so that lines come during long completions too."""
        over = threading.Event()

        def beats() -> None:
            while not over.wait(1.0):
                self.beat()

        thread = threading.Thread(target=beats, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def beat(self) -> None:
        """Print a line if one is due."""
        if self._clock() - self._written >= LINE_SECONDS:
            self._line(self._state())

    def _begin(self, what: str, total: int | None, done: int = 0) -> None:
        with self._lock:
            for task in self.bars.task_ids:
                self.bars.remove_task(task)
            self._what = what
            self._task = self.bars.add_task(self._stage or what, total=total, completed=done, what=what, detail="")

    def _state(self) -> str:
        with self._lock:
            [task] = self.bars.tasks
        if task.total is None or (task.finished and task.fields["what"] != "step"):
            return f"  {task.description}  {timedelta(seconds=int(task.elapsed or 0))} elapsed"
        parts = [f"  {task.fields['what']} {task.completed:.0f} of {task.total:.0f}", task.fields["detail"]]
        left = task.time_remaining
        return "  ".join([*filter(None, parts), *([f"{timedelta(seconds=round(left))} left"] if left else [])])

    def _line(self, text: str) -> None:
        self._written = self._clock()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
