"""The loop that every method runs in.

One optimiser step: micro-batches add up sums and counts, gradients are divided once by the count of all micro-batches
and processes, checked, clipped, applied; then the method sees the step's means (that is how beta moves).
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed

from codedistill.errors import CodedistillError, UserError
from codedistill.methods.base import Workplace
from codedistill.parallel import join
from codedistill.recipe.model import Recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.environment import describe_environment, peak_memory_mb
from codedistill.runs.files import write_json
from codedistill.training.checkpoint import (
    TrainState,
    check_same_data,
    check_same_recipe,
    load_weights,
    newest_checkpoint,
    random_states,
    read_state,
    restore_random_states,
    save_checkpoint,
)
from codedistill.training.save import save_student
from codedistill.training.schedule import learning_rate
from codedistill.training.setup import Setup, prepare, processes_of
from codedistill.training.step import accumulate, clip, divide, find_fault


class Interrupted(CodedistillError):
    """Ctrl-C or SIGTERM; a checkpoint has been saved. Raised in every process at once."""

    exit_code = 130
    everywhere = True


class NotFinite(CodedistillError):
    """A loss or a gradient is infinite or no number. Raised in every process at once, before the optimiser's step."""

    everywhere = True


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl: means over the step, `tokens` response tokens, `seconds` of the step; `padding` is the
    share of the batch's positions that hold no token.

    `extra`: what the method adds; its entries stand beside the others in the file.
    """

    step: int
    epoch: int
    loss: float
    forward_kl: float | None
    reverse_kl: float | None
    beta: float | None
    beta_loss: float | None
    lr: float
    grad_norm: float
    tokens: int
    padding: float
    seconds: float
    extra: dict[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON has no infinity: where a divergence that is only reported is infinite, there stands null."""
        values = asdict(self)
        values |= values.pop("extra")
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves behind.

    template: how the student is to be asked. peak_memory_mb: of the whole process so far, see
    `environment.peak_memory_mb`.
    """

    model: Path
    steps: int
    examples: int
    cut: int
    dropped: int
    parameters: int
    template: str
    peak_memory_mb: float


OnStep = Callable[[StepMetrics, int], None]
"""Called with each step's metrics and the number of steps in all."""


OnCount = Callable[[int, int], None]
"""Called with how many responses are written before training, of how many."""


def train(
    recipe: Recipe, directory: RunDirectory, on_step: OnStep | None = None, on_count: OnCount | None = None
) -> TrainingResult:
    """Train the recipe's student into `directory`. The caller holds the directory's lock.

    Raises:
        UserError: something in the recipe, the models or the data is wrong, or the disk is full.
        Interrupted: stopped by a signal; a checkpoint has been saved.
        NotFinite: a loss or gradient is not finite; nothing of that step was applied.
    """
    accelerator = _accelerator()
    main = accelerator.is_main_process
    set_seed(recipe.training.seed)
    newest = newest_checkpoint(directory.checkpoints) if recipe.resume == "auto" else None
    state = None
    if newest is not None:
        state = read_state(newest)
        check_same_recipe(state, recipe.dump(), accelerator.num_processes, newest)
    count = on_count or (lambda done, of: None)
    place = Workplace(directory.path, accelerator.device, processes_of(accelerator), count, begun=state is not None)
    setup = prepare(recipe, accelerator, place)
    if newest is not None and state is not None:
        _restore(newest, state, setup)
    done = 0 if state is None else state.step
    if main:
        write_json(directory.environment, describe_environment(setup.fingerprints))
    with _stop_signal() as caught, _metrics_file(directory.metrics if main else Path(os.devnull), done) as log:
        for step, metrics in _steps(recipe, setup, accelerator, done, directory):
            if main:
                log.write(json.dumps(metrics.to_json()) + "\n")
                log.flush()
            if main and on_step is not None:
                on_step(metrics, setup.steps)
            stopped = _anywhere(caught(), accelerator)
            if stopped or (step + 1) % recipe.training.checkpoint_every == 0 or step + 1 == setup.steps:
                state = _state(recipe, setup, accelerator, step + 1)
                if main:
                    keep = recipe.training.keep_checkpoints
                    save_checkpoint(directory.checkpoints, setup.student.model, state, keep)
                accelerator.wait_for_everyone()
            if step + 1 == setup.steps:  # no later step would notice a signal that arrived while this one was saved
                stopped = _anywhere(caught(), accelerator)
            if stopped:  # after the last step too: what comes next is not what was asked for
                raise Interrupted(
                    f"stopped after step {step + 1} of {setup.steps}; checkpoint saved in {directory.checkpoints}"
                )
    template = recipe.template or setup.report.template
    if main:
        save_student(recipe, setup.student, template, directory)
    accelerator.wait_for_everyone()
    return TrainingResult(
        model=directory.model,
        steps=setup.steps,
        examples=setup.report.examples,
        cut=setup.report.cut,
        dropped=setup.report.dropped,
        parameters=sum(p.numel() for p in setup.student.model.parameters()),
        template=template,
        peak_memory_mb=peak_memory_mb(),
    )


def _accelerator() -> Accelerator:
    """Raises UserError for a way of running that this loop has not."""
    join()
    accelerator = Accelerator()
    kind = str(accelerator.distributed_type.value)
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        raise UserError(f"accelerate: distributed type {kind} is not supported; use several plain processes or one")
    if accelerator.mixed_precision == "fp16":
        raise UserError("accelerate: mixed precision fp16 is not supported; use bf16 or none")
    return accelerator


def _restore(path: Path, state: TrainState, setup: Setup) -> None:
    """Put a run where it stood."""
    check_same_data(state, setup.fingerprints["data"], path)
    load_weights(path, setup.student.model)
    setup.student.optimizer.load_state_dict(state.optimizer)
    setup.method.load_state_dict(state.method)
    restore_random_states(state.random[setup.processes.index])


def _state(recipe: Recipe, setup: Setup, accelerator: Accelerator, step: int) -> TrainState:
    """Called by every process: random states and what a method gathers are of all of them."""
    return TrainState(
        step=step,
        recipe=recipe.dump(),
        data_fingerprint=setup.fingerprints["data"],
        method=setup.method.state_dict(),
        optimizer=setup.student.optimizer.state_dict(),
        random=gather_object([random_states()]),
    )


def _anywhere(flag: bool, accelerator: Accelerator) -> bool:
    """True in every process if it is true in any: all must stop after the same step."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum") > 0)


def _objective_of(recipe: Recipe) -> str:
    """The method, and its divergence where that has another name, for messages."""
    plain = recipe.divergence in (None, recipe.method) or not recipe.asks_teacher
    return recipe.method if plain else f"{recipe.method} with {recipe.divergence}"


def _not_finite(step: int, fault: str, recipe: Recipe, directory: RunDirectory) -> str:
    newest = newest_checkpoint(directory.checkpoints)
    kept = f"the last checkpoint, {newest.name}, is whole" if newest else "no checkpoint was written before"
    return (
        f"step {step + 1}, method {_objective_of(recipe)}: {fault}; nothing of this step was applied, {kept}; "
        "lower training.learning_rate or look at these examples"
    )


def _batches(setup: Setup, done: int) -> Iterator[tuple[int, list[int]]]:
    """(epoch, indices) of every step from `done` on; a method may make several steps of one batch."""
    updates = setup.method.updates
    for number, batch in enumerate(setup.plan.start_at(done // updates)):
        yield from repeat(batch, updates - (done % updates if number == 0 else 0))


def _steps(
    recipe: Recipe, setup: Setup, accelerator: Accelerator, done: int, directory: RunDirectory
) -> Iterator[tuple[int, StepMetrics]]:
    """Every optimiser step from `done` on, as it is finished."""
    optimizer, method = setup.student.optimizer, setup.method
    last_epoch = (done - 1) // (len(setup.plan) * method.updates) if done else -1
    for step, (epoch, indices) in zip(range(done, setup.steps), _batches(setup, done), strict=False):
        start = time.perf_counter()
        if epoch != last_epoch:
            method.start_epoch(epoch)
            last_epoch = epoch
        rate = learning_rate(recipe.training, step, setup.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        own = [setup.examples[i] for i in setup.processes.own(indices)]
        seen = sorted(setup.start_step(step, own), key=lambda example: len(example.ids))
        pad_id = setup.student.loaded.tokenizer.pad_token_id
        sums = accumulate(setup.loss, method.metrics, seen, recipe.training.micro_batch_size, pad_id, accelerator)
        taken = divide(sums, method, setup.student.model, accelerator)
        statistics = taken.statistics
        norm = clip(setup.student.model, recipe.training.max_grad_norm)
        if fault := find_fault(statistics, norm, sums, method, accelerator):
            raise NotFinite(_not_finite(step, fault, recipe, directory))
        optimizer.step()
        optimizer.zero_grad()
        extra = method.after_step(statistics)
        yield (
            step,
            StepMetrics(
                step=step + 1,
                epoch=epoch,
                loss=statistics.loss,
                forward_kl=statistics.forward_kl,
                reverse_kl=statistics.reverse_kl,
                beta=extra.pop("beta", None),
                beta_loss=extra.pop("beta_loss", None),
                lr=rate,
                grad_norm=norm,
                tokens=taken.tokens,
                padding=taken.padding,
                seconds=time.perf_counter() - start,
                extra=extra,
            ),
        )


@contextmanager
def _metrics_file(path: Path, done: int) -> Iterator[TextIO]:
    """metrics.jsonl opened for appending, cut to the first `done` lines: a killed run may have written more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:done] if done and path.exists() else []
    with path.open("w", encoding="utf-8") as handle:
        handle.writelines(kept)
        handle.flush()
        yield handle


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag that is looked at between steps; the second one stops at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: nobody can interrupt us but our caller
        before = {}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
