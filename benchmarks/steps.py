"""Optimizer steps of codedistill's own training loop, timed from the outside.

Run as a script it takes one job as JSON and prints what it found as one line of JSON: every measurement has a process
of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pairs import Counts
from resident import peak_megabytes, resident_megabytes

PHASES = ("teacher", "student forward", "loss", "backward", "optimizer")


@dataclass(frozen=True)
class Found:
    """Seconds of each step after the first, from one's end to the next one's; of ours also by phase, and the batches'
    counts. Losses of all steps. Megabytes: `before` is resident when the libraries are there."""

    seconds: list[float]
    losses: list[float]
    before: float
    peak: float
    phases: list[dict[str, float]] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def in_subprocess(recipe: dict[str, Any], steps: int, threads: int) -> Found | str:
    """`steps` steps and one more to warm up, or the last line of what went wrong."""
    job = json.dumps({"recipe": recipe, "steps": steps + 1, "threads": threads})
    return result_of([sys.executable, __file__, job])


def result_of(command: list[str]) -> Found | str:
    """What a command printed as its last line, or the last line of what went wrong."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["?"])[-1][:200]
    values = json.loads(done.stdout.strip().splitlines()[-1])
    values["counts"] = [Counts(**each) for each in values.get("counts", [])]
    return Found(**values)


def show_phases(found: Found, floors: list[float]) -> str:
    """Shares of all steps together."""
    total = sum(found.seconds)
    shares = {name: sum(step.get(name, 0.0) for step in found.phases) / total for name in PHASES}
    shares["rest"] = 1.0 - sum(shares.values())
    parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"{parts}; floor {sum(floors) / total:.0%}"


class Enough(Exception):
    """Ends the training loop after its last step, before it saves anything."""


class Clock:
    """Seconds by phase. A phase inside another is part of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return call(*arguments, **named)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self._inside = False
                self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

        return wrapper


def measure(recipe: dict[str, Any], steps: int, threads: int) -> Found:
    """Steps in this process."""
    import torch

    from codedistill.recipe.load import load_recipe
    from codedistill.runs.directory import RunDirectory
    from codedistill.training import StepMetrics, train

    torch.set_num_threads(threads)
    clock, counts = Clock(), list[Counts]()
    _watch(clock, counts)
    before = resident_megabytes()
    ends: list[float] = []
    losses: list[float] = []
    phases: list[dict[str, float]] = []

    def note(metrics: StepMetrics, _: int) -> None:
        ends.append(time.perf_counter())
        losses.append(float("nan") if metrics.loss is None else metrics.loss)
        phases.append(dict(clock.seconds))
        clock.seconds.clear()
        if len(ends) == steps:
            raise Enough

    with tempfile.TemporaryDirectory() as place, suppress(Enough):
        train(load_recipe(recipe), RunDirectory(Path(place)), note)
    seconds = [b - a for a, b in pairwise(ends)]
    return Found(seconds, losses, before, peak_megabytes(), phases[1:], counts[1:])


def _watch(clock: Clock, counts: list[Counts]) -> None:
    """Puts the clock around the parts of the training loop, and notes its batches."""
    import torch

    from codedistill import data
    from codedistill.methods import kd, sft
    from codedistill.models.heads import HiddenStates
    from codedistill.teachers import LiveTeacher
    from codedistill.training import step

    for place, name, phase in (
        (LiveTeacher, "signal", "teacher"),
        (HiddenStates, "forward", "student forward"),
        (kd, "fused_divergence", "loss"),
        (sft, "fused_cross_entropy", "loss"),
        (torch.Tensor, "backward", "backward"),
        (torch.optim.AdamW, "step", "optimizer"),
    ):
        setattr(place, name, clock.timed(phase, getattr(place, name)))
    collate = data.collate

    def counting(examples: Any, pad_id: int) -> Any:
        batch = collate(examples, pad_id)
        tokens = int(batch.attention.sum())
        counts.append(Counts(batch.examples, batch.ids.numel(), tokens, batch.response_tokens))
        return batch

    setattr(step, "collate", counting)  # noqa: B010  # the loop's own name for it


def main() -> None:
    job = json.loads(sys.argv[1])
    print(json.dumps(asdict(measure(job["recipe"], job["steps"], job["threads"]))))


if __name__ == "__main__":
    main()
