"""The blocks that a page is built from; render.py turns them into HTML, markdown and text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from markupsafe import Markup

from codedistill.report.text import UNKNOWN

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column of a table: its heading, and the text of its cell for an item (None or "" if unknown).

    Attributes:
        kind: text and paths are aligned left, numbers right; paths may break anywhere.
        spare: a narrow terminal leaves out the column with the highest value first, and never one with 0.
    """

    name: str
    cell: Callable[[T], str | None]
    kind: Literal["text", "path", "number"] = "number"
    spare: int = 0


@dataclass(frozen=True)
class Table:
    """A table. Each row has as many cells as there are columns; `caption` names the table for screen readers."""

    caption: str
    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, caption: str, columns: Sequence[Column[T]], items: Iterable[T]) -> Table:
        """A row for each item. A column without any known cell is left out."""
        items = list(items)
        filled = [(column, cells) for column in columns if any(cells := [column.cell(item) for item in items])]
        rows = zip(*([cell or UNKNOWN for cell in cells] for _, cells in filled), strict=True)
        return cls(caption, tuple(column for column, _ in filled), tuple(rows))

    @classmethod
    def plain(cls, caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> Table:
        """A table of finished cells; the first `texts` columns are text, the others numbers."""
        columns = [Column(name, str, "text" if i < texts else "number") for i, name in enumerate(header)]
        return cls(caption, tuple(columns), tuple(map(tuple, rows)))

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def pick(self, names: Iterable[str]) -> Table:
        """The same table with these columns in this order; names that it does not have are skipped."""
        places = [self.header.index(name) for name in names if name in self.header]
        rows = tuple(tuple(row[i] for i in places) for row in self.rows)
        return Table(self.caption, tuple(self.columns[i] for i in places), rows)


@dataclass(frozen=True)
class Text:
    """A paragraph, or a heading within a section.

    Headlines and remarks are also printed on a terminal; notes explain the table above them.
    """

    text: str
    role: Literal["plain", "about", "headline", "heading", "note", "remark"] = "plain"


@dataclass(frozen=True)
class Chart:
    """A drawing. `legend` has the name and the style sheet class of each curve or bar."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Grid:
    """Blocks that share a row where the screen is wide enough; `layout` is a class of the style sheet.

    `note` explains the charts and is left out with them.
    """

    blocks: tuple[Chart | Table | Text, ...]
    layout: Literal["charts", "beside", "below"] = "charts"
    note: str = ""


@dataclass(frozen=True)
class Code:
    """Preformatted text under a title that opens and closes it; `folded` code starts closed."""

    text: str
    language: str
    title: str
    folded: bool = False


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Links:
    """Names with their relative, quoted addresses."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """One model's program for a task with its verdict. `remark` counts the passing samples if there are several."""

    name: str
    style: str
    passed: bool
    verdict: str
    remark: str
    message: str
    program: str


@dataclass(frozen=True)
class ShownTask:
    """A task with the programs that the models wrote for it."""

    title: str
    note: str
    prompt: str
    answers: tuple[Answer, ...]


Block = Text | Table | Chart | Grid | Code | Facts | Links | ShownTask


@dataclass(frozen=True)
class Section:
    """A part of a page; a section without blocks is not shown."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """`title` heads the page, `tab` names it in a browser's tab, `opening` comes before the sections."""

    title: str
    tab: str
    opening: tuple[Text, ...]
    sections: tuple[Section, ...]
