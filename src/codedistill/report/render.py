"""A page as HTML, as markdown and for a terminal.

The HTML file loads nothing: every value passes `visible` and Jinja2's escaping, and the page's own policy forbids
scripts and loads from elsewhere.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import textwrap
from collections.abc import Collection
from pathlib import Path

from markupsafe import Markup

from codedistill.report.blocks import Block, Code, Facts, Grid, Links, Page, ShownTask, Table, Text
from codedistill.report.text import fenced, for_markdown, visible

SHORT = {"parameters": "params"}
"""Headings that are shortened in a table that is too wide for the terminal."""


def html(page: Page) -> str:
    """The page as one HTML file. blocks.html.j2 has a macro for each class of blocks.py, by its name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"words": _words, "code": _code, "kind": lambda block: type(block).__name__.lower()}
    return environment.get_template("page.html.j2").render(page=page)


def _words(text: str) -> Markup:
    """Text that breaks between words on a narrow screen, and never after a hyphen: names of runs stay whole."""
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(visible(word)) for word in text.split(" "))


def _code(text: str) -> Markup:
    """Lines of code as elements with their indentation, so that a wrapped line is indented further than its start.

    Tabs count as in the style sheet. Deep indentation is cut to 16 characters to leave room for the text.
    """
    element = Markup('<span class="line" style="--in: {}">{}\n</span>')
    parts = []
    for line in visible(text).removesuffix("\n").split("\n"):
        spaces = line.expandtabs(4)
        parts.append(element.format(min(len(spaces) - len(spaces.lstrip(" ")), 16), line))
    return Markup("").join(parts)


def markdown(page: Page) -> str:
    """The page in GitHub's markdown, without charts. A section that has nothing else is left out."""
    parts = [f"# {for_markdown(page.title)}\n", *map(markdown_block, page.opening)]
    for section in page.sections:
        blocks = [text for block in section.blocks if (text := markdown_block(block))]
        parts += [f"## {for_markdown(section.title)}\n", *blocks] if blocks else []
    return "\n".join(parts)


def markdown_block(block: Block) -> str:
    """One block in markdown; numbers in tables are aligned right, and a chart is empty."""
    match block:
        case Text(text, role):
            return f"{'### ' if role == 'heading' else ''}{for_markdown(text)}\n"
        case Table(_, columns, rows):
            rule = ["---:" if column.kind == "number" else "---" for column in columns]
            header, *lines = (list(map(for_markdown, line)) for line in (block.header, *rows))
            return "".join("| " + " | ".join(line) + " |\n" for line in (header, rule, *lines))
        case Grid(blocks):
            return "\n".join(text for inner in blocks if (text := markdown_block(inner)))
        case Facts(items):
            facts = [f"| {for_markdown(name)} | {for_markdown(value)} |\n" for name, value in items]
            return "".join(["|  | value |\n", "| --- | --- |\n", *facts])
        case Links(items):
            return "".join(f"- [{for_markdown(name)}]({address})\n" for name, address in items)
        case Code(text, language, title, folded):
            code = fenced(text, language)
            return f"<details><summary>{for_markdown(title)}</summary>\n\n{code}\n</details>\n" if folded else code
        case ShownTask(title, note, prompt, answers):
            parts = [f"#### {for_markdown(title)}\n", f"{for_markdown(note)}\n"]
            parts += [fenced(prompt, "text")] if prompt else []
            for answer in answers:
                remark = f" ({for_markdown(answer.remark)})" if answer.remark else ""
                message = f": {for_markdown(answer.message)}" if answer.message else ""
                program = fenced(answer.program, "python") if answer.program else "(no program)\n"
                verdict = f"{for_markdown(answer.verdict)}{remark}{message}"
                parts.append(f"**{for_markdown(answer.name)}**: {verdict}\n\n{program}")
            return "\n".join(parts)
    return ""


def terminal(page: Page, sections: Collection[str]) -> str:
    """The page's headlines, and the tables and remarks of the sections with these ids."""
    parts = [paragraph(block.text) + "\n" for block in page.opening if block.role == "headline"]
    remarks = []
    for section in page.sections:
        if section.id in sections:
            parts += [terminal_table(block) + "\n" for block in section.blocks if isinstance(block, Table)]
            remarks += [b.text for b in section.blocks if isinstance(b, Text) and b.role == "remark"]
    return "".join([*parts, *map(paragraph, remarks)])


def terminal_table(table: Table) -> str:
    """A table fitted to the terminal's width; complete and in plain text for a file or a pipe.

    If the terminal is too narrow, each word of a heading goes on its own line; if that does not suffice, columns are
    left out by their `spare`, and a line below the table names them.
    """
    import rich.console
    from rich.measure import Measurement
    from rich.table import Table as Drawn
    from rich.text import Text as Plain

    def drawn() -> Drawn:
        grid = Drawn(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for column in shown.columns:
            name = visible(column.name).replace("\n", " ")
            words = re.findall(r"\S+?/|\S+", SHORT.get(name, name)) if stacked else [name]
            right = column.kind == "number"
            grid.add_column(Plain("\n".join(words)), justify="right" if right else "left", no_wrap=True)
        for row in shown.rows:
            grid.add_row(*(Plain(visible(cell).replace("\n", " ")) for cell in row))
        return grid

    def width() -> int:
        return Measurement.get(console, console.options.update_width(10_000), drawn()).maximum

    is_terminal, lines, room = sys.stdout.isatty(), io.StringIO(), shutil.get_terminal_size().columns
    console = rich.console.Console(file=lines, force_terminal=is_terminal, color_system="auto" if is_terminal else None)
    shown, stacked, left_out = table, False, set()
    stacked = is_terminal and width() > room
    for column in sorted((c for c in table.columns if c.spare), key=lambda c: -c.spare) if is_terminal else ():
        if width() <= room:
            break
        left_out.add(column.name)
        shown = table.pick(name for name in table.header if name not in left_out)
    console.width = width()  # a table that is still too wide is shown in full
    console.print(drawn())
    text = "".join(f"{line.rstrip()}\n" for line in lines.getvalue().splitlines())
    if left_out:
        names = ", ".join(name for name in table.header if name in left_out)
        text += paragraph(f"Left out to fit {room} columns: {names}. A wider terminal, a file or a pipe shows all.")
    return text


def paragraph(text: str) -> str:
    """Text that ends with a newline: wrapped to the terminal's width, or in one line for a file or a pipe."""
    if not sys.stdout.isatty():
        return visible(text) + "\n"
    width = shutil.get_terminal_size().columns
    return textwrap.fill(visible(text), width, break_long_words=False, break_on_hyphens=False) + "\n"
