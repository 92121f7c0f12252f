"""Methods with a teacher that answers with its likeliest tokens only, as a cache or a server does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from codedistill.data import Batch
from codedistill.errors import UserError
from codedistill.losses import TopK
from codedistill.methods import build_method
from codedistill.methods.base import Method
from codedistill.models import Loaded

Bench = Callable[..., Any]


class Listing:
    """The k likeliest tokens of a live teacher. Its model is elsewhere."""

    loaded: Loaded | None = None

    def __init__(self, made: Any, k: int) -> None:
        self._made, self._k = made, k

    @torch.no_grad()
    def signal(self, batch: Batch) -> TopK:
        return TopK.from_logits(self._made.logits(self._made.teacher, batch), self._k)


def with_top(made: Any, k: int) -> Method:
    return build_method(replace(made.context, teacher=Listing(made, k)))


@pytest.mark.parametrize(
    "overrides",
    [["method=kd"], ["method=akd"], ["method=akd", "beta.strategy=gap"], ["method=kd", "loss.divergence=jsd"]],
)
def test_a_full_list_trains_like_the_live_teacher(overrides: list[str], bench: Bench) -> None:
    made = bench(overrides, wide=True)
    batch, everything = made.batch, len(made.student.tokenizer)
    outs = [method.loss(batch) for method in (made.method, with_top(made, everything))]
    assert outs[1].loss.item() == pytest.approx(outs[0].loss.item(), rel=1e-9)
    assert outs[0].metrics.keys() == outs[1].metrics.keys()
    for a, b in zip(*(made.gradients(out.loss) for out in outs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_a_short_list_gives_a_lower_bound(bench: Bench) -> None:
    made = bench(["method=akd"], wide=True)
    sums = [with_top(made, k).loss(made.batch).metrics for k in (1, 8, 64)]
    sums.append(made.method.loss(made.batch).metrics)
    for name in ("forward_kl", "reverse_kl"):
        values = [each[name].item() for each in sums]
        assert 0 < values[0] < values[1] < values[2] < values[3]


def test_a_teacher_that_is_elsewhere_cannot_write(bench: Bench) -> None:
    made = bench(["method=minillm", "minillm.max_new_tokens=2"])
    with pytest.raises(UserError, match="teacher"):
        with_top(made, 8).start_step(0, made.examples)
