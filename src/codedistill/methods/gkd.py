"""On-policy distillation: the student writes some of the responses. Agarwal et al. 2024 (GKD).

L = (1 - lambda) E_data[ D(p || q) ] + lambda E_student[ D(p || q) ]        no gradient through the sampling
"""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from codedistill.data import Batch, Encoded
from codedistill.generation import Sampling
from codedistill.methods.base import LossSum, MethodContext, StepStatistics, row_weights
from codedistill.methods.kd import Distillation
from codedistill.methods.settings import Gkd


class OnPolicyDistillation(Distillation):
    """`Distillation` on the data's responses and, for a fraction lambda of the examples, on the student's.

    The paper decides per batch whether the student writes it; here each example is drawn on its own, which is the same
    objective with less noise. The draw depends only on (training.seed, step, example). Cross entropy is taken on the
    data's responses only: the student must not imitate its own.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        gkd, self._seed = context.recipe.section(Gkd), context.recipe.training.seed
        self._context, self._fraction = context, gkd.student_fraction
        self._sampling = Sampling(
            gkd.max_new_tokens, gkd.temperature, self._seed, gkd.batch_size, context.student.vocabulary
        )
        self._written: dict[int, Encoded] = {}
        self.metrics = (*self.metrics, "student_written")

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        chosen = [e for e in examples if self.student_writes(step, e.id)]
        self._written = {e.id: e for e in self._context.write(chosen, step, self._sampling)}
        return [self._written.get(e.id, e) for e in examples]

    def loss(self, batch: Batch) -> LossSum:
        out = super().loss(batch)
        weights, _ = row_weights(batch, self._settings.normalization)
        return replace(out, metrics={**out.metrics, "student_written": (weights * self._student_wrote(batch)).sum()})

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        logged = super().after_step(statistics)
        mean, written = logged.get("cross_entropy"), statistics.metrics["student_written"]
        if mean is not None:  # the mean over the data's responses only, as in the loss
            logged["cross_entropy"] = mean / (1.0 - written) if written < 1.0 else None
        return logged

    def _cross_entropy_weight(self, batch: Batch) -> float | torch.Tensor:
        return self._settings.cross_entropy_weight * (1.0 - self._student_wrote(batch))

    def _student_wrote(self, batch: Batch) -> torch.Tensor:
        """1 in rows of responses that the student wrote, else 0, [N]."""
        own = torch.tensor([float(i in self._written) for i in batch.example_ids], device=batch.owner.device)
        return own[batch.owner]

    def student_writes(self, step: int, example: int) -> bool:
        """Whether the student writes the response to this example at this step."""
        return random.Random(f"gkd {self._seed} {step} {example}").random() < self._fraction
