"""The ranking of the recipes: over which tasks, with which numbers, and when there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codedistill.evaluation import crossed_difference, paired_difference
from codedistill.report import compare_runs, render_comparison, write_comparison
from tests.report.made_runs import tell_again, write_recipes, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_recipes(tmp_path_factory.mktemp("ranking"))


def passes(every: int, tasks: int) -> list[float]:
    return [float(task % every != 0) for task in range(tasks)]


def numbers(text: str) -> list[float]:
    """All numbers of a sentence; a number in the name of a run is not one."""
    return [float(found) for found in re.findall(r"(?<![\w-])-?\d+(?:\.\d+)?", text)]


def in_percent(*shares: float) -> list[float]:
    return [round(share * 100, 1) for share in shares]


def other_data(run: Path) -> Path:
    """The run as if it had been evaluated on another benchmark file."""
    for path in run.glob("evaluation/*/*/summary.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "another file"}))
    tell_again(run)
    return run


def test_ranking_over_seeds(runs: dict[str, Path]) -> None:
    """akd: 30, 32 and 33 of 40 tasks; rkd: 26, 30 and 32; the teacher: 32."""
    (text,) = compare_runs(list(runs.values())).headlines
    akd, rkd = ([passes(first + seed, 40) for seed in (0, 1, 2)] for first in (4, 3))
    low, high = in_percent(*crossed_difference(akd, rkd).interval)
    assert text == (
        "Of 3 recipes, akd has the best student: it solves 79.2% of the tasks (mean of 3 runs) and keeps 99% of the "
        "teacher's accuracy. Next is rkd with 73.3% (mean of 3 runs), 5.8 points less (95% interval of the lead: "
        f"{low} to {high}, so this may be chance)."
    )


def test_ranking_of_single_runs(runs: dict[str, Path]) -> None:
    found = compare_runs([runs["kd-0"], runs["akd-0"]])
    (text,) = found.headlines
    assert text.index("akd-0") < text.index("kd-0 ")
    assert numbers(text) == [2, 75, 94, 50, 25, 95, *in_percent(*found.differences[0].paired.interval)]
    assert "chance" not in text


def test_one_run_against_several_has_no_interval(runs: dict[str, Path]) -> None:
    (text,) = compare_runs([runs["kd-0"], runs["akd-0"], runs["akd-1"]]).headlines
    assert numbers(text) == [2, 77.5, 2, 97, 50, 27.5]


def test_a_ranking_for_each_benchmark(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / method, tasks=8, steps=2, benchmarks=("tiny", "humaneval"), overrides=[f"method={method}"])
        for method in ("kd", "akd")
    ]
    first, second = compare_runs(paths).headlines
    assert ("tiny" in first, "humaneval" in first) == (True, False)
    assert ("tiny" in second, "humaneval" in second) == (False, True)
    assert first.index("kd") < first.index("akd")
    assert numbers(first) == [2, 75, 100]  # equal: no distance


def test_the_result_of_one_recipe(runs: dict[str, Path]) -> None:
    (text,) = compare_runs([runs["akd-0"], runs["akd-1"], runs["akd-2"]]).headlines
    assert text.startswith("akd:")
    assert numbers(text) == [79.2, 3, 99]


def test_recipes_are_ranked_on_the_tasks_that_all_share(runs: dict[str, Path], tmp_path: Path) -> None:
    """kd-0 passes 3 of the first 7 tasks and 20 of 40, the other one 5 of 7, the teacher 5 of 7."""
    few = write_run(tmp_path / "few", tasks=7, steps=2, student_fails=4, overrides=["evaluation.limit=7"])
    (text,) = compare_runs([runs["kd-0"], few]).headlines
    bounds = in_percent(*paired_difference(passes(4, 7), passes(2, 7)).interval)
    assert numbers(text) == [2, 71.4, 7, 100, 42.9, 28.6, 95, *bounds]
    assert text.index("few") < text.index("kd-0")
    assert "chance" in text


def test_a_run_with_few_tasks_does_not_win_by_them(runs: dict[str, Path], tmp_path: Path) -> None:
    """Both fail the same two of the first 5 tasks, one has 35 more, of which it fails 8."""
    few = write_run(tmp_path / "few", tasks=5, steps=2, student_fails=4, overrides=["evaluation.limit=5"])
    (text,) = compare_runs([few, runs["akd-0"]]).headlines
    assert numbers(text) == [2, 60, 5, 75]
    assert text.index("few") < text.index("akd-0")


def test_lead_and_interval_over_seeds_are_of_the_same_tasks(runs: dict[str, Path], tmp_path: Path) -> None:
    """Two runs of 30 tasks, which fail every 5th and 6th one, against kd's two of 40."""
    some = [
        write_run(
            tmp_path / f"some-{seed}",
            tasks=30,
            steps=2,
            student_fails=5 + seed,
            overrides=["evaluation.limit=30", f"training.seed={seed}"],
        )
        for seed in (0, 1)
    ]
    (text,) = compare_runs([runs["kd-0"], runs["kd-1"], *some]).headlines
    lead = crossed_difference([passes(5, 30), passes(6, 30)], [passes(2, 30), passes(3, 30)])
    assert numbers(text)[5:] == [58.3, 2, *in_percent(lead.difference), 95, *in_percent(*lead.interval)]


def test_other_data_are_not_ranked(runs: dict[str, Path], tmp_path: Path) -> None:
    other = other_data(write_run(tmp_path / "other", steps=2))
    for paths in ([runs["kd-0"], other], [runs["kd-0"], runs["kd-1"], other]):
        (text,) = compare_runs(paths).headlines
        assert "no ranking" in text
        assert numbers(text) == []


def test_one_benchmark_without_ranking_leaves_the_others(tmp_path: Path) -> None:
    names = ("tiny", "humaneval")
    a, b = (write_run(tmp_path / m, steps=2, benchmarks=names, overrides=[f"method={m}"]) for m in ("kd", "akd"))
    path = b / "evaluation/student/tiny/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "another file"}))
    tell_again(b)
    first, second = compare_runs([a, b]).headlines
    assert ("tiny" in first, numbers(first)) == (True, [])
    assert ("humaneval" in second, numbers(second)[:2]) == (True, [2, 75])


def test_a_teacher_without_all_the_tasks_is_left_out(runs: dict[str, Path], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=2)
    folder = run / "evaluation/teacher/tiny"
    for name in ("samples.jsonl", "results.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:10]))
    tell_again(run)
    (text,) = compare_runs([run, runs["kd-0"]]).headlines
    assert "teacher" not in text
    assert numbers(text)[:3] == [2, 75, 50]


def test_a_base_that_is_better_comes_first(tmp_path: Path) -> None:
    """The base passes tasks 0, 3, .. 27 of 30; the students pass none, or 15 of the tasks that the base fails."""
    paths = [
        write_run(tmp_path / method, tasks=30, steps=2, student_fails=1, overrides=[f"method={method}"])
        for method in ("kd", "akd")
    ]
    found = compare_runs(paths)
    warning, ranking = found.headlines
    low, high = in_percent(*paired_difference([float(n % 3 == 0) for n in range(30)], [0.0] * 30).interval)
    assert warning == (
        "No distilled student is better than the base student, which solves 33.3% of the tasks, 33.3 points more than "
        f"kd (95% interval {low} to {high})."
    )
    assert "best student" not in ranking
    assert render_comparison(found).startswith(warning)
    page = write_comparison(found, tmp_path / "out").read_text()
    assert page.index(warning) < page.index(ranking[:30])
    better = write_run(tmp_path / "better", tasks=30, steps=2, student_fails=2, overrides=["method=rkd"])
    (text,) = compare_runs([*paths, better]).headlines
    assert numbers(text)[:2] == [3, 50]


def test_a_base_as_good_as_the_students_comes_first_too(tmp_path: Path) -> None:
    """Of tasks 0 and 1 the base passes one and each student the other."""
    paths = [write_run(tmp_path / name, tasks=2, steps=2, overrides=[f"method={name}"]) for name in ("kd", "akd")]
    warning, _ = compare_runs(paths).headlines
    assert numbers(warning) == [50]


def test_the_base_counts_over_the_shared_tasks(runs: dict[str, Path], tmp_path: Path) -> None:
    """On task 0 alone the base passes and the student fails."""
    few = write_run(tmp_path / "few", tasks=1, steps=2, overrides=["evaluation.limit=1"])
    warning, _ = compare_runs([runs["kd-0"], few]).headlines
    assert numbers(warning) == [100, 1, 100]
    assert "no interval" in warning
