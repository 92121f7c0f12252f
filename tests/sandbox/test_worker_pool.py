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
from codedistill.sandbox.opening import LAYERS as OPENED
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
        return Result(outcome)

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


def test_neither_verdict_nor_end_is_a_fault() -> None:
    report = {"seconds": 0.1, "stdout": "", "timed_out": False, "candidate": None}
    with pytest.raises(WorkerError):
        settle({"status": "silent", "reached_checks": False}, report, Limits())
    with pytest.raises(WorkerError):
        settle({"status": "unstarted", "reached_checks": False, "message": "no memory"}, report, Limits())


def test_exit_code_zero_is_no_pass() -> None:
    report = {"seconds": 0.1, "stdout": "", "timed_out": False, "candidate": 0}
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
