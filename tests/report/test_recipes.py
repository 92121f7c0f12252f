"""Recipes with several seeds: what they are called, which runs are pairs, what p is corrected for, and colors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codedistill.evaluation import holm
from codedistill.report import compare_runs, write_comparison
from codedistill.report.comparison import Comparison
from codedistill.report.comparison_page import differing_values, drawn, style
from codedistill.report.recipes import common_name
from tests.report.made_runs import write_recipes, write_run
from tests.report.test_html import Page


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_recipes(tmp_path_factory.mktemp("groups"))


def groups(comparison: Comparison) -> dict[str, list[str]]:
    """The names of each recipe's runs."""
    return {recipe.label: [run.name for run in recipe.runs] for recipe in comparison.recipes}


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["akd-0"], "akd-0"),
        (["akd-0", "akd-1"], "akd"),
        (["akd-10", "akd-11"], "akd"),
        (["m3-lr1e3-0", "m3-lr1e3-1"], "m3-lr1e3"),
        (["runs/a_b.0", "runs/a_b.1"], "runs/a_b"),
        (["seed0-akd", "seed1-akd"], "akd"),
        (["one", "two"], "one and repeats"),
        (["akd-0", "akd-0-again"], "akd-0"),
    ],
)
def test_what_a_recipe_is_called(labels: list[str], name: str) -> None:
    assert common_name(labels) == name


def test_recipes_are_told_apart(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()))
    assert groups(found) == {name: [f"{name}-{seed}" for seed in (0, 1, 2)] for name in ("akd", "rkd", "kd")}


def test_recipes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / name, tasks=4, steps=2, overrides=[f"training.seed={seed}", f"method={method}"])
        for name, seed, method in (("run-0", 0, "akd"), ("run-1", 1, "akd"), ("run-2", 0, "kd"), ("run-3", 1, "kd"))
    ]
    assert list(groups(compare_runs(paths))) == ["run-0 and repeats", "run-2 and repeats"]


def test_a_single_run_is_called_by_its_own_name(tmp_path: Path) -> None:
    made = (("akd", 10, 0), ("akd-2", 20, 0), ("akd-3", 20, 1))
    paths = [
        write_run(tmp_path / name, tasks=4, steps=2, overrides=[f"training.steps={steps}", f"training.seed={seed}"])
        for name, steps, seed in made
    ]
    assert groups(compare_runs(paths)) == {"akd": ["akd"], "akd-2 and repeats": ["akd-2", "akd-3"]}


def test_runs_of_the_same_seed_are_pairs(runs: dict[str, Path]) -> None:
    found = compare_runs([runs[name] for name in ("akd-0", "kd-2", "akd-2", "kd-0", "rkd-2", "akd-1", "kd-1", "rkd-0")])
    assert [(d.first, d.second) for d in found.differences] == [
        ("kd-2", "akd-2"),
        ("kd-0", "akd-0"),
        ("kd-1", "akd-1"),
        ("rkd-2", "akd-2"),
        ("rkd-0", "akd-0"),
    ]
    assert found.remarks == ()


def test_p_is_corrected_for_the_recipes_and_not_for_the_seeds(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()))
    raw = {d.first: d.paired.p for d in found.differences}
    corrected = {d.first: d.p_holm for d in found.differences}
    assert len(raw) == 6
    for seed in (0, 1, 2):
        names = [f"rkd-{seed}", f"kd-{seed}"]
        assert [corrected[name] for name in names] == holm([raw[name] for name in names])
    alone = compare_runs([runs[name] for name in ("akd-0", "rkd-0", "kd-0")])
    assert [d.p_holm for d in alone.differences] == [corrected["rkd-0"], corrected["kd-0"]]


def test_runs_without_a_partner_are_named(runs: dict[str, Path]) -> None:
    found = compare_runs([runs[name] for name in ("akd-0", "kd-0", "kd-1", "rkd-2")])
    assert [(d.first, d.second) for d in found.differences] == [("kd-0", "akd-0"), ("rkd-2", "akd-0")]
    alone, unmatched = found.remarks
    assert alone.startswith("kd-1: ")
    assert unmatched.startswith("rkd-2 and akd-0 ")


def test_seeds_of_one_recipe_alone(runs: dict[str, Path]) -> None:
    found = compare_runs([runs["akd-0"], runs["akd-1"], runs["akd-2"]])
    assert [(d.first, d.second) for d in found.differences] == [("akd-1", "akd-0"), ("akd-2", "akd-0")]
    assert len(found.remarks) == 1
    table = differing_values(drawn(found))
    assert (table.header, table.rows) == (("", "akd-0", "akd-1", "akd-2"), (("training.seed", "0", "1", "2"),))


def test_the_first_twenty_styles_differ() -> None:
    assert len({style(number) for number in range(20)}) == 20


def test_every_color_is_in_the_style_sheet(runs: dict[str, Path], tmp_path: Path) -> None:
    page = write_comparison(compare_runs(list(runs.values())), tmp_path / "out").read_text()
    for name in {style(n).split()[0] for n in range(20)}:
        assert f".{name} {{ --c: var(--{name}); }}" in page
        assert page.count(f"--{name}: #") == 2  # light and dark


def test_bars_are_means_over_the_runs_of_a_recipe(runs: dict[str, Path], tmp_path: Path) -> None:
    found = compare_runs([runs["akd-0"], runs["akd-1"], runs["kd-0"]])
    counts = [run.table.rows[-1].categories["wrong answer"] for run in found.runs]
    page = write_comparison(found, tmp_path / "out").read_text()
    chart = page[page.index('<svg role="img" aria-label="errors of the students') :]
    bars = re.findall(r'class="small"[^>]*>([^<]+)<', chart)
    at = re.findall(r'class="label"[^>]*>([^<]+)<', chart).index("wrong answer")
    assert bars[2 * at : 2 * at + 2] == [f"{(counts[0] + counts[1]) / 2:g}", str(counts[2])]


def test_nine_runs_have_three_colors(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(write_comparison(compare_runs(list(runs.values())), tmp_path / "out").read_text())
    lines = [values["class"] for tag, values in page.elements if tag == "polyline"]
    assert {str(name).removeprefix("curve stroke ") for name in lines} == {"run0", "run1", "run2"}
    bars = [values["class"] for tag, values in page.elements if tag == "rect"]
    assert bars[:6] == ["fill run0", "fill run1", "fill run2"] * 2  # a bar is the mean of a recipe's runs


def test_teacher_and_base_are_marked_on_the_axis_of_the_students(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(write_comparison(compare_runs([runs["akd-0"], runs["kd-0"]]), tmp_path / "out").read_text())
    marks = [values for tag, values in page.elements if tag == "line" and str(values["class"]).startswith("mark")]
    assert [values["class"] for values in marks] == ["mark teacher", "mark base"] * 2
    assert marks[0]["x1"] == marks[2]["x1"]
    assert "teacher 80.0%" in page.text["results"]
    assert "base student 35.0%" in page.text["results"]


def test_a_beta_that_is_held_has_no_line(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(
        write_comparison(compare_runs([runs["akd-0"], runs["kd-0"], runs["rkd-0"]]), tmp_path / "out").read_text()
    )
    charts = page.text["curves"].split("beta")
    assert len(charts) == 2
    assert "akd" in charts[1]
    assert "kd-0" not in charts[1].replace("akd-0", "")
