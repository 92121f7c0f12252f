"""Many programs over several workers."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from codedistill.errors import ChecksError, InfrastructureError
from codedistill.sandbox.available import PROBE, sandbox_layer
from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.worker import ChecksFault, Outcome, Worker, WorkerError

ATTEMPTS = 3
"""Attempts at a program whose processes failed through no fault of its own."""

QUIET = 1.5
"""Load of a machine on which nothing but one program runs."""

_News = tuple[int, Outcome] | BaseException


def run_programs(
    programs: Sequence[Program],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Run every program under its checks. Results are in the programs' order.

    `on_result(index, result)` is called in the caller's thread as results come, in any order. What may be the machine's
    doing is tried once more after all others are done, with no other program running, and only the second try counts:
    a timeout of a program that has not computed for twice its time limit, and an end by SIGKILL. With one worker on a
    machine that does nothing else, the first try is such a one.

    Raises:
        ChecksError: a program's checks do not compile, define no `check`, cannot import what they import, or raise
            before they have called the program. Its `index` and `reason` are for the caller to name the task.
        InfrastructureError: no layer works here, or a program's processes failed three times, and those of a program
            that is known to be good failed after it. Nothing that a program does by itself raises.
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
    for index, outcome in _run_all(layer, programs, range(len(programs)), limits, count, is_alone=_is_quiet):
        if outcome.doubtful:
            again.append(index)
        else:
            keep(index, outcome.result)
    for index, outcome in _run_all(layer, programs, again, limits, 1, is_alone=lambda: True):
        keep(index, outcome.result)
    return [results[index] for index in range(len(programs))]


def _is_quiet() -> bool:
    return os.getloadavg()[0] < QUIET


def _run_all(
    layer: str,
    programs: Sequence[Program],
    indices: Sequence[int],
    limits: Limits,
    count: int,
    is_alone: Callable[[], bool],
) -> Iterable[tuple[int, Outcome]]:
    """`is_alone` is asked where there is one worker: does a program have the machine to itself then?"""
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
                news.put((index, lane.run(index, programs[index], alone=count == 1 and is_alone())))
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

    def run(self, index: int, program: Program, alone: bool) -> Outcome:
        fault = ""
        for attempt in range(ATTEMPTS):
            time.sleep(0.2 * attempt)
            try:
                return self._try(program, alone)
            except ChecksFault as error:
                raise ChecksError(index, str(error)) from None
            except (WorkerError, OSError, EOFError) as error:
                fault = str(error) or type(error).__name__
                self.close()
        said = f"could not be run, tried {ATTEMPTS} times: {fault[:300]}"
        try:
            good = self._try(PROBE, alone).result
        except (WorkerError, OSError, EOFError) as error:
            self.close()
            raise InfrastructureError(f"sandbox: program {index} {said}; nor could a good one: {error}") from None
        if not good.passed:
            raise InfrastructureError(f"sandbox: program {index} {said}; a good one got the verdict {good.status}")
        return Outcome(Result(Status.CRASHED, "WorkerError", f"it {said}", layer=good.layer), doubtful=False)

    def _try(self, program: Program, alone: bool) -> Outcome:
        if self.worker is None:
            self.worker = Worker(self.layer, self.limits)
        outcome = self.worker.run(program, alone)
        if self.worker.worn:
            self.close()
        return outcome

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
