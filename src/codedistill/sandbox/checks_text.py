"""Facts from the text of checks before they run: whether a program could pass them, and what they rely on."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import marshal
import sys
import types
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from codedistill.sandbox.failures import CHECKS_NAME


class ChecksText(NamedTuple):
    """Facts about checks, as plain data that travels with them."""

    code: bytes = b""
    """Them compiled, as `marshal` writes it for the same interpreter."""
    fault: str = ""
    """Why no program could pass them; empty if nothing is known against them."""
    modules: tuple[str, ...] = ()
    """Names of modules that they import, and of what may be submodules ("unittest.mock")."""
    builtins: tuple[str, ...] = ()
    """Built-ins that they use."""
    assigned: tuple[str, ...] = ()
    """Names that they may replace themselves: global and attributes, and the last parts of strings ("time.sleep")."""
    stateful: bool = False
    """They may leave something behind in their process that disturbs the next checks."""


STATELESS_MODULES = frozenset(
    (
        *("__future__", "bisect", "collections", "copy", "fractions", "functools", "heapq", "itertools", "json"),
        *("math", "operator", "re", "string", "typing"),
    )
)
STATEFUL_NAMES = frozenset(
    (
        *("breakpoint", "compile", "delattr", "eval", "exec", "globals", "input", "locals", "open", "setattr"),
        *("setrecursionlimit", "vars"),
    )
)
RUNS_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@functools.lru_cache(maxsize=256)
def examine(checks: str, entry_point: str | None) -> ChecksText:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(checks)
            code = compile(tree, CHECKS_NAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return ChecksText(fault=f"{type(error).__name__}: {error}")
    imports = list(_imports(tree))
    modules = {name for name, _ in imports}
    parts: set[str] = set()
    used: set[str] = set()
    assigned: set[str] = set()
    stateful, has_check = False, entry_point is None
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                if isinstance(node, ast.ImportFrom):
                    parts.update(f"{node.module}.{alias.name}" for alias in node.names)
                has_check = has_check or any((alias.asname or alias.name) in ("check", "*") for alias in node.names)
            case ast.Attribute(attr=attribute, ctx=context):
                if not isinstance(context, ast.Load):
                    assigned.add(attribute)
                    stateful = True
                stateful = stateful or attribute in STATEFUL_NAMES or attribute.startswith("__")
            case ast.Constant(value=str(text)) if len(text) < 200:
                assigned.add(text.rpartition(".")[2])
            case ast.Global(names=names):
                assigned.update(names)
            case ast.Name(id=name, ctx=context):
                if hasattr(builtins, name):
                    used.add(name)
                stateful = stateful or name in STATEFUL_NAMES
                has_check = has_check or (name == "check" and isinstance(context, ast.Store))
            case ast.FunctionDef(name="check") | ast.AsyncFunctionDef(name="check") | ast.ClassDef(name="check"):
                has_check = True
    stateful = stateful or not STATELESS_MODULES.issuperset(modules)
    fault = "" if has_check else "they define no function `check`"
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType) and inner.co_name == "check" and inner.co_flags & RUNS_LATER:
            fault = "`check` is a generator or a coroutine: to call it runs no check"
    if entry_point is not None and not _is_callable_text(entry_point):
        fault = f"entry_point {entry_point!r} is neither a function's name nor an expression such as A().f"
    if modules:
        known = {*sys.stdlib_module_names, "program"}
        missing = [name for name, guarded in imports if not guarded and name.partition(".")[0] not in known]
        fault = f"they import {missing[0]}, which is not in Python's own library" if missing else fault
    texts = [tuple(sorted(names)) for names in (modules | parts, used, assigned)]
    return ChecksText(marshal.dumps(code), fault, texts[0], texts[1], texts[2], stateful)


def _is_callable_text(entry_point: str) -> bool:
    """Whether it is an expression of names, attributes and calls."""
    kinds = ast.Expression | ast.Name | ast.Attribute | ast.Call | ast.Load | ast.Constant
    try:
        tree = ast.parse(entry_point, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return not isinstance(tree.body, ast.Constant) and all(isinstance(node, kinds) for node in ast.walk(tree))


def _imports(node: ast.AST, guarded: bool = False) -> Iterator[tuple[str, bool]]:
    """Modules that are imported, in the text's order, and whether something catches the failure."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, guarded) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield node.module or ".", guarded
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, guarded or isinstance(child, ast.Try))
