"""Many programs: order, news, the second try of a timeout, and the machine's own faults."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from codedistill.errors import InfrastructureError
from codedistill.sandbox import Limits, Program, Result, Status, available, describe_layers, pool, run_programs
from codedistill.sandbox import sandbox_layer as layer_in_use
from codedistill.sandbox import worker as worker_module
from codedistill.sandbox.opening import LAYERS as OPENED
from codedistill.sandbox.report import Report
from codedistill.sandbox.worker import Outcome, Worker, WorkerError, settle
from tests.sandbox.processes import descendants

CHECKS = "def check(candidate):\n    assert candidate(2) == 4\n"
GOOD = Program("def f(x):\n    return x * 2\n", CHECKS, "f")
BAD = Program("def f(x):\n    return x * 3\n", CHECKS, "f")


class FakeWorker:
    """Takes the place of a Worker; `script` says what becomes of each program, `log` what was asked.

    A program that is not in the script is a good one.
    """

    script: dict[str, list[Any]]
    log: list[tuple[str, int, bool]]
    """Source, number of workers, and whether the program was said to run alone."""
    living = 0

    def __init__(self, layer: str, limits: Limits) -> None:
        type(self).living += 1
        self.worn = False

    def run(self, program: Program, alone: bool = False) -> Outcome:
        self.log.append((program.source, type(self).living, alone))
        outcome = self.script[program.source].pop(0) if program.source in self.script else Status.PASSED
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Outcome) else Outcome(Result(outcome), doubtful=False)

    def close(self) -> None:
        type(self).living -= 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    FakeWorker.log, FakeWorker.living = [], 0
    monkeypatch.setattr(pool, "Worker", FakeWorker)
    monkeypatch.setattr(pool.time, "sleep", lambda seconds: None)
    return FakeWorker


def _programs(script: dict[str, list[Any]]) -> list[Program]:
    FakeWorker.script = {source: list(outcomes) for source, outcomes in script.items()}
    return [Program(source) for source in script]


def test_order_and_news() -> None:
    programs = [GOOD if index % 3 else BAD for index in range(30)]
    news: list[tuple[int, Result]] = []
    threads = set()

    def note(index: int, result: Result) -> None:
        news.append((index, result))
        threads.add(threading.current_thread())

    results = run_programs(programs, Limits(wall_seconds=10, workers=3), note)
    assert [result.passed for result in results] == [index % 3 != 0 for index in range(30)]
    assert sorted(index for index, _ in news) == list(range(30))
    assert all(results[index] is result for index, result in news)
    assert threads == {threading.current_thread()}
    assert {result.layer for result in results} == {layer_in_use()}


def test_nothing_to_run() -> None:
    assert run_programs([]) == []


DOUBTFUL = Outcome(Result(Status.TIMEOUT), doubtful=True)


def test_what_is_doubtful_is_tried_again_alone(fake: type[FakeWorker]) -> None:
    passed, timeout = Status.PASSED, Status.TIMEOUT
    script = {"slow": [DOUBTFUL, passed], "stuck": [DOUBTFUL, DOUBTFUL], "sure": [timeout], "b": [passed]}
    results = pool.run_on("rlimits", _programs(script), Limits(workers=2))
    assert [result.status for result in results] == [passed, timeout, timeout, passed]
    assert not any(alone for _, _, alone in fake.log[:4])
    assert fake.log[4:] == [("slow", 1, True), ("stuck", 1, True)]  # after all others, with one worker in all


@pytest.mark.parametrize(("load", "quiet"), [(0.9, True), (3.0, False)])
def test_one_worker_is_alone_on_a_quiet_machine_only(
    fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, load: float, quiet: bool
) -> None:
    monkeypatch.setattr(pool.os, "getloadavg", lambda: (load, 0.0, 0.0))
    pool.run_on("rlimits", _programs({"a": [Status.PASSED]}), Limits(workers=1))
    assert fake.log == [("a", 1, quiet)]


SILENT = {"status": "silent", "reached_checks": False}


@pytest.mark.parametrize(
    ("cpu", "alone", "doubtful"),
    [
        (9.9, False, False),  # computed for twice its time, and was still not done
        (5.5, False, True),  # one limit's worth beside other programs: their caches and its are the same
        (0.1, False, True),  # waited for something
        (0.1, True, False),
    ],
)
def test_which_timeouts_are_doubtful(cpu: float, alone: bool, doubtful: bool) -> None:
    report = Report(timed_out=True, seconds=10.0, cpu_seconds=cpu)
    outcome = settle(SILENT, report, Limits(wall_seconds=5, cpu_seconds=12), alone)
    assert (outcome.result.status, outcome.doubtful) == (Status.TIMEOUT, doubtful)


def test_a_pass_after_the_time_is_over_is_none() -> None:
    said = {"status": "passed", "error_type": None, "message": "", "line": None, "raised_in": None}
    verdict = {**said, "raised_deliberately": False, "reached_checks": True}
    late, in_time = (
        settle(verdict, Report(seconds=seconds), Limits(wall_seconds=2), alone=True) for seconds in (2.1, 1.9)
    )
    assert (late.result.status, in_time.result.status) == (Status.TIMEOUT, Status.PASSED)


def test_the_kernels_signal_for_cpu_time_is_a_timeout() -> None:
    outcome = settle(SILENT, Report(seconds=0.1, candidate=signal.SIGXCPU), Limits(), alone=True)
    assert (outcome.result.status, outcome.result.error_type) == (Status.TIMEOUT, "TimeoutError")


@pytest.mark.parametrize(("alone", "doubtful"), [(False, True), (True, False)])
def test_an_unexplained_kill_is_doubtful(alone: bool, doubtful: bool) -> None:
    """The kernel may have killed it for want of memory that others took."""
    outcome = settle(SILENT, Report(seconds=0.1, candidate=signal.SIGKILL), Limits(), alone)
    assert (outcome.result.status, outcome.result.error_type, outcome.doubtful) == (Status.CRASHED, "SIGKILL", doubtful)


def test_a_program_that_is_killed_from_outside_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing: the first time, somebody kills the program."""
    layer = layer_in_use().partition("+")[0]
    slow = Program("import time\ntime.sleep(1)\n" + GOOD.source, CHECKS, "f")
    victims: list[int] = []
    monkeypatch.setattr(pool, "Worker", _watched_by(victims))
    monkeypatch.setattr(pool, "_is_quiet", lambda: False)  # else it would be the program's own doing
    killer = threading.Thread(target=_kill_one_candidate, args=(victims,))
    killer.start()
    (result,) = pool.run_on(layer, [slow], Limits(wall_seconds=20))
    killer.join()
    assert result.passed, result


def _watched_by(started: list[int]) -> type[Worker]:
    class Watched(Worker):
        def __init__(self, layer: str, limits: Limits) -> None:
            super().__init__(layer, limits)
            started.append(self._process.pid)

    return Watched


def _kill_one_candidate(started: list[int]) -> None:
    """Kill the sleeping program below the first worker."""
    while not started:
        time.sleep(0.01)
    time.sleep(0.4)
    youngest = max(descendants(started[0]))
    os.kill(youngest, signal.SIGKILL)


def test_cpu_time_is_that_of_the_program() -> None:
    spin = "import time\ndef f(x):\n    while time.process_time() < 0.4: pass\n    return x * 2\n"
    sleep = "import time\ndef f(x):\n    time.sleep(0.4)\n    return x * 2\n"
    spun, slept = run_programs([Program(source, CHECKS, "f") for source in (spin, sleep)], Limits(wall_seconds=20))
    assert (spun.status, slept.status) == (Status.PASSED, Status.PASSED)
    assert 0.35 < spun.cpu_seconds < 0.6
    assert slept.cpu_seconds < 0.2
    assert slept.seconds >= 0.4


def test_a_fault_of_the_machine_is_not_the_programs(fake: type[FakeWorker]) -> None:
    fault, passed = WorkerError("gone"), Status.PASSED
    programs = _programs({"a": [fault, OSError("fork"), passed], "b": [passed]})
    results = pool.run_on("rlimits", programs, Limits(workers=1))
    assert [result.status for result in results] == [passed, passed]
    assert fake.living == 0


def test_a_machine_that_keeps_failing_ends_the_evaluation(fake: type[FakeWorker]) -> None:
    programs = _programs({"a": [Status.PASSED], "b": [WorkerError("gone")] * 3, available.PROBE.source: [OSError()]})[
        :2
    ]
    with pytest.raises(InfrastructureError, match=r"program 1 could not be run, tried 3 times: gone; nor could a good"):
        pool.run_on("rlimits", programs, Limits(workers=1))
    assert fake.living == 0


def test_a_program_that_no_worker_survives_is_to_blame_where_a_good_one_passes(fake: type[FakeWorker]) -> None:
    programs = _programs({"deadly": [WorkerError("gone")] * 3, "b": [Status.PASSED]})
    deadly, other = pool.run_on("rlimits", programs, Limits(workers=1))
    assert (deadly.status, other.status) == (Status.CRASHED, Status.PASSED)
    assert deadly.message == "it could not be run, tried 3 times: gone"


def test_killed_supervisor_is_replaced() -> None:
    """The real thing: every process of a worker is killed under a program's feet."""
    worker = Worker(layer_in_use().partition("+")[0], Limits(wall_seconds=10))
    try:
        assert worker.run(GOOD).result.passed
        os.killpg(worker._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError):
            worker.run(GOOD)
    finally:
        worker.close()
    assert not Path(worker.folder).exists()


def test_stuck_supervisor_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GRACE_SECONDS", 0.0)
    worker = Worker(layer_in_use().partition("+")[0], Limits(wall_seconds=1))
    try:
        os.killpg(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerError):
            worker.run(GOOD)
    finally:
        os.killpg(worker._process.pid, signal.SIGCONT)
        worker.close()


def test_neither_verdict_nor_end_is_a_fault() -> None:
    report = Report(seconds=0.1)
    with pytest.raises(WorkerError):
        settle({"status": "silent", "reached_checks": False}, report, Limits())
    with pytest.raises(WorkerError):
        settle({"status": "unstarted", "reached_checks": False, "message": "no memory"}, report, Limits())


def test_exit_code_zero_is_no_pass() -> None:
    report = Report(seconds=0.1, candidate=0)
    outcome = settle({"status": "gone", "reached_checks": True, "message": ""}, report, Limits())
    assert outcome.result.status is Status.EXITED


def test_layers_are_described() -> None:
    layers = json.loads(json.dumps(describe_layers()))
    assert [layer["name"] for layer in layers] == list(available.LAYERS) == list(OPENED)
    (used,) = (layer for layer in layers if layer["used"])
    assert used["name"] + "+seccomp" * used["seccomp"] == layer_in_use()
    assert all(layer["available"] == (layer["why"] == "") for layer in layers)


def test_weaker_layer_is_taken_where_the_strongest_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: dict[str, tuple[str | None, str]] = {
        "namespaces": (None, "not permitted"),
        "landlock": ("landlock+seccomp", ""),
        "rlimits": ("rlimits", ""),
    }
    monkeypatch.setattr(available, "_try", outcomes.__getitem__)
    assert available.sandbox_layer.__wrapped__() == "landlock+seccomp"
    assert [(layer["used"], layer["seccomp"]) for layer in describe_layers()] == [
        (False, False),
        (True, True),
        (False, False),
    ]
    outcomes.update(landlock=(None, "no Landlock"), rlimits=(None, "no fork"))
    with pytest.raises(InfrastructureError, match="namespaces: not permitted; landlock: no Landlock; rlimits: no fork"):
        available.sandbox_layer.__wrapped__()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wall_seconds", 0),
        ("memory_mb", -1),
        ("open_files", 15),
        ("output_bytes", -1),
        ("workers", 0),
        ("cpu_seconds", 0),
    ],
)
def test_limits_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} must"):
        Limits(**{name: value})  # type: ignore[arg-type]
