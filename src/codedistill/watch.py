"""Callbacks through which a long call says how far it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.training import StepMetrics


@dataclass(frozen=True)
class Watch:
    """Who wants to show progress gives these; the default shows nothing.

    `stage`: a new stage begins. `step`: an optimiser step is done, of so many. `count`: so many of so many are done.
    """

    stage: Callable[[str], None] = lambda text: None
    step: Callable[[StepMetrics, int], None] = lambda metrics, total: None
    count: Callable[[str, int, int], None] = lambda what, done, total: None

    def counter(self, what: str, total: int) -> Callable[..., None]:
        """A callback that counts its calls, whatever it is called with."""
        numbers = itertools.count(1)
        return lambda *_: self.count(what, next(numbers), total)
