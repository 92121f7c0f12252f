"""Every block in every rendering: text of a model or a file is never markup and never reaches a terminal raw."""

from __future__ import annotations

import re

from codedistill.report.blocks import (
    Answer,
    Code,
    Facts,
    Grid,
    Links,
    Page,
    Section,
    ShownTask,
    Table,
    Text,
)
from codedistill.report.blocks import Column as Head
from codedistill.report.render import html, markdown, terminal
from tests.report.test_html import Page as Parsed

BAD = "<b>x</b> [a](b) \x1b[31m\u202e"
SHOWN = "<b>x</b> [a](b) \\x1b[31m\\u202e"

ANSWER = Answer(BAD, "student", False, BAD, BAD, BAD, BAD)
PAGE = Page(
    BAD,
    BAD,
    (Text(BAD, "headline"), Text(BAD, "about")),
    (
        Section("a", BAD, (Text(BAD, "heading"), Text(BAD, "remark"), Table.plain(BAD, ["", BAD], [[BAD, BAD]]))),
        Section("b", BAD, (Grid((Text(BAD),), note=BAD), Code(BAD, "text", BAD, folded=True), Facts(((BAD, BAD),)))),
        Section("c", BAD, (Links(((BAD, "x"),)), ShownTask(BAD, BAD, BAD, (ANSWER,)))),
        Section("empty", "not shown", ()),
    ),
)


def test_html() -> None:
    text = html(PAGE)
    page = Parsed(text)
    assert not {"\x1b", "\u202e"} & set(text)
    assert [values["id"] for tag, values in page.elements if tag == "section"] == ["a", "b", "c"]
    assert page.count("b") == 1  # the verdict's own
    assert (page.text["a"].count(SHOWN), page.text["b"].count(SHOWN), page.text["c"].count(SHOWN)) == (6, 7, 10)


def test_markdown() -> None:
    text = markdown(PAGE)
    assert not {"\x1b", "\u202e"} & set(text)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        f"{'#' * level} \\<b\\>x\\</b\\> \\[a\\](b) \\\\x1b\\[31m\\\\u202e" for level in (1, 2, 3, 2, 2, 4)
    ]
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<b>" not in outside
    assert "[a]" not in outside
    assert "not shown" not in text


def test_terminal() -> None:
    text = terminal(PAGE, ("a",))
    assert text.count(SHOWN) == 1 + 3 + 1  # headline; table, whose first heading is empty; remark
    assert not {"\x1b", "\u202e"} & set(text)


def test_columns_without_values_are_left_out() -> None:
    columns: list[Head[int]] = [
        Head("n", str),
        Head("even", lambda n: "yes" if n % 2 == 0 else None),
        Head("big", lambda n: "yes" if n > 9 else None),
    ]
    table = Table.of("numbers", columns, [1, 2])
    assert (table.header, table.rows) == (("n", "even"), (("1", "-"), ("2", "yes")))
    assert Table.of("numbers", columns, []).rows == ()
    assert table.pick(["even", "missing", "n"]).rows == (("-", "1"), ("yes", "2"))
