"""Recipes with several seeds: what they are called, which runs are pairs, what p is corrected for, and colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codedistill.evaluation import holm
from codedistill.report import compare_runs
from codedistill.report.groups import Group, common_name
from codedistill.report.painted import painted, style, style_by_run
from tests.report.made_runs import write_recipes, write_run
from tests.report.test_html import Page


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_recipes(tmp_path_factory.mktemp("groups"))


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
    assert found.groups == (Group("akd", (0, 1, 2)), Group("rkd", (3, 4, 5)), Group("kd", (6, 7, 8)))


def test_recipes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / name, tasks=4, steps=2, overrides=[f"training.seed={seed}", f"method={method}"])
        for name, seed, method in (("run-0", 0, "akd"), ("run-1", 1, "akd"), ("run-2", 0, "kd"), ("run-3", 1, "kd"))
    ]
    assert [group.label for group in compare_runs(paths).groups] == ["run-0 and repeats", "run-2 and repeats"]


def test_a_single_run_is_called_by_its_own_name(tmp_path: Path) -> None:
    made = (("akd", 10, 0), ("akd-2", 20, 0), ("akd-3", 20, 1))
    paths = [
        write_run(tmp_path / name, tasks=4, steps=2, overrides=[f"training.steps={steps}", f"training.seed={seed}"])
        for name, steps, seed in made
    ]
    assert compare_runs(paths).groups == (Group("akd", (0,)), Group("akd-2 and repeats", (1, 2)))


def test_runs_of_the_same_seed_are_pairs(runs: dict[str, Path]) -> None:
    found = compare_runs([runs[name] for name in ("akd-0", "kd-2", "akd-2", "kd-0", "rkd-2", "akd-1", "kd-1", "rkd-0")])
    assert [(d.first, d.second) for d in found.differences] == [
        ("kd-2", "akd-2"),
        ("kd-0", "akd-0"),
        ("kd-1", "akd-1"),
        ("rkd-2", "akd-2"),
        ("rkd-0", "akd-0"),
    ]
    assert found.notes == ()


def test_p_is_corrected_for_the_recipes_and_not_for_the_seeds(runs: dict[str, Path]) -> None:
    found = compare_runs(list(runs.values()))
    raw = {d.first: d.paired.p for d in found.differences}
    corrected = {d.first: p for d, p in zip(found.differences, found.adjusted, strict=True)}
    assert len(raw) == 6
    for seed in (0, 1, 2):
        names = [f"rkd-{seed}", f"kd-{seed}"]
        assert [corrected[name] for name in names] == holm([raw[name] for name in names])
    alone = compare_runs([runs[name] for name in ("akd-0", "rkd-0", "kd-0")])
    assert alone.adjusted == (corrected["rkd-0"], corrected["kd-0"])


def test_runs_without_a_partner_are_named(runs: dict[str, Path]) -> None:
    found = compare_runs([runs[name] for name in ("akd-0", "kd-0", "kd-1", "rkd-2")])
    assert [(d.first, d.second) for d in found.differences] == [("kd-0", "akd-0"), ("rkd-2", "akd-0")]
    assert found.notes == (
        "kd-1: in no pair, since akd-0 was not run with that seed.",
        "rkd-2 and akd-0 have no seed in common: their first runs are the pair.",
    )


def test_seeds_of_one_recipe_alone(runs: dict[str, Path]) -> None:
    found = compare_runs([runs["akd-0"], runs["akd-1"], runs["akd-2"]])
    assert [(d.first, d.second) for d in found.differences] == [("akd-1", "akd-0"), ("akd-2", "akd-0")]
    assert found.notes == ("All runs are of one recipe: the differences show what the seed alone changes.",)
    assert found.recipe_table() == (["", "akd-0", "akd-1", "akd-2"], [["training.seed", "0", "1", "2"]])


def test_colours_are_those_of_the_recipes() -> None:
    groups = [Group(f"recipe {i}", (i, i + 20)) for i in range(20)]
    styles = style_by_run(groups)
    assert all(styles[i] == styles[i + 20] for i in range(20))
    assert len(set(styles.values())) == 20
    assert [paint.label for paint in painted([Group("akd", (0, 1))], ["akd-0", "akd-1"])] == ["akd-0", "akd-1"]
    assert style(0) != style(1)


def test_every_colour_is_in_the_style_sheet(runs: dict[str, Path], tmp_path: Path) -> None:
    page = compare_runs(list(runs.values())).write(tmp_path / "out").read_text()
    for name in {style(n).split()[0] for n in range(20)}:
        assert f".{name} {{ --c: var(--{name}); }}" in page
        assert page.count(f"--{name}: #") == 2  # light and dark


def test_bars_are_means_over_the_runs_of_a_recipe(runs: dict[str, Path], tmp_path: Path) -> None:
    found = compare_runs([runs["akd-0"], runs["akd-1"], runs["kd-0"]])
    counts = [run.table.rows[-1].categories["wrong answer"] for run in found.runs]
    page = found.write(tmp_path / "out").read_text()
    chart = page[page.index('<svg role="img" aria-label="errors of the students') :]
    bars = re.findall(r'class="small"[^>]*>([^<]+)<', chart)
    at = re.findall(r'class="label"[^>]*>([^<]+)<', chart).index("wrong answer")
    assert bars[2 * at : 2 * at + 2] == [f"{(counts[0] + counts[1]) / 2:g}", str(counts[2])]


def test_nine_runs_have_three_colours(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(compare_runs(list(runs.values())).write(tmp_path / "out").read_text())
    lines = [values["class"] for tag, values in page.elements if tag == "polyline"]
    assert {str(name).removeprefix("curve stroke ") for name in lines} == {"run0", "run1", "run2"}
    bars = [values["class"] for tag, values in page.elements if tag == "rect"]
    assert bars[:6] == ["fill run0", "fill run1", "fill run2"] * 2  # a bar is the mean of a recipe's runs
    assert "A bar is the mean" in page.text["errors"]


def test_teacher_and_base_are_marked_on_the_axis_of_the_students(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(compare_runs([runs["akd-0"], runs["kd-0"]]).write(tmp_path / "out").read_text())
    marks = [values for tag, values in page.elements if tag == "line" and str(values["class"]).startswith("mark")]
    assert [values["class"] for values in marks] == ["mark teacher", "mark base"] * 2
    assert marks[0]["x1"] == marks[2]["x1"]
    assert "teacher 80.0%" in page.text["results"]
    assert "base student 35.0%" in page.text["results"]


def test_a_beta_that_is_held_has_no_line(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(compare_runs([runs["akd-0"], runs["kd-0"], runs["rkd-0"]]).write(tmp_path / "out").read_text())
    charts = page.text["curves"].split("beta")
    assert len(charts) == 2
    assert "akd" in charts[1]
    assert "kd-0" not in charts[1].replace("akd-0", "")
