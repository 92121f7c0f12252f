from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice, pairwise

import pytest
import torch

from codedistill.data import BatchPlan, Encoded, collate
from codedistill.parallel import Processes


def test_rows_predict_exactly_the_response_tokens() -> None:
    batch = collate([Encoded(5, (1, 2, 3, 4), 2), Encoded(9, (6, 7, 8), 1)], pad_id=0)
    assert batch.ids.tolist() == [[1, 2, 3, 4], [6, 7, 8, 0]]
    assert batch.attention.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.rows.tolist() == [1, 2, 4, 5]
    assert batch.targets.tolist() == [3, 4, 7, 8]
    assert batch.owner.tolist() == [0, 0, 1, 1]
    assert batch.example_ids == (5, 9)
    assert torch.equal(batch.ids.flatten()[batch.rows + 1], batch.targets)


PLAN = BatchPlan(tuple((i * 37) % 200 + 10 for i in range(1003)), batch_size=8, seed=3)


def test_an_epoch_shows_every_example_once() -> None:
    for epoch in (0, 1):
        batches = PLAN.epoch(epoch)
        assert len(batches) == len(PLAN) == 126
        assert sorted(i for batch in batches for i in batch) == list(range(1003))
    assert PLAN.epoch(0) != PLAN.epoch(1)
    assert replace(PLAN, seed=4).epoch(0) != PLAN.epoch(0)


def test_the_cursor_enters_the_order_anywhere() -> None:
    whole = list(islice(PLAN.start_at(0), 300))
    for step in (0, 1, 125, 126, 200):
        assert list(islice(PLAN.start_at(step), 300 - step)) == whole[step:]
    assert [epoch for epoch, _ in whole] == [0] * 126 + [1] * 126 + [2] * 48


def lengths_of_instructions(count: int, spread: float, seed: int) -> tuple[int, ...]:
    """Tokens per example as instruction data has them: a template of 40, a text of log-normal length, cut to 512.

    Those of CodeAlpaca have a standard deviation of the logarithm of 0.6.
    """
    rng = random.Random(seed)
    return tuple(min(512, 40 + round(rng.lognormvariate(4.3, spread))) for _ in range(count))


def padding_share(plan: BatchPlan, micro: int | None = None, processes: int = 1) -> float:
    """Share of the first epoch's positions that hold padding, where `micro` examples go through the models at once."""
    tokens = positions = 0
    for batch in plan.epoch(0):
        for own in (Processes(index, processes).own(batch) for index in range(processes)):
            size = micro or max(1, len(own))
            for start in range(0, len(own), size):
                lengths = [plan.lengths[i] for i in own[start : start + size]]
                tokens += sum(lengths)
                positions += max(lengths) * len(lengths)
    return 1 - tokens / positions


@pytest.mark.parametrize("batch_size", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("spread", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("count", [1500, 9001])
def test_padding_stays_below_a_tenth(count: int, spread: float, batch_size: int) -> None:
    for seed in range(3):
        lengths = lengths_of_instructions(count, spread, seed)
        plan, wide = (BatchPlan(lengths, batch_size * n, seed) for n in (1, 2))
        whole, cut = padding_share(plan), padding_share(plan, micro=2)
        assert cut <= whole < 0.10
        assert padding_share(wide, processes=2) < 0.10


def test_processes_take_neighbours_and_every_example_once() -> None:
    for count, processes in ((8, 2), (7, 3), (1, 2), (2, 4)):
        parts = [list(Processes(index, processes).own(range(count))) for index in range(processes)]
        assert [i for part in parts for i in part] == list(range(count))
        assert max(map(len, parts)) == -(-count // processes)


def test_the_order_is_random_in_length() -> None:
    means = [sum(PLAN.lengths[i] for i in batch) / len(batch) for batch in PLAN.epoch(0)]
    rising = sum(a < b for a, b in pairwise(means))
    assert 0.3 < rising / (len(means) - 1) < 0.7
