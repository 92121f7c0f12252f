"""Learning rate as a function of the step, so that a resumed run needs no schedule state."""

from __future__ import annotations

import math

from codedistill.recipe.sections import Training


def learning_rate(training: Training, step: int, total: int) -> float:
    """The rate of optimiser step `step` (from 0) of `total`: linear warm-up, then constant, linear or cosine to 0."""
    peak, warmup = training.learning_rate, training.warmup_steps
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    match training.schedule:
        case "linear":
            return peak * (1 - done)
        case "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * done))
        case _:
            return peak
