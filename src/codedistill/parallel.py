"""Runs on several processes: the first one does everything, the others only take part in training.

The launcher (torchrun, accelerate launch) tells each process its number and how many there are by the environment
variables RANK and WORLD_SIZE.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codedistill.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of a run as one of them sees them: it is number `index` of `count`; by default it is alone.

    total: sums a tensor over all of them. gather: joins their lists. Both are called by every process at once.
    """

    index: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    gather: Callable[[list[Any]], list[Any]] = lambda rows: rows

    def own(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of a list: neighbours, and as many as the others have, or fewer."""
        size = -(-len(items) // self.count)
        return items[self.index * size : (self.index + 1) * size]


ALONE = Processes()


def rank() -> int:
    """This process's number among those of the run; 0 when it is alone. Needs no torch.

    RANK alone says nothing: job schedulers set it too.
    """
    return int(os.environ.get("RANK", "0")) if _are_several() else 0


def _are_several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Any:
    """accelerate's state of the processes, joined. Without an accelerator they must be told to join on the CPU, or
    each would believe that it is alone."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=True) if _are_several() and not torch.accelerator.is_available() else PartialState()


def share_directory(path: Path | None) -> Path:
    """The run directory of the first process, in every process; the others give None and wait for it.

    Raises:
        UserError: the environment says that this is not the first process, but there is no other.
    """
    from accelerate.utils import broadcast_object_list

    if join().num_processes == 1:
        if path is None:
            raise UserError(
                f"RANK={rank()}: this process is to join others, but there are none; "
                "start all of them with torchrun or accelerate launch, or unset RANK and WORLD_SIZE"
            )
        return path
    (found,) = broadcast_object_list([None if path is None else str(path.resolve())], from_process=0)
    return Path(found)
