"""The table of results and the headline, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest

from codedistill.errors import UserError
from codedistill.report import render_terminal, results_table
from codedistill.report.tables import headlines, markdown


def row(who: str, passed: float, **more: Any) -> dict[str, Any]:
    return {"who": who, "model": f"m/{who}", "benchmark": "tiny", "tasks": 40, "samples": 40, "pass@1": passed} | more


TEACHER = row("teacher", 0.8, parameters=2_400_000, interval=[0.652, 0.895], complete=34, correct=32)
BASE = row("base", 0.35, parameters=500_000, interval=[0.221, 0.505], accuracy_loss=56.25, complete=20, correct=14)
STUDENT = row("student", 0.75, interval=[0.598, 0.858], accuracy_loss=6.3, complete=40, correct=30)
SUMMARY = {
    "method": "akd",
    "models": [TEACHER, BASE, STUDENT],
    "paired": {"tiny": {"difference": 0.4, "interval": [0.2, 0.6], "p": 0.0015}},
}


def test_cells() -> None:
    header, rows = results_table(SUMMARY).cells()
    assert header == ["", "model", "parameters", "pass@1", "95% interval", "accuracy loss", "complete", "correct",
                      "correct/complete"]  # fmt: skip
    assert rows == [
        ["teacher", "m/teacher", "2.4 M", "80.0%", "65.2 to 89.5%", "-", "34 of 40", "32", "94.1%"],
        ["base student", "m/base", "500 k", "35.0%", "22.1 to 50.5%", "56.2%", "20 of 40", "14", "70.0%"],
        ["distilled student", "m/student", "-", "75.0%", "59.8 to 85.8%", "6.3%", "40 of 40", "30", "75.0%"],
    ]


def test_columns_without_values_are_left_out() -> None:
    header, rows = results_table({"models": [row("model", 0.5)]}).cells()
    assert header == ["", "model", "pass@1"]
    assert rows == [["model", "m/model", "50.0%"]]


def test_more_samples_and_base_inputs_have_their_columns() -> None:
    table = results_table(
        {"models": [row("teacher", 0.8), row("student", 0.5) | {"pass@10": 0.75, "base_pass@1": 0.6}]}
    )
    header, rows = table.cells()
    assert header == ["", "model", "pass@1", "pass@10", "base pass@1"]
    assert [cells[2:] for cells in rows] == [["80.0%", "-", "-"], ["50.0%", "75.0%", "60.0%"]]


def test_a_part_of_the_benchmark_is_called_one() -> None:
    part, whole = row("base", 0.5, benchmark_tasks=164), row("student", 0.5, tasks=164, benchmark_tasks=164)
    header, rows = results_table({"models": [part, whole]}).cells()
    assert [cells[header.index("tasks")] for cells in rows] == ["40 of 164", "164 of 164"]
    assert "tasks" not in results_table({"models": [whole]}).cells()[0]


def test_json_has_the_names_of_a_summary() -> None:
    sampled = STUDENT | {"pass@10": 0.9, "base_pass@1": 0.8, "accuracy_loss": None, "categories": {"wrong answer": 10}}
    (found,) = results_table({"models": [sampled | {"parameters": None}]}).to_json()["models"]
    assert {key: found[key] for key in sampled} == sampled
    added = found.keys() - sampled.keys()
    assert added == {"parameters", "benchmark_tasks", "correct_of_complete"}
    assert results_table({"models": [row("student", 0.5)]}).to_json()["models"][0]["interval"] is None


def test_several_benchmarks_are_named() -> None:
    table = results_table({"models": [STUDENT, STUDENT | {"benchmark": "humaneval"}]})
    header, rows = table.cells()
    assert table.benchmarks == ("tiny", "humaneval")
    assert [cells[header.index("benchmark")] for cells in rows] == ["tiny", "humaneval"]


def test_no_program_runs_to_its_end() -> None:
    found = results_table({"models": [row("student", 0.0, complete=0, correct=0)]}).rows[0]
    assert found.correct_of_complete is None


def test_headline() -> None:
    assert headlines(SUMMARY) == [
        "akd: the student went from 35.0% to 75.0% of 40 tasks (+40.0 points, 95% interval 20.0 to 60.0), "
        "and keeps 94% of the teacher's accuracy"
    ]


def test_headline_says_when_a_change_may_be_chance() -> None:
    paired = {"tiny": {"difference": 0.02, "interval": [-0.05, 0.1], "p": 0.7}}
    assert "95% interval -5.0 to 10.0, so this may be chance)" in headlines(SUMMARY | {"paired": paired})[0]


def test_headline_without_base_or_teacher() -> None:
    alone = STUDENT | {"accuracy_loss": None}
    assert headlines({"method": "sft", "models": [alone]}) == ["sft: the student solves 75.0% of 40 tasks"]
    assert headlines({"method": "sft", "models": [TEACHER]}) == []


def test_headline_of_a_student_above_its_teacher() -> None:
    assert headlines({"method": "kd", "models": [STUDENT | {"accuracy_loss": -10.0}]})[0].endswith(
        "and reaches 110% of the teacher's accuracy"
    )


def test_one_headline_for_each_benchmark() -> None:
    found = headlines({"method": "kd", "models": [STUDENT, STUDENT | {"benchmark": "humaneval"}]})
    assert [text.split(":")[0] for text in found] == ["kd on tiny", "kd on humaneval"]


def test_several_samples_are_not_called_tasks() -> None:
    found = headlines({"method": "kd", "models": [STUDENT | {"samples": 400}]})
    assert "75.0% pass@1 on 40 tasks" in found[0]


def test_markdown_escapes_what_models_are_called() -> None:
    lines = markdown(results_table({"models": [row("student", 0.5) | {"model": "a|b<i>"}]})).splitlines()
    assert lines[1] == "| --- | --- | ---: |"
    assert r"a\|b\<i\>" in lines[2]


def test_terminal_is_plain_where_there_is_none() -> None:
    text = render_terminal(results_table(SUMMARY))
    lines = text.splitlines()
    assert "\x1b" not in text
    assert len(lines) == 4
    assert lines[1].index("80.0%") + 5 == lines[0].index("pass@1") + 6  # numbers end where their header ends


@pytest.mark.parametrize(
    ("models", "says"),
    [
        (None, "models: must be a list"),
        ([{"who": "student"}], "models[0]: pass@1 is missing"),
        ([row("student", 0.5, parameters="many")], "models[0]: parameters must be a number"),
        ([row("student", 0.5, correct=1.5)], "models[0]: correct must be an integer"),
        ([row("student", 0.5, interval=[0.1])], "models[0]: interval must be two numbers"),
        ([row("student", 0.5, categories={"x": "y"})], "models[0]: categories must be counts"),
    ],
)
def test_wrong_summaries(models: Any, says: str) -> None:
    with pytest.raises(UserError) as caught:
        results_table({"models": models})
    assert says in str(caught.value)
