"""Tables and sentences for a terminal: they fit its width, and no word is ever split."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

GAP = "  "

SHORT = {"parameters": "params"}
"""Headings that are shortened where the table would be too wide."""

Rows = list[list[str]]


def render(header: list[str], rows: Rows, text_columns: int, first_out: Sequence[str] = ()) -> str:
    """A table as a string that ends with a newline.

    A file or a pipe gets the whole table. On a terminal that is too narrow for it, long headings go on a second line;
    if that does not help, columns are left out, and a line below the table names them.

    Args:
        text_columns: how many of the first columns are text; all others hold numbers.
        first_out: the columns that may be left out, the one that is missed least first.
    """
    if not sys.stdout.isatty():
        return _table([header], rows, text_columns)
    from rich.console import Console

    width = Console().width
    lines, kept = fit(header, rows, width, first_out)
    texts = sum(i < text_columns for i in kept)
    table = _table(lines, [[row[i] for i in kept] for row in rows], texts, bold=True)
    left_out = [name for i, name in enumerate(header) if i not in kept]
    return table + _remark(left_out, width)


def paragraph(text: str) -> str:
    """A sentence or more, ending with a newline: on a terminal in lines that are not wider than it, else in one."""
    if not sys.stdout.isatty():
        return text + "\n"
    from rich.console import Console

    return _filled(text, Console().width)


def fit(header: list[str], rows: Rows, width: int, first_out: Sequence[str]) -> tuple[Rows, list[int]]:
    """The lines of the heading and the columns to show, so that the table is not wider than `width` if that can be."""
    every = list(range(len(header)))
    if _width([header], rows, every) <= width:
        return [header], every
    lines, kept = _on_lines(header), every
    for name in first_out:
        if _width(lines, rows, kept) <= width:
            break
        kept = [i for i in kept if header[i] != name]
    shown = [[line[i] for i in kept] for line in lines]
    return [line for line in shown if any(line)], kept


def _on_lines(header: list[str]) -> Rows:
    """The headings, shortened, with each word on its own line, the last words at the bottom."""
    parts = [re.findall(r"\S+?/|\S+", SHORT.get(name, name)) for name in header]
    deep = max((len(words) for words in parts), default=0)
    padded = [[""] * (deep - len(words)) + words for words in parts]
    return [list(line) for line in zip(*padded, strict=True)]


def _width(lines: Rows, rows: Rows, kept: list[int]) -> int:
    return sum(_widest(lines, rows, i) for i in kept) + len(GAP) * (len(kept) - 1)


def _widest(lines: Rows, rows: Rows, column: int) -> int:
    return max(len(line[column]) for line in [*lines, *rows])


def _table(header_lines: Rows, rows: Rows, text_columns: int, bold: bool = False) -> str:
    widths = [_widest(header_lines, rows, i) for i in range(len(header_lines[0]))] if header_lines else []
    heads = [_line(line, widths, text_columns) for line in header_lines]
    if bold:
        heads = [f"\x1b[1m{line}\x1b[0m" for line in heads]
    return "\n".join([*heads, *(_line(row, widths, text_columns) for row in rows)]) + "\n"


def _line(cells: list[str], widths: list[int], text_columns: int) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return GAP.join(c.ljust(width) if i < text_columns else c.rjust(width) for i, (c, width) in pairs).rstrip()


def _remark(left_out: list[str], width: int) -> str:
    """What is left out of a table."""
    if not left_out:
        return ""
    text = f"Left out to fit {width} columns: {', '.join(left_out)}. A wider terminal, a file or a pipe gets all."
    return _filled(text, width)


def _filled(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text, width, break_long_words=False, break_on_hyphens=False) + "\n"
