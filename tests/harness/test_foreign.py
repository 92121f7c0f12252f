"""Samples files of other tools: the same rows whatever form they have, and one line where the form is not certain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codedistill.benchmarks import Benchmark, load_benchmark
from codedistill.errors import UserError
from codedistill.harness.samples import read_samples, sample_rows, samples_hash
from tests.benchmarks.rows import HUMANEVAL, write

PROGRAMS = [str(row["prompt"]) + str(row["canonical_solution"]) for row in HUMANEVAL]
IDS = [str(row["task_id"]) for row in HUMANEVAL]


@pytest.fixture
def tasks(tmp_path: Path) -> Benchmark:
    return load_benchmark(str(write(tmp_path / "own.jsonl", HUMANEVAL)))


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def each(**fields: Any) -> str:
    """A row for each task; `...` stands for its program."""
    return lines(
        [
            {"task_id": task_id, **{k: program if v is ... else v for k, v in fields.items()}}
            for task_id, program in zip(IDS, PROGRAMS, strict=True)
        ]
    )


BODIES = [str(row["canonical_solution"]) for row in HUMANEVAL]
LM_EVAL = [
    {"doc_id": i, "doc": {"task_id": IDS[i]}, "target": "", "resps": [[BODIES[i]]], "filtered_resps": [PROGRAMS[i]]}
    for i in range(2)
]
OPENCOMPASS = {str(i): {"origin_prompt": "x", "prediction": PROGRAMS[i], "gold": IDS[i]} for i in range(2)}


def files() -> dict[str, str]:
    lists = [{"task_id": t, "solution": [p]} for t, p in zip(IDS, PROGRAMS, strict=True)]
    return {
        "response.jsonl": each(response=...),
        "generation.jsonl": each(generation=..., output="...", prompt="p"),
        "output.jsonl": each(output=...),
        "equal_texts.jsonl": each(output=..., response=...),
        "generated_text.jsonl": each(generated_text=...),
        "no_solution.jsonl": each(solution=None, response=...),
        "underscore.jsonl": each(completion=...).replace("HumanEval/", "HumanEval_"),
        "lm_eval.jsonl": lines(LM_EVAL),
        "lm_eval.json": json.dumps(LM_EVAL, indent=1),
        "bigcode.json": json.dumps([[program] for program in PROGRAMS]),
        "opencompass.json": json.dumps(OPENCOMPASS, indent=4),
        "opencompass_on_one_line.json": json.dumps(OPENCOMPASS),
        "by_task.json": json.dumps({row["task_id"]: row["solution"] for row in lists}),
        "by_task_one_text.json": json.dumps(dict(zip(IDS, PROGRAMS, strict=True)), indent=2),
        "rows.json": json.dumps([json.loads(line) for line in each(completion=...).splitlines()], indent=2),
        "solution_lists.jsonl": lines(lists),
    }


@pytest.mark.parametrize("name", files())
def test_every_form_has_the_same_programs(name: str, tasks: Benchmark, tmp_path: Path) -> None:
    (tmp_path / name).write_text(files()[name])
    rows = read_samples(tmp_path / name, tasks)
    assert [(row.task_id, row.sample) for row in rows] == [(task_id, 0) for task_id in IDS]
    assert [row.solution.strip() for row in rows] == [program.strip() for program in PROGRAMS]


def test_several_programs_of_a_task(tasks: Benchmark, tmp_path: Path) -> None:
    texts = {
        "bigcode.json": json.dumps([[PROGRAMS[0], "x = 1\n"], [PROGRAMS[1]]]),
        "lists.jsonl": lines(
            [{"task_id": IDS[0], "solution": [PROGRAMS[0], "x = 1\n"]}, {"task_id": IDS[1], "solution": PROGRAMS[1]}]
        ),
        "lm_eval.jsonl": lines(
            [{"doc": {"task_id": IDS[i]}, "resps": [[PROGRAMS[i], *(["x = 1\n"] if i == 0 else [])]]} for i in (0, 1)]
        ),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        rows = read_samples(tmp_path / name, tasks)
        assert [(row.task_id, row.sample) for row in rows] == [(IDS[0], 0), (IDS[0], 1), (IDS[1], 0)], name
        assert "x = 1" in rows[1].solution


def test_folders_of_programs(tasks: Benchmark, tmp_path: Path) -> None:
    for number, program in enumerate(PROGRAMS):
        for sample in (0, 2, 10):
            file = tmp_path / "greedy" / f"HumanEval_{number}" / f"{sample}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(program)
    (tmp_path / "greedy" / "notes.txt").write_text("x")
    rows = read_samples(tmp_path / "greedy", tasks)
    assert [(row.task_id, row.sample) for row in rows] == [(task_id, n) for task_id in IDS for n in (0, 2, 10)]
    assert {row.solution for row in rows} == set(PROGRAMS)
    before = samples_hash(tmp_path / "greedy")
    (tmp_path / "greedy" / "HumanEval_0" / "0.py").write_text("changed")
    assert samples_hash(tmp_path / "greedy") != before


@pytest.mark.parametrize(
    ("text", "place", "names"),
    [
        (lines([{"task_id": IDS[0], "output": "a", "response": "b"}]), "line 1", ["output", "response"]),
        (lines([{"task_id": IDS[0], "completion": "a"}, {"task_id": IDS[1], "text": "b"}]), "line 2", ["completion"]),
        (lines([{"doc": {"name": 0}, "resps": [["a"]]}]), "line 1", ["task_id"]),
        (lines([{"task_id": IDS[0], "solution": ["a", "b"], "sample": 1}]), "line 1", ["sample"]),
        (lines([{"task_id": IDS[0], "solution": [7]}]), "line 1", ["solution"]),
        (json.dumps([["x = 1"], ["y = 1"]]), "", ["task_id"]),
        (json.dumps([[PROGRAMS[1]], [PROGRAMS[0]]]), "", ["task_id"]),
        (json.dumps([[p] for p in [*PROGRAMS, "x = 1"]]), "", ["3", "2"]),
        (json.dumps([{"task_id": IDS[0], "completion": "a"}, 3]), "row 2", []),
        (json.dumps({"0": {"prediction": "a", "gold": 7}}, indent=1), "key '0'", ["gold"]),
        (json.dumps({"eval": ["a"]}), "key 'eval'", ["eval"]),
        (json.dumps({"x": ["a"]}, indent=1)[:-3], "", []),
    ],
)
def test_what_is_not_certain_is_refused(
    text: str, place: str, names: list[str], tasks: Benchmark, tmp_path: Path
) -> None:
    path = tmp_path / "samples.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_samples(path, tasks)
    message = str(caught.value)
    assert message.startswith(f"{path}: {place}")
    assert all(name in message for name in names)
    assert "\n" not in message


def test_own_rows_stay_as_they_are(tasks: Benchmark, tmp_path: Path) -> None:
    row = {"task_id": IDS[0], "sample": 3, "completion": "c", "solution": "s", "finish": "length", "output": "other"}
    (tmp_path / "samples.jsonl").write_text(lines([row]))
    assert sample_rows(tmp_path / "samples.jsonl", tasks) == [("line 1", row)]
