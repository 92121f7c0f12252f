"""One division of sums over micro-batches and processes."""

from __future__ import annotations

import math

import pytest
import torch

from codedistill.data import Encoded
from codedistill.methods.base import LossSum, Method, StepStatistics
from codedistill.parallel import ALONE, Processes
from codedistill.training.step import accumulate, find_fault


class Counting(Method):
    """A loss of w per example: the gradient of the sum is the number of examples."""

    metrics = ("forward_kl", "half")

    def __init__(self) -> None:
        self.w = torch.nn.Parameter(torch.tensor(3.0))

    def loss(self, batch: object) -> LossSum:
        count = float(batch.examples)  # type: ignore[attr-defined]
        sums = {"forward_kl": torch.tensor(math.inf), "half": torch.tensor(count / 2)}
        return LossSum(self.w * count, count, sums)


EXAMPLES = [Encoded(7, (1, 2, 3), 1), Encoded(8, (1, 2), 1), Encoded(9, (1, 2, 3, 4), 2)]


@pytest.mark.parametrize("size", [None, 1, 2])
def test_sums_are_divided_once(size: int | None) -> None:
    """Response tokens: 2 + 1 + 2. One process of two: the other has seen as much."""
    method = Counting()
    sums = accumulate(method, EXAMPLES, size, 0, torch.device("cpu"))
    two = Processes(0, 2, total=lambda tensor: 2 * tensor)
    for processes, factor in ((ALONE, 1), (two, 2)):
        totals = sums.totals(processes)
        assert (totals.count, totals.tokens) == (3 * factor, 5 * factor)
        assert (totals.statistics.loss, totals.statistics.metrics["half"]) == (3.0, 0.5)
    model = torch.nn.ParameterList([method.w])
    ALONE.divide_gradients(model, 3.0)
    assert method.w.grad is not None
    assert method.w.grad.item() == 1.0
    assert ALONE.clip_gradients(model, 0.25) == 1.0
    assert method.w.grad.item() == pytest.approx(0.25, rel=1e-5)
    assert ALONE.clip_gradients(model, None) == pytest.approx(0.25, rel=1e-5)


def test_an_infinite_metric_matters_only_to_a_method_that_learns_from_it() -> None:
    method = Counting()
    sums = accumulate(method, EXAMPLES, 2, 0, torch.device("cpu"))
    statistics = sums.totals(ALONE).statistics
    assert find_fault(method, statistics, 1.0, sums, ALONE) == ""
    method.may_be_infinite = ()
    fault = find_fault(method, statistics, 1.0, sums, ALONE)
    assert "forward_kl" in fault
    assert "[7, 8, 9]" in fault
    assert "gradient" in find_fault(method, StepStatistics(1.0), math.nan, sums, ALONE)
