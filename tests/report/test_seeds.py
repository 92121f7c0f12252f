"""Recipes that were run with several seeds: akd fails every 4th and 5th task of 40, kd every 2nd and 3rd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.evaluation import crossed_difference
from codedistill.report import compare_runs, write_comparison
from codedistill.report.comparison import Comparison
from codedistill.report.comparison_page import seed_table
from codedistill.runs.files import write_json
from tests.report.made_runs import tell_again, write_run


def passes(every: int) -> list[float]:
    return [float(task % every != 0) for task in range(40)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("seeds")
    made = [("akd-0", 4, 0, "akd"), ("kd-0", 2, 0, "kd"), ("akd-1", 5, 1, "akd"), ("kd-1", 3, 1, "kd")]
    paths = [
        write_run(root / name, student_fails=fails, steps=20, overrides=[f"training.seed={seed}", f"method={method}"])
        for name, fails, seed, method in made
    ]
    for path, peak in zip(paths, (700, 800, 720, 840), strict=True):
        summary = json.loads((path / "summary.json").read_text())
        summary["training"]["peak_memory_mb"] = peak
        write_json(path / "summary.json", summary)
    return paths


@pytest.fixture(scope="module")
def comparison(runs: list[Path]) -> Comparison:
    return compare_runs(runs)


def test_runs_that_differ_in_their_seed_are_one_group(comparison: Comparison) -> None:
    akd, kd = comparison.repeated
    assert (akd.label, [run.seed for run in akd.runs], akd.pass_at_1) == ("akd", [0, 1], (0.75, 0.8))
    assert (kd.label, [run.seed for run in kd.runs], kd.pass_at_1) == ("kd", [0, 1], (0.5, 26 / 40))
    assert [akd.accuracy_loss, kd.accuracy_loss] == pytest.approx([3.125, 28.125])  # teacher: 0.8
    assert akd.seconds == pytest.approx(20 * 0.4)
    assert (akd.peak_memory_mb, kd.peak_memory_mb) == (710, 820)


def test_difference_to_the_first_recipe(comparison: Comparison) -> None:
    akd, kd = comparison.repeated
    assert akd.difference is None
    assert kd.difference == crossed_difference([passes(2), passes(3)], [passes(4), passes(5)])
    assert kd.difference.difference == pytest.approx((0.5 + 26 / 40) / 2 - 0.775)


def test_table(comparison: Comparison) -> None:
    table = seed_table(comparison.repeated, benchmarks=False)
    assert table.header[:2] == ("recipe", "runs")
    assert table.header[7] == "difference to akd"
    assert table.rows[0] == (
        *("akd", "2", "0, 1", "77.5%", "3.5 points", "75.0 to 80.0%"),  # 0.05 / sqrt(2)
        *("3.1%", "-", "-", "8.0 s", "710 MB"),
    )
    assert table.rows[1][6:8] == ("28.1%", "-20.0 points")
    assert seed_table(comparison.repeated, benchmarks=True).header[1] == "benchmark"


def test_json(comparison: Comparison) -> None:
    akd, kd = json.loads(json.dumps(comparison.to_json(), allow_nan=False))["seeds"]
    assert (akd["difference"], akd["interval"], akd["mean"]) == (None, None, 0.775)
    assert kd["difference"] == pytest.approx(-0.2)
    assert (kd["training_seconds"], kd["peak_memory_mb"]) == (pytest.approx(8.0), 820)


def test_means_and_differences_are_over_the_tasks_that_all_students_share(runs: list[Path], tmp_path: Path) -> None:
    """Of the tasks 0 to 29, kd's students pass 15 and 20, akd's 22 and 24, the teacher 24."""
    fewer = []
    for seed, fails in enumerate((2, 3)):
        overrides = ["method=kd", f"training.seed={seed}"]
        fewer.append(write_run(tmp_path / f"kd-{seed}", tasks=30, student_fails=fails, steps=2, overrides=overrides))
    found = compare_runs([runs[0], runs[2], *fewer])
    akd, kd = found.repeated
    assert (akd.mean, kd.mean, akd.teacher) == pytest.approx((46 / 60, 35 / 60, 24 / 30))
    assert kd.difference is not None
    assert kd.difference.difference == pytest.approx(kd.mean - akd.mean)
    assert "76.7% of the 30 tasks" in found.headlines[0]  # the same mean as in the table
    assert [row[3] for row in seed_table(found.repeated, benchmarks=False).rows] == ["76.7%", "58.3%"]
    assert "30 tasks" in found.remarks[-1]
    assert found.remarks[-1] in write_comparison(found, tmp_path / "out").read_text()


def test_without_shared_tasks_each_recipe_has_its_own_mean(runs: list[Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", tasks=40, steps=2)
    for path in other.glob("evaluation/*/*/summary.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "ef" * 32}))
    tell_again(other)
    found = compare_runs([runs[1], runs[3], other])
    (kd,) = found.repeated
    assert kd.mean == pytest.approx((0.5 + 26 / 40) / 2)
    assert kd.difference is None


def test_no_remark_if_all_were_asked_the_same(comparison: Comparison) -> None:
    assert comparison.remarks == ()


def test_one_run_each_is_no_group(runs: list[Path]) -> None:
    assert compare_runs(runs[:2]).repeated == ()
    alone = compare_runs([runs[1], runs[0], runs[2]])
    (only,) = alone.repeated  # the first recipe has one run: akd is the first group
    assert (only.label, only.difference) == ("akd", None)
    assert not [name for name in seed_table([only], False).header if "difference" in name or "95%" in name]


def test_seeds_that_change_nothing_have_no_interval(tmp_path: Path) -> None:
    paths = [
        write_run(
            tmp_path / f"{method}-{seed}", tasks=4, steps=2, overrides=[f"method={method}", f"training.seed={seed}"]
        )
        for method in ("akd", "kd")
        for seed in (0, 1)
    ]
    found = compare_runs(paths)
    table = seed_table(found.repeated, benchmarks=False)
    places = [table.header.index(name) for name in ("difference to akd", "95% interval")]
    assert [table.rows[1][i] for i in places] == ["+0.0 points", "-"]
    values = found.to_json()
    assert values["seeds"][1]["interval"] is None
    assert [item["interval"] for item in values["differences"]] == [None, None]
