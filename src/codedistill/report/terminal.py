"""Tables of text for a terminal."""

from __future__ import annotations

import sys

NARROWEST = 60


def render(header: list[str], rows: list[list[str]], text_columns: int) -> str:
    """A table as a string that ends with a newline: styled on a terminal, plain and unwrapped in a file or pipe."""
    if not sys.stdout.isatty():
        return _plain(header, rows, text_columns)
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = max(Console().width, NARROWEST)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i, name in enumerate(header):
        table.add_column(Text(name), justify="left" if i < text_columns else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text, not str: brackets in a model's name are no markup
    out = StringIO()
    Console(file=out, width=width, force_terminal=True, legacy_windows=False).print(table)
    return out.getvalue()


def _plain(header: list[str], rows: list[list[str]], text_columns: int) -> str:
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = []
    for line in [header, *rows]:
        pairs = enumerate(zip(line, widths, strict=True))
        cells = [cell.ljust(width) if i < text_columns else cell.rjust(width) for i, (cell, width) in pairs]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
