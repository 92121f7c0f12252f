"""Callbacks that report how far a long call has got. There is no terminal code here."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.training import StepMetrics


@dataclass(frozen=True)
class Watch:
    """Progress callbacks; the defaults show nothing.

    `stage`: a new stage begins. `step`: the metrics of a finished optimizer step, and the total number of steps.
    `count`: the name of the count, how many are done, and the total. `directory`: the run directory, and an unfinished
    run of the same name that this run does not touch, or None.
    """

    stage: Callable[[str], None] = lambda text: None
    step: Callable[[StepMetrics, int], None] = lambda metrics, total: None
    count: Callable[[str, int, int], None] = lambda what, done, total: None
    directory: Callable[[Path, Path | None], None] = lambda path, unfinished: None

    def counter(self, what: str, total: int) -> Callable[..., None]:
        """A callback that counts its calls and ignores its arguments."""
        numbers = itertools.count(1)
        return lambda *_: self.count(what, next(numbers), total)


class TrainingStages:
    """Training's callbacks for a watch. If the teacher writes responses first, that is a stage of its own."""

    def __init__(self, watch: Watch, training: str, writes_first: bool) -> None:
        self._watch, self._training = watch, training
        self._now = ""
        self._enter("loading models and data" if writes_first else training)

    def step(self, metrics: StepMetrics, total: int) -> None:
        self._enter(self._training)
        self._watch.step(metrics, total)

    def responses(self, done: int, total: int) -> None:
        self._enter("the teacher writes responses")
        self._watch.count("teacher responses", done, total)
        if done == total:
            self._enter(self._training)

    def _enter(self, stage: str) -> None:
        if stage != self._now:
            self._now = stage
            self._watch.stage(stage)
