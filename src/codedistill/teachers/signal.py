"""The one shape in which every teacher answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from codedistill.data.batches import Batch
from codedistill.losses import Head


@dataclass(frozen=True)
class TeacherSignal:
    """The teacher's next-token distribution at the rows of a batch, as hidden states before its head."""

    hidden: torch.Tensor  # [N, H_teacher], no gradient
    head: Head


class Teacher(Protocol):
    """Anything that can say what the next token should be."""

    def signal(self, batch: Batch) -> TeacherSignal: ...
