"""Small questions about a text that may be Python.

A text comes from a model and may be long, deeply nested or repetitive. Every function here takes time linear in its
length, apart from a bounded number of parses, and none raises an error because of the text.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings

CODE_STARTS = re.compile(
    r"@\w|async\s+def\s|def\s+\w+\s*\(|class\s+\w+\s*[:(]|import\s+[\w.]+(?:\s+as\s+\w+)?\s*(?:[,;#].*)?$|from\s+[\w.]+\s+import\b"
    r"|[A-Za-z_]\w*\s*(?::\s*[\w.]+(?:\[[^=\n]*\])?\s*)?=[^=]"
    r"|if\s+__name__"
)
"""The beginning of a line of module code, as opposed to prose."""

PREFIXES_TRIED = 20
"""How many prefixes of a text are parsed to find the longest valid one."""

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = FUNCTIONS | ast.ClassDef

_SENTENCE = re.compile(r"[A-Z#*>`\-=|]|\d+[.)]\s|([a-z]+)(?:'[a-z]+)?(?: [a-z']+){2,}")
_FUTURE = re.compile(r"^from __future__ import [^\n]+\n", re.MULTILINE)
_DEFINED = re.compile(
    r"^(?:[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::[^=\n]+)?=[^=])", re.MULTILINE
)


def parse(code: str) -> ast.Module | None:
    """The syntax tree, or None if the code does not parse."""
    tree = _parse(code)
    return tree if isinstance(tree, ast.Module) else None


def fault_line(code: str) -> int | None:
    """The number of the line, from 1, that keeps the code from parsing; 0 if there is no such line. None: it parses."""
    tree = _parse(code)
    return tree if isinstance(tree, int) else None


def _parse(code: str) -> ast.Module | int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like
            return ast.parse(code)
    except SyntaxError as error:
        return error.lineno or 0
    except (ValueError, RecursionError, MemoryError):
        return 0


def parsing_lines(lines: list[str]) -> int:
    """How many of the first lines parse together, at most.

    A prefix that contains the line of the first syntax error cannot parse either, so each parse skips to that line.
    """
    end = len(lines)
    for _ in range(PREFIXES_TRIED):
        fault = fault_line("\n".join(lines[:end]))
        if fault is None:
            return end
        if fault == 0:  # a null byte, for example: no line is named
            fault = next((number for number, line in enumerate(lines[:end], 1) if _parse(line) == 0), 1)
        end = min(end, fault) - 1
        while end and (not lines[end - 1].strip() or lines[end - 1].startswith("@")):  # no statement ends there
            end -= 1
        if not end:
            break
    return 0


def parse_prompt(prompt: str) -> ast.Module | None:
    """The syntax tree of a prompt, whose last function may lack its body."""
    text = prompt.rstrip()
    return parse(prompt) or parse(f"{text}\n    pass\n") or parse(f"{text}\n        pass\n")


def prepend(head: str, code: str) -> str:
    """The code after a head of definitions; its `__future__` imports stay the first statements."""
    return "".join(_FUTURE.findall(code)) + head + _FUTURE.sub("", code)


def text_of(node: ast.stmt, lines: list[str]) -> str:
    """The lines of a statement, with its decorators."""
    decorators = node.decorator_list if isinstance(node, DEFINITIONS) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def defined_names(code: str) -> set[str]:
    """The functions and classes that lines of the code define at any depth, and the names assigned at the margin."""
    return {first or second for first, second in _DEFINED.findall(code)}


def defines(code: str, name: str) -> bool:
    """Whether a line defines the function or class `name`, or assigns to it at the margin."""
    return name in defined_names(code)


def begins_definition(line: str, name: str) -> bool:
    """Whether a line begins the definition of the function or class `name`."""
    return re.match(rf"[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b", line) is not None


def is_whole(tree: ast.Module | None, name: str) -> bool:
    """Whether the last top-level definition of `name` has a body that does something.

    A stub only announces the function: `...`, `pass`, a docstring or a NotImplementedError.
    """
    found: ast.stmt | None = None
    for node in tree.body if tree else []:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == name or any(isinstance(t, ast.Name) and t.id == name for t in targets):
            found = node
    if not isinstance(found, FUNCTIONS):
        return found is not None
    for node in found.body:
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                continue
            case ast.Raise() if any(getattr(inner, "id", None) == "NotImplementedError" for inner in ast.walk(node)):
                continue
        return True
    return False


def indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def is_prose(line: str) -> bool:
    """A line at the margin that cannot be code: it does not parse alone and begins like a sentence or a list item."""
    if not line.strip() or line[:1].isspace() or CODE_STARTS.match(line):
        return False
    if line.startswith("#"):
        return True
    found = _SENTENCE.match(line)
    if found is None or keyword.iskeyword(found.group(1) or ""):
        return False
    return parse(line) is None
