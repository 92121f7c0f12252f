"""The numbers of one optimiser step: backward over micro-batches, one division, one check.

Gradients and statistics are sums over micro-batches and processes until they are divided, once, by the count of the
whole step. Processes add up their gradients here instead of in a distributed wrapper: the sum is exact however
unevenly a step's examples fall on them, even if one has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from codedistill.data import Batch, Encoded, collate
from codedistill.errors import CodedistillError
from codedistill.methods.base import LossSum, Method, StepStatistics


@dataclass
class Sums:
    """This process's part of a step."""

    values: torch.Tensor  # loss, forward KL, reverse KL, count, tokens, then the method's `more`; float64
    parts: list[tuple[tuple[int, ...], LossSum]] = field(default_factory=list)  # example ids and what they gave

    def add(self, batch: Batch, part: LossSum, names: tuple[str, ...]) -> None:
        kls = [torch.zeros_like(part.loss) if v is None else v for v in (part.forward_kl, part.reverse_kl)]
        counts = [part.loss.new_tensor(v) for v in (part.count, batch.response_tokens)]
        row = [part.loss, *kls, *counts, *(part.more[name] for name in names)]
        self.values += torch.stack([v.detach().double() for v in row])
        self.parts.append((batch.example_ids, part))


def accumulate(
    method: Method, examples: list[Encoded], size: int | None, pad_id: int, accelerator: Accelerator
) -> Sums:
    """Backward over this process's micro-batches of `size` examples (None: all at once)."""
    sums = Sums(torch.zeros(5 + len(method.more), dtype=torch.float64, device=accelerator.device))
    size = size or max(1, len(examples))
    for start in range(0, len(examples), size):
        batch = collate(examples[start : start + size], pad_id).to(accelerator.device)
        part = method.loss(batch)
        accelerator.backward(part.loss)
        sums.add(batch, part, method.more)
    return sums


def divide(sums: Sums, method: Method, model: Any, accelerator: Accelerator) -> tuple[StepStatistics, int]:
    """The one division. Gradients in `model` become the step's, the same in every process; also the step's means, and
    its number of response tokens."""
    values = accelerator.reduce(sums.values, "sum").tolist()
    loss, forward, reverse, count, tokens, *more = values
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
        {name: value / count for name, value in zip(method.more, more, strict=True)},
    )
    return statistics, round(tokens)


def clip(model: Any, limit: float | None) -> float:
    """Clips the gradients to the norm `limit`; returns the norm they had."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    return torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit).item()


def check_finite(step: int, statistics: StepStatistics, norm: float, sums: Sums, method: str) -> None:
    """Stops before the optimiser sees a value that is not finite.

    Raises CodedistillError with the step, what was not finite, and the examples of this process's micro-batches where
    it was (all of them where it was elsewhere, or in the gradient alone).
    """
    values = {
        "loss": statistics.loss,
        "forward KL": statistics.forward_kl,
        "reverse KL": statistics.reverse_kl,
        **statistics.more,
        "gradient": norm,
    }
    bad = [name for name, value in values.items() if value is not None and not math.isfinite(value)]
    if not bad:
        return
    faulty = [i for ids, part in sums.parts if not _is_finite(part) for i in ids]
    examples = faulty or [i for ids, _ in sums.parts for i in ids]
    raise CodedistillError(
        f"step {step + 1}, method {method}: {', '.join(bad)} not finite on examples {examples}; nothing of this "
        "step was applied, the last checkpoint is whole; lower training.learning_rate or look at these examples"
    )


def _is_finite(part: LossSum) -> bool:
    values = [part.loss, part.forward_kl, part.reverse_kl, *part.more.values()]
    return all(math.isfinite(v.item()) for v in values if v is not None)
