"""EvalPlus's way of checking: the codec, the comparisons, and expected outputs from the reference solutions."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import pytest

from codedistill import sandbox
from codedistill.benchmarks import Benchmark, Problem, load_benchmark
from codedistill.benchmarks.evalplus.arguments import read_inputs
from codedistill.benchmarks.evalplus.plus import REFERENCE_SECONDS
from codedistill.benchmarks.evalplus.values import dumps, is_longer, loads, same
from codedistill.benchmarks.loading import references
from codedistill.errors import UserError
from codedistill.harness import expected
from codedistill.harness.expected import with_checks
from codedistill.harness.limits import limits_of
from codedistill.sandbox import Isolation, Program, run_programs
from tests.benchmarks.rows import EVALPLUS, HUMANEVAL, write

VALUES = [
    None, True, False, 0, -7, 10**30, 10**2000, -(2**5000), 0.5, -0.0, math.inf, -math.inf, "", "é\u2028\x00\ud800",
    "'\"\\", [], [1, [2, [3]]], (), (1,), ((1, 2), [3, (4,)]), set(), {1, 2}, {(1, 2), "a"}, frozenset({3}), {},
    {"a": 1}, {1: "b", (1, 2): [3]}, {"int": "0x1"}, {"tuple": [1]}, 1j, b"\x00\xff", [None, {"x": {1.5: {2}}}],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[str(i) for i in range(len(VALUES))])
def test_the_codec_gives_back_what_it_got(value: Any) -> None:
    again = loads(dumps(value))
    assert again == value
    assert type(again) is type(value)
    assert repr(again) == repr(value) or isinstance(value, set)


def test_the_codec_and_nan() -> None:
    (again,) = loads(dumps([math.nan]))
    assert math.isnan(again)


@pytest.mark.parametrize("value", [object(), map(str, []), {1: {2: iter([])}}, len, ValueError()])
def test_the_codec_refuses_what_is_no_data(value: Any) -> None:
    with pytest.raises(TypeError, match="is not plain data"):
        dumps(value)


def test_sets_are_written_in_one_order() -> None:
    assert dumps({"b", "a", "c"}) == dumps({"c", "b", "a"}) == '{"set":["a","b","c"]}'


@pytest.mark.parametrize("value", [*VALUES, "a" * 50, list(range(50)), {i: [i] for i in range(9)}])
def test_the_estimate_of_a_length_is_never_too_long(value: Any) -> None:
    assert not is_longer(value, len(dumps(value)))


def test_what_is_too_long_to_be_written_is_seen_without_writing_it() -> None:
    deep: list[Any] = [0]
    for _ in range(60):
        deep = [deep, deep]  # 2 ** 60 elements if written
    for value in (deep, {"a": deep}, ({"b": "c" * 2000},), [b"d" * 2000]):
        assert is_longer(value, 1000)


NAN = math.nan


@pytest.mark.parametrize(
    ("compare", "output", "right", "atol", "passes"),
    [
        ("equal", 3, 3, 0, True),
        ("equal", 3, 4, 0, False),
        ("equal", True, 1, 0, True),
        ("equal", [1, 2], (1, 2), 0, False),
        ("equal", None, [], 0, False),
        ("equal", "a", "a", 0, True),
        # floats have a tolerance of 1e-6 where the task sets none, integers have not
        ("equal", 0.1 + 0.2, 0.3, 0, True),
        ("equal", 1.0 + 5e-7, 1.0, 0, True),
        ("equal", 1.0 + 2e-6, 1.0, 0, False),
        ("equal", 1e9 + 50, 1e9, 0, True),  # relative: 1e-7
        ("equal", 1e9 + 150, 1e9, 0, False),
        ("equal", [0.1 + 0.2, 1.0], [0.3, 1.0], 0, True),
        ("equal", (0.1 + 0.2,), [0.3], 0, False),
        ("equal", [0.3], [0.3, 0.3], 0, False),
        ("equal", [0.1 + 0.2, 1], [0.3, 1], 0, False),  # not all are floats
        ("equal", [0.1 + 0.2, 1], [0.3, 1], 1e-6, True),
        ("equal", [[0.3], [1.0]], [[0.1 + 0.2], [1.0]], 1e-6, True),
        ("equal", [[0.3], [1.1]], [[0.3], [1.0]], 1e-6, False),
        ("equal", 1.05, 1.0, 0.1, True),
        ("equal", "1.0", 1.0, 0.1, False),
        ("equal", None, 1.0, 0.1, False),
        # a tolerance is between numbers, of the same type where the result is one number
        ("equal", ["a", 1.0], ["a", 1.0], 0.1, True),
        ("equal", ["a", 1.0], ["a", 1.05], 0.1, False),
        ("equal", [None, 1.0], [None, 1.05], 0.1, False),
        ("equal", 1, 1.0, 0.1, True),
        ("equal", 1, 1.05, 0.1, False),
        ("equal", [1, 2.0], [1.05, 2], 0.1, True),
        ("equal", [(1.0, 2.0)], [[1.05, 2.0]], 0.1, True),
        ("equal", ((1.0, 2.0),), [[1.05, 2.0]], 0.1, False),
        ("equal", 1 + 1j, 1.05 + 1j, 0.1, True),
        ("equal", 1 + 1j, 2 + 1j, 0.1, False),
        ("equal", 10**400, 10**400 + 1, 0.1, False),
        ("equal", {1.0}, {1.05}, 0.1, False),
        ("equal", math.inf, math.inf, 0, True),
        ("equal", -math.inf, math.inf, 0, False),
        ("equal", 1.0, math.inf, 0, False),
        ("equal", NAN, NAN, 0, True),
        ("equal", 1.0, NAN, 0, False),
        ("equal", NAN, 1.0, 0, False),
        ("set", (4, 5), (5, 4), 0, True),
        ("set", [4, 5, 5], (5, 4), 0, True),
        ("set", (4,), (5, 4), 0, False),
        ("set", [0.1 + 0.2, 1.0], [0.3, 1.0], 0, True),
        ("set", [1.0, 0.1 + 0.2], [0.3, 1.0], 0, False),
        ("set", None, (5, 4), 0, False),
        ("set", [[4], 5], (5, 4), 0, False),
        ("truth", "match", True, 0, True),
        ("truth", None, False, 0, True),
        ("truth", None, True, 0, False),
        ("truth", False, False, 0, True),
        ("truth", 0, False, 0, False),
    ],
)
def test_comparisons(compare: str, output: Any, right: Any, atol: float, passes: bool) -> None:
    assert same(compare, output, right, atol, []) is passes


@pytest.mark.parametrize("shape", [float, lambda x: [x, 2.0], lambda x: (x,), lambda x: [[x], [1.0]]])
def test_the_tolerance_is_numpys(shape: Any) -> None:
    import numpy

    for value in (0.0, 1.0, -3.5, 1e9, 1e-9, math.inf):
        for step in (0, 1e-8, -9e-7, 1.1e-6, 5e-5, -2e-4, 50.0, math.inf):
            output, right = shape(value + step), shape(value)
            assert same("equal", output, right, 1e-6, []) == numpy.allclose(output, right, rtol=1e-7, atol=1e-6)


def test_any_root_will_do() -> None:
    coefficients = [[-6, 11, -6, 1]]  # (x - 1)(x - 2)(x - 3)
    assert all(same("root", root, 1.0, 1e-4, coefficients) for root in (1, 2.0, 3.00001))
    assert not any(same("root", wrong, 1.0, 1e-4, coefficients) for wrong in (0, 1.1, NAN, None, "1", 1 + 0j, [1.0]))
    assert not same("root", 1e200, 1.0, 1e-4, coefficients)  # out of a float's range


def test_a_root_is_as_good_as_the_references() -> None:
    steep, near, far = [[-(10.0**12) - 1, 10.0**12]], 1 + 1e-12, 1 + 3e-12
    assert not same("root", far, near, 1e-4, steep)
    assert same("root", far, far, 1e-4, steep)
    assert same("root", near, far, 1e-4, steep)
    assert not same("root", 1.1, far, 1e-4, steep)


@pytest.mark.parametrize(
    ("task", "output", "right", "arguments", "passes"),
    [
        ("Mbpp/164 are_equivalent", False, True, [36, 57], True),
        ("Mbpp/164 are_equivalent", None, True, [36, 57], False),  # stricter than EvalPlus
        ("Mbpp/295 sum_div", 0, 7.0, [8], True),
        ("Mbpp/295 sum_div", 7, 7.0, [8], True),
        ("Mbpp/295 sum_div", 1, 7.0, [8], False),
        ("Mbpp/581 surface_Area", 33, 33, [3, 4], True),  # 3 * 3 + 2 * 3 * 4
        ("Mbpp/581 surface_Area", 35, 33, [3, 4], True),  # 3 * 3 + 2 * 3 * sqrt(4 * 4 + 1.5 * 1.5)
        ("Mbpp/581 surface_Area", 34, 33, [3, 4], False),
        ("Mbpp/558 digit_distance_nums", 6, 6, [123, 45], True),  # |1 - 4| + |2 - 5|, flush left
        ("Mbpp/558 digit_distance_nums", 5, 6, [123, 45], True),  # |1 - 0| + |2 - 4| + |3 - 5|, flush right
        ("Mbpp/558 digit_distance_nums", 4, 6, [123, 45], False),
    ],
)
def test_what_evalplus_lets_pass_by_task(
    task: str, output: Any, right: Any, arguments: list[Any], passes: bool, tmp_path: Path
) -> None:
    task_id, name = task.split()
    row = EVALPLUS[3] | {"task_id": task_id, "entry_point": name, "canonical_solution": f"def {name}(a, b): pass"}
    (problem,) = load_benchmark(str(write(tmp_path / "own.jsonl", [row]))).problems
    assert problem.cases is not None
    assert same(problem.cases.compare, output, right, 0.0, arguments) is passes


@pytest.mark.parametrize(
    ("task_id", "given", "arguments"),
    [
        ("Mbpp/2", [[3, 4], [4, 5]], ((3, 4), (4, 5))),
        ("Mbpp/63", [[[3, 4], [4, 5]]], ([(3, 4), (4, 5)],)),
        ("Mbpp/75", [[[3, 4]], 2], ([(3, 4)], 2)),
        ("Mbpp/106", [[3, 4], [4, 5]], ([3, 4], (4, 5))),
        ("Mbpp/115", [[[1, 2], [], {}]], ([{1, 2}, {}, {}],)),
        ("Mbpp/124", ["0", "1j"], (0.0, 1j)),
        ("Mbpp/250", [[3, 4], 4], ((3, 4), 4)),
        ("Mbpp/252", ["1+2j"], (1 + 2j,)),
        ("Mbpp/259", [[[3, 4]], [[4, 5]]], (((3, 4),), ((4, 5),))),
        ("Mbpp/278", [[1, [2, 3]]], ((1, (2, 3)),)),
        ("Mbpp/307", [[1, []], 2, 3], ((1, []), 2, 3)),
        ("Mbpp/580", [[1, [2, [3]]]], ((1, (2, (3,))),)),
        ("Mbpp/722", [{"a": [1, 2]}, 3], ({"a": (1, 2)}, 3)),
        ("Mbpp/1", [[3, 4]], ([3, 4],)),
        ("HumanEval/2", [[3, 4]], ([3, 4],)),
    ],
)
def test_inputs_that_json_cannot_say(task_id: str, given: Any, arguments: Any) -> None:
    assert read_inputs(task_id, [given]) == (arguments,)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return load_benchmark(str(write(tmp_path / "own.jsonl", EVALPLUS)))


def verdicts(tasks: Benchmark, programs: dict[str, str]) -> dict[str, str]:
    """Task id -> status, or the message of a failing check."""
    wanted = [problem for problem in tasks.problems if problem.task_id in programs]
    asked = [Program(programs[p.task_id], p.checks, p.entry_point, Isolation(p.isolation)) for p in wanted]
    results = run_programs(asked)
    return {p.task_id: r.message or r.status.value for p, r in zip(wanted, results, strict=True)}


def test_expected_outputs_decide(tasks: Benchmark, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ready = with_checks(tasks)
    assert set(verdicts(ready, references(tasks.source)).values()) == {"passed"}
    wrong = {
        "HumanEval/0": "def mean(x):\n    return sum(x) // len(x)\n",
        "HumanEval/32": "def find_zero(xs):\n    return 6 if xs[0] < 0 else 0\n",
        "Mbpp/2": "def similar_elements(a, b):\n    return (4,)\n",
        "Mbpp/794": "def text_starta_endb(text):\n    return 'a' in text\n",
    }
    assert verdicts(ready, wrong) == {
        "HumanEval/0": "base input, call 0",
        "HumanEval/32": "base input, call 0",
        "Mbpp/2": "plus input, call 1",
        "Mbpp/794": "base input, call 1",
    }
    other = {
        "HumanEval/0": "def mean(x):\n    return sum(n / len(x) for n in x)\n",  # equal but for rounding
        "Mbpp/2": "def similar_elements(a, b):\n    return [n for n in b if n in a]\n",  # another order
        "Mbpp/794": "def text_starta_endb(text):\n    return text.startswith('a') and text[-1] == 'b'\n",
    }
    assert set(verdicts(ready, other).values()) == {"passed"}
    (record,) = caplog.records  # the empty list breaks the contract
    assert "HumanEval/0: 1 of 5 inputs are left out: AssertionError" in record.getMessage()
    assert [problem.inputs_left_out for problem in ready.problems] == [1, 0, 0, 0]


def test_the_checks_do_not_tell_the_answer(tasks: Benchmark) -> None:
    """A program finds no expected output in its process, whatever it looks through."""
    spy = (
        "import gc, sys\ndef mean(x):\n    dicts = [o for o in gc.get_objects() if isinstance(o, dict)]\n"
        "    assert not any('expected' in o for o in dicts)\n    frame = sys._getframe()\n    while frame:\n"
        "        assert 'expected' not in frame.f_locals\n        frame = frame.f_back\n    return sum(x) / len(x)\n"
    )
    ready = with_checks(load_benchmark(tasks.source, 1))
    assert verdicts(ready, {"HumanEval/0": spy}) == {"HumanEval/0": "passed"}


def test_references_run_once(tasks: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    first = with_checks(tasks)
    (file,) = expected.cache_folder().iterdir()
    assert tasks.sha256[:40] in file.name
    monkeypatch.setattr(sandbox, "run_programs", lambda *args: pytest.fail("they were run again"))
    assert with_checks(tasks) == first


def test_only_what_is_asked_for_is_run_and_the_rest_later(tasks: Benchmark) -> None:
    part = load_benchmark(tasks.source, 1)
    assert len(with_checks(part).problems) == 1
    (file,) = expected.cache_folder().iterdir()
    assert set(json.loads(file.read_text())) == {"HumanEval/0"}
    with_checks(tasks)
    assert len(json.loads(file.read_text())) == len(EVALPLUS)


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_broken_cache_is_made_again(tasks: Benchmark, content: str) -> None:
    part = load_benchmark(tasks.source, 1)
    first = with_checks(part)
    (file,) = expected.cache_folder().iterdir()
    file.write_text(content)
    assert with_checks(part).problems[0].checks == first.problems[0].checks


def test_without_a_place_for_the_cache(tasks: Benchmark, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert with_checks(load_benchmark(tasks.source, 1)).problems[0].checks
    assert any("are not kept" in record.getMessage() for record in caplog.records)


def test_a_changed_reference_is_another_benchmark(tasks: Benchmark, tmp_path: Path) -> None:
    first = with_checks(load_benchmark(tasks.source, 1))
    rows = [EVALPLUS[0] | {"canonical_solution": "    return 2 * sum(x) / len(x)\n"}]
    other = with_checks(load_benchmark(str(write(tmp_path / "own.jsonl", rows))))
    assert other.problems[0].checks != first.problems[0].checks


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"canonical_solution": "    return (\n"}, "HumanEval/0: the reference solution fails: SyntaxError"),
        (
            {"canonical_solution": "    return 1\n\nraise ValueError('x')\n"},
            "the reference solution fails: ValueError: x",
        ),
        ({"canonical_solution": "    return undefined\n"}, "all of 5 inputs are left out: NameError"),
        ({"contract": "    assert False\n"}, "all of 5 inputs are left out: AssertionError"),
        ({"canonical_solution": "    return iter(x)\n"}, "left out: TypeError: list_iterator is not plain data"),
        ({"base_input": [], "plus_input": []}, "all of 0 inputs are left out: there are none"),
    ],
)
def test_references_that_give_nothing(
    change: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", [EVALPLUS[0] | change])))
    with pytest.raises(UserError, match=r"own\.jsonl: HumanEval/0") as caught:
        with_checks(tasks)
    assert says in str(caught.value)


def test_what_a_reference_prints_is_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    row = EVALPLUS[0] | {"canonical_solution": "    print('expected 7', end='')\n    x.append(0)\n    return sum(x)\n"}
    ready = with_checks(load_benchmark(str(write(tmp_path / "own.jsonl", [row]))))
    assert verdicts(ready, {"HumanEval/0": "def mean(x):\n    return sum(x)\n"}) == {"HumanEval/0": "passed"}


def test_a_slow_input_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("codedistill.benchmarks.evalplus.plus.REFERENCE_SECONDS", 0.2)
    row = EVALPLUS[0] | {"canonical_solution": "    while x == [3]:\n        pass\n    return sum(x)\n"}
    ready = with_checks(load_benchmark(str(write(tmp_path / "own.jsonl", [row]))))
    assert ready.problems[0].inputs_left_out == 2  # this one, and the one that breaks the contract
    assert verdicts(ready, {"HumanEval/0": "def mean(x):\n    return sum(x)\n"}) == {"HumanEval/0": "passed"}


def test_a_reference_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 inputs with 0.3 s of CPU time each would take 30 s."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("codedistill.benchmarks.evalplus.plus.REFERENCE_SECONDS", 0.3)
    row = EVALPLUS[0] | {"canonical_solution": "    while True:\n        pass\n"}
    row |= {"plus_input": [[[number]] for number in range(98)]}
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", [row])))
    before = os.times()
    with pytest.raises(UserError, match="HumanEval/0"):
        with_checks(tasks)
    after = os.times()
    assert after.user + after.children_user - before.user - before.children_user < 20


def test_a_long_output_is_left_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    body = "    for i in range(60 if x == [3] else 1):\n        x = [x, x]\n    return x\n"
    ready = with_checks(
        load_benchmark(str(write(tmp_path / "own.jsonl", [EVALPLUS[0] | {"canonical_solution": body}])))
    )
    assert ready.problems[0].inputs_left_out == 2


def test_a_references_comment_is_no_place_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    row = EVALPLUS[0] | {"canonical_solution": "    # names are unique\n    return sum(x)\n    # names\n"}
    ready = with_checks(load_benchmark(str(write(tmp_path / "own.jsonl", [row]))))
    assert verdicts(ready, {"HumanEval/0": "def mean(x):\n    return sum(x)\n"}) == {"HumanEval/0": "passed"}


def test_a_program_is_not_judged_by_arguments_that_it_has_changed(tasks: Benchmark) -> None:
    """0 is a root of the polynomial without coefficients."""
    ready = with_checks(tasks)
    cheat = "def find_zero(xs):\n    xs.clear()\n    return 0\n"
    fair = "def find_zero(xs):\n    b = xs.pop()\n    return -xs.pop() / b\n"
    assert verdicts(ready, {"HumanEval/32": cheat}) == {"HumanEval/32": "base input, call 0"}
    assert verdicts(ready, {"HumanEval/32": fair}) == {"HumanEval/32": "passed"}


def test_a_reference_may_change_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called with a copy: the program gets them whole, and the contract had them whole."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    row = EVALPLUS[0] | {
        "canonical_solution": "    total = 0\n    while x:\n        total += x.pop()\n    return total\n"
    }
    row |= {"contract": "    assert x\n    x.append(100)\n"}
    ready = with_checks(load_benchmark(str(write(tmp_path / "own.jsonl", [row]))))
    assert ready.problems[0].inputs_left_out == 1
    assert verdicts(ready, {"HumanEval/0": "def mean(x):\n    return sum(x)\n"}) == {"HumanEval/0": "passed"}
    assert verdicts(ready, {"HumanEval/0": "def mean(x):\n    return 0\n"}) == {"HumanEval/0": "base input, call 0"}


def test_changed_rules_are_not_the_cache_of_the_old_ones(tasks: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    part = load_benchmark(tasks.source, 1)
    with_checks(part)
    monkeypatch.setattr(expected, "rules_hash", lambda: "f" * 64)
    with_checks(part)
    names = sorted(file.name for file in expected.cache_folder().iterdir())
    assert len(names) == 2
    assert any(name.endswith("-ffffffffffffffff.json") for name in names)


@pytest.mark.parametrize(("reference", "seconds"), [(0.0, 5), (1.0, 5), (1.3, 6), (2.1, 9), (20.0, 80)])
def test_a_slow_reference_raises_the_limit(reference: float, seconds: float) -> None:
    assert limits_of(Problem("t/0", "", "f", "", reference_seconds=reference), 5).cpu_seconds == seconds


def test_other_formats_have_their_checks_already(tmp_path: Path) -> None:
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", HUMANEVAL)))
    assert with_checks(tasks) is tasks


def test_the_page_has_the_limit_of_references() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert f"needs more than {REFERENCE_SECONDS:g} s of CPU time" in page
