"""Everything that knows how many processes there are: joining them, splitting work, sums, gradients.

The first process writes files and prints; the others only take part in training. The launcher (torchrun, accelerate
launch) tells each process its rank and the number of processes in RANK and WORLD_SIZE.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codedistill.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as seen by the one with rank `index` of `count`. By default it is alone.

    total: sums a tensor over all processes. gather: concatenates their lists. Both, and the methods below that use
    them, must be called in all processes at the same time.
    """

    index: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    gather: Callable[[list[Any]], list[Any]] = lambda rows: rows

    def own(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of a list: consecutive items, as many as each other process has, or fewer."""
        size = -(-len(items) // self.count)
        return items[self.index * size : (self.index + 1) * size]

    def any(self, flag: bool, device: torch.device) -> bool:
        """True in all processes if `flag` is true in one. device: of the tensor that they exchange."""
        import torch

        return flag if self.count == 1 else bool(self.total(torch.tensor(float(flag), device=device)) > 0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            self.gather([])

    def divide_gradients(self, model: Module, count: float) -> None:
        """Gradients become the sum over all processes divided by `count`, the same everywhere.

        The sum is exact for any split of a step's examples, even if a process has none; a distributed wrapper's mean is
        not.
        """
        import torch

        learning = [p for p in model.parameters() if p.requires_grad]
        if self.count > 1:
            for parameter in learning:  # all processes must reduce the same list in the same order
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
        torch._foreach_mul_([p.grad for p in learning if p.grad is not None], 1.0 / count)

    def clip_gradients(self, model: Module, limit: float | None) -> float:
        """Clip the gradients to the norm `limit` and return the norm they had."""
        import torch

        parameters = [p for p in model.parameters() if p.grad is not None]
        return torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit).item()


ALONE = Processes()


def rank() -> int:
    """This process's rank, 0 if it is alone. Needs no torch.

    RANK alone does not count: job schedulers set it too.
    """
    return int(os.environ.get("RANK", "0")) if _are_several() else 0


def _are_several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Any:
    """Accelerate's PartialState, with the process group set up.

    Without a GPU accelerate needs `cpu=True`; otherwise each process would take itself for the only one.
    """
    import torch
    from accelerate import PartialState

    return PartialState(cpu=True) if _are_several() and not torch.accelerator.is_available() else PartialState()


def launch() -> tuple[Any, Processes]:
    """The Accelerator, for devices and mixed precision, and this run's processes.

    Raises:
        UserError: a kind of distribution or precision that the training loop does not support.
    """
    from accelerate import Accelerator
    from accelerate.utils import gather_object

    join()
    accelerator = Accelerator()
    kind = str(accelerator.distributed_type.value)
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        raise UserError(f"accelerate: distributed type {kind} is not supported; use several plain processes or one")
    if accelerator.mixed_precision == "fp16":
        raise UserError("accelerate: mixed precision fp16 is not supported; use bf16 or none")
    return accelerator, Processes(
        index=accelerator.process_index,
        count=accelerator.num_processes,
        total=lambda tensor: accelerator.reduce(tensor, "sum"),
        gather=gather_object,
    )


def share_directory(path: Path | None) -> Path:
    """The run directory of the first process, in all processes; the others pass None and wait for it.

    Raises:
        UserError: the environment says that this is not the first process, but there is no other.
    """
    from accelerate.utils import broadcast_object_list

    if join().num_processes == 1:
        if path is None:
            raise UserError(
                f"RANK={rank()}: this process should join others, but there are none; "
                "start all of them with torchrun or accelerate launch, or unset RANK and WORLD_SIZE"
            )
        return path
    (shared,) = broadcast_object_list([None if path is None else str(path.resolve())], from_process=0)
    return Path(shared)
