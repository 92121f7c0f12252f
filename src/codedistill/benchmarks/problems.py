"""What a benchmark consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INSTRUCTION = "Complete the following Python function."

STOPS = (
    "\ndef ", "\nclass ", "\n@", "\nimport ", "\nfrom ", "\nif __name__", "\nprint(", "\n#", "\nassert ", "\n```",
    '\n"""', "\n'''", "\n<|",
)  # fmt: skip
"""Where a base model's completion of a function body has certainly ended."""


@dataclass(frozen=True)
class Cases:
    """Checks by input: the right output is what the reference solution gives.

    `base` and `plus` hold the arguments of one call each. An input that breaks `contract`, assertions about the
    function's parameters, is left out. `atol` is the absolute tolerance for numbers, `compare` one of
    comparison.COMPARISONS.
    """

    base: tuple[tuple[Any, ...], ...]
    plus: tuple[tuple[Any, ...], ...]
    contract: str = ""
    atol: float = 0.0
    compare: str = "equal"


@dataclass(frozen=True)
class Problem:
    """One task. `prompt` is imports, signature and docstring; `checks` is code that defines `check(candidate)`.

    The reference solution is not here: nothing on a model's side of the way to a verdict knows it. Where there are
    `cases`, `checks` is empty until harness/expected.py knows their expected outputs; then `reference_seconds`
    is the CPU time that the reference takes, and `inputs_left_out` the number of those for which it gave no output.
    """

    task_id: str
    prompt: str
    entry_point: str
    checks: str
    instruction: str | None = None
    cases: Cases | None = None
    reference_seconds: float = 0.0
    inputs_left_out: int = 0


@dataclass(frozen=True)
class Benchmark:
    """A named list of problems; `sha256` is of the data, `source` is the file or the hub id that it came from.

    `size` is the number of tasks in the data, of which `problems` may hold a part only; None: it holds them all.
    """

    name: str
    problems: tuple[Problem, ...]
    sha256: str
    source: str
    size: int | None = None

    def find(self, task_id: object) -> Problem | None:
        """The problem of that id. A bare number means the only id that ends in /number, as other tools write MBPP's."""
        name = str(task_id)
        found = [
            problem
            for problem in self.problems
            if problem.task_id == name or (name.isdigit() and problem.task_id.endswith(f"/{name}"))
        ]
        return found[0] if len(found) == 1 else None


def instruction_of(problem: Problem) -> tuple[str, str]:
    """Instruction and input with which a prompt template asks a problem."""
    return (problem.instruction or INSTRUCTION), problem.prompt
