"""What checks cannot do here, because the program lives in another process: told from their text alone."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator

_PATCHABLE = {"builtins.input", "sys.stdin", "sys.stdout"}
_SOURCE_READERS = {"getsource", "getsourcelines", "getsourcefile"}
_PATCHERS = {"patch", "object", "dict", "multiple", "setattr", "setitem"}


def unsupported_in_checks(checks: str) -> list[str]:
    """What in the checks fails for every program, in words, each once and in the text's order.

    Only what the text shows: that an operand is an object of the program, as in `3 in Stack()`, nobody can tell from
    it. docs/sandbox.md has the whole list. Nothing for checks that do not compile: these raise ChecksError.
    """
    try:
        tree = ast.parse(checks)
    except (SyntaxError, ValueError):
        return []
    own = _own_names(tree)
    return list(dict.fromkeys(fault for node in _in_order(tree) for fault in _faults(node, own)))


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _in_order(child)


def _faults(node: ast.AST, own: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from _imports([alias.name for alias in node.names])
    elif isinstance(node, ast.ImportFrom):
        yield from _imports([node.module or "."])
    elif isinstance(node, ast.ClassDef):
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id not in own:
                yield f"class {node.name} derives from the program's {base.id}"
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _imports(names: list[str]) -> Iterator[str]:
    for name in names:
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names:
            yield f"import of {name}, which is not in Python's own library"


def _calls(call: ast.Call) -> Iterator[str]:
    *path, name = ast.unparse(call.func).split(".")
    if name in _SOURCE_READERS:
        yield f"{name}: the program's source is not there"
    elif path == ["unittest"] and name == "main":
        yield "unittest.main: it ends the process of the checks; run a TestSuite and look at its result"
    elif name == "patch" or (name in _PATCHERS and path and path[-1] in ("patch", "mock", "monkeypatch")):
        target = _patched(call)
        if target not in _PATCHABLE:
            yield f"patching {target}: the program has a module of its own"


def _patched(call: ast.Call) -> str:
    if not call.args:
        return "something"
    target = call.args[0]
    if isinstance(target, ast.Constant):
        return str(target.value)
    names = [part for part in call.args[1:2] if isinstance(part, ast.Constant)]  # patch.object(module, "name", ...)
    return ".".join(ast.unparse(part).strip("'") for part in (target, *names))


def _own_names(tree: ast.AST) -> set[str]:
    """Names that do not come from the program: what the checks bind, but for the parameters of `check`."""
    own = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            own.add(node.name)
        elif isinstance(node, ast.alias):
            own.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return own
