"""Charts: well-formed SVG with the marks where the data say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from codedistill.report.plots import (
    LEFT,
    RIGHT,
    WIDTH,
    Line,
    Measured,
    Point,
    bar_chart,
    interval_chart,
    line_chart,
    ticks,
)


def curve(*values: float | None) -> Line:
    return Line("loss", "loss", tuple(Point(i, v, v, v) for i, v in enumerate(values, 1)))


def marks(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def xy(points: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in points.split()]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 2.7, [0, 1, 2]),
        (1, 100, [50, 100]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, [3]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, "1"), (2, "1 2"), (3, "1 2 3"), (4, "1 2 3 4"), (7, "2 4 6"), (20, "5 10 15 20")],
)
def test_steps_are_marked_by_whole_numbers(steps: int, expected: str) -> None:
    texts = marks(line_chart("loss", [curve(*[1.0] * steps)]), "text")
    below = [text.text for text in texts if text.attrib["text-anchor"] == "middle"]
    assert below == [*expected.split(), "optimizer step"]


def test_a_curve_spans_the_chart_and_falls_where_values_fall() -> None:
    (line,) = marks(line_chart("loss", [curve(4.0, 2.0, 0.0)]), "polyline")
    at = xy(line.attrib["points"])
    assert [x for x, _ in at] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    (_, top), (_, middle), (_, bottom) = at
    assert top < middle < bottom  # the y axis of SVG points down
    assert middle - top == pytest.approx(bottom - middle, abs=0.11)


def test_gaps_break_a_curve() -> None:
    svg = line_chart("loss", [curve(3.0, 2.0, None, 1.0, None, 2.0, 1.0)])
    assert [len(xy(p.attrib["points"])) for p in marks(svg, "polyline")] == [2, 2]
    assert len(marks(svg, "circle")) == 1  # a lone value is a dot


@pytest.mark.parametrize("values", [(1.0,), (2.0, 2.0), (0.0, 0.0), (-1.0, 1.0), (None, None)])
def test_curves_without_extent(values: tuple[float | None, ...]) -> None:
    assert "nan" not in line_chart("loss", [curve(*values)])


def test_bands_show_ranges() -> None:
    wide = Line("loss", "loss", (Point(1, 2, 1, 3), Point(2, 1, 0, 2)))
    assert len(marks(line_chart("loss", [wide]), "polygon")) == 1
    assert not marks(line_chart("loss", [wide], band=False), "polygon")
    assert not marks(line_chart("loss", [curve(2.0, 1.0)]), "polygon")


def test_intervals() -> None:
    svg = interval_chart("pass@1", [Measured("a", "teacher", 0.5, 0.25, 1.0), Measured("b", "base", 0.0, 0.0, 0.5)])
    (a, b) = (float(c.attrib["cx"]) for c in marks(svg, "circle"))
    grid = [float(line.attrib["x1"]) for line in marks(svg, "line") if line.attrib["class"] == "grid"]
    whisker, _ = [line for line in marks(svg, "line") if "whisker" in line.attrib["class"]]
    assert [a, b] == [grid[2], grid[0]]  # the grid is 0, 25, 50, 75 and 100%
    assert [float(whisker.attrib[x]) for x in ("x1", "x2")] == [grid[1], grid[4]]


def test_bars_are_as_long_as_their_counts() -> None:
    svg = bar_chart("errors", {"wrong answer": (4, 2), "out of range": (0, 1)}, ["teacher", "student"])
    widths = [float(bar.attrib["width"]) for bar in marks(svg, "rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1)
    assert widths[1] == pytest.approx(2 * widths[3], abs=0.1)
    assert widths[2] == 0
    assert [bar.attrib["class"] for bar in marks(svg, "rect")] == ["fill teacher", "fill student"] * 2


def test_labels_are_escaped() -> None:
    name = '"><script>\x00'
    for svg in (bar_chart(name, {name: (1,)}, ["base"]), interval_chart(name, [Measured(name, "base", 0.5, 0.4, 0.6)])):
        assert "<script" not in svg
        assert "\x00" not in svg
        assert any(text.text == '"><script>\\x00' for text in marks(svg, "text"))


def test_names_have_the_room_that_they_need() -> None:
    """The longest kind of error is not cut, and short names leave more of the width to the bars."""
    widths = {}
    for name in ("inconsistent indentation", "kd"):
        svg = bar_chart("errors", {name: (3,)}, ["base"])
        assert name in [text.text for text in marks(svg, "text")]
        (bar,) = marks(svg, "rect")
        assert float(bar.attrib["x"]) > 6 * len(name)
        widths[name] = float(bar.attrib["width"])
    assert widths["kd"] > 1.5 * widths["inconsistent indentation"]
