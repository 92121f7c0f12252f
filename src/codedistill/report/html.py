"""A page as one HTML file that loads nothing, whatever text the models wrote.

Every value passes `visible` and Jinja2's escaping; the page's own policy forbids scripts and loads from elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from codedistill.report.blocks import Page
from codedistill.report.text import visible


def html(page: Page) -> str:
    """The page as one HTML file. blocks.html.j2 has a macro for each class of blocks.py, by its name."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"words": _words, "code": _code, "kind": _kind}
    return environment.get_template("page.html.j2").render(page=page)


def _kind(block: Any) -> str:
    return type(block).__name__.lower()


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
