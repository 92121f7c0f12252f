"""What the terminal shows while work goes on. All of it goes to standard error."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from codedistill.watch import Watch

if TYPE_CHECKING:
    from codedistill.training import StepMetrics

RATE_STEPS = 20
"""Tokens per second are the mean over so many last steps."""


def stderr() -> Console:
    return Console(stderr=True)


@contextmanager
def progress() -> Iterator[Watch]:
    """A progress bar as a `Watch`. Where standard error is not a terminal, one plain line per stage instead."""
    console = stderr()
    if not console.is_terminal:
        yield Watch(stage=lambda text: console.print(text, highlight=False))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars).watch()


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("preparing", total=None, detail="")
        self._recent: deque[tuple[int, float]] = deque(maxlen=RATE_STEPS)

    def watch(self) -> Watch:
        return Watch(self._stage, self._step, self._count)

    def _stage(self, text: str) -> None:
        self._bars.reset(self._task, total=None, description=text, detail="")

    def _step(self, metrics: StepMetrics, total: int) -> None:
        self._recent.append((metrics.tokens, metrics.seconds))
        rate = sum(t for t, _ in self._recent) / max(1e-9, sum(s for _, s in self._recent))
        self._bars.update(self._task, total=total, completed=metrics.step, detail=describe(metrics, rate))

    def _count(self, what: str, done: int, total: int) -> None:
        self._bars.update(self._task, total=total, completed=done, detail=what)


def describe(metrics: StepMetrics, rate: float) -> str:
    """loss, beta, forward and reverse KL and response tokens per second in one short line."""
    parts = [f"loss {metrics.loss:.4f}"]
    if metrics.beta is not None:
        parts.append(f"beta {metrics.beta:.3f}")
    if metrics.forward_kl is not None and metrics.reverse_kl is not None:
        parts.append(f"fkl {metrics.forward_kl:.4f} rkl {metrics.reverse_kl:.4f}")
    return "  ".join([*parts, f"{rate:,.0f} tok/s"])
