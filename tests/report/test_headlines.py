"""The sentence that says which recipe comes first: of which tasks it speaks, and when there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.evaluation import crossed_difference, paired_difference
from codedistill.report import compare_runs
from tests.report.made_runs import tell_again, write_recipes, write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_recipes(tmp_path_factory.mktemp("ranking"))


def passes(every: int, tasks: int) -> list[float]:
    return [float(task % every != 0) for task in range(tasks)]


def other_data(run: Path) -> Path:
    """The run, as if its benchmark file had been another one."""
    for path in run.glob("evaluation/*/*/summary.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "another file"}))
    tell_again(run)
    return run


def test_headline(runs: dict[str, Path]) -> None:
    """akd: 30, 32 and 33 of 40 tasks; rkd: 26, 30 and 32; the teacher: 32."""
    (text,) = compare_runs(list(runs.values())).headlines
    assert text.startswith(
        "Of 3 recipes, akd has the best student: it solves 79.2% of the tasks (mean of 3 runs) and keeps 99% of the "
        "teacher's accuracy. Next is rkd with 73.3% (mean of 3 runs), 5.8 points less (95% interval of the lead: "
    )
    assert text.endswith(", so this may be chance).")


def test_headline_of_single_runs(runs: dict[str, Path]) -> None:
    found = compare_runs([runs["kd-0"], runs["akd-0"]])
    (text,) = found.headlines
    assert "akd-0 has the best student: it solves 75.0% of the tasks and keeps 94%" in text
    low, high = (end * 100 for end in found.differences[0].paired.interval)
    assert f"Next is kd-0 with 50.0%, 25.0 points less (95% interval of the lead: {low:.1f} to {high:.1f})." in text
    (text,) = compare_runs([runs["kd-0"], runs["akd-0"], runs["akd-1"]]).headlines
    assert text.endswith("Next is kd-0 with 50.0%, 27.5 points less.")  # one run says nothing of other seeds


def test_headline_for_each_benchmark(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / method, tasks=8, steps=2, benchmarks=("tiny", "humaneval"), overrides=[f"method={method}"])
        for method in ("kd", "akd")
    ]
    first, second = compare_runs(paths).headlines
    assert "of the tasks on tiny" in first
    assert "of the tasks on humaneval" in second
    assert first.endswith("akd solves just as many.")


def test_headline_of_one_recipe(runs: dict[str, Path]) -> None:
    (text,) = compare_runs([runs["akd-0"], runs["akd-1"], runs["akd-2"]]).headlines
    assert (
        text == "akd: the student solves 79.2% of the tasks (mean of 3 runs) and keeps 99% of the teacher's accuracy."
    )


def test_recipes_are_ranked_on_the_tasks_that_all_share(runs: dict[str, Path], tmp_path: Path) -> None:
    """kd-0 passes 3 of the first 7 tasks and 20 of 40, the other one 5 of 7, the teacher 5 of 7."""
    few = write_run(tmp_path / "few", tasks=7, steps=2, student_fails=4, overrides=["evaluation.limit=7"])
    (text,) = compare_runs([runs["kd-0"], few]).headlines
    low, high = (end * 100 for end in paired_difference(passes(4, 7), passes(2, 7)).interval)
    assert text == (
        "Of 2 recipes, few has the best student: it solves 71.4% of the 7 tasks that all students were asked and keeps "
        "100% of the teacher's accuracy. Next is kd-0 with 42.9%, 28.6 points less "
        f"(95% interval of the lead: {low:.1f} to {high:.1f}, so this may be chance)."
    )


def test_a_run_with_few_tasks_does_not_win_by_them(runs: dict[str, Path], tmp_path: Path) -> None:
    """Both fail the same two of the first 5 tasks, one has 35 more, of which it fails 8."""
    few = write_run(tmp_path / "few", tasks=5, steps=2, student_fails=4, overrides=["evaluation.limit=5"])
    (text,) = compare_runs([few, runs["akd-0"]]).headlines
    assert "60.0% of the 5 tasks that all students were asked" in text
    assert text.endswith("akd-0 solves just as many.")


def test_lead_and_interval_over_seeds_are_of_the_same_tasks(runs: dict[str, Path], tmp_path: Path) -> None:
    """Two runs of 30 tasks, which fail every 5th and 6th one, against akd's two of 40."""
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
    assert f"Next is kd with 58.3% (mean of 2 runs), {lead.difference * 100:.1f} points less" in text
    low, high = (end * 100 for end in lead.interval)
    assert f"(95% interval of the lead: {low:.1f} to {high:.1f}" in text


def test_other_data_are_not_ranked(runs: dict[str, Path], tmp_path: Path) -> None:
    other = other_data(write_run(tmp_path / "other", steps=2))
    expected = ["The students were not asked the same tasks, so there is no ranking."]
    assert compare_runs([runs["kd-0"], other]).headlines == expected
    assert compare_runs([runs["kd-0"], runs["kd-1"], other]).headlines == expected


def test_one_benchmark_without_ranking_leaves_the_others(tmp_path: Path) -> None:
    names = ("tiny", "humaneval")
    a, b = (write_run(tmp_path / m, steps=2, benchmarks=names, overrides=[f"method={m}"]) for m in ("kd", "akd"))
    path = b / "evaluation/student/tiny/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "another file"}))
    tell_again(b)
    first, second = compare_runs([a, b]).headlines
    assert first == "The students were not asked the same tasks on tiny, so there is no ranking."
    assert second.startswith("Of 2 recipes, kd has the best student: it solves 75.0% of the tasks on humaneval")


def test_a_teacher_without_all_the_tasks_is_left_out(runs: dict[str, Path], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=2)
    folder = run / "evaluation/teacher/tiny"
    for name in ("samples.jsonl", "results.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:10]))
    tell_again(run)
    (text,) = compare_runs([run, runs["kd-0"]]).headlines
    assert "run has the best student: it solves 75.0% of the tasks. Next is kd-0" in text
