"""What is shown while work goes on, on a narrow terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from codedistill.cli.bars import LINE_SECONDS, Display
from codedistill.progress import TrainingStages, Watch
from codedistill.training import StepMetrics


def metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step, epoch=0, loss=0.2765, forward_kl=0.1516, reverse_kl=0.5062, beta=0.352, beta_loss=0.1, lr=1e-3,
        grad_norm=1.0, tokens=1000, padding=0.0, seconds=2.0,
    )  # fmt: skip


class Log:
    """The display where there is no terminal, and a clock that moves only by `wait`."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.now = 100.0
        self.display = Display(Console(file=self._file, width=60), lambda: self.now)
        self.watch = self.display.watch()

    @property
    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.display.beat()


def test_a_log_gets_a_line_every_so_often() -> None:
    log = Log()
    log.watch.directory(Path("runs/mine"), None)
    log.watch.stage("training with akd")
    for step in range(1, 101):
        log.watch.step(metrics(step), 100)
        log.wait(2.0)
    assert log.lines[:2] == ["run directory: runs/mine", "training with akd"]
    shown = [line.split()[1] for line in log.lines[2:]]
    every = int(LINE_SECONDS / 2)
    assert shown == ["1", *(str(step) for step in range(every, 100, every)), "100"]
    line = f"  step {every} of 100  loss 0.2765  500 tok/s  beta 0.352  fkl 0.1516 rkl 0.5062  0:02:50 left"
    assert log.lines[3] == line
    assert "left" not in log.lines[-1]


def test_a_long_count_says_how_far_it_is() -> None:
    log = Log()
    log.watch.stage("the teacher writes responses")
    for done in range(1, 42):
        log.watch.count("teacher responses", done, 161)
        log.wait(1.0)
    assert log.lines == ["the teacher writes responses", "  teacher responses 30 of 161  0:02:11 left"]


def test_a_continuation_does_not_count_what_was_done_before() -> None:
    log = Log()
    for done in range(100, 104):
        log.watch.count("generated", done, 160)
        log.wait(10.0)
    assert log.lines == ["  generated 102 of 160  0:09:40 left"]  # 10 seconds each, not 102 in 20 seconds


def test_a_log_shows_life_while_nothing_is_counted() -> None:
    log = Log()
    log.watch.stage("evaluating student on tiny")
    for _ in range(65):
        log.wait(1.0)
    stage = "  evaluating student on tiny"
    assert log.lines[1:] == [f"{stage}  0:00:30 elapsed", f"{stage}  0:01:00 elapsed"]
    log.watch.count("generated", 2, 2)
    log.wait(LINE_SECONDS)
    assert log.lines[3:] == [f"{stage}  0:00:30 elapsed"]


def screen(width: int) -> tuple[Display, io.StringIO]:
    file = io.StringIO()
    return Display(Console(file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False)), file


@pytest.mark.parametrize(("width", "seen"), [(80, "loss 0.2765  500 tok/s"), (140, "fkl 0.1516 rkl 0.5062")])
def test_a_terminal_shows_the_step_and_the_time_left(width: int, seen: str) -> None:
    display, file = screen(width)
    with display.bars:
        display.stage("training with akd")
        display.step(metrics(420), 500)
    line = next(line for line in reversed(file.getvalue().splitlines()) if "420/500" in line)
    assert "training with akd ━" in line
    assert line.endswith("--:--")
    assert seen in line
    assert len(line.removeprefix("\x1b[2K")) <= width


def test_a_bar_is_named_after_what_is_counted() -> None:
    """`execute` has no stages: the bar must not say to the end that it loads."""
    display, file = screen(80)
    with display.bars:
        display.count("executed", 3, 10)
    last = next(line for line in reversed(file.getvalue().splitlines()) if "3/10" in line)
    assert "executed" in last
    assert "loading" not in last


def test_the_teachers_writing_is_a_stage_of_its_own() -> None:
    seen: list[object] = []
    watch = Watch(stage=seen.append, step=lambda m, of: seen.append(m.step), count=lambda *about: seen.append(about[1]))
    stages = TrainingStages(watch, "training with seqkd", writes_first=True)
    for done in (1, 2):
        stages.responses(done, 2)
    stages.step(metrics(1), 1)
    writing = ["loading models and data", "the teacher writes responses", 1, 2]
    assert seen == [*writing, "training with seqkd", 1]
    seen.clear()
    TrainingStages(watch, "training with seqkd", writes_first=True).step(metrics(1), 1)  # they are there already
    assert seen == ["loading models and data", "training with seqkd", 1]
