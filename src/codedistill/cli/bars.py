"""What is shown while work goes on: a bar on a terminal, a line every so often elsewhere. It goes to standard error."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from codedistill.progress import Watch

if TYPE_CHECKING:
    from codedistill.training import StepMetrics

RATE_STEPS = 20
"""Tokens per second and the time left follow from so many last steps."""

LINE_SECONDS = 30
"""Without a terminal, at least so many seconds lie between two lines."""

WIDE = 100
"""A terminal of so many columns has room for a long bar."""

TIME_WIDTH = len("0:00:00")


@contextmanager
def progress() -> Iterator[Watch]:
    """Progress as a `Watch`: a bar, or lines where standard error is not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(lambda line: console.print(line, highlight=False, soft_wrap=True)).watch()
        return
    with _Bars(console).shown() as watch:
        yield watch


class _Pace:
    """How fast the last steps went."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=RATE_STEPS)

    def add(self, metrics: StepMetrics) -> None:
        self._recent.append((metrics.tokens, metrics.seconds))

    @property
    def tokens_per_second(self) -> float:
        return sum(tokens for tokens, _ in self._recent) / max(1e-9, self._seconds)

    @property
    def seconds_per_step(self) -> float:
        return self._seconds / max(1, len(self._recent))

    @property
    def _seconds(self) -> float:
        return sum(seconds for _, seconds in self._recent)


class _Bars:
    def __init__(self, console: Console) -> None:
        self._width = console.width
        self._bar = 24 if self._width >= WIDE else 12
        whole = Column(no_wrap=True)  # else it is these that a narrow terminal loses
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=self._bar, table_column=whole),
            MofNCompleteColumn(table_column=whole.copy()),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True, table_column=whole.copy()),
            console=console,
        )
        self._text = "preparing"
        self._task = self._bars.add_task(self._text, total=None, detail="")
        self._pace = _Pace()

    @contextmanager
    def shown(self) -> Iterator[Watch]:
        with self._bars:
            yield Watch(self._stage, self._step, self._count, self._directory)

    def _directory(self, path: Path, unfinished: Path | None) -> None:
        self._bars.console.print(f"run directory: {path}", highlight=False, soft_wrap=True)

    def _stage(self, text: str) -> None:
        self._text = text
        self._bars.reset(self._task, total=None, description=text, detail="")

    def _step(self, metrics: StepMetrics, total: int) -> None:
        self._pace.add(metrics)
        counts = len(f"{total}/{total}")
        room = self._width - len(self._text) - self._bar - counts - TIME_WIDTH - 4  # a space between columns
        detail = fitting(describe(metrics, self._pace.tokens_per_second), room)
        self._bars.update(self._task, total=total, completed=metrics.step, detail=detail)

    def _count(self, what: str, done: int, total: int) -> None:
        self._bars.update(self._task, total=total, completed=done, detail=what)


class _Lines:
    """A line for every stage and within it one every LINE_SECONDS; of training the first and the last step too."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._pace = _Pace()
        self._written = clock()  # when the last line was
        self._stepped = False  # in this stage
        self._counted = ("", 0, 0.0)  # what is counted, how many were done when that began, and when it did

    def watch(self) -> Watch:
        return Watch(self._stage, self._step, self._count, self._directory)

    def _directory(self, path: Path, unfinished: Path | None) -> None:
        self._line(f"run directory: {path}")

    def _stage(self, text: str) -> None:
        self._stepped, self._counted = False, ("", 0, 0.0)
        self._line(text)

    def _step(self, metrics: StepMetrics, total: int) -> None:
        self._pace.add(metrics)
        if not self._stepped or metrics.step == total or self._is_due():
            parts = [f"  step {metrics.step} of {total}", *describe(metrics, self._pace.tokens_per_second)]
            left = (total - metrics.step) * self._pace.seconds_per_step
            self._line("  ".join([*parts, *_left(left)]))
        self._stepped = True

    def _count(self, what: str, done: int, total: int) -> None:
        if self._counted[0] != what:
            self._counted = (what, done, self._clock())
        if self._is_due():
            _, before, start = self._counted
            left = (total - done) * (self._clock() - start) / max(1, done - before)
            self._line("  ".join([f"  {what} {done} of {total}", *_left(left)]))

    def _is_due(self) -> bool:
        return self._clock() - self._written >= LINE_SECONDS

    def _line(self, text: str) -> None:
        self._written = self._clock()
        self._write(text)


def _left(seconds: float) -> list[str]:
    """Time left as the end of a line; nothing where none is left, or it is not known yet."""
    if seconds < 1:
        return []
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return [f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"]


def describe(metrics: StepMetrics, rate: float) -> list[str]:
    """loss, response tokens per second, beta, forward and reverse KL: the first ones matter most."""
    parts = [f"loss {metrics.loss:.4f}", f"{rate:,.0f} tok/s"]
    if metrics.beta is not None:
        parts.append(f"beta {metrics.beta:.3f}")
    if metrics.forward_kl is not None and metrics.reverse_kl is not None:
        parts.append(f"fkl {metrics.forward_kl:.4f} rkl {metrics.reverse_kl:.4f}")
    return parts


def fitting(parts: list[str], room: int) -> str:
    """As many of the parts, from the first on, as fit into so many columns."""
    while parts and len("  ".join(parts)) > room:
        parts = parts[:-1]
    return "  ".join(parts)
