"""What a report says of a run: pairs, kinds of errors, curves, the tasks that are shown. Values are by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codedistill.report.facts import about, environment_facts, files, flat, page_title, run_facts
from codedistill.report.load import Step, load_run
from codedistill.report.paired import difference, difference_table, differences
from codedistill.report.samples import kind_of, shown
from codedistill.report.series import POINTS, curve_table, held, series
from codedistill.report.tables import results_table
from codedistill.report.taxonomy import CHARTED, taxonomy
from tests.report.made_runs import write_run


def test_paired_differences(made_run: Path) -> None:
    """Of 0..39: student fails 4 | n, base passes 3 | n, teacher fails 5 | n."""
    run = load_run(made_run)
    against_base, against_teacher = differences(run)
    assert (against_base.paired.wins, against_base.paired.losses, against_base.tasks) == (20, 4, 40)
    assert against_base.paired.difference == pytest.approx(16 / 40)
    assert against_base.paired.p == pytest.approx(2 * (1 + 24 + 276 + 2024 + 10626) / 2**24)
    assert (against_teacher.paired.wins, against_teacher.paired.losses) == (6, 8)
    header, rows = difference_table([against_base, against_teacher])
    assert "benchmark" not in header
    low, high = run.summary["paired"]["tiny"]["interval"]  # the same numbers as the summary's
    assert rows[0] == [
        "student minus base", "40", "+40.0 points", f"{low * 100:+.1f} to {high * 100:+.1f}",
        "20", "4", "16", "0.002",
    ]  # fmt: skip


def test_pairs_need_the_same_data(made_run: Path, tmp_path: Path) -> None:
    student = load_run(made_run).evaluated("student", "tiny")
    fewer = load_run(write_run(tmp_path / "fewer", tasks=10)).evaluated("student", "tiny")
    assert student is not None
    assert fewer is not None
    found = difference(student, fewer, ("a", "b"))
    assert found is not None
    assert (found.tasks, found.paired.difference) == (10, 0)
    assert difference(student, type(fewer)(**{**vars(fewer), "sha256": "other"}), ("a", "b")) is None


def test_taxonomy() -> None:
    models = [
        {
            "who": "teacher",
            "pass@1": 0.6,
            "samples": 10,
            "correct": 6,
            "categories": {"wrong answer": 3, "KeyError": 1},
        },
        {"who": "student", "pass@1": 0.4, "samples": 10, "categories": {"out of range": 4, "wrong answer": 2}},
    ]
    found = taxonomy(results_table({"models": models}).rows, ["T", "S"])
    assert found.counts == {"out of range": (0, 4), "wrong answer": (3, 2), "KeyError": (1, 0)}
    assert list(found.counts) == ["out of range", "wrong answer", "KeyError"]
    assert found.cells() == (
        ["", "T", "S"],
        [
            ["passed", "6", "-"],
            ["out of range", "0", "4"],
            ["wrong answer", "3", "2"],
            ["KeyError", "1", "0"],
            ["all programs", "10", "10"],
        ],
    )


def test_rare_kinds_share_a_bar() -> None:
    categories = {f"kind {i}": 20 - i for i in range(CHARTED + 2)}
    rows = results_table({"models": [{"who": "student", "pass@1": 0, "categories": categories}]}).rows
    charted = taxonomy(rows, ["S"]).charted()
    assert len(charted) == CHARTED
    assert list(charted.items())[-1] == ("3 other kinds", (13 + 12 + 11,))


def steps(losses: list[float | None]) -> list[Step]:
    return [Step(i, loss) for i, loss in enumerate(losses, 1)]


def test_short_curves_are_whole() -> None:
    found = series(steps([3.0, None, 1.0]), "loss")
    assert found is not None
    assert [(p.step, p.mean) for p in found.points] == [(1, 3.0), (2, None), (3, 1.0)]
    assert series(steps([3.0]), "beta") is None


def test_long_curves_are_means_with_their_range() -> None:
    found = series(steps([float(i) for i in range(1, 2 * POINTS + 2)]), "loss")
    assert found is not None
    assert found.width == 3
    assert len(found.points) == 81
    first, last = found.points[0], found.points[-1]
    assert (first.step, first.mean, first.low, first.high) == (2, 2, 1, 3)
    assert (last.step, last.mean) == (241, 241)


def test_settings_that_never_change_are_no_curves() -> None:
    fixed = [Step(i, loss=1.0, beta=0.0, lr=1e-3) for i in (1, 2, 3)]
    assert series(fixed, "loss") is not None  # measured, not set: a flat loss is news
    assert (series(fixed, "beta"), series(fixed, "learning rate")) == (None, None)
    assert (held(fixed, "beta"), held(fixed, "learning rate"), held(fixed, "loss")) == (0.0, 1e-3, None)
    assert curve_table(fixed)[0] == ["step", "loss"]
    moving = [*fixed, Step(4, loss=1.0, beta=0.1, lr=1e-3)]
    assert held(moving, "beta") is None
    assert series(moving, "beta") is not None


def test_speed_is_tokens_by_seconds() -> None:
    found = series([Step(1, tokens=600, seconds=2.0), Step(2, tokens=500, seconds=0.0)], "tokens per second")
    assert found is not None
    assert [p.mean for p in found.points] == [300, None]


def test_curve_table() -> None:
    assert curve_table(steps([5.0, 4.0, None])) == (["step", "loss"], [["1", "5"], ["2", "4"], ["3", "-"]])
    assert curve_table([]) == (["step"], [])
    _, rows = curve_table(steps([1.0] * 101))
    assert [row[0] for row in rows] == ["1", "26", "51", "76", "101"]


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
    found = shown(load_run(made_run), "tiny")
    assert [(s.task_id, s.kind, s.of_kind) for s in found] == [
        ("tiny/1", "fixed", 20),
        ("tiny/4", "lost", 5),
        ("tiny/0", "broken", 4),
        ("tiny/20", "fail", 1),
        ("tiny/3", "pass", 8),
    ]
    assert (found[0].how_many, found[3].how_many) == ("One of 20 such tasks.", "The only such task.")
    assert list(found[0].answers) == ["teacher", "base", "student"]


def test_every_task_is_shown_once_at_most(made_run: Path) -> None:
    run = load_run(made_run)
    everything = [s.task_id for s in shown(run, "tiny", limit=100)]
    assert len(everything) == len(set(everything)) == 40
    assert shown(run, "another benchmark") == []


def test_new_categories_go_first(made_run: Path) -> None:
    """tiny/8 fails in another way than tiny/4, the first lost one; tiny/16 as tiny/0 does, which was shown."""
    found = [s.task_id for s in shown(load_run(made_run), "tiny", limit=100) if s.kind == "lost"]
    assert found[:2] == ["tiny/4", "tiny/8"]


def test_facts_and_files(made_run: Path) -> None:
    run = load_run(made_run)
    facts = dict(run_facts(run))
    assert facts["method"] == "akd"
    assert facts["whole run"] == "5 min 5 s"
    assert facts["training time"] == "40 s"
    assert "beta" not in facts
    assert facts["tiny: prompt"] == "instruct, template alpaca"
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


def test_what_a_page_says_first(made_run: Path) -> None:
    run = load_run(made_run)
    assert about(run) == (
        "akd from tiny/teacher (2.4 M parameters) to tiny/student (500 k parameters), seed 0. "
        f"Finished 2026-03-04 05:06 UTC. Folder: {made_run}"
    )
    assert page_title(run) == "tiny: akd, tiny/teacher to tiny/student"


def test_the_time_is_utc(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    values = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(values | {"finished": "2026-03-04T01:30:00+02:00"}))
    assert "Finished 2026-03-03 23:30 UTC." in about(load_run(folder))


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tasks=4, steps=3)
    (folder / "recipe.yaml").unlink()
    values = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(values | {"finished": "yesterday"}))
    run = load_run(folder)
    assert about(run) == f"akd. Folder: {folder}"
    assert page_title(run) == "tiny: akd"


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
