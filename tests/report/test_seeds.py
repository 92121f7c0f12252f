"""Recipes that were run with several seeds: akd fails every 4th and 5th task of 40, kd every 2nd and 3rd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.evaluation import crossed_difference
from codedistill.report import compare_runs
from codedistill.report.compare import Comparison
from codedistill.runs.files import write_json
from tests.report.made_runs import write_run


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
    assert (akd.label, akd.seeds, akd.shares) == ("akd", (0, 1), (0.75, 0.8))
    assert (kd.label, kd.seeds, kd.shares) == ("kd", (0, 1), (0.5, 26 / 40))
    assert (akd.accuracy_loss, kd.accuracy_loss) == (pytest.approx(3.125), pytest.approx(28.125))  # teacher: 0.8
    assert akd.seconds == pytest.approx(20 * 0.4)
    assert (akd.peak_memory_mb, kd.peak_memory_mb) == (710, 820)


def test_difference_to_the_first_recipe(comparison: Comparison) -> None:
    akd, kd = comparison.repeated
    assert akd.difference is None
    assert kd.difference == crossed_difference([passes(2), passes(3)], [passes(4), passes(5)])
    assert kd.difference.difference == pytest.approx((0.5 + 26 / 40) / 2 - 0.775)


def test_table(comparison: Comparison) -> None:
    header, rows = comparison.seed_table()
    assert header[:2] == ["recipe", "runs"]
    assert header[7] == "difference to akd"
    assert rows[0] == [
        *("akd", "2", "0, 1", "77.5%", "3.5 points", "75.0 to 80.0%"),  # 0.05 / sqrt(2)
        *("3.1%", "-", "-", "8.0 s", "710 MB"),
    ]
    assert rows[1][6:8] == ["28.1%", "-20.0 points"]


def test_json(comparison: Comparison) -> None:
    akd, kd = json.loads(json.dumps(comparison.to_json(), allow_nan=False))["seeds"]
    assert (akd["difference"], akd["interval"], akd["mean"]) == (None, None, 0.775)
    assert kd["difference"] == pytest.approx(-0.2)
    assert (kd["training_seconds"], kd["peak_memory_mb"]) == (pytest.approx(8.0), 820)


def test_a_note_says_where_the_difference_is_of_fewer_tasks(runs: list[Path], tmp_path: Path) -> None:
    """Of the tasks 0 to 29, kd's students pass 15 and 20, akd's 22 and 24."""
    fewer = []
    for seed, fails in enumerate((2, 3)):
        overrides = ["method=kd", f"training.seed={seed}"]
        fewer.append(write_run(tmp_path / f"kd-{seed}", tasks=30, student_fails=fails, steps=2, overrides=overrides))
    found = compare_runs([runs[0], runs[2], *fewer])
    akd, kd = found.repeated
    assert kd.difference is not None
    assert kd.difference.difference == pytest.approx((15 + 20 - 22 - 24) / 60)
    assert kd.mean - akd.mean == pytest.approx(35 / 60 - 62 / 80)
    said = (
        "Over seeds, the difference of kd to akd is of the 30 tasks of tiny that all their students were asked; "
        "the means are of every task that each was asked."
    )
    assert found.notes[-1] == said
    assert said in found.write(tmp_path / "out").read_text()


def test_no_note_where_all_were_asked_the_same(comparison: Comparison) -> None:
    assert comparison.notes == ()


def test_one_run_each_is_no_group(runs: list[Path]) -> None:
    assert compare_runs(runs[:2]).seed_table()[1] == []
    alone = compare_runs([runs[1], runs[0], runs[2]])
    (only,) = alone.repeated  # the first recipe has one run: akd is the first group
    assert (only.label, only.difference) == ("akd", None)
    assert not [name for name in alone.seed_table()[0] if "difference" in name or "95%" in name]
