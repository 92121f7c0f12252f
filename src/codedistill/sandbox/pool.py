"""Many programs over several workers."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from codedistill.errors import InfrastructureError
from codedistill.sandbox.available import sandbox_layer
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.worker import Worker, WorkerError

ATTEMPTS = 3
"""Attempts at a program whose processes failed through no fault of its own."""

BUSY = 0.95
"""A program that had this share of its time limit on a CPU was not slowed down by the machine."""

_News = tuple[int, Result] | BaseException


def run_programs(
    programs: Sequence[Program],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Run every program under its checks. Results are in the programs' order.

    `on_result(index, result)` is called in the caller's thread as results come, in any order. A timeout of a program
    that did not have the CPU all the time is tried once more after all others are done, with no other program running,
    and only the second one counts.

    Raises:
        InfrastructureError: no layer works here, or a program's processes failed three times through no fault of its
            own. Nothing that a program does by itself raises.
    """
    return run_on(sandbox_layer().partition("+")[0], programs, limits, on_result)


def run_on(
    layer: str, programs: Sequence[Program], limits: Limits, on_result: Callable[[int, Result], None] | None = None
) -> list[Result]:
    """`run_programs` on a layer of one's choice."""
    results: dict[int, Result] = {}
    again: list[int] = []

    def keep(index: int, result: Result) -> None:
        results[index] = result
        if on_result is not None:
            on_result(index, result)

    count = min(limits.workers or os.cpu_count() or 1, len(programs))
    for index, result in _run_all(layer, programs, range(len(programs)), limits, count):
        if result.status is Status.TIMEOUT and _perhaps_slowed(result, limits):
            again.append(index)
        else:
            keep(index, result)
    for index, result in _run_all(layer, programs, again, limits, 1):
        keep(index, result)
    return [results[index] for index in range(len(programs))]


def _perhaps_slowed(result: Result, limits: Limits) -> bool:
    """Could a timeout be the machine's doing? Not that of a program that computed until its time was over."""
    budget = min(limits.wall_seconds, limits.cpu_seconds or limits.wall_seconds)
    return result.cpu_seconds < BUSY * budget


def _run_all(
    layer: str, programs: Sequence[Program], indices: Sequence[int], limits: Limits, count: int
) -> Iterable[tuple[int, Result]]:
    if not indices:
        return
    todo = iter(indices)
    news: queue.SimpleQueue[_News] = queue.SimpleQueue()
    stop = threading.Event()

    def drive() -> None:
        lane = _Lane(layer, limits)
        try:
            while not stop.is_set():
                index = next(todo, None)
                if index is None:
                    break
                news.put((index, lane.run(index, programs[index])))
        except BaseException as error:
            news.put(error)
        finally:
            lane.close()

    threads = [threading.Thread(target=drive, name="codedistill-sandbox", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for _ in indices:
            item = news.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class _Lane:
    """One worker at a time, replaced when it fails."""

    def __init__(self, layer: str, limits: Limits) -> None:
        self.layer = layer
        self.limits = limits
        self.worker: Worker | None = None

    def run(self, index: int, program: Program) -> Result:
        fault = ""
        for attempt in range(ATTEMPTS):
            time.sleep(0.2 * attempt)
            try:
                if self.worker is None:
                    self.worker = Worker(self.layer, self.limits)
                result = self.worker.run(program)
                if self.worker.worn:
                    self.close()
                return result
            except (WorkerError, OSError, EOFError) as error:
                fault = str(error) or type(error).__name__
                self.close()
        raise InfrastructureError(f"sandbox: program {index} could not be run, tried {ATTEMPTS} times: {fault[:500]}")

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
