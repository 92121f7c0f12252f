"""The controllers of beta: steps worked out by hand, torch's AdamW as an oracle, walls, resets, exact resume."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from codedistill.errors import UserError
from codedistill.losses import REGULARISERS, STRATEGIES, BetaConfig, BetaShare, BetaStatistics
from codedistill.losses import beta_controller as make_controller
from codedistill.losses.beta import M2

EPSILON = 1e-4
REVERSE_LARGER = BetaStatistics(forward_kl=1.0, reverse_kl=3.0)


def controller(
    strategy: str = "M2", initial: float | tuple[float, float] = 0.3, seed: int = 0, **changes: object
) -> M2:
    made = make_controller(BetaConfig(strategy=strategy, initial=initial, **changes), seed)
    assert isinstance(made, M2)
    return made


def in_torch(name: str, beta: torch.Tensor) -> torch.Tensor:
    """The regularisers as the specification prints them."""
    away = 2 * (beta - 0.5).abs()
    if name == "eq13":
        return -torch.log(EPSILON + away) - torch.log(EPSILON + 1 - away)
    if name == "algorithm1":
        return -torch.log(EPSILON + away) - torch.log(EPSILON + 2 * (1 - beta - 0.5).abs())
    return beta * 0.0


@pytest.mark.parametrize("name", REGULARISERS)
@pytest.mark.parametrize("value", [0.0, 0.01, 0.25, 0.3, 0.499, 0.5, 0.501, 0.75, 0.99, 1.0])
def test_regularisers_against_autograd(name: str, value: float) -> None:
    function, derivative = REGULARISERS[name]
    beta = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    expected = in_torch(name, beta)
    expected.backward()
    assert beta.grad is not None
    assert function(value, EPSILON) == pytest.approx(expected.item(), rel=1e-12, abs=1e-15)
    assert derivative(value, EPSILON) == pytest.approx(beta.grad.item(), rel=1e-9, abs=1e-12)


def test_the_walls_of_equation_13() -> None:
    function, derivative = REGULARISERS["eq13"]
    wall = -math.log(EPSILON) - math.log(1 + EPSILON)
    for value in (0.0, 0.5, 1.0):
        assert function(value, EPSILON) == pytest.approx(wall, rel=1e-12)
    for well in (0.25, 0.75):
        assert function(well, EPSILON) == pytest.approx(-2 * math.log(0.5 + EPSILON), rel=1e-12)
        assert derivative(well, EPSILON) == pytest.approx(0.0, abs=1e-9)
        assert derivative(well - 0.1, EPSILON) < 0 < derivative(well + 0.1, EPSILON)
    assert derivative(0.5, EPSILON) == 0.0


def settle(machine: M2, steps: int = 400) -> float:
    for _ in range(steps):
        machine.update(BetaStatistics(1.0, 1.0))
    return machine.value


@pytest.mark.parametrize(
    ("regulariser", "start", "end"),
    [("eq13", 0.1, 0.25), ("eq13", 0.4, 0.25), ("eq13", 0.6, 0.75), ("algorithm1", 0.4, 0.0), ("algorithm1", 0.6, 1.0)],
)
def test_where_each_regulariser_drives_beta(regulariser: str, start: float, end: float) -> None:
    assert settle(controller(initial=start, regulariser=regulariser)) == pytest.approx(end, abs=1e-2)


def test_the_first_step_by_hand() -> None:
    # s = -1, no regulariser: gradient FKL - RKL = -2. AdamW's first step is lr * g / (|g| + 1e-8): beta rises by 0.01.
    machine = controller(regulariser="none")
    loss = machine.update(REVERSE_LARGER)
    assert loss == pytest.approx(-(0.3 * 3.0 + 0.7 * 1.0), rel=1e-15)
    assert machine.value == pytest.approx(0.3 + 0.01 * 2 / (2 + 1e-8), rel=1e-14)


def test_the_objective_by_hand() -> None:
    machine = controller(regulariser_weight=0.5)
    regulariser = -math.log(EPSILON + 0.4) - math.log(EPSILON + 0.6)
    assert machine.update(REVERSE_LARGER) == pytest.approx(-1.6 + 0.5 * regulariser, rel=1e-14)
    assert controller("M1").update(REVERSE_LARGER) == pytest.approx(1.6, rel=1e-15)


@pytest.mark.parametrize("strategy", ["M1", "M2", "M3"])
@pytest.mark.parametrize("regulariser", REGULARISERS)
def test_two_hundred_steps_against_torch(strategy: str, regulariser: str) -> None:
    machine = controller(strategy, initial=0.35, regulariser=regulariser)
    beta = torch.nn.Parameter(torch.tensor(0.35, dtype=torch.float64))
    optimizer = torch.optim.AdamW([beta], lr=0.01, weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        forward, reverse = (2 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
        sign = 1.0 if strategy == "M1" else -1.0
        loss = sign * (beta * reverse + (1 - beta) * forward)
        loss = loss + (0.0 if strategy == "M1" else 0.5) * in_torch(regulariser, beta)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            beta.clamp_(0.0, 1.0)
        assert machine.update(BetaStatistics(forward, reverse)) == pytest.approx(loss.item(), rel=1e-9)
        assert machine.value == pytest.approx(beta.item(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("strategy", "direction"), [("M1", -1), ("M2", 1), ("M3", 1)])
def test_the_direction_of_each_strategy(strategy: str, direction: int) -> None:
    # 0.25 is a well of eq13, so the data alone decides.
    for statistics, sign in ((REVERSE_LARGER, 1), (BetaStatistics(3.0, 1.0), -1)):
        machine = controller(strategy, initial=0.25)
        machine.update(statistics)
        assert (machine.value > 0.25) - (machine.value < 0.25) == direction * sign


def test_beta_is_clamped() -> None:
    for start, statistics, end in ((0.98, REVERSE_LARGER, 1.0), (0.02, BetaStatistics(3.0, 1.0), 0.0)):
        machine = controller(initial=start, regulariser="none")
        for _ in range(10):
            machine.update(statistics)
            assert 0.0 <= machine.value <= 1.0
        assert machine.value == end


def test_only_m3_starts_afresh_each_epoch() -> None:
    machines = {name: controller(name, initial=(0.1, 0.6), seed=3) for name in ("M1", "M2", "M3")}
    starts = {machine.value for machine in machines.values()}
    assert len(starts) == 1
    for name, machine in machines.items():
        for _ in range(3):
            machine.update(REVERSE_LARGER)
        learned = machine.state_dict()
        machine.start_epoch(1)
        fresh = machine.state_dict()
        assert (fresh == learned) == (name != "M3")
    assert machines["M3"].state_dict()["optimizer"]["state"] == {}
    assert machines["M3"].value not in starts
    one_value = controller("M3", initial=0.2)
    one_value.update(REVERSE_LARGER)
    one_value.start_epoch(5)
    assert one_value.value == 0.2


def test_draws_are_seeded_and_spread_over_the_range() -> None:
    def draws(seed: int) -> list[float]:
        machine = controller("M3", initial=(0.1, 0.6), seed=seed)
        values = []
        for epoch in range(300):
            machine.start_epoch(epoch)
            values.append(machine.value)
        return values

    first = draws(0)
    assert first == draws(0)
    assert first != draws(1)
    assert all(0.1 <= value <= 0.6 for value in first)
    assert len(set(first)) == 300
    # Mean 0.35; the mean of 300 uniform draws has a standard deviation of 0.5 / sqrt(12 * 300) = 0.0083.
    assert sum(first) / 300 == pytest.approx(0.35, abs=4 * 0.0083)
    # The epoch alone decides, not how many draws were made before: a resumed run finds the same value.
    resumed = controller("M3", initial=(0.1, 0.6), seed=0)
    resumed.start_epoch(7)
    assert resumed.value == first[7]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resume_is_exact_to_the_bit(strategy: str, tmp_path: Path) -> None:
    config = BetaConfig(strategy=strategy, initial=0.3)
    whole, before, after = (make_controller(config) for _ in range(3))
    steps = [BetaStatistics(0.1 + i / 7, 2.0 / (i + 1), i / 11, 0.3) for i in range(20)]
    for step in steps:
        whole.update(step)
    for step in steps[:9]:
        before.update(step)
    torch.save(before.state_dict(), tmp_path / "state.pt")
    after.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert after.state_dict() == before.state_dict()
    for step in steps[9:]:
        after.update(step)
    assert after.state_dict() == whole.state_dict()
    assert after.value == whole.value


def test_fixed_never_moves() -> None:
    machine = make_controller(BetaConfig(strategy="fixed", initial=1.0))
    assert machine.update(REVERSE_LARGER) == 3.0
    assert machine.update(BetaStatistics(math.inf, 2.0)) == 2.0
    machine.start_epoch(4)
    assert machine.value == 1.0
    assert machine.row_beta() == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergences_that_are_not_finite_move_nothing(bad: float) -> None:
    machine = controller()
    before = machine.state_dict()
    with pytest.raises(ValueError, match="not"):
        machine.update(BetaStatistics(bad, 1.0)) if math.isnan(bad) else machine.update(BetaStatistics(1.0, bad))
    assert machine.state_dict() == before


def test_per_token_and_per_example() -> None:
    token = make_controller(BetaConfig(strategy="per_token"))
    assert token.row_beta() == BetaShare()
    assert token.update(BetaStatistics(1.0, 3.0)) == pytest.approx(0.75 * 3.0 + 0.25 * 1.0)
    assert token.value == 0.75
    example = make_controller(BetaConfig(strategy="per_example"))
    with pytest.raises(UserError, match="example number"):
        example.row_beta()
    share = example.row_beta(torch.tensor([4, 4, 9]))
    assert isinstance(share, BetaShare)
    # Example 4: sums 1 + 2 and 3 + 6; example 9: both 0, so neither divergence is preferred.
    found = share.by_example(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 6.0, 0.0]), torch.arange(3))
    torch.testing.assert_close(found, torch.tensor([0.75, 0.75, 0.5]))


def test_share_of_infinite_divergences() -> None:
    found = BetaShare()(torch.tensor([1.0, math.inf]), torch.tensor([math.inf, 1.0]))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]))


def test_gap_driven() -> None:
    machine = make_controller(BetaConfig(strategy="gap", initial=0.5, smoothing=0.9))
    assert machine.update(BetaStatistics(1.0, 3.0, head_gap=0.1, tail_gap=0.3)) == pytest.approx(2.0)
    assert machine.value == pytest.approx(0.9 * 0.5 + 0.1 * 0.75)
    assert machine.row_beta() == machine.value
    with pytest.raises(UserError, match="head_mass"):
        machine.update(REVERSE_LARGER)


@pytest.mark.parametrize(
    "changes",
    [
        {"initial": 1.2},
        {"initial": (0.1, 0.2, 0.3)},
        {"strategy": "M4"},
        {"initial": (0.6, 0.1)},
        {"regulariser": "eq14"},
        {"learning_rate": -1.0},
        {"epsilon": 0.0},
        {"smoothing": 1.0},
        {"head_mass": 1.0},
    ],
)
def test_settings_that_cannot_be_meant(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as error:
        BetaConfig(**changes)
    assert error.value.errors()[0]["loc"] == (next(iter(changes)),)


def test_a_fixed_beta_has_no_default() -> None:
    with pytest.raises(ValidationError) as error:
        BetaConfig(strategy="fixed")
    assert error.value.errors()[0]["ctx"]["keys"] == ("initial", "strategy")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_has_the_effect_of_what_it_reads_alone(strategy: str) -> None:
    idle = BetaConfig(strategy=strategy, initial=0.3).ineffective()
    assert {*idle, *STRATEGIES[strategy].reads, "strategy"} == set(BetaConfig.model_fields)
