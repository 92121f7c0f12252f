"""Supervised fine-tuning: cross entropy on the responses."""

from __future__ import annotations

from codedistill.data import Batch
from codedistill.losses import fused_cross_entropy
from codedistill.methods.base import LossSum, Method, MethodContext, row_weights


class SupervisedFineTuning(Method):
    """The baseline without a teacher."""

    def __init__(self, context: MethodContext) -> None:
        self._student, self._head, self._settings = context.student, context.student.head, context.recipe.loss

    def loss(self, batch: Batch) -> LossSum:
        weights, count = row_weights(batch, self._settings.normalization)
        hidden, vocabulary = self._student.states(batch), self._student.vocabulary
        out = fused_cross_entropy(hidden, self._head, batch.targets, weights, vocabulary, self._settings.chunk_rows)
        return LossSum(out.loss, count)
