"""Small questions about a text that may be Python."""

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
"""The beginning of a line of a module, as opposed to prose."""

_SENTENCE = re.compile(r"[A-Z#*>`\-=|]|\d+[.)]\s|([a-z]+)(?:'[a-z]+)?(?: [a-z']+){2,}")

_FUTURE = re.compile(r"^from __future__ import [^\n]+\n", re.MULTILINE)


def parse(code: str) -> ast.Module | None:
    """The syntax tree, or None for what is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the code's escapes and its like
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parse_prompt(prompt: str) -> ast.Module | None:
    """The syntax tree of a prompt, which may lack its function's body."""
    return parse(prompt) or parse(prompt.rstrip() + "\n    pass\n")


def behind(head: str, code: str) -> str:
    """The code behind a head of definitions; its imports from `__future__` stay the first statements."""
    return "".join(_FUTURE.findall(code)) + head + _FUTURE.sub("", code)


def defines(code: str, name: str) -> bool:
    """Whether a line defines the function `name`, or assigns to it at the margin."""
    found = re.escape(name)
    pattern = rf"^(?:[ \t]*(?:async[ \t]+)?def[ \t]+{found}\b|{found}[ \t]*(?::[^=\n]+)?=[^=])"
    return re.search(pattern, code, re.MULTILINE) is not None


def defines_function(line: str, name: str) -> bool:
    """Whether a line begins the function `name`."""
    return re.match(rf"[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", line) is not None


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
