"""A function's body under the prompt's signature."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

from codedistill.benchmarks.extraction.syntax import indentation, is_prose, parse
from codedistill.benchmarks.problems import Problem


def place_body(problem: Problem, code: str, goes_on: bool) -> str:
    """The prompt with `code` as its function's body; `goes_on`: the model wrote it right behind the prompt.

    Then the indentation is the model's own, and wrong where it is wrong. Otherwise, and where the text starts at the
    margin (or one blank from it, as tokens do), the body is moved as a whole, or its first line alone. The first layout
    that parses, with the code inside the function, is taken; where none does, the text stays as it is.
    """
    first = next((line for line in code.split("\n") if line.strip()), "")
    fixed = goes_on and (len(indentation(first)) > 1 or first.startswith("\t"))
    for text in (code, _code_lines(code)):
        for head, body in _layouts(problem.prompt, text, fixed):
            if _is_inside(problem.entry_point, head, body):
                return head + body
    head, body = next(_layouts(problem.prompt, code, fixed))
    return head + body


def _layouts(prompt: str, code: str, fixed: bool) -> Iterator[tuple[str, str]]:
    """Ways to put the code behind the prompt: as it is; if not `fixed`, moved as a whole or by its first line alone."""
    head = prompt if prompt.endswith("\n") or code.startswith("\n") else prompt + "\n"
    if prompt[-1:] in (" ", "\t", ":"):  # the prompt ends in the body's indentation, or in its signature
        yield prompt, code
    yield head, code
    if fixed:
        return
    unit = _unit(prompt)
    text = code.strip("\n")
    first, _, rest = text.partition("\n")
    yield head, textwrap.indent(textwrap.dedent(text), unit) + "\n"
    yield head, f"{unit}{first.lstrip()}\n{rest}\n"


def _unit(prompt: str) -> str:
    """The indentation of the prompt's last line, its docstring's as a rule."""
    lines = [line for line in prompt.split("\n") if line.strip()]
    return (indentation(lines[-1]) if lines else "") or "    "


def _is_inside(entry_point: str, head: str, body: str) -> bool:
    """Whether the program parses and the first line of code of the body belongs to the function."""
    tree = parse(head + body)
    if tree is None:
        return False
    line = head.count("\n") + 1
    for text in body.split("\n"):
        if text.strip() and not text.lstrip().startswith("#"):
            break
        line += 1
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(f.name == entry_point and f.lineno <= line <= (f.end_lineno or 0) for f in functions)


def _code_lines(code: str) -> str:
    """The lines from the first that is no prose to the next at the margin that is."""
    lines = code.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip() and not is_prose(line)), 0)
    end = next((i for i in range(start, len(lines)) if is_prose(lines[i])), len(lines))
    return "\n".join(lines[start:end]) + "\n"
