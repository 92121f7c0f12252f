"""Code in markdown fences."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import NamedTuple

from codedistill.benchmarks.extraction.syntax import CODE_STARTS, defines, parse

FENCE = re.compile(r"[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)")
PYTHON = ("", "python", "py", "python3", "py3", "python2")
STATEMENTS = ("return", "for", "while", "if", "try", "with", "raise", "assert", "pass")


class Block(NamedTuple):
    """The inside of a fence. `language` is what the opening fence says, in lower case."""

    language: str
    code: str


def fenced_code(text: str, entry_point: str) -> str | None:
    """The block that defines the function, with blocks of helpers; else the first Python block; None without fences.

    A block with a stub of the function is taken only where no other defines it.

    A completion that began inside a fence has its code before the first fence, which only closes.
    """
    before, blocks = _split(text)
    if not blocks:
        return None
    defining = [i for i, block in enumerate(blocks) if defines(block.code, entry_point)]
    if defining:
        whole = [i for i in defining if not _is_stub(blocks[i].code, entry_point)]
        return _with_helpers(blocks, (whole or defining)[0], entry_point)
    if defines(before, entry_point) or (blocks[0].language == "" and _is_code(before)):
        return before
    python = [block.code for block in blocks if block.language in PYTHON]
    return (python or [block.code for block in blocks])[0]


def _split(text: str) -> tuple[str, list[Block]]:
    """The text before the first fence, and the blocks. A fence that is never closed reaches to the end."""
    before: list[str] = []
    blocks: list[Block] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opened = _opening(lines[number])
        number += 1
        if opened is not None:
            fence, language, first = opened
            code, number = (first, number) if fence is None else _inside(lines, number, fence, first)
            blocks.append(Block(language, "\n".join(code) + "\n"))
        elif not blocks:
            before.append(lines[number - 1])
    return "\n".join(before) + "\n", blocks


def _opening(line: str) -> tuple[str | None, str, list[str]] | None:
    """Fence, language and code of a line that opens a block; the fence is None where the line closes it, too."""
    mark = FENCE.match(line)
    if mark is None:
        return None
    fence, language, info = mark.group(1), mark.group(2), line[mark.end(1) :].strip()
    if info.endswith(fence):  # all on one line
        code = info.removesuffix(fence).strip()
        is_named = language.lower() in PYTHON and code != language
        return None, "", [code.removeprefix(language).lstrip() if is_named else code]
    if fence[0] in info:  # a line of prose that begins with code in it
        return None
    if CODE_STARTS.match(info):
        return fence, "", [info]
    return fence, language.lower(), []


def _inside(lines: list[str], start: int, fence: str, code: list[str]) -> tuple[list[str], int]:
    """The lines of a block, and the number of the line behind it."""
    for number in range(start, len(lines)):
        line = lines[number].rstrip()
        mark = FENCE.match(line)
        if mark and mark.group(1).startswith(fence) and not line.strip(" \t`~"):
            if not _in_text("\n".join(code), lines[number + 1 :]):
                return code, number + 1
        elif line.endswith(fence) and "#" not in line:  # behind the last line of code
            whole = [*code, line.removesuffix(fence)]
            if parse(textwrap.dedent("\n".join(whole))) is not None:
                return whole, number + 1
        code = [*code, lines[number]]
    return code, len(lines)


def _in_text(code: str, rest: list[str]) -> bool:
    """Whether code ends within a text over several lines, such as a docstring, that is closed later."""
    return any(code.count(quotes) % 2 and any(quotes in line for line in rest) for quotes in ('"""', "'''"))


def _is_stub(code: str, entry_point: str) -> bool:
    """Whether the function is only announced: `...`, `pass`, a docstring or a NotImplementedError."""
    tree = parse(code)
    functions = [node for node in tree.body if isinstance(node, FUNCTIONS)] if tree else []
    return any(
        function.name == entry_point
        and all(
            isinstance(node, ast.Pass)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node))
            for node in function.body
        )
        for function in functions
    )


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


FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = FUNCTIONS | ast.ClassDef
