"""The error taxonomy of the AKD paper (Shu et al. 2025, tables 2 and 13) as rules: one category per program.

The rules use how the program ended and its syntax tree, never a reference solution. An exception that the table does
not list is a category of its own. docs/taxonomy.md describes the rules.
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from codedistill.evaluation.known_names import PACKAGES, is_class_or_constant, is_function, is_module_member


class Category(StrEnum):
    """The categories that have rules. `PASSED` and `WRONG_ANSWER` are complete programs, the others incomplete ones."""

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

OTHER_ENDS = {"memory": "MemoryError", "crashed": "crash", "exited": "early exit", "broken_checks": "broken checks"}
"""Categories outside the paper's table, by the sandbox's status."""

TRUNCATED = "truncated"
"""Generation stopped at the token limit before there was an answer, for example within the model's thoughts."""

OTHER_EXCEPTION = "other exception"
"""An exception whose name cannot be a category."""

LONGEST_NAME = 60


@dataclass(frozen=True)
class Verdict:
    """How one program ended, and the program itself.

    `status` is a `sandbox.Status`, `raised_in` is "source", "checks" or None. `source` is the program, `completion` the
    model's text. `hit_token_limit`: generation stopped at the maximum number of new tokens.
    """

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
    """The category of one program: a `Category`, `TRUNCATED`, one of `OTHER_ENDS`, or the exception's own name."""
    if verdict.status == "passed":
        return Category.PASSED
    if verdict.status == "timeout":
        return Category.EXECUTION_TIMEOUT
    if verdict.status in OTHER_ENDS:
        return OTHER_ENDS[verdict.status]
    by_checks = verdict.reached_checks and verdict.raised_in != "source"  # an import in the body can fail by itself
    if by_checks and not _cannot_be_called(verdict) and does_nothing(verdict.source, verdict.entry_point):
        return Category.EMPTY_FUNCTION  # `None - 1` in the checks is the same fault as `None == 1`
    rule = RULES.get(verdict.error_type or "")
    return rule(verdict) if rule is not None else _own_name(verdict.error_type)


def _own_name(error: str | None) -> str:
    """The exception's name, unless it is unusable or the name of a category: the program can choose it."""
    taken = {*Category, *OTHER_ENDS.values(), TRUNCATED}
    if not error or len(error) > LONGEST_NAME or not error.isidentifier() or error in taken:
        return OTHER_EXCEPTION
    return error


def _assertion(verdict: Verdict) -> str:
    if verdict.raised_in == "source":  # an assert of the program itself: the table has no row for it
        return "AssertionError"
    return Category.WRONG_ANSWER


def _cannot_be_called(verdict: Verdict) -> bool:
    """Whether the checks' arguments do not fit the function's parameters, so that its body never ran."""
    called = verdict.entry_point.rpartition(".")[2]
    call = rf"(?:(?:\w+\.)*{re.escape(called)}|<lambda>)\(\) (?:takes|missing|got)\b"
    return verdict.error_type == "TypeError" and re.match(call, verdict.message) is not None


def does_nothing(source: str, entry_point: str) -> bool:
    """Whether the entry point's body is only `pass`, `...`, a docstring, imports or the return of a constant."""
    function = _function(source, entry_point)
    if isinstance(function, ast.Lambda):
        return _is_constant(function.body)
    return function is not None and all(
        isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        or (isinstance(statement, ast.Return) and _is_constant(statement.value))
        for statement in function.body
    )


def _is_constant(value: ast.expr | None) -> bool:
    """A number, a string, True, False, None or an empty container. Any other container is an answer, if a wrong one."""
    if value is None or isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.UnaryOp):
        return isinstance(value.operand, ast.Constant)
    if isinstance(value, ast.List | ast.Tuple):
        return not value.elts
    if isinstance(value, ast.Call):  # set() has no literal
        return isinstance(value.func, ast.Name) and value.func.id in EMPTY and not value.args and not value.keywords
    return isinstance(value, ast.Dict) and not value.keys


EMPTY = frozenset({"bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def _function(source: str, name: str) -> Function | None:
    """The last definition of an entry point: at the top level, or for `Solution().name` in that class."""
    tree = _parse(source)
    owner, _, name = name.rpartition(".")
    body = tree.body if tree else []
    if owner:
        first = re.split(r"\W", owner, maxsplit=1)[0]
        body = [n for node in body if isinstance(node, ast.ClassDef) and node.name == first for n in node.body]
    found: Function | None = None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found = node
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            found = node.value if isinstance(node.value, ast.Lambda) else None
    return found


def _parse(source: str) -> ast.Module | None:
    """The syntax tree, or None if the source does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _name(verdict: Verdict) -> str:
    if not verdict.completion.strip() or not verdict.source.strip():
        return TRUNCATED if verdict.hit_token_limit else Category.MISSING_CONTENT
    missing, tree = _quoted(verdict.message), _parse(verdict.source)
    if tree is None or missing is None:
        return "NameError"
    asked = re.split(r"\W", verdict.entry_point, maxsplit=1)[0]
    if missing == asked and _function(verdict.source, missing) is None:
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
            return Category.WRONG_FUNCTION_NAME
        return TRUNCATED if verdict.hit_token_limit else Category.MISSING_CONTENT
    if _is_missing_import(tree, missing):
        return Category.MISSING_IMPORT
    return Category.WRONG_FUNCTION_NAME if _is_called(tree, missing) else "NameError"


def _quoted(message: str) -> str | None:
    found = re.search(r"'([^']+)'", message)
    return found.group(1) if found else None


def _is_missing_import(tree: ast.Module, name: str) -> bool:
    """Whether an import defines `name`: a member of a module, a package, or a module of which a member is used."""
    attributes = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    ]
    if name in PACKAGES and (attributes or _is_called(tree, name)):
        return True
    if is_class_or_constant(name) or (is_function(name) and _is_used_as_function(tree, name)):
        return True
    return any(is_module_member(name, attribute) for attribute in attributes)


def _is_called(tree: ast.Module, name: str) -> bool:
    return any(isinstance(n, ast.Call) and _is_name(n.func, name) for n in ast.walk(tree))


def _is_used_as_function(tree: ast.Module, name: str) -> bool:
    """Whether `name` is called, is a decorator, or is passed to a function that calls it, as in `reduce(mul, x)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = [keyword.value for keyword in node.keywords if keyword.arg in ("key", "default_factory")]
            if isinstance(node.func, ast.Name) and node.func.id in CALLERS:
                given += node.args
            if any(_is_name(each, name) for each in (node.func, *given)):
                return True
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and any(
            _is_name(decorator, name) for decorator in node.decorator_list
        ):
            return True
    return False


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


CALLERS = frozenset({"map", "filter", "reduce", "accumulate", "starmap", "partial", "defaultdict", "takewhile"})
"""Functions that call their first argument."""


def _syntax(verdict: Verdict) -> str:
    if _overflows(verdict):
        return Category.FUNCTION_OVERFLOW
    found = re.search(r"line (\d{1,9})\)$", verdict.message)
    line = int(found.group(1)) if found else 0
    unbalanced = UNBALANCED.search(verdict.message) or line in _left_open(verdict.source)
    is_code = PROSE.match("\n".join(verdict.source.split("\n")[line - 1 : line])) is None
    return Category.UNBALANCED_DELIMITERS if unbalanced and is_code else "SyntaxError"


def _left_open(source: str) -> set[int]:
    """The lines with a bracket that is never closed.

    Python says so only if the first error is on a later line: for `if (a:` it reports invalid syntax.
    """
    opened: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.OP and token.string in "([{":
                opened.append(token.start[0])
            elif token.type == tokenize.OP and token.string in ")]}" and opened:
                opened.pop()
    except (tokenize.TokenError, SyntaxError, UnicodeError):  # UnicodeError: a lone surrogate, from Python 3.12 on
        pass  # the source ends within a bracket, or has an invalid token
    return set(opened)


PROSE = re.compile(
    rf"\s*(?:[-*>#]+\s+|\d+[.)]\s+)?(?!(?:{'|'.join(keyword.kwlist)})\b)[A-Za-z]\w*(?:'\w+)?"
    r"(?:,? [A-Za-z]\w*(?:'\w+)?){2,}"
)
"""A line that begins with three words: its brackets and apostrophes are not code."""


def _indentation(verdict: Verdict) -> str:
    # Python raises IndentationError for a function that is cut off after its first line.
    return Category.FUNCTION_OVERFLOW if _overflows(verdict) else Category.INCONSISTENT_INDENTATION


DEFINITION = re.compile(r"(?:async[ \t]+)?(?:def|class)\b")


def _overflows(verdict: Verdict) -> bool:
    """At the token limit, with a whole entry point, and what does not parse is the last of further definitions."""
    if not verdict.hit_token_limit:
        return False
    lines = verdict.source.split("\n")
    starts = [number for number, line in enumerate(lines) if DEFINITION.match(line)]
    if len(starts) < 2:
        return False
    last = starts[-1]
    while last and re.match(r"@\w", lines[last - 1]):
        last -= 1
    return _function("\n".join(lines[:last]) + "\n", verdict.entry_point) is not None


UNBALANCED = re.compile(
    r"was never closed|unterminated|unmatched|does not match opening|expecting '}'|single '}'|unexpected EOF"
)
"""Python's messages about an open or stray quote or bracket. Only the first syntax error is reported, and it counts."""

NOTHING_THERE = re.compile(
    r"empty (?:sequence|iterable|list|array|set|dict|string|collection)|arg(?:ument)? is (?:an )?empty"
    r"|zero-size array|at least one (?:array|element|data point|value)|not enough values to unpack \(.*got 0\)"
)


def _value(verdict: Verdict) -> str:
    if verdict.raised_deliberately:
        return Category.DELIBERATE_RAISE
    return Category.EMPTY_SEQUENCE if NOTHING_THERE.search(verdict.message) else Category.INAPPROPRIATE_ARGUMENT


def _not_implemented(verdict: Verdict) -> str:
    return Category.DELIBERATE_RAISE if verdict.raised_deliberately else "NotImplementedError"


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
    "IndentationError": _indentation,
    "TabError": _indentation,
    "ModuleNotFoundError": _always(Category.MISSING_MODULE),
    "NotImplementedError": _not_implemented,
}
"""Exception -> rule (table 2 of the paper). An exception without a rule is a category under its own name."""
