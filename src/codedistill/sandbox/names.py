"""Which names of the source the checks may see, decided from the checks alone."""

from __future__ import annotations

import ast
import builtins
import sys
import types


def names_in(code: types.CodeType) -> set[str]:
    """Every name that `code` may look up outside its own scopes, and every attribute's name."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_in(constant)
    return names


def wanted_names(code: types.CodeType, checks: str, entry_point: str | None) -> set[str]:
    """The names to ask the program for.

    A program may not redefine `abs` under the checks' feet, so builtins are left out. Only a script that uses nothing
    but builtins ("assert sum(10, 15) == 6", where the program's own `sum` is meant) sees the program's.
    """
    if entry_point is None:
        loaded, bound = _loaded_and_bound(checks)
        if not {name for name in loaded if not hasattr(builtins, name)} - bound:
            return loaded
    else:
        loaded = names_in(code)
    wanted = {name for name in loaded if not hasattr(builtins, name) and not name.startswith("__")}
    return wanted if entry_point is None else wanted | {entry_point}


def _loaded_and_bound(checks: str) -> tuple[set[str], set[str]]:
    loaded: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(ast.parse(checks)):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
    return loaded, bound


def is_module_of_checks(name: str, checks: str) -> bool:
    """Is `name` a module of the standard library, of which the checks use nothing but attributes, as in `math.isclose`?

    Then it is the checks' own module that they get, whatever the program has made of the name.
    """
    if name not in sys.modules:
        return False
    nodes = list(ast.walk(ast.parse(checks)))
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in nodes)
    bases = [node.value for node in nodes if isinstance(node, ast.Attribute)]
    return uses == sum(isinstance(base, ast.Name) and base.id == name for base in bases)
