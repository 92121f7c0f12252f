"""The error taxonomy of the AKD paper (Shu et al. 2025, tables 2 and 13) as rules: one category per program.

The rules use how the program ended and its syntax tree, never a reference solution. An exception that the table does
not list is a category of its own. docs/taxonomy.md describes the rules.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import io
import keyword
import re
import tokenize
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


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

BY_EXCEPTION = {
    "IndexError": Category.OUT_OF_RANGE,
    "TypeError": Category.INCOMPATIBLE_OPERATION,
    "AttributeError": Category.MISSING_ATTRIBUTE,
    "KeyError": Category.MISSING_KEY,
    "UnboundLocalError": Category.UNASSIGNED_VARIABLE,
    "RecursionError": Category.INFINITE_RECURSION,
    "ModuleNotFoundError": Category.MISSING_MODULE,
}
"""Exceptions that need no further look (table 2 of the paper). `classify` has the others."""

UNBALANCED = re.compile(
    r"was never closed|unterminated|unmatched|does not match opening|expecting '}'|single '}'|unexpected EOF"
)
"""Python's messages about an open or stray quote or bracket. Only the first syntax error is reported, and it counts."""

PROSE = re.compile(
    rf"\s*(?:[-*>#]+\s+|\d+[.)]\s+)?(?!(?:{'|'.join(keyword.kwlist)})\b)[A-Za-z]\w*(?:'\w+)?"
    r"(?:,? [A-Za-z]\w*(?:'\w+)?){2,}"
)
"""A line that begins with three words: its brackets and apostrophes are not code."""

NOTHING_THERE = re.compile(
    r"empty (?:sequence|iterable|list|array|set|dict|string|collection)|arg(?:ument)? is (?:an )?empty"
    r"|zero-size array|at least one (?:array|element|data point|value)|not enough values to unpack \(.*got 0\)"
)

EMPTY = frozenset({"bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
"""Calls of these without arguments are constants."""

CALLERS = frozenset({"map", "filter", "reduce", "accumulate", "starmap", "partial", "defaultdict", "takewhile"})
"""Functions that call their first argument."""

# Names that programs import rather than define. Those of the standard library are looked up in its modules; the lists
# hold what cannot be looked up.

_PACKAGES = (
    "np pd plt tf nx sns sp cv2 jnp numpy pandas scipy sympy torch tensorflow keras jax networkx sklearn matplotlib "
    "seaborn requests bs4 nltk tqdm yaml BeautifulSoup DataFrame"
)
PACKAGES = frozenset(_PACKAGES.split())
"""Packages from outside the standard library, their usual abbreviations and their best-known members."""

_PLAIN = "bisect cmath collections datetime fractions functools hashlib heapq itertools json math os re sys"
PLAIN = frozenset(_PLAIN.split())
"""Module names that are never variable names; `math.foo` therefore means the module even if it has no `foo`."""

_USED_BARE = (
    "abc array bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools hashlib "
    "heapq itertools json math operator pathlib random re statistics string sys textwrap time typing"
)
_LOOKED_INTO = (
    "argparse ast asyncio base64 binascii calendar cmd code codecs colorsys csv ctypes difflib email gc getpass glob "
    "html inspect io keyword locale logging numbers os pickle platform pprint queue secrets select shutil signal "
    "socket sqlite3 stat struct subprocess tempfile threading token tokenize traceback types unicodedata "
    "unittest urllib uuid warnings weakref xml zlib"
)
MODULES = frozenset(f"{_USED_BARE} {_LOOKED_INTO}".split())
"""Modules of the standard library whose members are looked up. Many of their names are also used for variables."""

_CONSTANTS = (
    "pi tau inf nan ascii_lowercase ascii_uppercase ascii_letters hexdigits octdigits punctuation maxsize stdin stdout "
    "argv"
)
CONSTANTS = frozenset(_CONSTANTS.split())
"""Members that are neither functions nor common variable names."""

_HELPERS = (
    "add sub mod index pos contains concat compress merge search match split replace unique fill wrap indent shorten "
    "verify member fields"
)
HELPERS = frozenset(_HELPERS.split())
"""Members whose names programs give to their own functions at least as often as they import them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


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
    error = verdict.error_type or ""
    by_checks = verdict.reached_checks and verdict.raised_in != "source"  # an import in the body can fail by itself
    called = re.escape(verdict.entry_point.rpartition(".")[2])
    misfit = rf"(?:(?:\w+\.)*{called}|<lambda>)\(\) (?:takes|missing|got)\b"  # arguments: then the body never ran
    has_run = not (error == "TypeError" and re.match(misfit, verdict.message))
    if by_checks and has_run and _does_nothing(verdict.source, verdict.entry_point):
        return Category.EMPTY_FUNCTION  # `None - 1` in the checks is the same fault as `None == 1`
    if error == "AssertionError" and verdict.raised_in != "source":  # the table has no row for the program's own
        return Category.WRONG_ANSWER
    if error == "NameError":
        return _name(verdict)
    if error in ("SyntaxError", "IndentationError", "TabError"):
        return _syntax(verdict, error)
    if error in ("ValueError", "NotImplementedError") and verdict.raised_deliberately:
        return Category.DELIBERATE_RAISE
    if error == "ValueError":
        return Category.EMPTY_SEQUENCE if NOTHING_THERE.search(verdict.message) else Category.INAPPROPRIATE_ARGUMENT
    if error in BY_EXCEPTION:
        return BY_EXCEPTION[error]
    # Its own name, unless that is unusable or the name of a category: the program can choose it.
    taken = {*Category, *OTHER_ENDS.values(), TRUNCATED}
    return error if error.isidentifier() and len(error) <= LONGEST_NAME and error not in taken else OTHER_EXCEPTION


def _does_nothing(source: str, entry_point: str) -> bool:
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
    match value:
        case None | ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]):  # set() has no literal
            return name in EMPTY
    return False


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
        elif isinstance(node, ast.Assign) and any(_is_name(target, name) for target in node.targets):
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
    """A NameError: no answer, an answer by another name, a missing import, or a missing helper function."""
    no_answer = TRUNCATED if verdict.hit_token_limit else Category.MISSING_CONTENT
    if not verdict.completion.strip() or not verdict.source.strip():
        return no_answer
    quoted, tree = re.search(r"'([^']+)'", verdict.message), _parse(verdict.source)
    if tree is None or quoted is None:
        return "NameError"
    missing, nodes, members = quoted.group(1), list(ast.walk(tree)), _members()
    wanted = re.split(r"\W", verdict.entry_point, maxsplit=1)[0]
    if missing == wanted and _function(verdict.source, missing) is None:
        has_other = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)
        return Category.WRONG_FUNCTION_NAME if has_other else no_answer
    attributes = [node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_name(node.value, missing)]
    is_called = any(isinstance(node, ast.Call) and _is_name(node.func, missing) for node in nodes)
    is_import = (
        (missing in PACKAGES and (attributes or is_called))
        or missing in CONSTANTS
        or (missing in members and missing[:1].isupper())
        or (missing in members - HELPERS and _is_used_as_function(nodes, missing))
        or any(_is_module_member(missing, attribute) for attribute in attributes)
    )
    if is_import:
        return Category.MISSING_IMPORT
    return Category.WRONG_FUNCTION_NAME if is_called else "NameError"


@cache
def _members() -> frozenset[str]:
    """The names that are used without their module, as after `from math import sqrt`."""
    names: set[str] = set()
    for module in map(importlib.import_module, _USED_BARE.split()):
        names.update(getattr(module, "__all__", None) or dir(module))
    return frozenset(n for n in names if len(n) > 1 and not n.startswith("_") and not hasattr(builtins, n))


def _is_module_member(module: str, attribute: str) -> bool:
    """Whether `module.attribute` is a member of a standard module. `numbers.append(1)`, for example, is not."""
    if module in PLAIN:
        return True
    if module not in MODULES:
        return False
    found = importlib.import_module(module)
    return hasattr(found, attribute) or (
        hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{attribute}") is not None
    )


def _is_used_as_function(nodes: list[ast.AST], name: str) -> bool:
    """Whether `name` is called, is a decorator, or is passed to a function that calls it, as in `reduce(mul, x)`."""
    for node in nodes:
        used: list[ast.expr] = []
        if isinstance(node, ast.Call):
            used = [node.func, *(each.value for each in node.keywords if each.arg in ("key", "default_factory"))]
            if isinstance(node.func, ast.Name) and node.func.id in CALLERS:
                used += node.args
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            used = node.decorator_list
        if any(_is_name(each, name) for each in used):
            return True
    return False


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _syntax(verdict: Verdict, error: str) -> str:
    """A syntax error. Python raises IndentationError for a function that is cut off after its first line."""
    if _overflows(verdict):
        return Category.FUNCTION_OVERFLOW
    if error != "SyntaxError":
        return Category.INCONSISTENT_INDENTATION
    found = re.search(r"line (\d{1,9})\)$", verdict.message)
    line = int(found.group(1)) if found else 0
    # Python says that a bracket is never closed only if the first error is on a later line: `if (a:` is invalid syntax.
    opened: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(verdict.source).readline):
            if token.type == tokenize.OP and token.string in "([{":
                opened.append(token.start[0])
            elif token.type == tokenize.OP and token.string in ")]}" and opened:
                opened.pop()
    except (tokenize.TokenError, SyntaxError, UnicodeError):  # UnicodeError: a lone surrogate, from Python 3.12 on
        pass  # the source ends within a bracket, or has an invalid token
    unbalanced = UNBALANCED.search(verdict.message) or line in opened
    is_code = PROSE.match("\n".join(verdict.source.split("\n")[line - 1 : line])) is None
    return Category.UNBALANCED_DELIMITERS if unbalanced and is_code else "SyntaxError"


def _overflows(verdict: Verdict) -> bool:
    """Whether generation stopped at the token limit, in a later definition after a whole entry point."""
    lines = verdict.source.split("\n")
    starts = [number for number, line in enumerate(lines) if re.match(r"(?:async[ \t]+)?(?:def|class)\b", line)]
    if not verdict.hit_token_limit or len(starts) < 2:
        return False
    last = starts[-1]
    while last and re.match(r"@\w", lines[last - 1]):
        last -= 1
    return _function("\n".join(lines[:last]) + "\n", verdict.entry_point) is not None
