"""On-policy distillation: part of the responses are the student's own. Agarwal et al. 2024 (GKD).

L = (1 - lambda) E_data[ D(p || q) ] + lambda E_student[ D(p || q) ]        no gradient through the sampling
"""

from __future__ import annotations

import random

import torch

from codedistill.data import Batch, Encoded
from codedistill.generation import Sampling
from codedistill.methods.base import Ingredients, LossSum, row_weights
from codedistill.methods.kd import Distillation
from codedistill.methods.writing import write_together


class OnPolicyDistillation(Distillation):
    """`Distillation` on the data's responses and, for a fraction lambda of the examples, on the student's.

    The paper draws once per batch whether the student writes it; here every example draws for itself, which is the same
    objective with less noise. The draw depends on (training.seed, step, example) alone.
    """

    def __init__(self, given: Ingredients) -> None:
        super().__init__(given)
        self._given, self._gkd, self._seed = given, given.recipe.gkd, given.recipe.training.seed
        self._sampling = Sampling(
            max_new_tokens=self._gkd.max_new_tokens,
            temperature=self._gkd.temperature,
            seed=self._seed,
            batch_size=self._gkd.batch_size,
            vocabulary=given.vocabulary,
        )
        self._written: dict[int, Encoded] = {}
        self.more = (*self.more, "student_written")

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        chosen = [e for e in examples if self._drawn(step, e.id)]
        self._written = {e.id: e for e in write_together(self._given, chosen, step, self._sampling)}
        return [self._written.get(e.id, e) for e in examples]

    def loss(self, batch: Batch) -> LossSum:
        out = super().loss(batch)
        own = torch.tensor([float(i in self._written) for i in batch.example_ids], device=batch.owner.device)
        weights, _ = row_weights(batch, self._loss.normalization)
        share = (weights * own[batch.owner]).sum()
        return LossSum(out.loss, out.count, out.forward_kl, out.reverse_kl, {**out.more, "student_written": share})

    def _drawn(self, step: int, example: int) -> bool:
        return random.Random(f"gkd {self._seed} {step} {example}").random() < self._gkd.student_fraction
