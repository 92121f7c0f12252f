"""What is shown while work goes on, on a narrow terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from codedistill.cli.bars import LINE_SECONDS, _Bars, _Lines, fitting
from codedistill.progress import TrainingStages, Watch
from codedistill.training import StepMetrics


def metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step, epoch=0, loss=0.2765, forward_kl=0.1516, reverse_kl=0.5062, beta=0.352, beta_loss=0.1, lr=1e-3,
        grad_norm=1.0, tokens=1000, padding=0.0, seconds=2.0,
    )  # fmt: skip


class Log:
    """Lines, and a clock that stands still until it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.watch = _Lines(self.lines.append, lambda: self.now).watch()


def test_a_log_gets_a_line_every_so_often() -> None:
    log = Log()
    log.watch.directory(Path("runs/mine"), None)
    log.watch.stage("training with akd")
    for step in range(1, 101):
        log.now += 2.0
        log.watch.step(metrics(step), 100)
    assert log.lines[:2] == ["run directory: runs/mine", "training with akd"]
    shown = [line.split()[1] for line in log.lines[2:]]
    every = int(LINE_SECONDS / 2)
    assert shown == ["1", *(str(step) for step in range(1 + every, 100, every)), "100"]
    assert (
        log.lines[3]
        == f"  step {1 + every} of 100  loss 0.2765  500 tok/s  beta 0.352  fkl 0.1516 rkl 0.5062  2:48 left"
    )
    assert "left" not in log.lines[-1]


def test_a_long_count_says_how_far_it_is() -> None:
    log = Log()
    log.watch.stage("the teacher writes responses")
    for done in range(1, 42):
        log.watch.count("teacher responses", done, 161)
        log.now += 1.0
    assert log.lines == ["the teacher writes responses", "  teacher responses 31 of 161  2:10 left"]


@pytest.mark.parametrize(("width", "seen"), [(80, "loss 0.2765  500 tok/s"), (140, "fkl 0.1516 rkl 0.5062")])
def test_a_terminal_shows_the_step_and_the_time_left(width: int, seen: str) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    with _Bars(console).shown() as watch:
        watch.stage("training with akd")
        watch.step(metrics(420), 500)
    line = next(line for line in reversed(screen.getvalue().splitlines()) if "420/500" in line)
    assert line.endswith("--:--")
    assert "━" in line
    assert seen in line


def test_only_whole_parts_are_shown() -> None:
    assert fitting(["loss 1.0", "5 tok/s"], 17) == "loss 1.0  5 tok/s"
    assert fitting(["loss 1.0", "5 tok/s"], 16) == "loss 1.0"
    assert fitting(["loss 1.0"], 3) == ""


def test_the_teachers_writing_is_a_stage_of_its_own() -> None:
    seen: list[object] = []
    watch = Watch(stage=seen.append, step=lambda m, of: seen.append(m.step), count=lambda *told: seen.append(told[1]))
    stages = TrainingStages(watch, "training with seqkd", writes_first=True)
    for done in (1, 2):
        stages.responses(done, 2)
    stages.step(metrics(1), 1)
    writing = ["loading models and data", "the teacher writes responses", 1, 2]
    assert seen == [*writing, "training with seqkd", 1]
    seen.clear()
    TrainingStages(watch, "training with seqkd", writes_first=True).step(metrics(1), 1)  # they are there already
    assert seen == ["loading models and data", "training with seqkd", 1]
