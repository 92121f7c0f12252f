"""report.md has the page's parts, as markdown that what a model wrote cannot leave."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from codedistill.report import write_report
from tests.report.made_runs import write_run


def headings(text: str, level: int) -> list[str]:
    """Headings outside of fenced blocks."""
    found, fence = [], ""
    for line in text.splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line[: len(line) - len(line.lstrip("`"))]
        elif line.startswith("#" * level + " "):
            found.append(line[level + 1 :])
    return found


def test_parts(made_run: Path) -> None:
    text = (made_run / "report.md").read_text(encoding="utf-8")
    assert headings(text, 1) == ["tiny"]
    assert headings(text, 2) == [
        "Results", "Task by task", "Training", "Kinds of errors", "Samples", "Recipe", "Environment", "Files",
    ]  # fmt: skip
    assert "| 2.4 M | tiny/teacher |\n" in text
    assert "| all programs | 40 | 40 | 40 |" in text
    assert "| student minus base | 40 | +40.0 points |" in text
    assert len(headings(text, 4)) == 5
    assert headings(text, 4)[1] == "tiny/4: the distilled student fails where the teacher succeeds"
    assert "**base student**: missing import: name 'math' is not defined" in text
    assert "- [evaluation/student/tiny/samples.jsonl](evaluation/student/tiny/samples.jsonl)" in text
    assert "\n\n\n" not in text
    assert "\nakd from tiny/teacher (2.4 M parameters) to tiny/student (500 k parameters), seed 0." in text


def test_tables_are_rectangular(made_run: Path) -> None:
    lines = (made_run / "report.md").read_text().splitlines()
    for above, line in pairwise(lines):
        if above.startswith("| ") and line.startswith("| "):
            assert above.count("|") == line.count("|")


def test_what_a_model_wrote_stays_in_its_block(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", who=("student",), tasks=4, steps=2)
    samples, results = (folder / f"evaluation/student/tiny/{name}.jsonl" for name in ("samples", "results"))
    nasty = "```\n# Out\n</details>\n~~~~\n``````\n# Out again"
    for path, keys in ((samples, ("prompt", "solution")), (results, ("message",))):
        rows = [json.loads(line) | dict.fromkeys(keys, nasty) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert headings(text, 1) == ["tiny"]
    assert len(headings(text, 4)) == 4


def test_several_benchmarks(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", benchmarks=("tiny", "humaneval"), tasks=5, steps=2)
    text = write_report(folder).with_suffix(".md").read_text()
    assert headings(text, 3) == ["tiny", "humaneval"] * 2
