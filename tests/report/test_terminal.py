"""Tables for terminals of all widths: no line is wider, no word is split, what is left out is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from codedistill.report import compare_runs, render_comparison, render_terminal, results_table
from codedistill.report.blocks import Table
from codedistill.report.render import terminal_table
from tests.report.made_runs import summary_row, write_run


def model(who: str, path: str, **more: object) -> dict[str, object]:
    values = {"model": path, "parameters": 2_410_560, "interval": [0.58, 0.69], "accuracy_loss": 21.0}
    return summary_row(who, 192, 300, {"wrong answer": 108}, **values, **more)


SUMMARY = {
    "models": [
        model("teacher", "tiny/teacher"),
        model("base", "tiny/student"),
        model("student", "runs/a-run-with-a-long-name/model"),
    ]
}


def use_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))


def at(monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    use_terminal(monkeypatch, columns)
    return plain(render_terminal(results_table(SUMMARY)))


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


@pytest.mark.parametrize("columns", [62, 70, 80, 90, 100, 110, 120, 140])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    text = at(monkeypatch, columns)
    assert max(len(line) for line in text.splitlines()) <= columns
    for word in ("distilled student", "58.0 to 69.0%", "pass@1", "95%", "interval", "accuracy", "loss"):
        assert word in text


@pytest.mark.parametrize("columns", [30, 36, 40, 45, 50])
def test_very_narrow_terminals(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    lines = at(monkeypatch, columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert "64.0%" in "".join(lines)
    assert ("58.0 to 69.0%" in "".join(lines)) == (columns >= 40)


def test_more_samples_leave_a_narrow_terminal_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = [model("student", "m", **{"pass@5": 0.7, "pass@10": 0.8, "base_pass@1": 0.7})]
    use_terminal(monkeypatch, 52)
    table, remark = plain(render_terminal(results_table({"models": sampled}))).split("Left out")
    assert max(map(len, table.splitlines())) <= 52
    assert "58.0 to 69.0%" in table
    assert "21.0%" in table
    for name in ("base pass@1", "pass@10", "pass@5"):
        assert name in " ".join(remark.split())


def test_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = at(monkeypatch, 80).splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines[:3]] == [
        ["95%", "accuracy"],
        ["params", "pass@1", "interval", "loss", "complete", "correct"],
        ["teacher", "2.41 M", "64.0%", "58.0 to 69.0%", "21.0%", "300 of 300", "192"],
    ]
    assert "model, correct/complete" in " ".join(lines[5:])


def test_markup_and_control_characters_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "[red]a[/red] :smile: \x1b[31m\n\u202e"
    shown = r"[red]a[/red] :smile: \x1b[31m \u202e"
    table = Table.plain("", ["", name], [[name, "1"]])
    assert terminal_table(table).splitlines()[1].startswith(shown)
    use_terminal(monkeypatch, 200)
    assert plain(terminal_table(table)).splitlines()[1].startswith(shown)


def test_a_wide_terminal_has_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    text = at(monkeypatch, 160)
    assert "runs/a-run-with-a-long-name/model" in text
    assert "correct/complete" in text.splitlines()[0]
    assert "Left out" not in text


def test_words_of_a_heading_are_never_split_nor_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch, 20)
    text = terminal_table(Table.plain("", ["run", "difference to /tmp/a-0"], [["kd", "-14.0 points"]]))
    for word in ("difference", "/tmp/", "a-0", "-14.0 points"):
        assert word in text


def test_a_pipe_has_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = render_terminal(results_table(SUMMARY))
    assert "\x1b" not in text
    assert "runs/a-run-with-a-long-name/model" in text


def test_comparisons_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = [("akd", 0), ("kd", 0), ("akd", 1), ("kd", 1)]
    runs = [
        write_run(tmp_path / f"{method}-{seed}", steps=2, overrides=[f"training.seed={seed}", f"method={method}"])
        for method, seed in made
    ]
    compared = compare_runs(runs)
    for columns in (80, 40):
        use_terminal(monkeypatch, columns)
        lines = plain(render_comparison(compared)).splitlines()
        assert max(map(len, lines)) <= columns
        assert any("(Holm)" in line for line in lines)
