"""Many programs over several workers."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codedistill.errors import InfrastructureError
from codedistill.sandbox.available import PROBE, sandbox_layer
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.worker import Worker, WorkerError

ATTEMPTS = 3
"""Attempts at a program whose processes failed through no fault of its own."""


def run_programs(
    programs: Sequence[Program],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Run every program under its checks. Results are in the programs' order.

    `on_result(index, result)` is called in the caller's thread as results come, in any order. Checks that no program
    could pass give the status BROKEN_CHECKS.

    Raises:
        InfrastructureError: no layer works here, or a program's processes failed three times, and so did those of a
            program that is known to be good. No program can cause it by its own actions.
    """
    return run_on(sandbox_layer().partition("+")[0], programs, limits, on_result)


def run_on(
    layer: str, programs: Sequence[Program], limits: Limits, on_result: Callable[[int, Result], None] | None = None
) -> list[Result]:
    """`run_programs` on a given layer."""
    todo = iter(range(len(programs)))
    news: queue.SimpleQueue[tuple[int, Result] | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def drive() -> None:
        lane = _Lane(layer, limits)
        try:
            while not stop.is_set() and (index := next(todo, None)) is not None:
                news.put((index, lane.run(index, programs[index])))
        except BaseException as error:
            news.put(error)
        finally:
            lane.close()

    count = min(limits.workers or os.cpu_count() or 1, len(programs))
    threads = [threading.Thread(target=drive, name="codedistill-sandbox", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    results: dict[int, Result] = {}
    try:
        for _ in programs:
            item = news.get()
            if isinstance(item, BaseException):
                raise item
            index, results[item[0]] = item
            if on_result is not None:
                on_result(index, results[index])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return [results[index] for index in range(len(programs))]


@dataclass
class _Lane:
    """One worker at a time, replaced when it fails."""

    layer: str
    limits: Limits
    worker: Worker | None = None

    def run(self, index: int, program: Program) -> Result:
        fault = ""
        for attempt in range(ATTEMPTS):
            time.sleep(0.2 * attempt)
            try:
                result = self._try(program)
            except (WorkerError, OSError, EOFError) as error:
                fault = str(error) or type(error).__name__
                self.close()
                continue
            # The kernel kills processes with SIGKILL when memory is exhausted, innocent ones too.
            if result.error_type != "SIGKILL" or attempt + 1 == ATTEMPTS:
                return result
        failure = f"could not be run, tried {ATTEMPTS} times: {fault[:300]}"
        try:
            good = self._try(PROBE)
        except (WorkerError, OSError, EOFError) as error:
            self.close()
            raise InfrastructureError(f"sandbox: program {index} {failure}; nor could a good one: {error}") from None
        if not good.passed:
            raise InfrastructureError(f"sandbox: program {index} {failure}; a good one got the verdict {good.status}")
        return Result(Status.CRASHED, "WorkerError", f"it {failure}", layer=good.layer)

    def _try(self, program: Program) -> Result:
        if self.worker is None:
            self.worker = Worker(self.layer, self.limits)
        return self.worker.run(program)

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
