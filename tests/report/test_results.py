"""The table of results and the headline, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codedistill.errors import UserError
from codedistill.evaluation import Interval, Paired, paired_difference
from codedistill.report import render_terminal, results_table
from codedistill.report.differences import Difference, difference_table
from codedistill.report.load import ResultsTable, TableRow
from codedistill.report.render import markdown_block
from codedistill.report.run_page import run_headlines
from tests.report.made_runs import summary_row, table_row

TEACHER = summary_row(
    "teacher", 32, 40, {"wrong answer": 2, "KeyError": 6}, parameters=2_400_000, interval=[0.652, 0.895]
)
BASE = summary_row("base", 14, 40, {"wrong answer": 6, "KeyError": 20}, parameters=500_000, interval=[0.221, 0.505])
BASE["accuracy_loss"] = 56.25
STUDENT = summary_row("student", 30, 40, {"wrong answer": 10}, interval=[0.598, 0.858], accuracy_loss=6.3)
MODELS = {"models": [TEACHER, BASE, STUDENT]}


def test_cells() -> None:
    table = results_table(MODELS).table()
    assert table.header == ("", "model", "parameters", "pass@1", "95% interval", "accuracy loss", "complete", "correct",
                            "correct/complete")  # fmt: skip
    assert table.rows == (
        ("teacher", "m/teacher", "2.4 M", "80.0%", "65.2 to 89.5%", "-", "34 of 40", "32", "94.1%"),
        ("base student", "m/base", "500 k", "35.0%", "22.1 to 50.5%", "56.2%", "20 of 40", "14", "70.0%"),
        ("distilled student", "m/student", "-", "75.0%", "59.8 to 85.8%", "6.3%", "40 of 40", "30", "75.0%"),
    )


def test_columns_without_values_are_left_out() -> None:
    table = results_table({"models": [summary_row("model", 20, 40, {"KeyError": 20}, model=None)]}).table()
    assert table.header == ("", "pass@1", "95% interval", "complete", "correct", "correct/complete")


def test_more_samples_and_base_inputs_have_their_columns() -> None:
    sampled = summary_row("student", 20, 40, {"KeyError": 20}) | {"pass@10": 0.75, "base_pass@1": 0.6}
    table = results_table({"models": [TEACHER, sampled]}).table()
    places = [table.header.index(name) for name in ("pass@1", "pass@10", "base pass@1")]
    assert [[row[i] for i in places] for row in table.rows] == [["80.0%", "-", "-"], ["50.0%", "75.0%", "60.0%"]]


def test_a_part_of_the_benchmark_is_called_one() -> None:
    part, whole = BASE | {"benchmark_tasks": 164}, STUDENT | {"tasks": 164, "benchmark_tasks": 164}
    table = results_table({"models": [part, whole]}).table()
    assert [row[table.header.index("tasks")] for row in table.rows] == ["40 of 164", "164 of 164"]
    assert "tasks" not in results_table({"models": [whole]}).table().header


def test_json_has_the_names_of_a_summary() -> None:
    sampled = STUDENT | {"pass@10": 0.9, "base_pass@1": 0.8, "accuracy_loss": None}
    (row,) = results_table({"models": [sampled]}).rows
    assert row.to_json() == {key: value for key, value in sampled.items() if key != "incomplete"} | {
        "parameters": None,
        "benchmark_tasks": None,
        "correct_of_complete": 0.75,
    }


def test_several_benchmarks_are_named() -> None:
    found = results_table({"models": [STUDENT, STUDENT | {"benchmark": "humaneval"}]})
    assert found.benchmarks == ("tiny", "humaneval")
    table = found.table()
    assert [row[table.header.index("benchmark")] for row in table.rows] == ["tiny", "humaneval"]


def test_no_program_runs_to_its_end() -> None:
    assert table_row("student", 0, 4, {"KeyError": 4}).correct_of_complete is None


def headlines(*rows: dict[str, Any], difference: tuple[float, float, float] | None = None) -> list[str]:
    table = ResultsTable(tuple(TableRow.model_validate(row) for row in rows))
    if difference is None:
        return run_headlines("akd", table, [])
    value, low, high = difference
    paired = Paired(value, Interval(low, high), 0.01, "McNemar", 20, 4)
    return run_headlines("akd", table, [Difference("student", "base", "tiny", 40, paired)])


def test_headline() -> None:
    assert headlines(TEACHER, BASE, STUDENT, difference=(0.4, 0.2, 0.6)) == [
        "akd: the student went from 35.0% to 75.0% of 40 tasks (+40.0 points, 95% interval 20.0 to 60.0), "
        "and keeps 94% of the teacher's accuracy."
    ]


def test_headline_says_when_a_change_may_be_chance() -> None:
    (text,) = headlines(BASE, STUDENT, difference=(0.02, -0.05, 0.1))
    assert "-5.0 to 10.0, so this may be chance" in text
    assert "chance" not in headlines(BASE, STUDENT, difference=(0.1, 0.05, 0.2))[0]


def test_an_interval_without_width_is_no_interval() -> None:
    """The difference is the same on every task, so that resampling the tasks says nothing."""
    (text,) = headlines(BASE, STUDENT, difference=(0.5, 0.5, 0.5))
    assert "+50.0 points" in text
    assert "95%" not in text
    paired = paired_difference([1.0, 1.0], [1.0, 1.0])
    table = difference_table([Difference("student", "base", "tiny", 2, paired)], benchmarks=False)
    assert table.rows[0][table.header.index("95% interval")] == "-"
    some = paired_difference([1.0, 1.0], [1.0, 0.0])
    table = difference_table([Difference("student", "base", "tiny", 2, some)], benchmarks=False)
    assert table.rows[0][table.header.index("95% interval")] == "+0.0 to +100.0"


def test_headline_without_base_or_teacher() -> None:
    (text,) = headlines(STUDENT | {"accuracy_loss": None})
    assert "75.0% of 40 tasks" in text
    assert "teacher" not in text
    assert headlines(TEACHER) == []


def test_headline_of_a_student_above_its_teacher() -> None:
    assert "110%" in headlines(STUDENT | {"accuracy_loss": -10.0})[0]


def test_one_headline_for_each_benchmark() -> None:
    found = headlines(STUDENT, STUDENT | {"benchmark": "humaneval"})
    assert [text.split(":")[0] for text in found] == ["akd on tiny", "akd on humaneval"]


def test_several_samples_are_not_called_tasks() -> None:
    assert "75.0% pass@1 on 40 tasks" in headlines(summary_row("student", 300, 400, {"KeyError": 100}, tasks=40))[0]


def test_markdown_escapes_what_models_are_called() -> None:
    lines = markdown_block(results_table({"models": [STUDENT | {"model": "a|b<i>"}]}).table()).splitlines()
    assert lines[1].startswith("| --- | --- | ---: |")
    assert r"a\|b\<i\>" in lines[2]


def test_terminal_is_plain_where_there_is_none() -> None:
    text = render_terminal(results_table(MODELS))
    lines = text.splitlines()
    assert "\x1b" not in text
    assert len(lines) == 4
    assert lines[1].index("80.0%") + 5 == lines[0].index("pass@1") + 6  # numbers end where their header ends


BROKEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pass@1": lambda row: {key: value for key, value in row.items() if key != "pass@1"},
    "parameters": lambda row: row | {"parameters": "many"},
    "correct": lambda row: row | {"correct": 1.5},
    "interval": lambda row: row | {"interval": [0.1]},
    "categories": lambda row: row | {"categories": {"x": "y"}},
}


@pytest.mark.parametrize("key", BROKEN)
def test_wrong_summaries_are_named_by_row_and_key(key: str) -> None:
    with pytest.raises(UserError, match=rf"^models\[1\]: {key}\b"):
        results_table({"models": [STUDENT, BROKEN[key](STUDENT)]})


def test_a_summary_without_models() -> None:
    with pytest.raises(UserError, match=r"^models:"):
        results_table({})
