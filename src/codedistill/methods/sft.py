"""Supervised fine-tuning: cross entropy on the responses."""

from __future__ import annotations

from codedistill.data import Batch
from codedistill.losses import fused_cross_entropy
from codedistill.methods.base import Ingredients, LossSum, Method, row_weights


class SupervisedFineTuning(Method):
    """The baseline without a teacher."""

    compares = False

    def __init__(self, given: Ingredients) -> None:
        self._states, self._head, self._loss = given.states, given.head, given.recipe.loss
        self._vocabulary = given.vocabulary

    def loss(self, batch: Batch) -> LossSum:
        weights, count = row_weights(batch, self._loss.normalization)
        out = fused_cross_entropy(
            self._states(batch), self._head, batch.targets, weights, self._vocabulary, self._loss.chunk_rows
        )
        return LossSum(out.loss, count)
