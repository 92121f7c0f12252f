"""Tables and sentences for a terminal, fitted to its width. A file or a pipe gets everything as plain text."""

from __future__ import annotations

import io
import re
import shutil
import sys
import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING

from codedistill.report.blocks import Page, Table, Text
from codedistill.report.text import visible

if TYPE_CHECKING:
    import rich.table

SHORT = {"parameters": "params"}
"""Headings that are shortened in a table that is too wide."""


def render_page(page: Page, sections: Collection[str]) -> str:
    """The page's headlines, and the tables and remarks of some of its sections (by id)."""
    parts = [paragraph(block.text) + "\n" for block in page.opening if block.role == "headline"]
    remarks = []
    for section in page.sections:
        if section.id in sections:
            parts += [render_table(block) + "\n" for block in section.blocks if isinstance(block, Table)]
            remarks += [b.text for b in section.blocks if isinstance(b, Text) and b.role == "remark"]
    return "".join([*parts, *map(paragraph, remarks)])


def render_table(table: Table) -> str:
    """A table as a string that ends with a newline.

    If the terminal is too narrow, each word of a heading goes on its own line; if that does not suffice, columns are
    left out by their `spare`, and a line below the table names them.
    """
    import rich.console
    from rich.measure import Measurement

    terminal, lines = sys.stdout.isatty(), io.StringIO()
    console = rich.console.Console(file=lines, force_terminal=terminal, color_system="auto" if terminal else None)
    stacked, left_out, room = False, [], shutil.get_terminal_size().columns

    def width() -> int:
        return Measurement.get(console, console.options.update_width(10_000), _drawn(shown, stacked)).maximum

    shown = table
    stacked = terminal and width() > room
    for column in sorted((c for c in table.columns if c.spare), key=lambda c: -c.spare) if terminal else ():
        if width() <= room:
            break
        shown = shown.without(column.name)
        left_out.append(column.name)
    console.width = width()  # a table that is still too wide is shown whole, and not cut
    console.print(_drawn(shown, stacked))
    text = "".join(f"{line.rstrip()}\n" for line in lines.getvalue().splitlines())
    if left_out:
        names = ", ".join(name for name in table.header if name in left_out)
        text += paragraph(f"Left out to fit {room} columns: {names}. A wider terminal, a file or a pipe shows all.")
    return text


def paragraph(text: str) -> str:
    """Text that ends with a newline: in lines that fit a terminal, or in one line for a file or a pipe."""
    if not sys.stdout.isatty():
        return visible(text) + "\n"
    width = shutil.get_terminal_size().columns
    return textwrap.fill(visible(text), width, break_long_words=False, break_on_hyphens=False) + "\n"


def _drawn(table: Table, stacked: bool) -> rich.table.Table:
    """The table for rich, as `Text` without markup; `stacked` puts each word of a heading on its own line."""
    import rich.table
    from rich.text import Text as Plain

    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in table.columns:
        name = visible(column.name).replace("\n", " ")
        words = re.findall(r"\S+?/|\S+", SHORT.get(name, name)) if stacked else [name]
        right = column.kind == "number"
        drawn.add_column(Plain("\n".join(words)), justify="right" if right else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Plain(visible(cell).replace("\n", " ")) for cell in row))
    return drawn
