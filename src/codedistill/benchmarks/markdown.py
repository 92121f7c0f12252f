"""Code in markdown fences."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import NamedTuple

from codedistill.benchmarks.syntax import CODE_STARTS, defines, parse

FENCE = re.compile(r"[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)")
PYTHON = ("", "python", "py", "python3", "py3", "python2")
STATEMENTS = ("return", "for", "while", "if", "try", "with", "raise", "assert", "pass")


class Block(NamedTuple):
    """The inside of a fence. `language` is what the opening fence says, in lower case."""

    language: str
    code: str


def fenced_code(text: str, entry_point: str) -> str | None:
    """The block that defines the function, with blocks of helpers; else the first Python block; None without fences.

    A completion that began inside a fence has its code before the first fence, which only closes.
    """
    before, blocks = _split(text)
    if not blocks:
        return None
    chosen = next((i for i, block in enumerate(blocks) if defines(block.code, entry_point)), None)
    if chosen is not None:
        return _with_helpers(blocks, chosen, entry_point)
    if defines(before, entry_point) or (blocks[0].language == "" and _is_code(before)):
        return before
    python = [block.code for block in blocks if block.language in PYTHON]
    return (python or [block.code for block in blocks])[0]


def _split(text: str) -> tuple[str, list[Block]]:
    """The text before the first fence, and the blocks. A fence that is never closed reaches to the end."""
    before: list[str] = []
    blocks: list[tuple[str, list[str]]] = []
    fence: str | None = None
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence is not None:
            if mark and mark.group(1).startswith(fence) and not line.strip(" \t`~"):
                fence = None
            else:
                blocks[-1][1].append(line)
        elif mark:
            fence = mark.group(1)
            blocks.append((mark.group(2).lower(), []))
        elif not blocks:
            before.append(line)
    return "\n".join(before) + "\n", [Block(language, "\n".join(lines) + "\n") for language, lines in blocks]


def _is_code(text: str) -> bool:
    """Whether the text before a fence is code rather than its announcement."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.startswith(("    ", "\t")):
        return True
    words = first.split(maxsplit=1)
    starts = first[:1].isspace() or CODE_STARTS.match(first) or (words and words[0].rstrip(":") in STATEMENTS)
    return bool(starts) and parse(textwrap.dedent(text)) is not None


def _with_helpers(blocks: list[Block], chosen: int, entry_point: str) -> str:
    """The chosen block, with those others around it that are nothing but imports and functions that it lacks."""
    code = []
    for number, block in enumerate(blocks):
        tree = parse(block.code) if block.language in PYTHON else None
        names = {node.name for node in tree.body if isinstance(node, DEFINITIONS)} if tree else set()
        is_helper = (
            tree is not None
            and all(isinstance(node, ast.Import | ast.ImportFrom | DEFINITIONS) for node in tree.body)
            and not any(defines(blocks[chosen].code, name) or name == entry_point for name in names)
        )
        if number == chosen or is_helper:
            code.append(block.code)
    return "\n".join(code)


DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
