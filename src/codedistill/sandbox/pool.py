"""Many programs over several workers."""

from __future__ import annotations

import functools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence

from codedistill.errors import InfrastructureError
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.worker import Worker, WorkerError

LAYERS = ("namespaces", "landlock", "rlimits")
"""Strongest first."""

ATTEMPTS = 3
"""Attempts at a program whose processes failed through no fault of its own."""

_News = tuple[int, Result] | BaseException


@functools.cache
def sandbox_layer() -> str:
    """Name of the strongest layer that works on this machine. Tried once per process."""
    faults = []
    for name in LAYERS:
        try:
            worker = Worker(name, Limits())
        except (WorkerError, OSError, EOFError) as error:
            faults.append(f"{name}: {error}")
            continue
        worker.close()
        return worker.layer
    raise InfrastructureError("no layer of the sandbox works here: " + "; ".join(faults))


def run_programs(
    programs: Sequence[Program],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Run every program under its checks. Results are in the programs' order.

    `on_result(index, result)` is called in the caller's thread as results come, in any order. A timeout is tried once more
    after all others are done, with no other program running, unless the program had the CPU all the time. Nothing
    that a program does raises; a machine that fails gives Status.INFRASTRUCTURE after three attempts.
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
        if result.status is Status.TIMEOUT:
            again.append(index)
        else:
            keep(index, result)
    for index, result in _run_all(layer, programs, again, limits, 1):
        keep(index, result)
    return [results[index] for index in range(len(programs))]


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
                news.put((index, lane.run(programs[index])))
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

    def run(self, program: Program) -> Result:
        fault = ""
        for _ in range(ATTEMPTS):
            try:
                if self.worker is None:
                    self.worker = Worker(self.layer, self.limits)
                result = self.worker.run(program)
                if self.worker.worn:
                    self.close()
                return result
            except (WorkerError, OSError, EOFError) as error:
                fault = f"{type(error).__name__}: {error}"
                self.close()
        return Result(Status.INFRASTRUCTURE, "InfrastructureError", fault[:500])

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
