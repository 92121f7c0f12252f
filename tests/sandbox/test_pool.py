"""Many programs: order, news, limits of time, broken checks, and the machine's own faults."""

# ruff: noqa: E501 (programs in tables)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codedistill.errors import InfrastructureError
from codedistill.sandbox import Isolation, Limits, Program, Result, Status, describe_layers, pool, run_programs
from codedistill.sandbox import sandbox_layer as layer_in_use
from codedistill.sandbox import worker as worker_module
from codedistill.sandbox.available import PROBE
from codedistill.sandbox.testing import FakeSandbox
from codedistill.sandbox.worker import Worker, WorkerError

from .processes import descendants

CHECKS = "def check(candidate):\n    assert candidate(2) == 4\n"
GOOD = Program("def f(x):\n    return x * 2\n", CHECKS, "f")
BAD = Program("def f(x):\n    return x * 3\n", CHECKS, "f")


class FakeWorker:
    """Takes the place of a Worker; `script` says what becomes of each program. One that is not in it is good."""

    script: dict[str, list[Any]]
    living = 0

    def __init__(self, layer: str, limits: Limits) -> None:
        type(self).living += 1

    def run(self, program: Program) -> Result:
        outcome = self.script[program.source].pop(0) if program.source in self.script else Status.PASSED
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Result) else Result(outcome)

    def close(self) -> None:
        type(self).living -= 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    FakeWorker.living = 0
    monkeypatch.setattr(pool, "Worker", FakeWorker)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return FakeWorker


def scripted(script: dict[str, list[Any]]) -> list[Program]:
    FakeWorker.script = {source: list(outcomes) for source, outcomes in script.items()}
    return [Program(source) for source in script]


def test_order_and_news() -> None:
    programs = [GOOD if index % 3 else BAD for index in range(30)]
    news: list[tuple[int, Result]] = []
    threads = set()

    def note(index: int, result: Result) -> None:
        news.append((index, result))
        threads.add(threading.current_thread())

    results = run_programs(programs, Limits(workers=3), note)
    assert [result.passed for result in results] == [index % 3 != 0 for index in range(30)]
    assert sorted(index for index, _ in news) == list(range(30))
    assert all(results[index] is result for index, result in news)
    assert threads == {threading.current_thread()}
    assert {result.layer for result in results} == {layer_in_use()}


def test_nothing_to_run() -> None:
    assert run_programs([]) == []


@pytest.fixture
def load() -> Iterator[None]:
    """Four processes per CPU that compute all the time."""
    count = 4 * (os.cpu_count() or 1)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("isolation", Isolation)
def test_verdicts_do_not_depend_on_the_load(isolation: Isolation) -> None:
    """On a machine on which each gets a fifth of a CPU or less: what needs 0.5 s of it passes with a limit of 1 s."""
    spin = "import time\ndef f(x):\n    while time.process_time() < {}: pass\n    return x * 2\n"
    programs = [Program(spin.format(seconds), CHECKS, "f", isolation) for seconds in (0.5, 5)]
    enough, late = run_programs(programs, Limits(cpu_seconds=1, idle_seconds=1))
    assert (enough.status, late.status) == (Status.PASSED, Status.TIMEOUT)
    assert 0.5 < enough.cpu_seconds < 1 < late.cpu_seconds < 2


@pytest.mark.slow
@pytest.mark.parametrize("isolation", Isolation)
def test_a_program_that_only_waits_times_out(isolation: Isolation) -> None:
    lock = "import threading\ndef f(x):\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\n"
    nap = "import time\ndef f(x):\n    time.sleep(0.5)\n    return x * 2\n"
    programs = [Program(source, CHECKS, "f", isolation) for source in (lock, nap)]
    start = time.monotonic()
    stuck, slept = run_programs(programs, Limits(cpu_seconds=60, idle_seconds=2))
    assert (stuck.status, stuck.error_type, slept.status) == (Status.TIMEOUT, "TimeoutError", Status.PASSED)
    assert time.monotonic() - start < 20
    assert slept.cpu_seconds < 0.3 < slept.seconds


def test_the_checks_own_time_counts() -> None:
    checks = "def check(f):\n    f(1)\n    while True: pass\n"
    results = run_programs([Program(GOOD.source, checks, "f", i) for i in Isolation], Limits(cpu_seconds=0.5))
    assert [result.status for result in results] == [Status.TIMEOUT] * 2


BROKEN = {
    "syntax": ("def check(f:\n", "SyntaxError"),
    "null byte": ("def check(f): pass\n\0", "null bytes"),
    "no check": ("def chek(f): pass\n", "check"),
    "a coroutine": ("async def check(f):\n    assert f(2) == 5\n", "coroutine"),
    "a generator": ("def check(f):\n    assert f(2) == 5\n    yield\n", "generator"),
    "missing module": ("import nothing_of_this_name\ndef check(f): pass\n", "nothing_of_this_name"),
    "package": ("def check(f):\n    from numpy.linalg import norm\n", "numpy.linalg"),
}
BROKEN_DATA = {
    "missing file": ("def check(f):\n    open('/nothing of this name')\n", "FileNotFoundError"),
    "error before the first call": (
        "def check(f):\n    expected = 1 / 0\n    assert f() == expected\n",
        "ZeroDivision",
    ),
    "a function handed over": ("def check(f):\n    assert f(lambda: 1) == 1\n", "plain data"),
}


@pytest.mark.parametrize(
    ("isolation", "name"),
    [(i, name) for i in Isolation for name in BROKEN] + [(Isolation.DATA, n) for n in BROKEN_DATA],
)
def test_broken_checks_give_no_verdict_and_others_are_judged(isolation: Isolation, name: str) -> None:
    checks, reason = (BROKEN | BROKEN_DATA)[name]
    before, broken, after = run_programs([GOOD, Program(GOOD.source, checks, "f", isolation), BAD])
    assert (before.status, broken.status, after.status) == (Status.PASSED, Status.BROKEN_CHECKS, Status.FAILED)
    assert reason in broken.message
    assert (broken.passed, broken.reached_checks) == (False, False)


SOUND = {
    "optional import": ("try:\n    import numpy\nexcept ImportError:\n    numpy = None\ndef check(f):\n    assert f(2) == 4\n", True),
    "import of the program": ("def check(f):\n    from program import f\n    assert f(2) == 4\n", True),
    "helper is not there": ("def check(f):\n    assert helper(f) == 1\n", False),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_sound_checks_are_not_broken(name: str) -> None:
    checks, passes = SOUND[name]
    (result,) = run_programs([Program(GOOD.source, checks, "f")])
    assert result.status is (Status.PASSED if passes else Status.FAILED)


PROGRAMS = {
    "is no function": "class F: pass\nf = F()\n",
    "is data": "f = 5\n",
    "is not there": "def g():\n    return 1\n",
    "import error": "def f(x):\n    import nothing_of_this_name\n",
    "import error by hand": "def f(x):\n    raise ImportError('x')\n",
    "wrong type of result": "def f(x):\n    return None\n",
}


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_cannot_make_sound_checks_look_broken(name: str, isolation: Isolation) -> None:
    (result,) = run_programs([Program(PROGRAMS[name], "def check(f):\n    assert f(2) + 1 == 5\n", "f", isolation)])
    assert result.status is Status.FAILED, result


def test_a_program_that_is_killed_from_outside_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing: the first time, somebody kills the program."""
    slow = Program("import time\ntime.sleep(1)\n" + GOOD.source, CHECKS, "f")
    started: list[int] = []

    class Watched(Worker):
        def __init__(self, layer: str, limits: Limits) -> None:
            super().__init__(layer, limits)
            started.append(self._process.pid)

    def kill_one() -> None:
        while not started:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(max(descendants(started[0])), signal.SIGKILL)

    monkeypatch.setattr(pool, "Worker", Watched)
    killer = threading.Thread(target=kill_one)
    killer.start()
    (result,) = pool.run_on(layer_in_use().partition("+")[0], [slow], Limits())
    killer.join()
    assert result.passed, result


def test_a_fault_of_the_machine_is_not_the_programs(fake: type[FakeWorker]) -> None:
    programs = scripted({"a": [WorkerError("gone"), OSError("fork"), Status.PASSED], "b": [Status.PASSED]})
    results = pool.run_on("rlimits", programs, Limits(workers=1))
    assert [result.status for result in results] == [Status.PASSED] * 2
    assert fake.living == 0


def test_a_machine_that_keeps_failing_ends_the_evaluation(fake: type[FakeWorker]) -> None:
    programs = scripted({"a": [Status.PASSED], "b": [WorkerError("gone")] * 3, PROBE.source: [OSError()]})[:2]
    with pytest.raises(InfrastructureError, match=r"program 1 .* gone"):
        pool.run_on("rlimits", programs, Limits(workers=1))
    assert fake.living == 0


def test_a_program_that_no_worker_survives_is_to_blame_where_a_good_one_passes(fake: type[FakeWorker]) -> None:
    programs = scripted({"deadly": [WorkerError("gone")] * 3, "b": [Status.PASSED]})
    deadly, other = pool.run_on("rlimits", programs, Limits(workers=1))
    assert (deadly.status, other.status) == (Status.CRASHED, Status.PASSED)


def test_killed_supervisor_is_replaced() -> None:
    """The real thing: every process of a worker is killed under a program's feet."""
    worker = Worker(layer_in_use().partition("+")[0], Limits())
    try:
        assert worker.run(GOOD).passed
        os.killpg(worker._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError):
            worker.run(GOOD)
    finally:
        worker.close()
    assert not Path(worker.folder).exists()


@pytest.mark.slow
def test_stuck_supervisor_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GRACE_SECONDS", 0.0)
    worker = Worker(layer_in_use().partition("+")[0], Limits(cpu_seconds=0.1, idle_seconds=0.1))
    try:
        os.killpg(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerError):
            worker.run(GOOD)
    finally:
        os.killpg(worker._process.pid, signal.SIGCONT)
        worker.close()


def test_layers_are_described() -> None:
    layers = json.loads(json.dumps(describe_layers()))
    assert [layer["name"] for layer in layers] == ["namespaces", "landlock", "rlimits"]
    (used,) = (layer for layer in layers if layer["used"])
    assert used["name"] + "+seccomp" * used["seccomp"] == layer_in_use()
    assert all(layer["available"] == (layer["why"] == "") for layer in layers)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpu_seconds", 0), ("idle_seconds", 0), ("memory_mb", -1), ("open_files", 15), ("output_bytes", -1), ("workers", 0)],
)  # fmt: skip
def test_limits_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} "):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_a_script_needs_shared_isolation() -> None:
    with pytest.raises(ValueError, match="entry_point"):
        Program("x = 1", "assert x == 1", None, Isolation.DATA)


def test_the_fake_scripts_remembers_and_fails() -> None:
    from codedistill import sandbox

    real = sandbox.run_programs
    with FakeSandbox(lambda program: Result(Status.PASSED if "2" in program.source else Status.FAILED)) as box:
        assert [result.passed for result in sandbox.run_programs([GOOD, BAD], Limits(workers=1))] == [True, False]
        assert [(call.programs, call.limits.workers) for call in box.calls] == [((GOOD, BAD), 1)]
        box.fail_after(1)
        with pytest.raises(KeyboardInterrupt):
            sandbox.run_programs([GOOD, BAD])
    with FakeSandbox() as box:
        assert sandbox.run_programs([GOOD])[0].passed
    assert sandbox.run_programs is real
