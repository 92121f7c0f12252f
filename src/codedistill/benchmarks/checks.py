"""The checks of a problem: what they need from the prompt, and whether they are any.

What is wrong with them is said when the benchmark is loaded: later it would look like a fault of every program.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import symtable
import types
import warnings

from codedistill.benchmarks.extraction.syntax import parse, parse_prompt, prepend
from codedistill.benchmarks.problems import Problem
from codedistill.errors import UserError, first_line

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Import = ast.Import | ast.ImportFrom
UNAWAITED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def with_helpers(checks: str, prompt: str, entry_point: str) -> str:
    """The checks behind those definitions of the prompt that they use, and the imports that these need.

    Without them the checks would use the program's. Three tasks of HumanEval check an output by a function of their
    prompt: a program that defines it anew, as one that always returns 0, would pass with anything.
    """
    tree, lines, using = parse_prompt(prompt), prompt.split("\n"), parse(checks)
    if using is None:  # `require_checks` says so
        return checks
    found = {
        name: node
        for node in (tree.body if tree else [])
        for name in _defined(node)
        if name not in (entry_point, "annotations")
    }
    needed: list[ast.stmt] = []
    waiting = sorted(_used(using) - _bound(checks))
    while waiting:
        node = found.pop(waiting.pop(), None)
        if node is not None and node not in needed:
            needed.append(node)
            waiting += sorted(_used(node))
    texts = [_text(node, lines) for node in sorted(needed, key=lambda node: node.lineno)]
    return prepend("\n\n".join(texts) + "\n\n", checks) if texts else checks


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module binds."""
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, Import):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _bound(checks: str) -> set[str]:
    """The names that the checks bind themselves, outside their functions."""
    table = symtable.symtable(checks, "<checks>", "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


def _text(node: ast.stmt, lines: list[str]) -> str:
    decorators = node.decorator_list if isinstance(node, Definition) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def require_checks(problem: Problem) -> None:
    """Refuse a problem whose checks cannot judge anything.

    Raises:
        UserError: the entry point is no name, or the checks do not compile or define no `check` that can be called.
    """
    entry_point = problem.entry_point
    if not entry_point.isidentifier() or keyword.iskeyword(entry_point):
        raise UserError(f"entry_point {entry_point!r} is not a function's name")
    if problem.cases is not None:  # their checks are made of what the reference solution returns
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(problem.checks, "<checks>", "exec", dont_inherit=True)
            bound = _bound(problem.checks)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"its tests are no Python: {first_line(error)}") from None
    if "check" not in bound:
        raise UserError("test defines no check(candidate)")
    functions = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == "check"]
    if any(function.co_flags & UNAWAITED for function in functions):
        raise UserError("check is a coroutine or a generator: a call of it would check nothing")
