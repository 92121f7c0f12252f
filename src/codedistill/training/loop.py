"""The loop that all methods share.

One optimizer step: micro-batches add up sums and counts; gradients are divided once by the count of all micro-batches
and processes, checked, clipped and applied; then the method sees the step's means (this is how beta moves).
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TextIO

from accelerate.utils import set_seed

from codedistill.errors import CodedistillError
from codedistill.methods.base import RewriteContext
from codedistill.parallel import launch
from codedistill.recipe.model import Recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.environment import describe_environment, peak_memory_mb
from codedistill.runs.files import write_json
from codedistill.runs.schema import StepMetrics
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
from codedistill.training.setup import Setup, prepare
from codedistill.training.step import accumulate, find_fault, learning_rate


class Interrupted(CodedistillError):
    """Ctrl-C or SIGTERM; a checkpoint has been saved. Raised in all processes at the same step."""

    exit_code = 130
    everywhere = True


class NotFinite(CodedistillError):
    """A loss or gradient is infinite or NaN. Raised in all processes at the same step; nothing of it is applied."""

    everywhere = True


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training run.

    model: the student's folder. examples: all examples of the data, of which `cut` were truncated and `dropped` were
    not used. template: the student's prompt template. peak_memory_mb: of the process so far, see
    `environment.peak_memory_mb`.
    """

    model: Path
    steps: int
    examples: int
    cut: int
    dropped: int
    template: str
    peak_memory_mb: float


def train(
    recipe: Recipe,
    directory: RunDirectory,
    on_step: Callable[[StepMetrics, int], None] | None = None,
    on_count: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train the recipe's student into `directory`. The caller holds the directory's lock.

    on_step: called with the metrics of each step and the total number of steps. on_count: called with (done, total)
    while responses are written before training.

    Raises:
        UserError: something in the recipe, the models or the data is wrong, or the disk is full.
        Interrupted: stopped by a signal; a checkpoint has been saved.
        NotFinite: a loss or gradient is not finite; nothing of that step was applied.
    """
    accelerator, processes = launch()
    first = processes.index == 0
    set_seed(recipe.training.seed)
    newest = newest_checkpoint(directory.checkpoints) if recipe.resume == "auto" else None
    state = None
    if newest is not None:
        state = read_state(newest)
        check_same_recipe(state, recipe.dump(), processes.count, newest)
    count = on_count or (lambda done, total: None)
    context = RewriteContext(directory.path, accelerator.device, processes, count, resuming=state is not None)
    setup = prepare(recipe, accelerator, context)
    if newest is not None and state is not None:
        check_same_data(state, setup.fingerprints["data"], newest)
        load_weights(newest, setup.student.model)
        setup.optimizer.load_state_dict(state.optimizer)
        setup.method.load_state_dict(state.method)
        restore_random_states(state.random[processes.index])
    done = 0 if state is None else state.step
    if first:
        write_json(directory.environment, describe_environment(setup.fingerprints))
    with _stop_signal() as caught, _metrics_file(directory.metrics if first else Path(os.devnull), done) as log:
        for metrics in _steps(recipe, setup, done, directory):
            if first:
                log.write(json.dumps(metrics.to_json()) + "\n")
                log.flush()
            if first and on_step is not None:
                on_step(metrics, setup.steps)
            stopped = processes.any(caught(), setup.device)
            if stopped or metrics.step % recipe.training.checkpoint_every == 0 or metrics.step == setup.steps:
                state = TrainState(
                    step=metrics.step,
                    recipe=recipe.dump(),
                    data_fingerprint=setup.fingerprints["data"],
                    method=setup.method.state_dict(),
                    optimizer=setup.optimizer.state_dict(),
                    random=processes.gather([random_states()]),
                )
                if first:
                    keep = recipe.training.keep_checkpoints
                    save_checkpoint(directory.checkpoints, setup.student.model, state, keep)
                processes.wait()
            if metrics.step == setup.steps:  # no later step would notice a signal that came while this one was saved
                stopped = processes.any(caught(), setup.device)
            if stopped:  # even after the last step: the caller wants nothing more to happen
                raise Interrupted(
                    f"stopped after step {metrics.step} of {setup.steps}; checkpoint saved in {directory.checkpoints}"
                )
    template = recipe.template or setup.report.template
    if first:
        save_student(recipe, setup.student, template, directory)
    processes.wait()
    return TrainingResult(
        model=directory.model,
        steps=setup.steps,
        examples=setup.report.examples,
        cut=setup.report.cut,
        dropped=setup.report.dropped,
        template=template,
        peak_memory_mb=peak_memory_mb(),
    )


def _steps(recipe: Recipe, setup: Setup, done: int, directory: RunDirectory) -> Iterator[StepMetrics]:
    """Every optimizer step from `done` on, as it is finished."""
    method, training, processes, optimizer = setup.method, recipe.training, setup.processes, setup.optimizer
    model, pad_id = setup.student.model, setup.student.loaded.tokenizer.pad_token_id
    last_epoch = (done - 1) // (len(setup.plan) * method.updates) if done else -1
    for step, (epoch, indices) in zip(range(done, setup.steps), _batches(setup, done), strict=False):
        start = time.perf_counter()
        if epoch != last_epoch:
            method.start_epoch(epoch)
            last_epoch = epoch
        rate = learning_rate(training, step, setup.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        own = method.start_step(step, [setup.examples[i] for i in processes.own(indices)])
        own = sorted(own, key=lambda example: len(example.ids))
        sums = accumulate(method, own, training.micro_batch_size, pad_id, setup.device)
        totals = sums.totals(processes)
        processes.divide_gradients(model, totals.count)
        norm = processes.clip_gradients(model, training.max_grad_norm)
        if fault := find_fault(method, totals.statistics, norm, sums, processes):
            raise NotFinite(_not_finite(step, fault, recipe, directory))
        optimizer.step()
        optimizer.zero_grad()
        columns = dict.fromkeys(("forward_kl", "reverse_kl", "beta", "beta_loss")) | method.after_step(
            totals.statistics
        )
        yield StepMetrics(
            step=step + 1,
            epoch=epoch,
            loss=totals.statistics.loss,
            lr=rate,
            grad_norm=norm,
            tokens=totals.tokens,
            padding=totals.padding,
            seconds=time.perf_counter() - start,
            **columns,
        )


def _batches(setup: Setup, done: int) -> Iterator[tuple[int, list[int]]]:
    """(epoch, indices) of every step from `done` on; a method may take several steps on one batch."""
    updates = setup.method.updates
    for number, batch in enumerate(setup.plan.start_at(done // updates)):
        yield from repeat(batch, updates - (done % updates if number == 0 else 0))


def _not_finite(step: int, fault: str, recipe: Recipe, directory: RunDirectory) -> str:
    method, newest = recipe.method, newest_checkpoint(directory.checkpoints)
    if recipe.asks_teacher and recipe.divergence not in (None, method):
        method += f" with {recipe.divergence}"
    kept = f"the last checkpoint, {newest.name}, is complete" if newest else "no checkpoint was written before"
    return (
        f"step {step + 1}, method {method}: {fault}; nothing of this step was applied, {kept}; "
        "lower training.learning_rate or check these examples"
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
    """Turn the first Ctrl-C or SIGTERM into a flag that is checked between steps; the second one stops at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's business
        before = {}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
