"""A benchmark and its tasks, and the instruction for a task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

INSTRUCTION = "Complete the following Python function."

STOPS = (
    "\ndef ", "\nclass ", "\n@", "\nimport ", "\nfrom ", "\nif __name__", "\nprint(", "\n#", "\nassert ", "\n```",
    '\n"""', "\n'''", "\n<|",
)  # fmt: skip
"""Where a base model's completion of a function body has ended."""


@dataclass(frozen=True)
class Cases:
    """Checks by input: the correct output is that of the reference solution.

    `base` and `plus` hold the arguments of one call each. Inputs that break `contract`, assertions about the function's
    parameters, are left out. `atol` is the absolute tolerance for numbers, `compare` as in `values.same`.
    """

    base: tuple[tuple[Any, ...], ...]
    plus: tuple[tuple[Any, ...], ...]
    contract: str = ""
    atol: float = 0.0
    compare: str = "equal"


@dataclass(frozen=True)
class Problem:
    """One task. `prompt` is imports, signature and docstring; `checks` is code that defines `check(candidate)`.

    `entry_point` is a function's name or an expression such as `Solution().twoSum`. The reference solution is not here:
    nothing between a model and its verdict may know it. With `cases`, `checks` is empty until harness/expected.py has
    the expected outputs; then `reference_seconds` is the CPU time of the reference solution, and `inputs_left_out` the
    number of inputs without an expected output.
    """

    task_id: str
    prompt: str
    entry_point: str
    checks: str
    instruction: str | None = None
    cases: Cases | None = None
    reference_seconds: float = 0.0
    inputs_left_out: int = 0
    isolation: Literal["data", "shared"] = "shared"
    """Where the checks run: see docs/sandbox.md."""

    @property
    def name(self) -> str:
        """The function or class that a program has to define: the first name of the entry point."""
        return re.split(r"\W", self.entry_point, maxsplit=1)[0]


@dataclass(frozen=True)
class Benchmark:
    """A named list of problems. `sha256` is the data's hash, `source` the file or the hub id of the data.

    `size` is the number of tasks in the data, if `problems` holds only a part of them.
    """

    name: str
    problems: tuple[Problem, ...]
    sha256: str
    source: str
    size: int | None = None

    def find(self, task_id: object) -> Problem | None:
        """The problem of an id, as any tool writes it.

        A bare number means the only id that ends in /number, and `HumanEval_0` the same as `HumanEval/0`.
        """
        name = str(task_id)
        by_id = {problem.task_id: problem for problem in self.problems}
        if name.isdigit() and name not in by_id:
            found = [problem for problem in self.problems if problem.task_id.endswith(f"/{name}")]
            return found[0] if len(found) == 1 else None
        return by_id.get(name) or by_id.get(re.sub(r"_(\d+)$", r"/\1", name))


def instruction_of(problem: Problem) -> tuple[str, str]:
    """The instruction and the input of a problem for a prompt template."""
    return (problem.instruction or INSTRUCTION), problem.prompt
