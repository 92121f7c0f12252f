from __future__ import annotations

import random
from itertools import islice

from codedistill.tiny.datasets import (
    Partition,
    benchmark,
    draw_training_tasks,
    instructions,
    partition,
    pretraining_text,
)
from codedistill.tiny.tasks import draw_argument, draw_task, is_held_out

SHIPPED_ROWS = 20_000  # more than the embedded models ever saw of one set is drawn from the same streams


def test_no_held_out_composition_occurs_in_training() -> None:
    held_out = {row["composition"] for row in benchmark()}
    assert all(is_held_out(key) for key in held_out)
    for which in Partition:
        keys = {task.composition.key for task in islice(draw_training_tasks(which, SHIPPED_ROWS, seed=0), SHIPPED_ROWS)}
        assert len(keys) > 1000
        assert not keys & held_out
        assert not any(is_held_out(key) for key in keys)


def test_the_three_sets_share_no_function() -> None:
    text, asked = (
        {task.composition.identity for task in draw_training_tasks(which, 5000, seed=0)} for which in Partition
    )
    assert not text & asked
    solutions = {row["prompt"] + row["canonical_solution"] for row in benchmark()}
    assert not solutions & {row["completion"] for row in pretraining_text(5000)}


def test_there_are_more_than_ten_thousand_functions() -> None:
    rng = random.Random(0)
    identities = {draw_task(rng, held_out=False).composition.identity for _ in range(20_000)}
    assert len(identities) > 10_000


def test_partition_depends_on_the_function_alone() -> None:
    for task in draw_training_tasks(Partition.TEXT, 50, seed=3):
        assert partition(task) is Partition.TEXT


def test_solutions_pass_their_tests_and_simpler_ones_do_not() -> None:
    for row in benchmark():
        namespace: dict[str, object] = {}
        exec(row["prompt"] + row["canonical_solution"] + row["test"], namespace)
        namespace["check"](namespace[row["entry_point"]])  # type: ignore[operator]
        for constant in ("0", "[]", "None", "''"):
            try:
                namespace["check"](eval(f"lambda argument: {constant}"))  # type: ignore[operator]
            except AssertionError:
                continue
            raise AssertionError(f"{row['task_id']} accepts a constant {constant}")


def test_both_styles_of_a_task_agree() -> None:
    from codedistill.tiny.tasks import solve

    rng = random.Random(5)
    for _ in range(400):
        composition = draw_task(rng, held_out=False).composition
        results = []
        for loop in (False, True):
            code = "def f(a):\n" + "".join(f"    {line}\n" for line in solve(composition, "a", "x", loop).split("\n"))
            namespace: dict[str, object] = {}
            exec(code, namespace)
            draws = random.Random(1)
            arguments = [draw_argument(composition.source.key, draws, size) for size in range(6)]
            results.append([namespace["f"](argument) for argument in arguments])  # type: ignore[operator]
        assert results[0] == results[1], composition.identity


def test_sets_are_the_same_every_time() -> None:
    assert instructions(20, seed=4) == instructions(20, seed=4)
    assert instructions(20, seed=4) != instructions(20, seed=5)
    assert benchmark(10) == benchmark(20)[:10]


def test_the_benchmark_is_large_enough_and_each_task_another_composition() -> None:
    rows = benchmark()
    assert len(rows) >= 200
    assert len({row["composition"] for row in rows}) == len(rows)
