"""The checks of a problem: the helpers that they need from the prompt, and whether they can judge a program.

Faults in them are found when the benchmark is loaded. Later they would look like faults of every program.
"""

from __future__ import annotations

import ast
import inspect
import symtable
import types
import warnings

from codedistill.benchmarks.extraction.syntax import DEFINITIONS, parse, parse_prompt, prepend
from codedistill.benchmarks.problems import Problem
from codedistill.errors import first_line

UNAWAITED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def with_helpers(checks: str, prompt: str, name: str) -> str:
    """The checks after those definitions of the prompt that they use, and the imports that these need.

    Three tasks of HumanEval compare outputs with a function of their prompt. Without a copy of their own the checks
    would use the program's, and a program could replace it by one that always returns 0.
    """
    tree, lines, using, bound = parse_prompt(prompt), prompt.split("\n"), parse(checks), _bound(checks)
    if using is None or bound is None:  # `fault_of_checks` reports it
        return checks
    found = {
        defined: node
        for node in (tree.body if tree else [])
        for defined in _defined(node)
        if defined not in (name, "annotations")
    }
    needed: list[ast.stmt] = []
    waiting = sorted(_used(using) - bound)
    while waiting:
        node = found.pop(waiting.pop(), None)
        if node is not None and node not in needed:
            needed.append(node)
            waiting += sorted(_used(node))
    texts = []
    for node in sorted(needed, key=lambda node: node.lineno):
        decorators = node.decorator_list if isinstance(node, DEFINITIONS) else []
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        texts.append("\n".join(lines[first - 1 : node.end_lineno]))
    return prepend("\n\n".join(texts) + "\n\n", checks) if texts else checks


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module binds."""
    if isinstance(node, DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _bound(checks: str) -> set[str] | None:
    """The names that the checks bind at the top level; None if they do not compile."""
    try:
        table = symtable.symtable(checks, "<checks>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


def fault_of_checks(problem: Problem) -> str | None:
    """Why the checks of a problem cannot judge any program, or None if they can.

    The entry point is neither a name nor an expression of names, attributes and calls; or the checks do not compile or
    define no `check` that can be called.
    """
    try:
        nodes = list(ast.walk(ast.parse(problem.entry_point, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []
    kinds = ast.Expression | ast.Name | ast.Attribute | ast.Call | ast.Load | ast.Constant
    if not problem.name or not nodes or not all(isinstance(node, kinds) for node in nodes):
        return f"entry_point {problem.entry_point!r} is neither a function's name nor an expression such as A().f"
    if problem.cases is not None:  # their checks are made from the reference solution's outputs
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(problem.checks, "<checks>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"its tests are not valid Python: {first_line(error)}"
    if "check" not in (_bound(problem.checks) or ()):
        return "test defines no check(candidate)"
    functions = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == "check"]
    if any(function.co_flags & UNAWAITED for function in functions):
        return "check is a coroutine or a generator: calling it would check nothing"
    return None
