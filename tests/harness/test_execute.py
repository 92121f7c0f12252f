"""Verdicts: the rows of results.jsonl, what an interrupted call keeps, what is never overwritten, and slow tasks."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedistill.benchmarks import Benchmark, Problem, load_benchmark
from codedistill.errors import InfrastructureError, UserError
from codedistill.harness.execute import execute
from codedistill.harness.expected import LIMITS
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation
from codedistill.runs.files import read_jsonl, write_json, write_jsonl
from codedistill.sandbox import Status, sandbox_layer
from codedistill.sandbox.testing import FakeSandbox

COLUMNS = ["task_id", "sample", "passed", "status", "category", "error_type", "message", "line", "seconds", "sandbox"]
COLUMNS += ["isolation"]
CHECKS = "def check(f):\n    assert f() == 1\n"
TASKS = Benchmark("own", tuple(Problem(name, "", "f", CHECKS) for name in ("a", "b", "c")), "0" * 64, "here")
SETTINGS = Evaluation(timeout=10)


def returning(number: int) -> str:
    return f"def f():\n    return {number}\n"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two samples of each task: one passes, one fails."""
    rows = [{"task_id": name, "solution": returning(number)} for number in (1, 2) for name in "abc"]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    return tmp_path / "samples.jsonl"


@pytest.fixture
def box() -> Iterator[FakeSandbox]:
    """Runs programs for real and remembers them."""
    with FakeSandbox() as box:
        yield box


def test_rows(tmp_path: Path) -> None:
    sources = [returning(1), returning(2), "def f():\n    exit(1)\n"]
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": "a", "solution": source} for source in sources])
    summary = execute(tmp_path / "samples.jsonl", TASKS, SETTINGS, tmp_path).to_json()
    results = read_jsonl(tmp_path / "results.jsonl")
    assert [list(row) for row in results] == [COLUMNS] * 3
    assert [row["status"] for row in results] == ["passed", "failed", "exited"]
    assert {row["sandbox"] for row in results} == {summary["sandbox"]} == {sandbox_layer()}


def test_the_summary_says_of_how_many_tasks(samples: Path, tmp_path: Path) -> None:
    write_jsonl(samples, [{"task_id": "a", "solution": returning(1)}])
    summary = execute(samples, TASKS, SETTINGS, tmp_path / "out").to_json()
    assert (summary["tasks"], summary["benchmark_tasks"]) == (1, 3)
    tiny = load_benchmark("tiny", 2)
    write_jsonl(samples, [{"task_id": tiny.problems[0].task_id, "completion": ""}])
    assert execute(samples, tiny, SETTINGS, tmp_path / "out").benchmark_tasks == 300


def test_an_exceptions_name_cannot_break_or_forge_the_summary(tmp_path: Path) -> None:
    names = ["passed", "wrong answer", "crash", "\x1b[31mred", "<script>", "", "a" * 999, "Own", "Größe"]
    sources = [f"def f():\n    raise type({name!r}, (Exception,), {{}})\n" for name in names]
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": "a", "solution": source} for source in sources])
    summary = execute(tmp_path / "samples.jsonl", TASKS, SETTINGS, tmp_path).to_json()
    assert summary["categories"] == {"Exception": 5, "other exception": 2, "Größe": 1, "Own": 1}
    assert (summary["complete"], summary["incomplete"]) == (0, 9)


def test_an_interrupted_call_goes_on_where_it_was(samples: Path, tmp_path: Path, box: FakeSandbox) -> None:
    whole = execute(samples, TASKS, SETTINGS, tmp_path / "whole").to_json()
    box.fail_after(4)
    with pytest.raises(KeyboardInterrupt):
        execute(samples, TASKS, SETTINGS, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.partial.jsonl"]
    box.fail_after(None)
    box.calls.clear()
    result = execute(samples, TASKS, SETTINGS, tmp_path / "out").to_json()
    assert [len(call.programs) for call in box.calls] == [2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.jsonl", "summary.json"]
    assert result | {"seconds": 0} == whole | {"seconds": 0}
    rows = [read_jsonl(tmp_path / name / "results.jsonl") for name in ("whole", "out")]
    assert [[(r["task_id"], r["sample"], r["passed"]) for r in found] for found in rows] == [
        [(name, sample, sample == 0) for sample in (0, 1) for name in "abc"]
    ] * 2


def test_a_fault_of_the_machine_loses_no_verdict(samples: Path, tmp_path: Path, box: FakeSandbox) -> None:
    box.fail_after(5, InfrastructureError("sandbox: no process"))
    with pytest.raises(InfrastructureError) as caught:
        execute(samples, TASKS, SETTINGS, tmp_path)
    assert "sandbox: no process; 5 of 6 verdicts" in str(caught.value)
    box.fail_after(None)
    box.calls.clear()
    execute(samples, TASKS, SETTINGS, tmp_path)
    assert [len(call.programs) for call in box.calls] == [1]


@pytest.mark.parametrize("change", ["timeout", "samples", "benchmark"])
def test_verdicts_of_something_else_are_not_taken(change: str, samples: Path, tmp_path: Path, box: FakeSandbox) -> None:
    box.fail_after(4)
    with pytest.raises(KeyboardInterrupt):
        execute(samples, TASKS, SETTINGS, tmp_path)
    box.fail_after(None)
    box.calls.clear()
    tasks, settings = TASKS, SETTINGS
    if change == "timeout":
        settings = Evaluation(timeout=11)
    elif change == "samples":
        write_jsonl(samples, [*read_jsonl(samples)[1:], {"task_id": "a", "solution": returning(3)}])
    else:
        tasks = Benchmark(TASKS.name, TASKS.problems, "1" * 64, TASKS.source)
    execute(samples, tasks, settings, tmp_path)
    assert [len(call.programs) for call in box.calls] == [6]
    assert len(read_jsonl(tmp_path / "earlier-1" / "results.partial.jsonl")) == 5  # what they are of, and four


def test_a_row_that_was_written_by_half_is_run_again(samples: Path, tmp_path: Path, box: FakeSandbox) -> None:
    box.fail_after(4)
    with pytest.raises(KeyboardInterrupt):
        execute(samples, TASKS, SETTINGS, tmp_path)
    box.fail_after(None)
    box.calls.clear()
    file = tmp_path / "results.partial.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    execute(samples, TASKS, SETTINGS, tmp_path)
    assert [len(call.programs) for call in box.calls] == [3]


@pytest.mark.parametrize("name", ["results.jsonl", "summary.json", "results.partial.jsonl"])
def test_the_samples_are_not_overwritten(name: str, samples: Path, tmp_path: Path) -> None:
    file = samples.rename(tmp_path / name)
    before = file.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match=re.escape(name)):
            execute(file, TASKS, SETTINGS, folder)
    assert file.read_bytes() == before
    assert execute(file, TASKS, SETTINGS, tmp_path / "out").samples == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.jsonl", '{"task_id": "a", "passed": true}\n'),
        ("results.jsonl", ""),
        ("results.jsonl", "[" * 99_999),
        ("results.jsonl", "my notes\n"),
        ("summary.json", '{"models": []}'),
        ("summary.json", "[]"),
    ],
)
def test_what_others_made_is_not_overwritten(name: str, text: str, samples: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(name)):
        execute(samples, TASKS, SETTINGS, tmp_path)
    assert (tmp_path / name).read_text() == text


def test_a_runs_folder_is_no_output(samples: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "run" / "recipe.yaml", {})
    with pytest.raises(UserError, match=r"output .*run: "):
        execute(samples, TASKS, SETTINGS, tmp_path / "run")


def test_the_same_again_overwrites_its_own(samples: Path, tmp_path: Path) -> None:
    execute(samples, TASKS, SETTINGS, tmp_path)
    write_jsonl(samples, [{"task_id": "a", "solution": returning(1)}])
    assert execute(samples, TASKS, SETTINGS, tmp_path).samples == 1


def test_packed_samples(samples: Path, tmp_path: Path) -> None:
    packed = tmp_path / "samples.jsonl.gz"
    packed.write_bytes(gzip.compress(samples.read_bytes()))
    assert execute(packed, TASKS, SETTINGS, tmp_path / "out").correct == 3


BUSY = (
    "import time\n\ndef f():\n    end = time.process_time() + {}\n    while time.process_time() < end:\n        pass\n"
)


@pytest.fixture
def slow(tmp_path: Path) -> Benchmark:
    """A task whose reference solution computes for 0.4 s, and one of a moment."""
    rows = [
        {"task_id": f"own/{number}", "prompt": "", "entry_point": "f", "test": CHECKS, "canonical_solution": solution}
        for number, solution in enumerate((BUSY.format(0.4) + "    return 1\n", returning(1)))
    ]
    write_jsonl(tmp_path / "slow.jsonl", rows)
    return load_benchmark(str(tmp_path / "slow.jsonl"))


@pytest.mark.slow
def test_a_slow_task_is_no_timeout_of_the_program(slow: Benchmark, tmp_path: Path, box: FakeSandbox) -> None:
    rows = [
        {"task_id": "own/0", "solution": BUSY.format(0.6) + "    return 1\n"},
        {"task_id": "own/0", "solution": BUSY.format(9.0) + "    return 1\n"},
        {"task_id": "own/1", "solution": BUSY.format(9.0) + "    return 1\n"},
        {"task_id": "own/1", "solution": returning(1)},
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    execute(tmp_path / "samples.jsonl", slow, Evaluation(timeout=0.3), tmp_path)
    status = [row["status"] for row in read_jsonl(tmp_path / "results.jsonl")]
    assert status == [Status.PASSED, Status.TIMEOUT, Status.TIMEOUT, Status.PASSED]
    # All; both references, once; the programs of the slow task again, with CPU time for a limit.
    assert [len(call.programs) for call in box.calls] == [4, 2, 2]
    assert box.calls[2].limits.cpu_seconds >= 4 * 0.4


def test_references_are_timed_on_timeouts_only(slow: Benchmark, tmp_path: Path, box: FakeSandbox) -> None:
    rows = [{"task_id": "own/0", "solution": BUSY.format(0.4) + "    return 1\n"}]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    assert execute(tmp_path / "samples.jsonl", slow, SETTINGS, tmp_path).pass_at_1 == 1
    assert len(box.calls) == 1


@pytest.mark.parametrize("solution", [None, BUSY.format(0.4) + "    return 2\n"])
def test_a_task_without_a_right_reference_keeps_the_limit(
    solution: str | None, tmp_path: Path, box: FakeSandbox
) -> None:
    row = {"task_id": "a", "prompt": "", "entry_point": "f", "test": CHECKS, "canonical_solution": solution}
    write_jsonl(tmp_path / "own.jsonl", [row])
    tasks = load_benchmark(str(tmp_path / "own.jsonl"))
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": "a", "solution": BUSY.format(9.0)}])
    for benchmark in (tasks, TASKS):  # the second one lies in no file
        result = execute(tmp_path / "samples.jsonl", benchmark, Evaluation(timeout=0.2), tmp_path / benchmark.name)
        assert result.categories == {"execution timeout": 1}
    assert {call.limits.cpu_seconds for call in box.calls if call.limits.memory_mb != LIMITS.memory_mb} == {0.2}


def test_broken_checks_of_one_task_leave_the_others_their_verdicts(
    samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problems = tuple(Problem(name, "", "f", "import nowhere\n" * (name == "b") + CHECKS) for name in "abc")
    with caplog.at_level(logging.WARNING):
        result = execute(samples, Benchmark("own", problems, "0" * 64, "here"), SETTINGS, tmp_path)
    rows = read_jsonl(tmp_path / "results.jsonl")
    assert [row["status"] for row in rows] == ["passed", "broken_checks", "passed", "failed", "broken_checks", "failed"]
    assert (result.correct, result.samples, result.pass_at_1) == (2, 4, 0.5)
    assert (result.tasks, result.tasks_without_verdict, result.without_verdict) == (2, 1, 2)
    assert "broken checks" not in result.categories
    (record,) = caplog.records
    assert "b: its checks are broken" in record.getMessage()


def test_one_program_that_never_reached_broken_checks_gives_its_task_no_verdict(tmp_path: Path) -> None:
    """Broken checks stay broken whichever programs they judge."""
    problems = (Problem("a", "", "f", "import nowhere\n" + CHECKS), Problem("b", "", "f", CHECKS))
    rows = [("a", "def f(:\n"), ("a", returning(1)), ("b", returning(1))]
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": task, "solution": source} for task, source in rows])
    result = execute(tmp_path / "samples.jsonl", Benchmark("own", problems, "0" * 64, "here"), SETTINGS, tmp_path)
    assert (result.tasks, result.samples, result.pass_at_1) == (1, 1, 1.0)
    assert (result.tasks_without_verdict, result.without_verdict) == (1, 2)


def test_a_clock_that_is_set_back_changes_no_duration(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(moments)))
    seconds = execute(samples, TASKS, SETTINGS, tmp_path).seconds
    assert seconds is not None
    assert 0 <= seconds < 60


def test_broken_checks_everywhere_are_the_benchmarks_fault(samples: Path, tmp_path: Path) -> None:
    problems = tuple(Problem(name, "", "f", "import nowhere\n" + CHECKS) for name in "abc")
    with pytest.raises(UserError, match=r"^here: a: .*nowhere"):
        execute(samples, Benchmark("own", problems, "0" * 64, "here"), SETTINGS, tmp_path)


def test_isolation_is_the_tasks_or_what_is_asked_for(samples: Path, tmp_path: Path, box: FakeSandbox) -> None:
    problems = (Problem("a", "", "f", CHECKS, isolation="data"), *TASKS.problems[1:])
    tasks = Benchmark("own", problems, "0" * 64, "here")
    found = execute(samples, tasks, SETTINGS, tmp_path / "own").isolation
    rows = read_jsonl(tmp_path / "own" / "results.jsonl")
    assert found == "data+shared"
    assert {(row["task_id"], row["isolation"]) for row in rows} == {("a", "data"), ("b", "shared"), ("c", "shared")}
    for isolation in ("data", "shared"):
        settings = Evaluation(timeout=10, isolation=isolation)
        assert execute(samples, tasks, settings, tmp_path / isolation).isolation == isolation
        assert {program.isolation for program in box.calls[-1].programs} == {isolation}


def test_results_are_in_the_samples_order_whatever_the_limits(tmp_path: Path) -> None:
    problems = [Problem(name, "", "f", CHECKS, reference_seconds=s) for name, s in (("a", 5), ("b", 0), ("c", 1))]
    tasks = Benchmark("own", tuple(problems), "0" * 64, "here")
    rows = [
        {"task_id": name, "solution": returning(n)} for n, name in ((1, "a"), (1, "b"), (2, "c"), (2, "b"), (1, "c"))
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    execute(tmp_path / "samples.jsonl", tasks, SETTINGS, tmp_path)
    found = [(row["task_id"], row["sample"], row["passed"]) for row in read_jsonl(tmp_path / "results.jsonl")]
    assert found == [("a", 0, True), ("b", 0, True), ("c", 0, False), ("b", 1, False), ("c", 1, True)]


def test_nothing_of_a_partial_file_goes_into_the_results_as_it_is(samples: Path, tmp_path: Path) -> None:
    """Its rows carry numbers; results.jsonl has the documented columns and nothing else."""
    execute(samples, TASKS, SETTINGS, tmp_path)
    assert {tuple(json.loads(line)) for line in (tmp_path / "results.jsonl").read_text().splitlines()} == {
        tuple(COLUMNS)
    }


BASE_AND_PLUS = {
    "passes all": ("x", True, True),
    "wrong on a plus input": ("x if x < 3 else 0", False, True),
    "raises on a plus input": ("[1, 2, 3][x]", False, False),  # and is wrong on the base input
    "raises on plus inputs alone": ("[0, 1, 2][x]", False, True),
    "wrong on the base input": ("x if x > 1 else 0", False, False),
}


def base_and_plus(tmp_path: Path) -> tuple[Path, Benchmark]:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "canonical_solution": "    return x\n",
        "contract": "",
        "base_input": [[1]],
        "plus_input": [[2], [5]],
        "atol": 0,
    }
    write_jsonl(tmp_path / "own.jsonl", [row])
    rows = [{"task_id": 0, "solution": f"def f(x):\n    return {text}\n"} for text, *_ in BASE_AND_PLUS.values()]
    rows.append({"task_id": 0, "solution": "def f(x:\n"})
    write_jsonl(tmp_path / "samples.jsonl", rows)
    return tmp_path / "samples.jsonl", load_benchmark(str(tmp_path / "own.jsonl"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_evalplus_has_two_verdicts(tmp_path: Path) -> None:
    result = execute(*base_and_plus(tmp_path), SETTINGS, tmp_path / "out")
    verdicts = [(row["passed"], row["base_passed"]) for row in read_jsonl(tmp_path / "out" / "results.jsonl")]
    assert verdicts == [*((passed, base) for _, passed, base in BASE_AND_PLUS.values()), (False, False)]
    assert [result.pass_at_1, result.base_pass_at_1] == pytest.approx([1 / 6, 3 / 6])
    assert result.base_pass_at_5 == 1.0


def test_base_verdicts_are_kept_too(tmp_path: Path, box: FakeSandbox) -> None:
    samples, tasks = base_and_plus(tmp_path)
    whole = execute(samples, tasks, SETTINGS, tmp_path / "whole")
    box.fail_after(8)  # six verdicts on all inputs, two of five on the base inputs
    with pytest.raises(KeyboardInterrupt):
        execute(samples, tasks, SETTINGS, tmp_path / "out")
    box.fail_after(None)
    box.calls.clear()
    again = execute(samples, tasks, SETTINGS, tmp_path / "out")
    assert sum(len(call.programs) for call in box.calls) == 2
    assert again.to_json() | {"seconds": 0} == whole.to_json() | {"seconds": 0}


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["while True:\n        pass\n", "__import__('threading').Event().wait()\n"])
def test_a_reference_that_never_ends_is_named_and_given_up(
    rest: str, tmp_path: Path, box: FakeSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"task_id": "own/7", "prompt": "", "entry_point": "f", "test": CHECKS}
    write_jsonl(tmp_path / "own.jsonl", [row | {"canonical_solution": f"def f():\n    {rest}"}])
    write_jsonl(tmp_path / "samples.jsonl", [{"task_id": "own/7", "solution": BUSY.format(9.0)}])
    stages: list[str] = []
    tasks = load_benchmark(str(tmp_path / "own.jsonl"))
    result = execute(tmp_path / "samples.jsonl", tasks, Evaluation(timeout=0.2), tmp_path, Watch(stage=stages.append))
    assert result.categories == {"execution timeout": 1}
    assert [call.limits.cpu_seconds for call in box.calls] == [0.2, 2.0]
    assert [("own/7" in text) for text in stages] == [True]
    assert "own/7" in caplog.messages[0]
