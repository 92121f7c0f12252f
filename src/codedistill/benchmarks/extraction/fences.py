"""Code in Markdown fences, and which of several blocks is the answer."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import NamedTuple

from codedistill.benchmarks.extraction.syntax import (
    CODE_STARTS,
    DEFINITIONS,
    defined_names,
    defines,
    is_whole,
    parse,
    text_of,
)

FENCE = re.compile(r"[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)")
PYTHON = ("", "python", "py", "python3", "py3", "python2")
STATEMENTS = ("return", "for", "while", "if", "try", "with", "raise", "assert", "pass")
HELPERS = ast.Import | ast.ImportFrom | DEFINITIONS
QUOTES = ('"""', "'''")

ALTERNATIVE = re.compile(
    r"^\W*(?:or|alternativ\w*|another (?:way|version|option)|you (?:can|could) also)\b", re.I | re.M
)
"""The announcement of another correct version, rather than of a correction."""

CLOSINGS_TRIED = 20
"""How many lines of a block that end in its fence are tried as its end."""


class Block(NamedTuple):
    """A piece of code: the inside of a fence, or code between prose.

    `language` is what the opening fence names, in lower case; `before` is the text between the last block and this one.
    """

    language: str
    code: str
    before: str = ""


def fenced_code(text: str, name: str) -> str | None:
    """The code of the answer, or None without fences.

    That is the block that defines `name`, with the helpers of other blocks; else the first Python block. A completion
    that began inside a fence has its code before the first fence, which only closes.
    """
    before, blocks = _split(text)
    if not blocks:
        return None
    defining = with_definition(blocks, name)
    if defining is not None:
        return defining
    if defines(before, name) or (blocks[0].language == "" and _is_code(before)):
        return before
    python = [block.code for block in blocks if block.language in PYTHON]
    return (python or [block.code for block in blocks])[0]


def with_definition(blocks: list[Block], name: str) -> str | None:
    """The block that defines `name`, with the imports and definitions of other blocks. None: no block defines it.

    Of several whole definitions the last one counts, since it corrects the others, unless it is announced as an
    alternative. A stub, or a block that does not parse, counts only if there is no other.
    """
    defining = [i for i, block in enumerate(blocks) if defines(block.code, name)]
    if not defining:
        return None
    whole = [i for i in defining if is_whole(parse(blocks[i].code), name)] or defining[:1]
    chosen = next((i for i in reversed(whole) if not ALTERNATIVE.search(blocks[i].before)), whole[0])
    present = {*defined_names(blocks[chosen].code), name}
    code = [_helpers(block, present) for block in blocks[:chosen]]
    code += [blocks[chosen].code, *(_helpers(block, present) for block in blocks[chosen + 1 :])]
    return "\n".join(part for part in code if part)


def _helpers(block: Block, present: set[str]) -> str:
    """The code that another block adds: all of it, if it only imports and defines names that are not `present`.

    Of a block that defines one of them, such as an earlier version, its imports and other definitions.
    """
    tree = parse(block.code) if block.language in PYTHON else None
    nodes = [node for node in (tree.body if tree else []) if isinstance(node, HELPERS)]
    names = {node.name for node in nodes if isinstance(node, DEFINITIONS)}
    if tree is None or not nodes or (len(nodes) < len(tree.body) and present.isdisjoint(names)):
        return ""
    if len(nodes) == len(tree.body) and present.isdisjoint(names):
        return block.code
    lines = block.code.split("\n")
    return "\n".join(text_of(node, lines) + "\n" for node in nodes if getattr(node, "name", None) not in present)


def _split(text: str) -> tuple[str, list[Block]]:
    """The text before the first fence, and the blocks. A fence that is never closed reaches to the end."""
    outside: list[str] = []
    before: str | None = None
    blocks: list[Block] = []
    lines = text.split("\n")
    last_with = {quotes: max((i for i, line in enumerate(lines) if quotes in line), default=-1) for quotes in QUOTES}
    number = 0
    while number < len(lines):
        opened = _opening(lines[number])
        number += 1
        if opened is None:
            outside.append(lines[number - 1])
            continue
        fence, language, code = opened
        if fence is not None:
            code, number = _inside(lines, number, fence, code, last_with)
        between = "\n".join(outside) + "\n"
        before = between if before is None else before
        blocks.append(Block(language, "\n".join(code) + "\n", between))
        outside = []
    return before or "", blocks


def _opening(line: str) -> tuple[str | None, str, list[str]] | None:
    """Fence, language and code of a line that opens a block; the fence is None if the line also closes it."""
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


def _inside(
    lines: list[str], start: int, fence: str, code: list[str], last_with: dict[str, int]
) -> tuple[list[str], int]:
    """The lines of a block, and the number of the line after it. A fence inside an open docstring does not close it."""
    is_open = {quotes: sum(line.count(quotes) for line in code) % 2 == 1 for quotes in QUOTES}
    tried = 0
    for number in range(start, len(lines)):
        line = lines[number].rstrip()
        mark = FENCE.match(line)
        if mark and mark.group(1).startswith(fence) and not line.strip(" \t`~"):
            if not any(is_open[quotes] and last_with[quotes] > number for quotes in QUOTES):
                return code, number + 1
        elif line.endswith(fence) and "#" not in line and tried < CLOSINGS_TRIED:  # after the last line of code
            tried += 1
            whole = [*code, line.removesuffix(fence)]
            if parse(textwrap.dedent("\n".join(whole))) is not None:
                return whole, number + 1
        code.append(lines[number])
        for quotes in QUOTES:
            is_open[quotes] ^= lines[number].count(quotes) % 2 == 1
    return code, len(lines)


def _is_code(text: str) -> bool:
    """Whether the text before a fence is code rather than its announcement."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.startswith(("    ", "\t")):
        return True
    words = first.split(maxsplit=1)
    starts = first[:1].isspace() or CODE_STARTS.match(first) or (words and words[0].rstrip(":") in STATEMENTS)
    return bool(starts) and parse(textwrap.dedent(text)) is not None
