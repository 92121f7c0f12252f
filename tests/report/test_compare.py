"""Runs side by side. The students fail every 4th, 5th, 2nd and 8th task of 40; expected values are by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codedistill.errors import UserError
from codedistill.evaluation import paired_difference
from codedistill.report import compare_runs, render_comparison, write_comparison, write_report
from codedistill.report.comparison import Comparison
from codedistill.report.comparison_page import differing_values, results_table
from codedistill.report.differences import difference_table
from tests.report.made_runs import tell_again, write_run
from tests.report.test_html import Page, check_loads_nothing


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    made = (("first", 4, 0, "akd"), ("second", 5, 0, "rkd"), ("third", 2, 0, "kd"), ("fourth", 8, 1, "akd"))
    return [
        write_run(root / name, student_fails=fails, steps=20, overrides=[f"training.seed={seed}", f"method={method}"])
        for name, fails, seed, method in made
    ]


@pytest.fixture(scope="module")
def comparison(runs: list[Path]) -> Comparison:
    return compare_runs(runs)


def test_results(comparison: Comparison) -> None:
    table = results_table(comparison)
    assert table.header == ("run", "method", "seed", "teacher", "base", "student", "95% interval", "accuracy loss")
    assert [list(row[:6]) for row in table.rows] == [
        ["first", "akd", "0", "80.0%", "35.0%", "75.0%"],
        ["second", "rkd", "0", "80.0%", "35.0%", "80.0%"],
        ["third", "kd", "0", "80.0%", "35.0%", "50.0%"],
        ["fourth", "akd", "1", "80.0%", "35.0%", "87.5%"],
    ]
    assert [row[-1] for row in table.rows] == ["6.3%", "0.0%", "37.5%", "-9.4%"]


def test_differences_are_paired(comparison: Comparison) -> None:
    second, third = comparison.differences
    assert (second.first, second.second, second.tasks) == ("second", "first", 40)
    assert (second.paired.wins, second.paired.losses) == (8, 6)
    assert second.paired.difference == pytest.approx(2 / 40)
    assert second.paired.p == pytest.approx(2 * (1 + 14 + 91 + 364 + 1001 + 2002 + 3003) / 2**14)
    assert (third.paired.wins, third.paired.losses) == (0, 10)
    assert third.paired.p == pytest.approx(2 / 2**10)
    assert (second.p_holm, third.p_holm) == pytest.approx((second.paired.p, 4 / 2**10))
    fourth, every = [float(n % 4 != 0) for n in range(40)], [float(n % 2 != 0) for n in range(40)]
    assert third.paired.interval == paired_difference(every, fourth).interval
    rows = difference_table(comparison.differences, False).rows
    assert rows[1][:3] == ("third minus first", "40", "-25.0 points")
    assert rows[1][-2:] == ("0.002", "0.004")


def test_recipes_differ_in(comparison: Comparison) -> None:
    table = differing_values(comparison.recipes)
    assert table.header == ("", "first and repeats", "second", "third")
    found = {row[0]: list(row[1:]) for row in table.rows}
    assert found["method"] == ["akd", "rkd", "kd"]
    assert found["training.seed"] == ["0, 1", "0", "0"]
    assert "name" not in found
    assert "training.steps" not in found


def test_json(comparison: Comparison) -> None:
    values = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert [run["label"] for run in values["runs"]] == ["first", "second", "third", "fourth"]
    assert values["runs"][2]["models"][2]["pass@1"] == 0.5
    assert values["differences"][1]["p_holm"] == pytest.approx(4 / 2**10)
    assert values["seeds"][0]["mean"] == pytest.approx(0.8125)
    assert values["headlines"] == list(comparison.headlines)


def test_a_pipe_gets_headlines_and_tables(comparison: Comparison) -> None:
    lines = render_comparison(comparison).splitlines()
    assert lines[0] == comparison.headlines[0]
    assert sum(line.startswith("third minus first") for line in lines) == 1
    assert [line.split()[0] for line in lines if "  " in line] == [
        "run", "first", "second", "third", "fourth", "tasks", "second", "third", "recipe", "first",
    ]  # fmt: skip


def test_written(comparison: Comparison, runs: list[Path], tmp_path: Path) -> None:
    write_report(runs[0])
    path = write_comparison(comparison, tmp_path / "new" / "folder")
    assert path.name == "comparison.html"
    text = path.read_text()
    page = Page(text)
    check_loads_nothing(page, text)
    sections = [values["id"] for tag, values in page.elements if tag == "section"]
    assert sections == ["results", "paired", "seeds", "curves", "errors", "recipe", "files"]
    assert page.count("svg") == 1 + 3 + 1  # no loss: akd's and kd's are different quantities
    (link,) = [values["href"] or "" for tag, values in page.elements if tag == "a"]
    assert (path.parent / link).resolve() == (runs[0] / "report.html").resolve()
    markdown = path.with_suffix(".md").read_text()
    assert "| third minus first | 40 | -25.0 points |" in markdown
    assert comparison.headlines[0][:40] in text
    assert comparison.headlines[0][:40] in markdown
    assert re.findall("^## (.*)", markdown, re.MULTILINE) == [
        "Results", "Task by task", "Over seeds", "Kinds of errors of the students", "Differences between the recipes",
        "Reports of the runs",
    ]  # fmt: skip
    assert json.loads(path.with_suffix(".json").read_text()) == json.loads(json.dumps(comparison.to_json()))


def test_other_tasks_have_no_difference(runs: list[Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", steps=3)
    path = other / "evaluation/student/tiny/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "another file"}))
    tell_again(other)
    found = compare_runs([runs[0], other])
    assert found.differences == ()
    (remark,) = found.remarks
    assert {"other", "first", "tiny:"} <= set(remark.split())
    page = Page(write_comparison(found, tmp_path / "out").read_text())
    assert remark in page.text["paired"]
    assert page.count("table") == 2  # results, errors


def test_shared_tasks_are_compared(runs: list[Path], tmp_path: Path) -> None:
    fewer = write_run(tmp_path / "fewer", tasks=30, steps=3, student_fails=5, overrides=["template=plain"])
    found = compare_runs([runs[0], fewer])
    (only,) = found.differences
    assert only.tasks == 30
    assert only.paired.difference == pytest.approx((8 - 6) / 30)  # of 0..29 the 4th fail 8 times, the 5th 6 times
    assert "30 tasks of tiny" in found.remarks[0]


def test_runs_without_recipe_or_metrics(runs: list[Path], tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", who=("student",), benchmarks=("tiny", "humaneval"))
    for name in ("recipe.yaml", "metrics.jsonl", "environment.json"):
        (bare / name).unlink()
    found = compare_runs([bare, runs[0]])
    assert differing_values(found.recipes).rows == ()
    assert found.repeated == ()
    table = results_table(found)
    assert [row[table.header.index("benchmark")] for row in table.rows] == ["tiny", "tiny", "humaneval"]
    assert "benchmark" in difference_table(found.differences, True).header
    Page(write_comparison(found, tmp_path / "out").read_text())


def test_labels_tell_runs_apart(runs: list[Path], tmp_path: Path) -> None:
    named = [write_run(tmp_path / name / "run", tasks=4, steps=2) for name in ("a", "b")]
    assert [run.name for run in compare_runs(named).runs] == list(map(str, named))
    other = write_run(tmp_path / "c", tasks=4, steps=2, overrides=["name=mine"])
    assert [run.name for run in compare_runs([named[0], other]).runs] == ["tiny", "mine"]


def test_comparisons_need_two_runs(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got 1"):
        compare_runs(runs[:1])
    with pytest.raises(UserError, match=str(runs[0])):
        compare_runs([runs[0], runs[0]])
    with pytest.raises(UserError, match=str(tmp_path / "nowhere")):
        compare_runs([runs[0], tmp_path / "nowhere"])


def test_folders_that_cannot_be_made(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=str(tmp_path / "file")):
        write_comparison(comparison, tmp_path / "file" / "folder")
