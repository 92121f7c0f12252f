"""The content of a report: pairs, kinds of errors, curves, shown tasks. Values are by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from codedistill.report import render_terminal, results_table, write_report
from codedistill.report.blocks import Table
from codedistill.report.charts import (
    CHARTED,
    POINTS,
    constant_setting,
    curve,
    curve_table,
    error_bars,
    error_grid,
    steps_per_point,
)
from codedistill.report.differences import difference, difference_table, differences
from codedistill.report.load import load_run
from codedistill.report.run_page import KINDS, environment_facts, files, kind_of, run_facts, shown_tasks, titles
from codedistill.report.text import flat
from codedistill.runs.schema import StepMetrics
from tests.report.made_runs import table_row, tell_again, write_run


def test_paired_differences(made_run: Path) -> None:
    """Of 0..39: student fails 4 | n, base passes 3 | n, teacher fails 5 | n."""
    run = load_run(made_run)
    against_base, against_teacher = differences(run)
    assert (against_base.paired.wins, against_base.paired.losses, against_base.tasks) == (20, 4, 40)
    assert against_base.paired.difference == pytest.approx(16 / 40)
    assert against_base.paired.p == pytest.approx(2 * (1 + 24 + 276 + 2024 + 10626) / 2**24)
    assert (against_teacher.paired.wins, against_teacher.paired.losses) == (6, 8)
    table = difference_table([against_base, against_teacher], benchmarks=False)
    assert "benchmark" not in table.header
    paired = run.summary.paired["tiny"]
    assert paired is not None
    low, high = paired.interval  # the same numbers as the summary's
    assert table.rows[0] == (
        "student minus base", "40", "+40.0 points", f"{low * 100:+.1f} to {high * 100:+.1f}",
        "20", "4", "16", "0.002",
    )  # fmt: skip


def test_pairs_need_the_same_data(made_run: Path, tmp_path: Path) -> None:
    student = load_run(made_run).evaluations["student", "tiny"]
    fewer = load_run(write_run(tmp_path / "fewer", tasks=10)).evaluations["student", "tiny"]
    found = difference(student, fewer, ("a", "b"))
    assert found is not None
    assert (found.tasks, found.paired.difference) == (10, 0)
    assert fewer.summary is not None
    other = replace(fewer, summary=fewer.summary.model_copy(update={"sha256": "other"}))
    assert difference(student, other, ("a", "b")) is None


def test_kinds_of_errors() -> None:
    teacher = table_row("teacher", 6, 10, {"wrong answer": 3, "KeyError": 1})
    student = table_row("student", 4, 10, {"out of range": 4, "wrong answer": 2})
    _, table = error_grid({"T": teacher, "S": student}, [("both", "run0", [teacher, student])], "tiny", "").blocks
    assert isinstance(table, Table)
    assert table.header == ("", "T", "S")
    assert table.rows == (
        ("passed", "6", "4"),
        ("out of range", "0", "4"),
        ("wrong answer", "3", "2"),
        ("KeyError", "1", "0"),
        ("all programs", "10", "10"),
    )
    assert error_bars(["wrong answer"], [("both", "run0", [teacher, student])]) == {"wrong answer": [2.5]}


def test_rare_kinds_share_a_bar() -> None:
    row = table_row("student", 0, 155, {f"kind {i}": 20 - i for i in range(CHARTED + 2)})
    bars = error_bars(list(row.categories), [("S", "student", [row])])
    assert len(bars) == CHARTED
    assert bars["kind 6"] == [14]
    assert list(bars.items())[-1] == ("3 other kinds", [13 + 12 + 11])


def steps(losses: list[float | None]) -> list[StepMetrics]:
    return [StepMetrics(step=i, loss=loss) for i, loss in enumerate(losses, 1)]


def test_short_curves_are_whole() -> None:
    found = curve(steps([3.0, None, 1.0]), "loss")
    assert [(p.step, p.mean) for p in found] == [(1, 3.0), (2, None), (3, 1.0)]
    assert curve(steps([3.0]), "beta") == ()


def test_long_curves_are_means_with_their_range() -> None:
    long = steps([float(i) for i in range(1, 2 * POINTS + 2)])
    found = curve(long, "loss")
    assert (steps_per_point(long), len(found)) == (3, 81)
    first, last = found[0], found[-1]
    assert (first.step, first.mean, first.low, first.high) == (2, 2, 1, 3)
    assert (last.step, last.mean) == (241, 241)


def test_settings_that_never_change_are_no_curves() -> None:
    fixed = [StepMetrics(step=i, loss=1.0, beta=0.0, lr=1e-3) for i in (1, 2, 3)]
    assert len(curve(fixed, "loss")) == 3  # measured, not set
    assert (curve(fixed, "beta"), curve(fixed, "learning rate")) == ((), ())
    assert [constant_setting(fixed, name) for name in ("beta", "learning rate", "loss")] == [0.0, 1e-3, None]
    assert curve_table(fixed).header == ("step", "loss")
    moving = [*fixed, StepMetrics(step=4, loss=1.0, beta=0.1, lr=1e-3)]
    assert constant_setting(moving, "beta") is None
    assert len(curve(moving, "beta")) == 4


def test_speed_is_tokens_by_seconds() -> None:
    rows = [(600, 2.0), (500, 0.0)]
    steps = [StepMetrics(step=i, loss=None, tokens=n, seconds=time) for i, (n, time) in enumerate(rows, 1)]
    assert [p.mean for p in curve(steps, "tokens per second")] == [300, None]


def test_curve_table() -> None:
    table = curve_table(steps([5.0, 4.0, None]))
    assert (table.header, table.rows) == (("step", "loss"), (("1", "5"), ("2", "4"), ("3", "-")))
    assert curve_table([]).rows == ()
    assert [row[0] for row in curve_table(steps([1.0] * 101)).rows] == ["1", "26", "51", "76", "101"]


@pytest.mark.parametrize(
    ("passed", "kind"),
    [
        ({"teacher": True, "base": False, "student": True}, "fixed"),
        ({"teacher": False, "base": False, "student": True}, "fixed"),
        ({"teacher": True, "base": False, "student": False}, "lost"),
        ({"teacher": True, "base": True, "student": False}, "broken"),
        ({"teacher": False, "base": True, "student": True}, "beyond"),
        ({"teacher": True, "base": True, "student": True}, "pass"),
        ({"teacher": False, "base": False, "student": False}, "fail"),
        ({"teacher": True, "student": False}, "lost"),
        ({"base": False, "student": True}, "fixed"),
        ({"student": True}, "pass"),
        ({"student": False}, "fail"),
        ({"model": True}, "pass"),
    ],
)
def test_kinds_of_tasks(passed: dict[str, bool], kind: str) -> None:
    assert kind_of(passed) == kind


def test_each_kind_is_shown_first(made_run: Path) -> None:
    run = load_run(made_run)
    found = shown_tasks(run, "tiny")
    assert [task.title for task in found] == [
        f"tiny/{number}: {KINDS[kind]}"
        for number, kind in ((1, "fixed"), (4, "lost"), (0, "broken"), (20, "fail"), (3, "pass"))
    ]
    assert [re.findall(r"\d+", task.note) for task in found] == [["20"], ["5"], ["4"], [], ["8"]]
    assert [answer.name for answer in found[0].answers] == ["teacher", "base student", "distilled student"]
    assert [answer.verdict for answer in found[0].answers] == ["passed", "wrong answer", "passed"]


def test_every_task_is_shown_once_at_most(made_run: Path) -> None:
    run = load_run(made_run)
    everything = [task.title.split(":")[0] for task in shown_tasks(run, "tiny", limit=100)]
    assert len(everything) == len(set(everything)) == 40
    assert shown_tasks(run, "another benchmark") == []


def test_new_categories_go_first(made_run: Path) -> None:
    """tiny/8 fails in another way than tiny/4, the first lost one; tiny/16 as tiny/0 does, which was shown."""
    titles = [task.title for task in shown_tasks(load_run(made_run), "tiny", limit=100)]
    assert [title.split(":")[0] for title in titles if title.endswith(KINDS["lost"])][:2] == ["tiny/4", "tiny/8"]


def test_facts_and_files(made_run: Path) -> None:
    run = load_run(made_run)
    facts = dict(run_facts(run))
    assert facts["method"] == "akd"
    assert facts["whole run"] == "5 min 5 s"
    assert facts["training time"] == "40 s"
    assert "beta" not in facts
    assert facts["tiny: prompt"] == "instruct, template alpaca"
    assert not {"tiny: isolation", "tiny: programs with broken checks", "tiny: inputs left out"} & facts.keys()
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2], "e": None}) == [
        ("a.b", "1"),
        ("a.c", "-"),
        ("d", "1, 2"),
        ("e", "-"),
    ]
    found = files(run)
    assert found[0] == "recipe.yaml"
    assert "evaluation/base/tiny/results.jsonl" in found
    assert all((made_run / name).exists() for name in found)


def test_titles(made_run: Path) -> None:
    run = load_run(made_run)
    tab, about = titles(run)
    assert about == (
        "akd from tiny/teacher (2.4 M parameters) to tiny/student (500 k parameters), seed 0. "
        f"Finished 2026-03-04 05:06 UTC. Folder: {made_run}"
    )
    assert tab == "tiny: akd, tiny/teacher to tiny/student"


def test_the_time_is_utc(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    values = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(values | {"finished": "2026-03-04T01:30:00+02:00"}))
    assert "Finished 2026-03-03 23:30 UTC." in titles(load_run(folder))[1]


def test_titles_without_recipe_and_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    (folder / "recipe.yaml").unlink()
    values = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(values | {"finished": "yesterday"}))
    run = load_run(folder)
    assert titles(run) == ("tiny: akd", f"akd. Folder: {folder}")


def test_a_beta_that_is_held_is_a_fact(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", tasks=4, steps=3, overrides=["method=rkd"]))
    assert dict(run_facts(run))["beta"] == "1 at every step"


def test_the_environment_in_words(made_run: Path) -> None:
    facts = dict(environment_facts(load_run(made_run).environment or {}))
    assert facts["memory"] == "7.8 GiB"
    assert facts["accelerators"] == "none"
    assert (facts["codedistill"], facts["peft"]) == ("0.1.0", "not installed")
    assert facts["changes since that commit"] == "no"
    assert facts["SHA-256 of the training data"] == "cd" * 32
    assert environment_facts({"git": None, "new_key": 3}) == [("git commit", "not in a repository"), ("new_key", "3")]


def test_what_an_evaluation_left_out_is_a_fact(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    path = folder / "evaluation/teacher/tiny/summary.json"
    more = {"isolation": "data+shared", "without_verdict": 1, "inputs_left_out": 2}
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    facts = dict(run_facts(load_run(folder)))
    assert facts["tiny: isolation"] == "data+shared"
    assert (facts["tiny: programs with broken checks"], facts["tiny: inputs left out"]) == ("1", "2")


def test_remarks_below_the_table_say_what_was_left_out_and_cut_off() -> None:
    base = {"model": "m", "benchmark": "b", "benchmark_tasks": 9, "tasks": 4, "samples": 4, "pass@1": 0.5}
    base |= {"interval": [0.1, 0.9], "complete": 2, "incomplete": 2, "correct": 2, "categories": {"crash": 2}}
    broken = {"without_verdict": 2, "tasks_without_verdict": 1}
    rows = [
        {"who": "teacher", **base, **broken},
        {"who": "base", **base, **broken, "truncated": 3, "context_full": 1},
        {"who": "student", **base},
    ]
    table = results_table({"models": rows})
    first, second, third = table.remarks
    assert first.startswith("teacher, base student: 2 of 6 programs have no verdict")
    assert "1 task" in first
    assert second.startswith("base student: 2 of 6 completions")
    assert "evaluation.max_new_tokens" in second
    assert third.startswith("base student: 1 of 6 completions")
    assert all(text in render_terminal(table) for text in table.remarks)
    assert not results_table({"models": rows[2:]}).remarks


def test_the_page_has_the_remarks_too(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    path = folder / "evaluation/student/tiny/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncated": 3}))
    tell_again(folder)
    page = write_report(folder)
    (remark,) = load_run(folder).table.remarks
    assert "3 of 4 completions" in remark
    assert remark in page.read_text()
    assert remark in page.with_suffix(".md").read_text().replace("\n", " ").replace("\\", "")
