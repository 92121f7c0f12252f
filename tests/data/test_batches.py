from __future__ import annotations

from itertools import islice, pairwise

import torch

from codedistill.data import BatchPlan, Encoded, collate


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


def test_the_cursor_enters_the_order_anywhere() -> None:
    whole = list(islice(PLAN.start_at(0), 300))
    for step in (0, 1, 125, 126, 200):
        assert list(islice(PLAN.start_at(step), 300 - step)) == whole[step:]
    assert [epoch for epoch, _ in whole] == [0] * 126 + [1] * 126 + [2] * 48


def test_batches_are_formed_by_length() -> None:
    used = padded = 0
    for batch in PLAN.epoch(0):
        lengths = [PLAN.lengths[i] for i in batch]
        used += sum(lengths)
        padded += max(lengths) * len(lengths)
    assert 1 - used / padded < 0.10


def test_the_order_is_random_in_length() -> None:
    means = [sum(PLAN.lengths[i] for i in batch) / len(batch) for batch in PLAN.epoch(0)]
    rising = sum(a < b for a, b in pairwise(means))
    assert 0.3 < rising / (len(means) - 1) < 0.7
