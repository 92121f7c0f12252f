"""The three disjoint sets: pre-training text, instructions in Alpaca form, and the benchmark `tiny`.

The sets use different seeds, and only the benchmark uses held-out compositions. `Partition` splits all other functions
(a composition with its constants) by identity, so that none is both in the text and in the instructions.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from enum import StrEnum

from codedistill.tiny.tasks import Task, draw_task, draw_tests

BENCHMARK_SIZE = 300
COMPLETE = "Complete the following Python function."


class Partition(StrEnum):
    """Which of the two training sets a function belongs to."""

    TEXT = "text"
    INSTRUCTIONS = "instructions"


def partition(task: Task) -> Partition:
    """Text or instructions, by the function's identity: three functions in ten are text."""
    digest = hashlib.sha256(b"set:" + task.composition.identity.encode()).digest()
    return Partition.TEXT if digest[0] < 77 else Partition.INSTRUCTIONS


def draw_training_tasks(which: Partition, count: int, seed: int) -> Iterator[Task]:
    """`count` tasks of one training set, none of a held-out composition."""
    rng = random.Random(f"{which}:{seed}")
    while count:
        task = draw_task(rng, held_out=False)
        if partition(task) == which:
            count -= 1
            yield task


def pretraining_text(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows with an empty `prompt` and a function with its docstring as `completion`: plain text as in source files."""
    return [
        {"prompt": "", "completion": task.prompt + task.body}
        for task in draw_training_tasks(Partition.TEXT, count, seed)
    ]


def instructions(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows in Alpaca form. Half ask in words, half give the signature and docstring as `input`."""
    rng = random.Random(f"form:{seed}")
    rows = []
    for task in draw_training_tasks(Partition.INSTRUCTIONS, count, seed):
        if rng.random() < 0.5:
            instruction, given = COMPLETE, task.prompt.rstrip()
        else:
            instruction = f"Write a Python function {task.entry_point}({task.argument}). {task.description}"
            given = ""
        rows.append({"instruction": instruction, "input": given, "output": task.solution})
    return rows


def benchmark(count: int = BENCHMARK_SIZE, seed: int = 0) -> list[dict[str, str]]:
    """Held-out tasks in HumanEval's form, each of a different composition."""
    rng = random.Random(f"benchmark:{seed}")
    rows: list[dict[str, str]] = []
    seen: set[str] = set()
    while len(rows) < count:
        task = draw_task(rng, held_out=True)
        tests = None if task.composition.key in seen else draw_tests(task, rng)
        if tests is None:
            continue
        seen.add(task.composition.key)
        checks = "\n".join(f"    assert candidate({argument!r}) == {expected!r}" for argument, expected in tests)
        rows.append(
            {
                "task_id": f"tiny/{len(rows)}",
                "prompt": task.prompt,
                "entry_point": task.entry_point,
                "canonical_solution": task.body + "\n",
                "test": f"def check(candidate):\n{checks}\n",
                "composition": task.composition.key,
            }
        )
    return rows
