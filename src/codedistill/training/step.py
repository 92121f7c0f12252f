"""The numbers of one optimiser step: backward over micro-batches, one division, one check.

Gradients and statistics are sums over micro-batches and processes until they are divided, once, by the count of the
whole step. Processes add up their gradients here instead of in a distributed wrapper: the sum is exact however
unevenly a step's examples fall on them, even if one has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from codedistill.data import Batch, Encoded, collate
from codedistill.methods.base import LossSum, Method, StepStatistics

SUMS = 7
"""loss, forward KL, reverse KL, count, response tokens, positions, positions that hold padding."""


@dataclass(frozen=True)
class Step:
    """One optimiser step's means over all processes, and what was in its batches: `padding` is a share."""

    statistics: StepStatistics
    tokens: int
    padding: float


@dataclass
class Sums:
    """This process's part of a step."""

    values: torch.Tensor  # SUMS, then the method's metrics; float64
    parts: list[tuple[tuple[int, ...], LossSum]] = field(default_factory=list)  # example ids and what they gave

    def add(self, batch: Batch, part: LossSum, names: tuple[str, ...]) -> None:
        kls = [torch.zeros_like(part.loss) if v is None else v for v in (part.forward_kl, part.reverse_kl)]
        padding = batch.ids.numel() - int(batch.attention.sum())
        counts = [part.loss.new_tensor(v) for v in (part.count, batch.response_tokens, batch.ids.numel(), padding)]
        row = [part.loss, *kls, *counts, *(part.metrics[name] for name in names)]
        self.values += torch.stack([v.detach().double() for v in row])
        self.parts.append((batch.example_ids, part))


def accumulate(
    loss: Callable[[Batch], LossSum],
    names: tuple[str, ...],
    examples: list[Encoded],
    size: int | None,
    pad_id: int,
    accelerator: Accelerator,
) -> Sums:
    """Backward over this process's micro-batches of `size` examples (None: all at once). loss, names: a method's
    `loss` and `metrics`."""
    sums = Sums(torch.zeros(SUMS + len(names), dtype=torch.float64, device=accelerator.device))
    size = size or max(1, len(examples))
    for start in range(0, len(examples), size):
        batch = collate(examples[start : start + size], pad_id).to(accelerator.device)
        part = loss(batch)
        accelerator.backward(part.loss)
        sums.add(batch, part, names)
    return sums


def divide(sums: Sums, method: Method, model: Any, accelerator: Accelerator) -> Step:
    """The one division. Gradients in `model` become the step's, the same in every process."""
    values = accelerator.reduce(sums.values, "sum").tolist()
    loss, forward, reverse, count, tokens, positions, padding, *others = values
    learning = [p for p in model.parameters() if p.requires_grad]
    if accelerator.num_processes > 1:
        for parameter in learning:  # every process needs the same list, in the same order
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
    torch._foreach_mul_([p.grad for p in learning if p.grad is not None], 1.0 / count)
    compares = method.compares
    statistics = StepStatistics(
        loss / count,
        forward / count if compares else None,
        reverse / count if compares else None,
        {name: value / count for name, value in zip(method.metrics, others, strict=True)},
    )
    return Step(statistics, round(tokens), padding / positions)


def clip(model: Any, limit: float | None) -> float:
    """Clips the gradients to the norm `limit`; returns the norm they had."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    return torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit).item()


def find_fault(statistics: StepStatistics, norm: float, sums: Sums, method: Method, accelerator: Accelerator) -> str:
    """What of a step is not finite, and on which examples; empty where nothing is that the optimiser or the method will
    see. The examples are those of the micro-batches of all processes where it was, or all where it was elsewhere.
    """
    kls = {"forward KL": statistics.forward_kl, "reverse KL": statistics.reverse_kl}
    values = {"loss": statistics.loss, **kls, **statistics.metrics, "gradient": norm}
    bad = [name for name, value in values.items() if value is not None and not math.isfinite(value)]
    harmless = () if method.learns_from_kls else kls  # a divergence that is only reported may be infinite
    if all(name in harmless for name in bad):
        return ""
    own = [i for ids, part in sums.parts if not _is_finite(part) for i in ids]
    faulty = gather_object(own)
    examples = faulty or gather_object([i for ids, _ in sums.parts for i in ids])
    return f"{', '.join(bad)} not finite on examples {examples}"


def _is_finite(part: LossSum) -> bool:
    values = [part.loss, part.forward_kl, part.reverse_kl, *part.metrics.values()]
    return all(math.isfinite(v.item()) for v in values if v is not None)
