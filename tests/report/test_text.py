"""Numbers and untrusted text."""

from __future__ import annotations

import pytest

from codedistill.report.text import clipped, count, duration, fenced, for_markdown, number, p_value, points, visible


def test_numbers() -> None:
    assert [count(n) for n in (845, 500_000, 2_400_000, 1_540_000_000, 70_000_000_000)] == [
        "845", "500 k", "2.4 M", "1.54 B", "70 B",
    ]  # fmt: skip
    assert [duration(s) for s in (0.4, 42.4, 61, 3725)] == ["0.4 s", "42 s", "1 min 1 s", "1 h 2 min"]
    assert [p_value(p) for p in (0.0004, 0.04, 1.0)] == ["< 0.001", "0.040", "1.000"]
    assert [points(d) for d in (0.353, -0.05, 0)] == ["+35.3 points", "-5.0 points", "+0.0 points"]
    assert [number(v) for v in (None, 0.123456, 1234.0)] == ["-", "0.1235", "1234"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb", r"a\x0db"),
        ("\x00\x1b[31m", r"\x00\x1b[31m"),
        ("\u202eevil\u2028", r"\u202eevil\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("naïve 漢字", "naïve 漢字"),
    ],
)
def test_nothing_hides(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_markdown_lines_hold_no_markup() -> None:
    assert for_markdown("a|b\n**c** <d> [e](f) `g` &lt; $h$") == (r"a\|b \*\*c\*\* \<d\> \[e\](f) \`g\` \&lt; \$h\$")


def test_code_cannot_end_its_fence() -> None:
    lines = fenced("x = 1\n```\n# outside?\n````\n", "python").splitlines()
    assert lines[0] == "`````python"
    assert lines[-1] == "`````"
    assert "`````" not in lines[1:-1]


def test_clipped() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcdef", 2) == "ab\n... 4 more characters"
