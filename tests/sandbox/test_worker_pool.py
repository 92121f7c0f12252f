"""Many programs: order, news, the second try of a timeout, and the machine's own faults."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from codedistill.errors import InfrastructureError
from codedistill.sandbox import Limits, Program, Result, Status, available, describe_layers, pool, run_programs
from codedistill.sandbox import sandbox_layer as layer_in_use
from codedistill.sandbox import worker as worker_module
from codedistill.sandbox.opening import LAYERS as OPENED
from codedistill.sandbox.report import Report
from codedistill.sandbox.worker import Worker, WorkerError, settle

CHECKS = "def check(candidate):\n    assert candidate(2) == 4\n"
GOOD = Program("def f(x):\n    return x * 2\n", CHECKS, "f")
BAD = Program("def f(x):\n    return x * 3\n", CHECKS, "f")


class FakeWorker:
    """Takes the place of a Worker; `script` says what becomes of each program, `log` what was asked."""

    script: dict[str, list[Any]]
    log: list[tuple[str, int]]
    living = 0

    def __init__(self, layer: str, limits: Limits) -> None:
        type(self).living += 1
        self.worn = False

    def run(self, program: Program) -> Result:
        self.log.append((program.source, type(self).living))
        outcome = self.script[program.source].pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Result) else Result(outcome)

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


def test_timeout_is_tried_again_alone(fake: type[FakeWorker]) -> None:
    passed, timeout = Status.PASSED, Status.TIMEOUT
    programs = _programs({"slow": [timeout, passed], "stuck": [timeout, timeout], "a": [passed], "b": [passed]})
    results = pool.run_on("rlimits", programs, Limits(workers=2))
    assert [result.status for result in results] == [passed, timeout, passed, passed]
    assert fake.log[4:] == [("slow", 1), ("stuck", 1)]  # after all others, with one worker in all


def test_timeout_of_a_program_that_had_the_cpu_is_not_tried_again(fake: type[FakeWorker]) -> None:
    """Within 5 s of wall time: 4.9 s on the CPU is the program's own doing, 4.5 s may be the machine's."""
    computed, waited = (Result(Status.TIMEOUT, cpu_seconds=seconds) for seconds in (4.9, 4.5))
    programs = _programs({"computed": [computed], "waited": [waited, Status.PASSED]})
    results = pool.run_on("rlimits", programs, Limits(wall_seconds=5, workers=2))
    assert [result.status for result in results] == [Status.TIMEOUT, Status.PASSED]
    assert [source for source, _ in fake.log].count("computed") == 1


def test_timeout_of_cpu_time_is_not_tried_again(fake: type[FakeWorker]) -> None:
    programs = _programs({"computed": [Result(Status.TIMEOUT, cpu_seconds=2.0)]})
    results = pool.run_on("rlimits", programs, Limits(wall_seconds=16, cpu_seconds=2))
    assert [result.status for result in results] == [Status.TIMEOUT]


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
    programs = _programs({"a": [Status.PASSED], "b": [WorkerError("gone")] * 3})
    with pytest.raises(InfrastructureError, match=r"program 1 could not be run, tried 3 times: gone"):
        pool.run_on("rlimits", programs, Limits(workers=1))
    assert fake.living == 0


def test_killed_supervisor_is_replaced() -> None:
    """The real thing: every process of a worker is killed under a program's feet."""
    worker = Worker(layer_in_use().partition("+")[0], Limits(wall_seconds=10))
    try:
        assert worker.run(GOOD).passed
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
    result = settle({"status": "gone", "reached_checks": True, "message": ""}, report, Limits())
    assert result.status is Status.EXITED


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
