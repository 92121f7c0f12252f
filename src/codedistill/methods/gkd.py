"""On-policy distillation: part of the responses are the student's own. Agarwal et al. 2024 (GKD).

L = (1 - lambda) E_data[ D(p || q) ] + lambda E_student[ D(p || q) ]        no gradient through the sampling
"""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from codedistill.data import Batch, Encoded
from codedistill.generation import Sampling
from codedistill.methods.base import Ingredients, LossSum, StepStatistics, row_weights
from codedistill.methods.kd import Distillation
from codedistill.methods.settings import Gkd
from codedistill.methods.writing import write_together


class OnPolicyDistillation(Distillation):
    """`Distillation` on the data's responses and, for a fraction lambda of the examples, on the student's.

    The paper draws once per batch whether the student writes it; here every example draws for itself, which is the same
    objective with less noise. The draw depends on (training.seed, step, example) alone. A cross-entropy share is of the
    data's responses; the student's own are nothing to imitate.
    """

    def __init__(self, given: Ingredients) -> None:
        super().__init__(given)
        self._given, self._gkd, self._seed = given, given.recipe.section(Gkd), given.recipe.training.seed
        self._sampling = Sampling(
            max_new_tokens=self._gkd.max_new_tokens,
            temperature=self._gkd.temperature,
            seed=self._seed,
            batch_size=self._gkd.batch_size,
            vocabulary=given.vocabulary,
        )
        self._written: dict[int, Encoded] = {}
        self.metrics = (*self.metrics, "student_written")

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        chosen = [e for e in examples if self._drawn(step, e.id)]
        self._written = {e.id: e for e in write_together(self._given, chosen, step, self._sampling)}
        return [self._written.get(e.id, e) for e in examples]

    def loss(self, batch: Batch) -> LossSum:
        out = super().loss(batch)
        weights, _ = row_weights(batch, self._loss.normalization)
        share = (weights * self._student_wrote(batch)).sum()
        return replace(out, metrics={**out.metrics, "student_written": share})

    def after_step(self, statistics: StepStatistics) -> dict[str, float | None]:
        logged = super().after_step(statistics)
        mean, written = logged.get("cross_entropy"), statistics.metrics["student_written"]
        if mean is not None:  # of the data's responses, as the loss has it
            logged["cross_entropy"] = mean / (1.0 - written) if written < 1.0 else None
        return logged

    def _cross_entropy_weight(self, batch: Batch) -> float | torch.Tensor:
        return self._loss.cross_entropy_weight * (1.0 - self._student_wrote(batch))

    def _student_wrote(self, batch: Batch) -> torch.Tensor:
        """1 in the rows whose response the student wrote, else 0, [N]."""
        own = torch.tensor([float(i in self._written) for i in batch.example_ids], device=batch.owner.device)
        return own[batch.owner]

    def _drawn(self, step: int, example: int) -> bool:
        return random.Random(f"gkd {self._seed} {step} {example}").random() < self._gkd.student_fraction
