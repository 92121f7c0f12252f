"""A teacher in memory, frozen."""

from __future__ import annotations

from typing import Any

import torch

from codedistill.data.batches import Batch
from codedistill.models.heads import HiddenStates, output_head
from codedistill.teachers.signal import TeacherSignal


class LiveTeacher:
    """Runs the teacher on every batch, without gradients and without dropout."""

    def __init__(self, model: Any) -> None:
        model.requires_grad_(False)
        self._states = HiddenStates(model.eval())
        self._head = output_head(model)

    @torch.no_grad()
    def signal(self, batch: Batch) -> TeacherSignal:
        return TeacherSignal(self._states(batch), self._head)
