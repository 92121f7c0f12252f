"""Which names of the source the checks may see, decided from the checks alone."""

from __future__ import annotations

import builtins
import importlib
import sys
import types

from . import wire


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
    but builtins ("assert sum(10, 15) == 6", where the program's own `sum` is meant) sees the program's. And `check` is
    to come from the checks, of all things.
    """
    if entry_point is None:
        loaded, bound = _loaded_and_bound(checks)
        if not {name for name in loaded if not hasattr(builtins, name)} - bound:
            return loaded
    else:
        loaded = names_in(code)
    wanted = {name for name in loaded if not hasattr(builtins, name) and not name.startswith("__")}
    return wanted if entry_point is None else (wanted - {"check"}) | {entry_point}


def _loaded_and_bound(checks: str) -> tuple[set[str], set[str]]:
    import symtable  # not with this module: for checks of most benchmarks, it is not needed

    loaded: set[str] = set()
    bound: set[str] = set()
    scopes = [symtable.symtable(checks, "<checks>", "exec")]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_referenced():
                loaded.add(symbol.get_name())
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_parameter():
                bound.add(symbol.get_name())
    return loaded, bound


def is_module_of_checks(name: str, checks: str) -> bool:
    """Is `name` a module of the standard library, of which the checks use nothing but attributes, as in `math.isclose`?

    Then it is the checks' own module that they get, whatever the program has made of the name.
    """
    if name not in sys.modules and name not in wire.RARE_MODULES:
        return False
    import ast

    nodes = list(ast.walk(ast.parse(checks)))
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in nodes)
    bases = [node.value for node in nodes if isinstance(node, ast.Attribute)]
    own = uses == sum(isinstance(base, ast.Name) and base.id == name for base in bases)
    if own:
        importlib.import_module(name)
    return own
