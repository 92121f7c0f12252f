"""One optimizer step: backward over micro-batches, one division, one check.

Gradients and statistics are sums over micro-batches and processes until they are divided, once, by the count of the
whole step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from codedistill.data import Batch, Encoded, collate
from codedistill.methods.base import LossSum, Method, StepStatistics
from codedistill.parallel import Processes
from codedistill.recipe.sections import Training


def learning_rate(training: Training, step: int, total: int) -> float:
    """The rate of optimizer step `step` (from 0) of `total`: linear warm-up, then constant, linear or cosine to 0.

    A function of the step alone, so a resumed run needs no scheduler state.
    """
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


@dataclass(frozen=True)
class Totals:
    """A step over all processes: the means, the sum of the counts, response tokens, and the share of padding."""

    statistics: StepStatistics
    count: float
    tokens: int
    padding: float


@dataclass
class StepSums:
    """This process's part of a step.

    values: float64 sums of loss, count, response tokens, positions, padding positions, and the method's metrics.
    parts: example ids and loss of each micro-batch.
    """

    names: tuple[str, ...]
    values: torch.Tensor
    parts: list[tuple[tuple[int, ...], LossSum]] = field(default_factory=list)

    def add(self, batch: Batch, part: LossSum) -> None:
        padding = batch.ids.numel() - int(batch.attention.sum())
        counts = [part.loss.new_tensor(v) for v in (part.count, batch.response_tokens, batch.ids.numel(), padding)]
        row = [part.loss, *counts, *(part.metrics[name] for name in self.names)]
        self.values += torch.stack([v.detach().double() for v in row])
        self.parts.append((batch.example_ids, part))

    def totals(self, processes: Processes) -> Totals:
        """Called in all processes at the same time."""
        loss, count, tokens, positions, padding, *metrics = processes.total(self.values).tolist()
        means = {name: value / count for name, value in zip(self.names, metrics, strict=True)}
        return Totals(StepStatistics(loss / count, means), count, round(tokens), padding / positions)


def accumulate(
    method: Method, examples: list[Encoded], size: int | None, pad_id: int, device: torch.device
) -> StepSums:
    """Backward over this process's micro-batches of `size` examples (None: all at once)."""
    sums = StepSums(method.metrics, torch.zeros(5 + len(method.metrics), dtype=torch.float64, device=device))
    size = size or max(1, len(examples))
    for start in range(0, len(examples), size):
        batch = collate(examples[start : start + size], pad_id).to(device)
        part = method.loss(batch)
        part.loss.backward()
        sums.add(batch, part)
    return sums


def find_fault(method: Method, statistics: StepStatistics, norm: float, sums: StepSums, processes: Processes) -> str:
    """The non-finite values of this step and their example ids; empty if all values that training uses are finite.

    The ids are those of the micro-batches with such values, in all processes; or all ids if the values are finite
    there.
    """
    values = {"loss": statistics.loss, **statistics.metrics, "gradient": norm}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if all(name in method.may_be_infinite for name in bad):
        return ""
    own = [
        i
        for ids, part in sums.parts
        if not all(math.isfinite(v.item()) for v in (part.loss, *part.metrics.values()))
        for i in ids
    ]
    examples = processes.gather(own) or processes.gather([i for ids, _ in sums.parts for i in ids])
    return f"{', '.join(bad)} not finite on examples {examples}"
