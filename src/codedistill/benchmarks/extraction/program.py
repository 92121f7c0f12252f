"""From a model's text to the program that is run.

The text holds a module with the asked function, or the function's body; the syntax tells which. What is taken away is
text around the code: end-of-turn tokens, markdown fences, prose before and after. What is added is the prompt: before a
body all of it, before a module its imports and helpers. Nothing is repaired: code that does not parse stays as it is
and fails, so that a cut-off program is counted as one.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

from codedistill.benchmarks.extraction.body import place_body
from codedistill.benchmarks.extraction.fences import fenced_code
from codedistill.benchmarks.extraction.syntax import (
    CODE_STARTS,
    behind,
    defines,
    defines_function,
    indentation,
    is_prose,
    parse,
    parse_prompt,
)
from codedistill.benchmarks.extraction.turns import answer_in
from codedistill.benchmarks.problems import Problem

MODULE_LINE = re.compile(r"\s*(?:@|async\s+def\s|def\s|class\s|import\s|from\s)")


def program_source(problem: Problem, completion: str) -> str:
    """The module that is run for a completion: "" where nothing was written."""
    text = answer_in(completion, problem.entry_point)
    if not text.strip():
        return ""
    whole = defines(text, problem.entry_point) and parse(text) is not None  # a docstring may have fences in it
    code = text if whole else fenced_code(text, problem.entry_point) or text
    if _is_module(code, problem.entry_point):
        program = _with_context(problem, without_prose(_at_the_margin(code, problem.entry_point)))
    else:
        program = place_body(problem, code, goes_on=code is text)
    return _without_speakers(program)


def _is_module(code: str, entry_point: str) -> bool:
    """Whether the text has top-level definitions, rather than being the body of the asked function.

    A body may define functions and import modules, and go on at the margin when it is done.
    """
    first = next((line for line in code.split("\n") if line.strip()), "")
    definitions = [indentation(line) for line in code.split("\n") if defines_function(line, entry_point)]
    if first[:1].isspace():
        return indentation(first) in definitions or (bool(definitions) and MODULE_LINE.match(first) is not None)
    if definitions:
        return True
    top_level = defines(code, entry_point) or re.search(r"^(?:async def|def|class)\s", code, re.MULTILINE)
    return bool(top_level) and not _returns_outside(without_prose(code))


def _returns_outside(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "completion", "exec", dont_inherit=True)
    except SyntaxError as error:
        return "outside function" in str(error)
    except (ValueError, RecursionError, MemoryError):
        return False
    return False


def _at_the_margin(code: str, entry_point: str) -> str:
    """Code that is indented as a whole, as in a list item, moved to the left. A method stays in its class."""
    lines = code.split("\n")
    first = next(i for i, line in enumerate(lines) if line.strip())
    if indentation(lines[first]) == " ":  # a token brings one
        lines[first] = lines[first][1:]
        code = "\n".join(lines)
    at = next((i for i, line in enumerate(lines) if defines(line, entry_point)), None)
    if at is None or any(defines(line, entry_point) and not indentation(line) for line in lines):
        return code
    depth = len(indentation(lines[at]))
    start, end = at, at + 1
    while start and _belongs(lines[start - 1], depth):
        start -= 1
    if any(line.lstrip().startswith("class ") for line in lines[:start] if len(indentation(line)) < depth):
        return code
    while end < len(lines) and _belongs(lines[end], depth):
        end += 1
    return textwrap.dedent("\n".join(lines[start:end])).strip("\n") + "\n"


def _belongs(line: str, depth: int) -> bool:
    return not line.strip() or len(indentation(line)) >= depth


def without_prose(code: str) -> str:
    """Module code without the prose around it."""
    lines = code.split("\n")
    if lines[0].strip().lower() in ("python", "python3", "py"):
        lines = lines[1:]  # the rest of an opening fence
    if parse("\n".join(lines)) is not None:
        return "\n".join(lines)
    lines = lines[next((i for i, line in enumerate(lines) if CODE_STARTS.match(line)), 0) :]
    for end in range(len(lines), 0, -1):
        if parse("\n".join(lines[:end])) is not None:
            rest = [line for line in lines[end:] if line.strip()]
            # What does not parse is taken away only if it is no code that was cut off.
            return "\n".join(lines[:end]) + "\n" if rest and is_prose(rest[0]) else "\n".join(lines)
    return "\n".join(lines)


def _without_speakers(program: str) -> str:
    """A program up to the line where another turn begins like an annotation, as in `Human: thanks`."""
    tree, lines = parse(program), program.split("\n")
    for node in _speakers(tree) if tree is not None else []:
        before, rest = lines[: node.lineno - 1], lines[node.end_lineno :]
        return "\n".join(before) + "\n" if any(map(str.strip, before)) else _without_speakers("\n".join(rest))
    return program


def _speakers(tree: ast.Module) -> list[ast.AnnAssign]:
    """The bare annotations at the margin of a capitalised name that nothing else in the program uses or assigns."""
    found = {
        node: node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name)
        if node.target.id[:1].isupper()
    }
    rest = (inner for node in tree.body if node not in found for inner in ast.walk(node))
    used = {name for node in rest for name in (getattr(node, "id", None), getattr(node, "name", None)) if name}
    return [node for node, name in found.items() if name not in used]


def _with_context(problem: Problem, code: str) -> str:
    """The prompt's imports and helpers before a program that repeats the signature, unless it brings them itself."""
    tree = parse_prompt(problem.prompt)
    context = []
    lines = problem.prompt.split("\n")
    for node in tree.body if tree is not None else []:
        name = getattr(node, "name", None)
        if name == problem.entry_point or (name is not None and defines(code, name)):
            continue
        if isinstance(node, ast.Expr):  # the prompt's text
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        segment = "\n".join(lines[first - 1 : node.end_lineno])
        if segment.strip() and segment not in code:
            context.append(segment)
    return behind("\n".join(context) + "\n", code) if context else code
