"""A teacher in memory, frozen."""

from __future__ import annotations

from typing import Any

import torch

from codedistill.data import Batch
from codedistill.losses import Hidden
from codedistill.models import Loaded
from codedistill.models.heads import HiddenStates, output_head


class LiveTeacher:
    """Runs the teacher on every batch, without gradients and without dropout."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded: Loaded | None = loaded
        model: Any = loaded.model
        model.requires_grad_(False)
        self._states = HiddenStates(model.eval())
        self._head = output_head(model)

    @torch.no_grad()
    def signal(self, batch: Batch) -> Hidden:
        return Hidden(self._states(batch), self._head)
