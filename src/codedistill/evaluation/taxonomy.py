"""One failing program, one category: the error taxonomy of the AKD paper (table 2, table 13), decided by rules.

The rules look at how the program ended and at its syntax tree, never at a reference solution. An exception outside the table
is its own category, under its own name.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """The categories that have rules. `PASSED` and `WRONG_ANSWER` are complete programs, all others incomplete ones."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong answer"
    EMPTY_FUNCTION = "empty function"
    WRONG_FUNCTION_NAME = "wrong function name"
    MISSING_CONTENT = "missing content"
    MISSING_IMPORT = "missing import"
    UNBALANCED_DELIMITERS = "unbalanced delimiters"
    FUNCTION_OVERFLOW = "function overflow"
    EMPTY_SEQUENCE = "empty sequence"
    DELIBERATE_RAISE = "deliberate raise"
    INAPPROPRIATE_ARGUMENT = "inappropriate argument"
    OUT_OF_RANGE = "out of range"
    INCOMPATIBLE_OPERATION = "incompatible operation"
    MISSING_ATTRIBUTE = "missing attribute"
    MISSING_KEY = "missing key"
    UNASSIGNED_VARIABLE = "unassigned variable"
    INFINITE_RECURSION = "infinite recursion"
    INCONSISTENT_INDENTATION = "inconsistent indentation"
    MISSING_MODULE = "missing module"
    EXECUTION_TIMEOUT = "execution timeout"


COMPLETE = (Category.PASSED, Category.WRONG_ANSWER)

OTHER_ENDS = {"memory": "MemoryError", "crashed": "crash", "exited": "early exit", "infrastructure": "infrastructure"}
"""Categories outside the paper's table, by the sandbox's status."""


@dataclass(frozen=True)
class Verdict:
    """How one program ended, and what it was. `status` is the sandbox's, `raised_in` "source", "checks" or None."""

    status: str
    error_type: str | None
    message: str
    raised_in: str | None
    reached_checks: bool
    raised_deliberately: bool
    source: str
    completion: str
    entry_point: str
    hit_token_limit: bool = False


def classify(verdict: Verdict) -> str:
    """The category of one program: a `Category`, or the exception's own name where the table has no row for it."""
    if verdict.status == "passed":
        return Category.PASSED
    if verdict.status == "timeout":
        return Category.EXECUTION_TIMEOUT
    if verdict.status in OTHER_ENDS:
        return OTHER_ENDS[verdict.status]
    error = verdict.error_type or "unknown error"
    rule = RULES.get(error)
    return rule(verdict) if rule is not None else error


def _assertion(verdict: Verdict) -> str:
    if verdict.raised_in == "source":  # the program's own assert: the table has no row for it
        return "AssertionError"
    return Category.EMPTY_FUNCTION if does_nothing(verdict.source, verdict.entry_point) else Category.WRONG_ANSWER


def does_nothing(source: str, entry_point: str) -> bool:
    """Whether the entry point's body is `pass`, `...`, a docstring alone, or a bare constant return."""
    function = _function(source, entry_point)
    if function is None:
        return False
    return all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        or (isinstance(statement, ast.Return) and _is_constant(statement.value))
        for statement in function.body
    )


def _is_constant(value: ast.expr | None) -> bool:
    """None, a literal, or an empty container: nothing that depends on the argument."""
    if value is None or isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.UnaryOp):
        return _is_constant(value.operand)
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return all(_is_constant(element) for element in value.elts)
    return isinstance(value, ast.Dict) and not value.keys


def _function(source: str, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The last top-level definition of `name`."""
    tree = _parse(source)
    found = None
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found = node
    return found


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


WELL_KNOWN = frozenset(
    [
        "np",
        "pd",
        "plt",
        "sqrt",
        "ceil",
        "floor",
        "gcd",
        "factorial",
        "log",
        "pi",
        "inf",
        "reduce",
        "lru_cache",
        "cache",
        "partial",
        "wraps",
        "Counter",
        "defaultdict",
        "deque",
        "OrderedDict",
        "namedtuple",
        "permutations",
        "combinations",
        "product",
        "chain",
        "groupby",
        "accumulate",
        "zip_longest",
        "List",
        "Dict",
        "Tuple",
        "Set",
        "Optional",
        "Union",
        "Any",
        "Callable",
        "Iterable",
        "heappush",
        "heappop",
        "heapify",
        "bisect_left",
        "bisect_right",
        "insort",
        "md5",
        "datetime",
        "timedelta",
        "Decimal",
        "Fraction",
        "dataclass",
        "Enum",
        "deepcopy",
        "numpy",
        "pandas",
        "scipy",
        "sympy",
    ]
)
"""Names that programs import rather than define."""


def _name(verdict: Verdict) -> str:
    if not verdict.completion.strip() or not verdict.source.strip():
        return Category.MISSING_CONTENT
    missing = _quoted(verdict.message)
    tree = _parse(verdict.source)
    defined = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)] if tree else []
    if missing == verdict.entry_point and missing not in defined:
        return Category.WRONG_FUNCTION_NAME if defined else Category.MISSING_CONTENT
    if missing in sys.stdlib_module_names or missing in WELL_KNOWN:
        return Category.MISSING_IMPORT
    if tree and missing and _is_called(tree, missing):
        return Category.WRONG_FUNCTION_NAME
    return "NameError"


def _quoted(message: str) -> str | None:
    found = re.search(r"'([^']+)'", message)
    return found.group(1) if found else None


def _is_called(tree: ast.Module, name: str) -> bool:
    return any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name for n in ast.walk(tree))


def _syntax(verdict: Verdict) -> str:
    if verdict.hit_token_limit and len(re.findall(r"^\s*(?:async\s+)?def\s", verdict.source, re.MULTILINE)) > 1:
        return Category.FUNCTION_OVERFLOW
    return Category.UNBALANCED_DELIMITERS if _is_unbalanced(verdict.source) else "SyntaxError"


UNCLOSED = (
    "was never closed",
    "unterminated",
    "unmatched",
    "does not match opening",
    "EOF in multi-line",
    "unexpected EOF",
)


def _is_unbalanced(source: str) -> bool:
    """Whether a quote or a bracket is left open or closes nothing."""
    try:
        compile(source, "program", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        if any(sign in str(error) for sign in UNCLOSED):
            return True
    try:
        for _ in tokenize.generate_tokens(io.StringIO(source).readline):
            pass
    except (tokenize.TokenError, SyntaxError) as error:
        return any(sign in str(error) for sign in UNCLOSED)
    return False


NOTHING_THERE = re.compile(
    r"empty|arg is an empty|at least one|no (?:mode|median|mean)|not enough values to unpack \(.*got 0\)"
)


def _value(verdict: Verdict) -> str:
    if verdict.raised_deliberately:
        return Category.DELIBERATE_RAISE
    return Category.EMPTY_SEQUENCE if NOTHING_THERE.search(verdict.message) else Category.INAPPROPRIATE_ARGUMENT


def _always(category: Category) -> Callable[[Verdict], str]:
    return lambda verdict: category


RULES: dict[str, Callable[[Verdict], str]] = {
    "AssertionError": _assertion,
    "NameError": _name,
    "SyntaxError": _syntax,
    "ValueError": _value,
    "IndexError": _always(Category.OUT_OF_RANGE),
    "TypeError": _always(Category.INCOMPATIBLE_OPERATION),
    "AttributeError": _always(Category.MISSING_ATTRIBUTE),
    "KeyError": _always(Category.MISSING_KEY),
    "UnboundLocalError": _always(Category.UNASSIGNED_VARIABLE),
    "RecursionError": _always(Category.INFINITE_RECURSION),
    "IndentationError": _always(Category.INCONSISTENT_INDENTATION),
    "TabError": _always(Category.INCONSISTENT_INDENTATION),
    "ModuleNotFoundError": _always(Category.MISSING_MODULE),
    "TimeoutError": _always(Category.EXECUTION_TIMEOUT),
    "NotImplementedError": _always(Category.DELIBERATE_RAISE),
}
"""Exception -> rule (table 2 of the paper). An exception without a rule is reported under its own name."""
