"""Can checks leave something behind in their process, for the checks of the next program to fall over?

Answered from the code alone, and with yes where it is not sure: a module's state (the precision of `decimal`, the seed
of `random`), a changed builtin, an attribute that is set somewhere.
"""

from __future__ import annotations

import opcode
import sys
import types

_HARMLESS_MODULES = frozenset(
    {"bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "operator", "re", "string", "typing"}
)
_STATEFUL_MODULES = sys.stdlib_module_names - _HARMLESS_MODULES

_HARMFUL_NAMES = frozenset(
    {"open", "exec", "eval", "compile", "input", "setattr", "delattr", "globals", "locals", "vars", "breakpoint"}
)
_HARMFUL_INSTRUCTIONS = tuple(
    opcode.opmap[name] for name in ("STORE_ATTR", "DELETE_ATTR", "IMPORT_STAR") if name in opcode.opmap
)
_IMPORT = opcode.opmap["IMPORT_NAME"]


def may_leave_traces(code: types.CodeType) -> bool:
    instructions = code.co_code[::2]
    if any(number in instructions for number in _HARMFUL_INSTRUCTIONS):
        return True
    names = set(code.co_names)
    if names & _HARMFUL_NAMES or any(name.startswith("__") and name != "__name__" for name in names):
        return True
    if _IMPORT in instructions and any(_is_stateful(name.partition(".")[0]) for name in names):
        return True
    return any(may_leave_traces(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))


def _is_stateful(module: str) -> bool:
    """Names that are no module's at all cannot be imported, but for those of this package."""
    return module in _STATEFUL_MODULES or module in ("codedistill", "program", "checks")
