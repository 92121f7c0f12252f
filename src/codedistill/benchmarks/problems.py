"""What a benchmark consists of."""

from __future__ import annotations

from dataclasses import dataclass

INSTRUCTION = "Complete the following Python function."

STOPS = ("\ndef ", "\nclass ", "\nif __name__", "\nprint(", "\n#", "\nassert ", "\n```")
"""Where a base model's completion of a function body has certainly ended."""


@dataclass(frozen=True)
class Problem:
    """One task. `prompt` is imports, signature and docstring; `checks` is code that defines `check(candidate)`.

    The reference solution is not here: nothing between a benchmark and a verdict knows it.
    """

    task_id: str
    prompt: str
    entry_point: str
    checks: str
    instruction: str | None = None
    stop: tuple[str, ...] = STOPS


@dataclass(frozen=True)
class Benchmark:
    """A named list of problems; `sha256` is of the data file's (unpacked) bytes, `source` where it was found."""

    name: str
    problems: tuple[Problem, ...]
    sha256: str
    source: str


def instruction_of(problem: Problem) -> tuple[str, str]:
    """Instruction and input with which a prompt template asks a problem."""
    return (problem.instruction or INSTRUCTION), problem.prompt
