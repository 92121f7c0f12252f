"""Inputs for the tests of the fused pass, and the same loss from full logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codedistill.losses import FusedOutput, Head, Hidden, Objective, forward_kl, fused_divergence, reverse_kl

MINUS_INF = float("-inf")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass
class Inputs:
    student_hidden: Tensor
    student_weight: Tensor
    teacher_hidden: Tensor
    teacher_weight: Tensor
    row_weights: Tensor
    targets: Tensor

    def fused(self, objective: Objective, student: Head | None = None, teacher: Head | None = None) -> FusedOutput:
        return fused_divergence(
            self.student_hidden,
            student or Head(self.student_weight),
            Hidden(self.teacher_hidden, teacher or Head(self.teacher_weight)),
            self.row_weights,
            objective,
            self.targets,
        )

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, (self.student_hidden, self.student_weight))

    def double(self) -> Inputs:
        wide = [getattr(self, name).detach().double() for name in list(self.__dict__)[:5]]
        return Inputs(wide[0].requires_grad_(), wide[1].requires_grad_(), wide[2], wide[3], wide[4], self.targets)


def inputs(rows: int = 13, entries: int = 7, dtype: torch.dtype = torch.float32, seed: int = 0) -> Inputs:
    """Hidden sizes differ (5 and 3); logits have a standard deviation near 1.5; every third row is masked."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    weights = torch.rand(rows, generator=generator, dtype=torch.float64).to(dtype) + 0.1
    weights[2::3] = 0.0
    targets = torch.randint(entries, (rows,), generator=generator)
    targets[2::3] = -100
    hidden, weight = draw(rows, 5).requires_grad_(), (0.7 * draw(entries, 5)).requires_grad_()
    return Inputs(hidden, weight, draw(rows, 3), 0.9 * draw(entries, 3), weights, targets)


def reference(given: Inputs, objective: Objective, beta: float | Tensor) -> Tensor:
    """The same loss from full logits, without anything of the fused pass."""
    student = given.student_hidden @ given.student_weight.T
    teacher = given.teacher_hidden @ given.teacher_weight.T
    temperature, share = objective.temperature, objective.cross_entropy_weight
    if objective.divergence is None:
        values = (1 - beta) * forward_kl(student, teacher, temperature) + beta * reverse_kl(
            student, teacher, temperature
        )
    else:
        values = objective.divergence(student, teacher, temperature)
    if objective.squared_temperature:
        values = values * temperature**2
    hard = torch.nn.functional.cross_entropy(student, given.targets, reduction="none", ignore_index=-100)
    return (given.row_weights * ((1 - share) * values + share * hard)).sum()


def assert_close(actual: Tensor, expected: Tensor, relative: float) -> None:
    """Relative to the norm of the whole tensor."""
    error = (actual.double() - expected.double()).norm()
    assert error <= relative * expected.double().norm() + 1e-300, (error / expected.double().norm()).item()


def compare(given: Inputs, objective: Objective, beta: float | Tensor, relative: float) -> None:
    wide = given.double()
    loss, expected = given.fused(objective).loss, reference(wide, objective, beta)
    assert_close(loss, expected, relative)
    for actual, right in zip(given.gradients(loss), wide.gradients(expected), strict=True):
        assert_close(actual, right, relative)
